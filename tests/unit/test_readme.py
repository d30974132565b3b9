"""The documents show commands and what they print exactly as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md"]
COMMANDS = [
    pytest.param(command, output, id=f"{page}: {command}")
    for page in PAGES
    for block in re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


def test_the_readme_shows_commands() -> None:
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


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "bench/README.md", "CHANGELOG.md", "docs/eks.md", "docs/recipes.md"]
)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"\]\(([^)#:]+)\)", text)) | set(
        re.findall(r"`((?:manifests|webhook|tests|bench)/[\w./-]+)`", text)
    )
    for path in named:
        assert (ROOT / page).parent.joinpath(path).exists() or (ROOT / path).exists(), path


POOL = "pools: [{name: a, gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]}]\n"
HEAD = "apiVersion: gpu-slice/v1\n"
FLEETS = [
    pytest.param(block, id=f"{page}: {block.splitlines()[min(1, block.count(chr(10)) - 1)].strip()}")
    for page in ("README.md", "docs/recipes.md")
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


def test_the_readme_and_the_recipes_have_fleets() -> None:
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
        for inner in getattr(command, "commands", {}).values():
            walk(inner)

    walk(main)
