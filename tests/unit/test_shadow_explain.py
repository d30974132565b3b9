"""`gpu-slice explain` about pods that were left alone because of shadow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.pods import container, pod_of
from tests.unit.explain_world import FLEET, World
from webhook.cli import files
from webhook.fleet.fleet import Fleet


def with_mode(**fields: object) -> Fleet:
    file = FLEET.file.model_dump(mode="json", by_alias=True, exclude_unset=True) | fields
    return files.load_fleet(str(file).replace("True", "true").replace("None", "null").encode())


SHADOW = with_mode(mode="shadow")


def fails_open(world: World) -> None:
    world.configuration["webhooks"][0]["failurePolicy"] = "Ignore"  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "fleet", "cause", "said"),
    [
        pytest.param(lambda _: None, SHADOW, "shadow", "Otherwise: main gets 1 nvidia.com/mig-1g.5gb", id="all"),
        pytest.param(fails_open, SHADOW, "shadow", "Otherwise: main gets 1", id="it fails open"),
        pytest.param(
            lambda world: world.pod["metadata"]["annotations"].update({"gpu-slice": "9g.5gb"}),
            SHADOW,
            "shadow",
            "Otherwise: denied: metadata.annotations[gpu-slice]: no GPU has a profile '9g.5gb'.",
            id="it would be denied",
        ),
        pytest.param(
            lambda _: None,
            with_mode(namespaces={"team-a": {"mode": "shadow"}}),
            "shadow",
            "in shadow here (namespace team-a)",
            id="its namespace",
        ),
        pytest.param(
            lambda _: None,
            with_mode(namespaces={"team-b": {"mode": "shadow"}}),
            "not-visited",
            "",
            id="another namespace",
        ),
        pytest.param(
            lambda world: world.namespace["metadata"].update(labels={"gpu-slice/opt-out": ""}),
            SHADOW,
            "namespace-opted-out",
            "",
            id="the namespace opted out",
        ),
        pytest.param(
            lambda world: setattr(world, "configuration", None), SHADOW, "webhook-missing", "", id="no webhook"
        ),
        pytest.param(lambda _: None, FLEET, "not-visited", "", id="nothing is in shadow"),
    ],
)
def test_a_pod_that_was_left_alone_because_of_shadow(
    change: Callable[[World], object], fleet: Fleet, cause: str, said: str
) -> None:
    world = World()
    world.pod = pod_of("1g.5gb", container())
    world.pod["metadata"] |= {"namespace": "team-a", "creationTimestamp": "2026-11-25T11:58:00Z"}
    world.pod["status"] = {"phase": "Running"}
    world.pod["spec"]["nodeName"] = "cpu-1"
    change(world)
    world.around["fleet"] = fleet
    found = world.explain()
    assert found.cause.id == cause
    assert said in found.cause.sentence
    refused = "Otherwise: denied" in said
    assert ("Correct the annotation" in found.cause.cure) is refused
    assert ("take 'mode: shadow' out" in found.cause.cure) is (cause == "shadow" and not refused)
