"""The documents show commands and what they print exactly as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]
COMMANDS = [
    pytest.param(command, output, id=f"{page}: {command}")
    for page in PAGES
    for block in re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_a_command_prints_what_the_page_says(command: str, output: str) -> None:
    name, *arguments = command.split()
    assert name == "gpu-slice"
    result = subprocess.run(
        [sys.executable, "-m", "webhook", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "80"},
    )
    assert result.stdout.replace("python -m webhook", "gpu-slice") == output


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "bench/README.md", "CHANGELOG.md", "SECURITY.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"\]\(([^)#:]+)\)", text)) | set(
        re.findall(r"`((?:manifests|webhook|tests|bench)/[\w./-]+)`", text)
    )
    for path in named:
        assert (ROOT / page).parent.joinpath(path).exists() or (ROOT / path).exists(), path


def test_the_first_page_can_be_followed(tmp_path: Path) -> None:
    """Up to the toy cluster, which `tests.cluster.test_playground` follows."""
    page = (ROOT / "docs" / "getting-started.md").read_text().partition("## A toy cluster")[0]
    steps = re.findall(r"```sh\n((?:(?!```).)*)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(steps) == 3
    (tmp_path / "gpu-slice").write_text(f'#!/bin/sh\nexec {sys.executable} -m webhook "$@"\n')
    (tmp_path / "gpu-slice").chmod(0o755)
    for command, output in steps:
        result = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            check=False,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)},
        )
        assert result.stdout == output


POOL = "pools: [{name: a, gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]}]\n"
HEAD = "apiVersion: gpu-slice/v1\n"
FLEETS = [
    pytest.param(block, id=f"{page}: {block.splitlines()[min(1, block.count(chr(10)) - 1)].strip()}")
    for page in ("docs/fleet.md", "docs/recipes.md", "docs/change-a-layout.md")
    for block in re.findall(
        r"```yaml\n((?:apiVersion: gpu-slice/v1|defaults|pools|devicePlugin).*?)```",
        (ROOT / page).read_text(),
        re.DOTALL,
    )
]


@pytest.mark.parametrize("block", FLEETS)
def test_every_fleet_and_every_part_of_one_is_good(block: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(("" if block.startswith(HEAD) else HEAD) + block + ("" if "pools:" in block else POOL))
    for command in (["fleet", "check", str(path)], ["render", "--fleet", str(path), "--cluster", "a"]):
        result = subprocess.run(
            [sys.executable, "-m", "webhook", *command], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_pages_have_fleets() -> None:
    assert len(FLEETS) >= 11


def test_every_command_and_option_has_a_help_text() -> None:
    import click

    from webhook.cli.main import main

    def walk(command: click.Command) -> None:
        assert command.help, command.name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help or parameter.name == "output", (
                command.name,
                parameter.name,
            )
        for name, inner in getattr(command, "commands", {}).items():
            if name in getattr(command, "lazy", {}):
                _, called, _ = command.resolve_command(click.Context(command), [name])
                listed = click.Command(name, help=command.lazy[name])
                assert listed.get_short_help_str() == called.get_short_help_str()
                inner = called
            walk(inner)

    walk(main)
