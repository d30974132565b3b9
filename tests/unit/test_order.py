"""A map has no order: what is said about a pod does not depend on how somebody's tool sorted the keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stories import FLEETS, STORIES, fleet_of, namespace_of, pod_of
from webhook import documents
from webhook.admission.preview import preview
from webhook.cli import files
from webhook.fleet.fleet import Fleet


def turned(value: Any) -> Any:
    """*value* with the keys of each map in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


def turned_fleet(name: str) -> Fleet:
    path = FLEETS[name]
    text = path.read_bytes() if path else files.default_fleet_text()
    (document,) = documents.read(text)
    return files.load_fleet(documents.write(turned(document.value)).encode())


def said(results: Any) -> list[Any]:
    return [
        (str(result.denial), sorted(map(str, result.plan.warnings)) if result.plan else None, result.pod)
        for result in results
    ]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_order_of_keys_changes_neither_an_answer_nor_a_denial(story: Path) -> None:
    pod, name = pod_of(story), fleet_of(story)
    fleet = files.fleet_at(FLEETS[name])
    straight = said(preview(pod, fleet, namespace_of(pod)))
    assert said(preview(turned(pod), fleet, namespace_of(pod))) == straight
    assert said(preview(pod, turned_fleet(name), namespace_of(pod))) == straight
