"""Manifests as people write them: what a preview says of each, word for word.

``tests/documents/NAME.yaml`` is previewed; ``NAME.txt`` holds the exit code and what goes to stderr.  After a wanted
change ``pytest --update-stories`` rewrites the answers: read the diff.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from webhook.cli.main import main

DOCUMENTS = sorted((Path(__file__).parents[1] / "documents").glob("*.yaml"), key=lambda path: path.name)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_preview_says_what_becomes_of_it(path: Path, request: pytest.FixtureRequest) -> None:
    result = CliRunner().invoke(main, ["preview", "-", "-o", "yaml"], input=path.read_bytes())
    said = f"exit code {result.exit_code}\n{result.stderr}"
    answer = path.with_suffix(".txt")
    if request.config.getoption("--update-stories"):
        answer.write_text(said)
    assert said == answer.read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("output", ["diff", "patch", "json", "sarif", "github"])
def test_every_output_has_the_same_exit_code(path: Path, output: str) -> None:
    result = CliRunner().invoke(main, ["preview", str(path), "-o", output])
    assert f"exit code {result.exit_code}" == path.with_suffix(".txt").read_text().splitlines()[0]
    if output == "json":
        assert {"file", "line", "template", "outcome", "why"} <= set(json.loads(result.stdout)[0])
