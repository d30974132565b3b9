"""The stories on the page: what it shows is what ``gpu-slice preview -o json`` says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from playwright.sync_api import Browser

from tests.browser.pages import Visit
from tests.stories import FLEETS, STORIES, fleet_of
from webhook.cli.main import main

ADMITTED = {
    "sliced": "✓Admitted, with its slice",
    "unchanged": "✓Admitted, it already has its slice",
    "untouched": "–Nothing changes",
    "denied": "✕Denied",
}
IN_SHADOW = {"sliced": "◐Not changed, in shadow", "denied": "◐Not denied, in shadow"}


@pytest.fixture(scope="module", name="visit_to")
def _visit_to(browser: Browser, address_of: Callable[[str], str]) -> Iterator[Callable[[str], Visit]]:
    """The page of the fleet of that name, in one window for all stories."""
    context = browser.new_context()
    page = context.new_page()
    yield lambda name: Visit(page, address_of(name))
    context.close()


def preview(story: Path, output: str) -> str:
    fleet = FLEETS[fleet_of(story)]
    options = ["--fleet", str(fleet)] if fleet is not None else []
    return CliRunner().invoke(main, ["preview", "-o", output, *options, str(story / "pod.yaml")]).stdout


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_is_told(story: Path, visit_to: Callable[[str], Visit]) -> None:
    visit = visit_to(fleet_of(story))
    visit.follow((story / "pod.yaml").read_text())
    (expected,) = json.loads(preview(story, "json"))
    seen = visit.seen()

    headlines = IN_SHADOW if expected["shadow"] else ADMITTED
    assert seen["headline"] == headlines[expected["outcome"]] + (expected["denial"] or {"code": ""})["code"]
    assert seen["warnings"] == expected["warnings"]
    assert seen["advice"] == expected["advice"]
    if denial := expected["denial"]:
        assert (seen["sentence"], seen["hint"]) == (f"{denial['problem']}.", f"{denial['hint']}.")
        assert seen["field"] == denial["field"]
        assert seen["paragraph"].startswith("Why: ")
        assert f"{denial['field']}: {seen['sentence']} {seen['hint']}" == denial["message"]
        value = yaml.safe_load((story / "pod.yaml").read_text())["metadata"]["annotations"]["gpu-slice"]
        if denial["position"] is not None and denial["field"] == "metadata.annotations[gpu-slice]":
            written, caret = seen["caret"].split("\n")
            assert written.rstrip() == f"gpu-slice: {value}".rstrip()
            assert caret == " " * (len("gpu-slice: ") + denial["position"]) + "^"
            assert seen["marked"].strip() == value[denial["position"] :][:1].strip()
        else:
            assert seen["caret"] is None
        assert visit.page.locator(".cm-lintRange-error").count() > 0 or value == ""
    else:
        assert json.loads(seen["views"].get("Patch") or "[]") == expected["patch"]
        assert yaml.safe_load(seen["views"].get("Pod") or "null") == expected["pod"]
        assert seen["views"].get("Diff", "") == preview(story, "diff")
    assert visit.problems == []
