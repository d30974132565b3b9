"""What PyPI shows of the README: its links lead into the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hatch_build import linked

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)]+)\)")


def test_no_link_of_a_release_is_relative_and_each_leads_to_a_file() -> None:
    pages, files = "https://github.com/o/r/blob/v1.2.3/", "https://raw.githubusercontent.com/o/r/v1.2.3/"
    found = LINK.findall(linked(README, "o/r", "v1.2.3"))
    assert {bool(picture) for picture, _ in found} == {True, False}
    for picture, url in found:
        base = files if picture else pages
        assert url.startswith(base)
        assert (ROOT / url.removeprefix(base).partition("#")[0]).is_file(), url


@pytest.mark.parametrize("link", ["[a](https://b/c)", "[a](#here)", "![a](https://b/c.png)", "[a](mailto:b@c)"])
def test_other_links_stay(link: str) -> None:
    assert linked(link, "o/r", "v1") == link


@pytest.mark.parametrize("repository", ["o/r", ""])
def test_hatchling_takes_it(repository: str) -> None:
    environment = os.environ | {"GITHUB_REPOSITORY": repository, "GITHUB_REF_NAME": "v1.2.3"}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "metadata", "readme"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == (linked(README, repository, "v1.2.3") if repository else README).strip()
