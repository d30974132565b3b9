"""Causes as they are documented and printed: the page, the README, the exit code, the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest

from tests.unit.explain_world import World, printed, running, taint
from webhook.cli.explained import as_json, exit_code, table
from webhook.cli.terminal import echo
from webhook.cluster import causes
from webhook.cluster.causes import CAUSES, FINE, WAITS
from webhook.cluster.cures import Here
from webhook.cluster.explain import Explanation
from webhook.cluster.objects import (
    NODE_POOLS,
    NODES,
)

SHOWN = Path(__file__).parents[2] / "docs" / "live.md"
PAGE = SHOWN.with_name("causes.md")


def test_no_cure_replaces_the_fleet_or_image() -> None:
    for name, kind in CAUSES.items():
        assert "apply manifests/webhook" not in kind.cure, name
    assert "Not manifests/webhook: it would replace your fleet" in CAUSES["webhook-missing"].cure


def test_every_page_and_heading_that_a_cure_names_is_there() -> None:
    pages = PAGE.parents[1]
    code = "".join(path.read_text() for path in Path(causes.__file__).parent.glob("*.py"))
    named = set(
        re.findall(
            r"(?<![\w/.-])(docs/[\w-]+\.md)(?:#([\w-]+))?", code + "".join(kind.cure for kind in CAUSES.values())
        )
    )

    assert ("docs/eks.md", "6-nodes-for-a-cheap-first-pool") in named
    for page, anchor in named:
        headings = re.findall(r"^#+ (.+)$", (pages / page).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, f"{page}#{anchor}"
    assert not re.search(r"docs/[\w-]+\.md[^.;\n]*\b(in step \d|, [A-Z])", " ".join(k.cure for k in CAUSES.values()))


def test_every_cause_has_its_paragraph_and_no_other_is_there() -> None:
    paragraphs = dict(re.findall(r"^### `([^`]+)`\n\n(.*?)(?=\n##|\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE))

    assert {name: " ".join(text.split()) for name, text in paragraphs.items()} == {
        name: f"{kind.title}. What to do: {kind.cure}" for name, kind in CAUSES.items()
    }
    assert list(paragraphs) == list(CAUSES)


def test_every_cause_can_be_found() -> None:
    folder = Path(causes.__file__).parent
    code = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "causes.py")

    assert [name for name in CAUSES if f'"{name}"' not in code] == []


def test_every_cause_is_a_sentence_with_a_cure() -> None:
    assert set(CAUSES) >= FINE | WAITS
    for kind in CAUSES.values():
        assert not kind.title.endswith(".")
        assert kind.cure.endswith(".")


def without_its_overlay() -> Explanation:
    world = World()
    world.full()
    world.overlays.clear()
    world.says("karpenter", "Failed to schedule pod, no instance type has enough resources")
    return world.explain()


def as_a_plugin() -> Explanation:
    return replace(without_its_overlay(), here=Here(program="kubectl gpu-slice"))


def test_the_readme_shows_the_short_form_as_it_is_printed() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text()
    (block,) = re.findall(r"```text\n\$ kubectl gpu-slice explain notebook -o short\n(.*?)```", readme, re.DOTALL)

    assert block == printed(as_a_plugin(), "short")


def test_the_docs_show_an_explanation_as_it_is_printed() -> None:
    (block,) = re.findall(r"```text\n\$ kubectl gpu-slice explain notebook\n(.*?)```", SHOWN.read_text(), re.DOTALL)

    assert block == printed(as_a_plugin(), "table")


def test_the_short_form_is_the_cause_and_the_cure() -> None:
    title, sentence, cure = printed(without_its_overlay(), "short").splitlines()

    assert title == "× Pod team-a/notebook [overlay-missing]"
    assert sentence == without_its_overlay().cause.sentence
    assert cure.startswith("What to do: The platform team: gpu-slice render --fleet FILE --only node-overlays |")


def test_programs_get_ids_sentences_cures_and_all_tables() -> None:
    found = as_json(without_its_overlay())

    assert json.loads(json.dumps(found)) == found
    assert found["cause"]["id"] == "overlay-missing"
    assert found["cause"]["docs"] == "docs/causes.md#overlay-missing"
    assert [pool["serves"] for pool in found["pools"]] == [True, False]
    assert found["nodes"][0]["causes"][0]["id"] == "slices-in-use"
    assert found["nodePools"][0]["causes"][0]["id"] == "overlay-missing"
    assert found["events"][0]["words"] == "Karpenter knows no type of node with these slices and resources"
    assert found["couldNotLook"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (running, 0),
        (taint, 1),
        (lambda world: world.problems.update({NODES: "you may not list nodes", NODE_POOLS: "nor nodepools"}), 3),
    ],
    ids=["it runs", "it waits", "nothing could be looked at"],
)
def test_the_exit_code_says_whether_it_has_its_slice(change: Callable[[World], object], code: int) -> None:
    world = World()
    change(world)

    assert exit_code(world.explain()) == code


def test_nothing_that_others_wrote_controls_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.nodes["a100"]["spec"]["taints"].append({"key": "a\x1b[31m", "effect": "NoSchedule"})
    world.says("default-scheduler", "\x1b]0;title\x07::error::")

    for text in table(world.explain()):
        echo(text)

    printed_text = capsys.readouterr().out
    assert "\x1b]0" not in click.unstyle(printed_text)
    assert "\x07" not in printed_text
    assert "\\x1b]0;title" in printed_text
