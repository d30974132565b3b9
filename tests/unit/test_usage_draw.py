"""``gpu-slice usage --draw``: what may follow it, before any cluster is looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from webhook.cli.main import main
from webhook.cli.usage import _draw
from webhook.cluster.usage import Usage


@pytest.mark.parametrize("word", ["my-fleet.yaml", "pod", "a.svg.bak", ".svg", "a.SVGZ"])
def test_a_word_that_is_no_svg_file_is_not_written_over(word: str, tmp_path: Path) -> None:
    path = tmp_path / word
    path.write_text("mine")
    before = os.listdir(tmp_path)
    result = CliRunner().invoke(main, ["usage", "--draw", str(path)])
    assert result.exit_code == 2
    assert "Write FILE.svg" in result.stderr
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("output", ["json", "csv", "short"])
def test_blocks_are_a_part_of_the_table_alone(output: str) -> None:
    result = CliRunner().invoke(main, ["usage", "-o", output, "--draw"])
    assert result.exit_code == 2
    assert f"-o {output} has no drawing" in result.stderr


def test_it_says_what_it_has_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nodes.svg"
    _draw(Usage((), (), (), nodes_seen=True, pods_seen=True), path)
    assert path.read_text().startswith("<svg")
    assert capsys.readouterr().err == f"{path}: written\n"
