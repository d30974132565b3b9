"""The version is said once, and everything else agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.version import PLACE, ROOT, files, written
from webhook import __version__
from webhook.cli.main import main

OTHERS = {
    "docs/compatibility.md": r"^### To ",  # the notes of that release
}
"""Lines that name a version and are not brought up to date."""


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_another_version(path: Path) -> None:
    text = path.read_text()

    assert text == written(text), "run: python -m tests.version"


def test_no_place_is_overlooked() -> None:
    overlooked = []
    for path in files():
        for line in path.read_text().splitlines():
            other = OTHERS.get(str(path.relative_to(ROOT)))
            if re.search(rf"(?<![\d.v]){re.escape(__version__)}\b", PLACE.sub("", line)) and not (
                other and re.search(other, line)
            ):
                overlooked.append(f"{path.relative_to(ROOT)}: {line}")

    assert overlooked == []


def test_another_version_reaches_whatever_installs_something() -> None:
    changed = {path: written(path.read_text(), "9.8.7") for path in files()}
    manifests = ROOT / "manifests"
    chart = yaml.safe_load(changed[manifests / "helm" / "gpu-slice" / "Chart.yaml"])

    assert (chart["version"], chart["appVersion"]) == ("9.8.7", "9.8.7")
    for name, image in (("webhook", "gpu-slice"), ("keeper", "gpu-slice-keeper")):
        deployment = yaml.safe_load(changed[manifests / name / "deployment.yaml"])
        kustomization = yaml.safe_load(changed[manifests / name / "kustomization.yaml"])
        assert [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]] == [f"{image}:9.8.7"]
        assert kustomization["images"] == [{"name": image, "newName": image, "newTag": "9.8.7"}]


def test_the_command_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"], prog_name="gpu-slice")

    assert capsys.readouterr().out == f"gpu-slice, version {__version__}\n"
