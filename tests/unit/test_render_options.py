"""Options of `gpu-slice render` that do not go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from webhook.cli.main import main

PRUNE = ("render", "--prune-list")


@pytest.mark.parametrize(
    "more",
    [
        ("--retire", "nosuch"),
        ("--retire", "a100-mixed"),
        ("--cluster", "other"),
        ("--output-dir", "DIR"),
        ("--output-dir", "DIR", "--check"),
        ("--check",),
    ],
    ids=" ".join,
)
def test_what_the_list_would_ignore_is_refused(more: tuple[str, ...], tmp_path: Path) -> None:
    given = [str(tmp_path) if each == "DIR" else each for each in more]
    result = CliRunner().invoke(main, [*PRUNE, *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert not list(tmp_path.iterdir())


def test_the_fleet_of_the_list_is_checked(tmp_path: Path) -> None:
    bad = tmp_path / "fleet.yaml"
    bad.write_text("pools: []\n")
    without = CliRunner().invoke(main, ["render", "--fleet", str(bad)])
    assert CliRunner().invoke(main, [*PRUNE, "--fleet", str(bad)]).exit_code == without.exit_code != 0
    missing = CliRunner().invoke(main, [*PRUNE, "--fleet", str(tmp_path / "nope.yaml")])
    assert (missing.exit_code, missing.stdout) == (2, "")


def test_everything_is_rendered_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from webhook.cli import render

    calls, original = [], render.render
    monkeypatch.setattr(render, "render", lambda *given: calls.append(given) or original(*given))
    assert CliRunner().invoke(main, ["render", "--only", "node-pools"]).exit_code == 0
    assert CliRunner().invoke(main, ["render", "--output-dir", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(main, ["render", "--output-dir", str(tmp_path), "--check"]).exit_code == 0
    assert len(calls) == 3
