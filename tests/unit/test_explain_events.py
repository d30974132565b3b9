"""Events that anybody in the namespace ``default`` can write are quoted as events, and follow what objects tell."""

from __future__ import annotations

import pytest

from tests.linear import ending
from tests.unit.explain_world import NOW, World, limit
from webhook.cluster.events import LONGEST_MESSAGE, Said, read

MESSAGES = [
    ("VcpuLimitExceeded: You have requested more vCPU", "aws-quota"),
    ("InsufficientInstanceCapacity: We currently do not have", "no-capacity"),
]


def heard(world: World, message: str, about: str = "NodeClaim/a100-x7k2p", source: str = "karpenter") -> None:
    text = f"NodeClaim a100-x7k2p event: creating instance, {message}"
    world.said.append(Said(source, about, "InsufficientCapacityError", text, NOW))


@pytest.mark.parametrize(("message", "cause"), MESSAGES)
def test_what_only_an_event_on_a_nodeclaim_says_is_told_as_an_event(message: str, cause: str) -> None:
    world = World()
    world.full()
    heard(world, message)
    found = world.explain()
    assert found.cause.id == cause
    assert found.cause.sentence.startswith(
        "Events in namespace default say: Karpenter tried to launch a node of NodePool a100, and "
    )


@pytest.mark.parametrize(("message", "cause"), MESSAGES)
def test_what_an_event_on_the_pod_says_is_told_as_before(message: str, cause: str) -> None:
    world = World()
    world.full()
    heard(world, message, "Pod/notebook")
    found = world.explain()
    assert found.cause.id == cause
    assert found.cause.sentence.startswith("Karpenter tried to launch a node of NodePool a100, and ")


@pytest.mark.parametrize(("message", "cause"), MESSAGES)
def test_what_an_object_tells_leaves_no_room_for_such_events(message: str, cause: str) -> None:
    world = World()
    world.full()
    limit(world)
    heard(world, message)
    found = world.explain()
    assert found.cause.id == "limit-reached"
    assert cause not in {each.id for each in (*found.also, *found.launches[0].causes)}


@pytest.mark.parametrize("source", ["", "tenant", "karpenters-friend"])
def test_an_event_that_does_not_even_claim_to_be_karpenters_is_no_cause(source: str) -> None:
    world = World()
    world.full()
    heard(world, MESSAGES[0][0], source=source)
    assert world.explain().cause.id != "aws-quota"


def test_a_node_that_is_launched_is_told_beside_it() -> None:
    world = World()
    world.full()
    world.claim("2026-11-25T11:59:00Z", Launched=("True", "", ""))
    heard(world, MESSAGES[1][0])
    assert [cause.id for cause in world.explain().launches[0].causes] == ["no-capacity", "launching"]


@pytest.mark.parametrize("text", ["limits", "limits (NodePool=", "NodePool=a", 'label "', "NodeClaim a", "; ", " "])
def test_a_message_of_a_mebibyte_is_read_in_little_time(text: str) -> None:
    world = World()
    world.full()
    event = {
        "metadata": {},
        "involvedObject": {"kind": "Pod", "name": "notebook"},
        "source": {"component": "karpenter"},
    }
    event |= {"reason": "FailedScheduling", "message": text * (1_000_000 // len(text))}
    with ending():
        world.said = read([event])
        assert len(world.said[0].message) <= LONGEST_MESSAGE
        world.said.append(Said("karpenter", "Pod/notebook", "FailedScheduling", event["message"], NOW))
        world.explain()
