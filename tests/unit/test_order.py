"""A map has no order: what is said about a pod does not depend on how somebody's tool sorted the keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stories import FLEETS, STORIES, fleet_of, namespace_of, pod_of
from webhook import documents
from webhook.admission.preview import preview
from webhook.cli import files
from webhook.errors import BadFleet
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


def pod_with(spec: dict[str, Any], resources: dict[str, Any] | None = None) -> dict[str, Any]:
    container = {"name": "main", "image": "i", "resources": resources or {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": {"gpu-slice": "1g.5gb"}},
        "spec": {"containers": [container], **spec},
    }


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(pod_with({"nodeSelector": {"nvidia.com/gpu": "h100", "kubernetes.io/arch": "x"}}), id="selectors"),
        pytest.param(pod_with({"nodeSelector": {"b": 5, "a": 6}}), id="values of a wrong type"),
        pytest.param(pod_with({"tolerations": 5, "affinity": []}), id="fields of a wrong type"),
        pytest.param(
            pod_with({}, {"limits": {"nvidia.com/mig-2g.10gb": 1, "nvidia.com/gpu": 2}}), id="two kinds of slice"
        ),
        pytest.param(
            pod_with({}, {"limits": {"nvidia.com/mig-2g.10gb": "x", "nvidia.com/gpu": "y"}}),
            id="two numbers that are none",
        ),
    ],
)
def test_of_several_mistakes_the_same_one_is_told(pod: dict[str, Any]) -> None:
    fleet = files.fleet_at(None)
    (told,) = preview(pod, fleet)
    assert told.denial is not None
    assert said(preview(turned(pod), fleet)) == said([told])


@pytest.mark.parametrize(
    "layout", ["{4g.20gb: 1, 3g.20gb: 1, 1g.5gb: 1}", "{1g.5gb+me: 1, 1g.5gb.me: 1}", "{x: 1, y: 2}"]
)
def test_a_layout_is_refused_alike_in_any_order(layout: str) -> None:
    def told(text: Any) -> list[str]:
        with pytest.raises(BadFleet) as refused:
            files.load_fleet(documents.write(text).encode())
        return [str(problem) for problem in refused.value.problems]

    pool = {"name": "p", "gpu": "a100-40gb", "partition": {"mig": yaml.safe_load(layout)}}
    fleet = {"apiVersion": "gpu-slice/v1", "pools": [pool | {"instanceTypes": ["p4d.24xlarge"]}]}
    assert told(turned(fleet)) == told(fleet)
