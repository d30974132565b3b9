"""The pages that are made from what they describe are up to date, and say something of everything."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest

from tests import reference
from tests.reference import DEFINITIONS, WHOLE, made, meaning, text
from webhook.cli.main import main
from webhook.cluster.check import CHECKS

OBJECTS = [pytest.param(model, id=name) for name, model in {"FleetFile": WHOLE, **DEFINITIONS}.items()]


@pytest.mark.parametrize("path", made(), ids=lambda path: path.name)
def test_a_page_is_as_what_it_describes(path: Path) -> None:
    assert path.read_text() == made()[path], "run: python -m tests.reference"


def test_a_new_check_gets_its_section_and_a_number_and_the_words_of_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (reference.DOCS / "checks.md").read_text()
    first, second, *rest = CHECKS
    new = replace(first, id="new-check", words="all is new", cure="Do it.")
    monkeypatch.setattr(reference, "CHECKS", (first, new, second, *rest))

    section = "### `new-check`\n\n√ all is new\n\n(why)\n\nWhat to do: Do it.\n\n"
    before, there, after = reference.checks(page).partition(section)
    assert there
    assert before + after == page
    running = sum(not each.only_before for each in CHECKS)
    assert reference.counted("× 2 of 7 checks failed") == f"× 2 of {running + 1} checks failed"


@pytest.mark.parametrize("model", OBJECTS)
def test_every_field_of_the_fleet_file_has_a_meaning(model: dict) -> None:
    assert [name for name, rule in model["properties"].items() if not meaning(rule).strip()] == []


def test_every_object_of_the_fleet_file_has_its_section() -> None:
    assert reference.places().keys() == {"", *DEFINITIONS} - {"Defaults"}


def names(command: click.Command, path: str) -> list[str]:
    """The command and, if it is a group, what is below."""
    inner = command.commands if isinstance(command, click.Group) else {}
    return [path, *(name for key, each in inner.items() for name in names(each, f"{path} {key}"))]


def test_the_page_shows_what_each_command_prints() -> None:
    page = (reference.DOCS / "commands.md").read_text()
    shown = dict(re.findall(r"^## `([^`]+)`\n\n```text\n(.*?)\n```$", page, re.DOTALL | re.MULTILINE))

    assert set(names(main, "gpu-slice")) == shown.keys()
    for name in ("gpu-slice", "gpu-slice preview", "gpu-slice fleet check", "gpu-slice certs keep"):
        result = CliRunner().invoke(main, [*name.split()[1:], "--help"], prog_name="gpu-slice", terminal_width=78)
        assert result.output == f"{shown[name]}\n"


def test_a_metric_is_called_as_it_is_served_and_leads_to_its_alerts() -> None:
    page = (reference.DOCS / "metrics.md").read_text()
    served = {
        line.split()[2]
        for registry in reference.REGISTRIES.values()
        for line in generate_latest(registry).decode().splitlines()
        if line.startswith("# TYPE gpu_slice_") and not line.split()[2].endswith("_created")
    }

    assert set(re.findall(r"^\| `(gpu_slice_\w+)`", page, re.MULTILINE)) == served
    assert {rule["alert"] for rule in reference.RULES} == set(re.findall(r"\[(GpuSlice\w+)\]", page))


def test_a_page_that_a_meaning_names_is_a_link() -> None:
    assert text("See docs/change-a-layout.md.") == "See [change-a-layout.md](change-a-layout.md)."


def test_what_could_be_read_as_html_is_text() -> None:
    assert text("Default: <cluster>, or *\n`<name>`; ``a``") == "Default: \\<cluster>, or \\* `<name>`; `a`"
