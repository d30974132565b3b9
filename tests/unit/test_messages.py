"""The codes, a closed list; and the page that explains each, held to what is really printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.pods import container, fleet_of, pod_of
from tests.stories import FLEETS, STORIES, namespace_of
from tests.stories import fleet_of as fleet_name
from tests.stories import pod_of as pod_of_story
from webhook.admission.preview import preview
from webhook.cli.files import fleet_at
from webhook.codes import DENIALS, NOTES, WARNINGS, Code, NoteCode, Reason, WarningCode
from webhook.fleet.fleet import Fleet

PAGE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()
CODES: tuple[Code, ...] = (*DENIALS, *WARNINGS, *NOTES)
PARAGRAPHS = dict(re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))

SMALL: dict[str, dict[str, Any]] = {
    "too-large": pod_of(
        ",".join(f"c{index}=1g.5gb|1g.10gb" for index in range(400)),
        *(container(f"c{index}") for index in range(400)),
    ),
    "too many containers": pod_of("c0=1g.5gb", *(container(f"c{index}") for index in range(1001))),
    "too many values": pod_of("1g.5gb", container(args=["a"] * 200_001)),
    "more-warnings": pod_of(
        "c0=1g.5gb", *(container(f"c{index}", securityContext={"privileged": True}) for index in range(40))
    ),
    "a label": {"kind": "Pod", "metadata": {"labels": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": []}},
    "on the workload": {
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {"gpu-slice": "1g.5gb"}},
        "spec": {"template": {"spec": {"containers": [container()]}}},
    },
}
"""Pods for messages that no story tells."""


def said(pod: Any, fleet: Fleet, namespace: str = "default") -> Iterator[tuple[str, str]]:
    """The code and the text of each message about a pod."""
    for result in preview(pod, fleet, namespace):
        if result.denial is not None:
            yield result.denial.reason, str(result.denial)
        for warning in result.plan.warnings if result.plan is not None else ():
            yield warning.code, warning.text
        for advice in result.subject.advice:
            yield "misplaced-annotation", advice


@cache
def printed() -> dict[str, set[str]]:
    """By code, every text that a story or a small pod has printed."""
    fleets = {name: fleet_at(path) for name, path in FLEETS.items()}
    texts: dict[str, set[str]] = {}
    for story in STORIES:
        pod = pod_of_story(story)
        for code, text in said(pod, fleets[fleet_name(story)], namespace_of(pod)):
            texts.setdefault(code, set()).add(text)
    for pod in SMALL.values():
        for code, text in said(pod, fleet_of("built-in")):
            texts.setdefault(code, set()).add(text)
    return texts


def test_every_code_has_a_sentence() -> None:
    assert list(DENIALS) == sorted(get_args(Reason))
    assert list(WARNINGS) == sorted(get_args(WarningCode))
    assert list(NOTES) == sorted(get_args(NoteCode))


def test_a_code_stands_for_one_thing_and_can_stand_in_a_link() -> None:
    assert len(set(CODES)) == len(CODES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in CODES)


def test_the_page_has_a_paragraph_for_each_code_and_for_nothing_else() -> None:
    assert list(PARAGRAPHS) == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_paragraph_shows_a_message_as_it_is_printed_and_says_why_and_what_to_do(code: str) -> None:
    examples, explanation = re.fullmatch(r"\n```text\n(.+?)```\n(.*)", PARAGRAPHS[code], re.DOTALL).groups()
    assert set(examples.splitlines()) - printed()[code] == set()
    assert re.fullmatch(r"\nWhy: .+\n\nWhat to do: .+", explanation, re.DOTALL)
