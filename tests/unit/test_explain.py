"""`explain`: what was not looked at, events, tables and odd amounts."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.unit.explain_world import SLICE, World, condition, limit
from webhook.cli.explained import as_json, table
from webhook.cluster.events import in_words
from webhook.cluster.objects import (
    EVENTS,
    NODE_OVERLAYS,
    NODE_POOLS,
    NODES,
    WEBHOOKS,
    Kind,
)


def test_a_message_of_the_scheduler_is_not_called_silence() -> None:
    world = World()
    condition("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.")(world)

    assert [cause.id for cause in (world.explain().cause, *world.explain().also)] == ["scheduler"]


def test_the_tables_say_why_of_each_pool_node_and_node_pool() -> None:
    world = World()
    world.full()
    limit(world)

    explanation = world.explain()

    assert [(each.pool, bool(each.why_not), each.weight) for each in explanation.pools] == [
        ("a100", False, 10),
        ("standing", True, 0),
    ]
    assert [(each.name, each.free, [cause.id for cause in each.causes]) for each in explanation.nodes] == [
        ("a100-1", f"0 of 56 {SLICE}", ["slices-in-use"])
    ]
    assert [(each.node_pool, [cause.id for cause in each.causes]) for each in explanation.launches] == [
        ("a100", ["limit-reached"])
    ]
    assert [cause.id for cause in explanation.also] == ["slices-in-use"]
    assert explanation.also[0].sentence.endswith("and the pod asks for 1: team-b/busy holds 56.")
    assert (explanation.asked, explanation.given) == ("1g.5gb", f"main={SLICE}:1")


@pytest.mark.parametrize(
    "amount", ["1e9999", "9E", pytest.param("9" * 5000, id="long"), "1e-9999", "1e1.5", "-1e9999", "0e9999"]
)
@pytest.mark.parametrize("where", ["asked", "memory", "bound", "node", "NodePool", "launched", "NodeOverlay"])
def test_amounts_that_only_kubernetes_can_store_are_explained_too(where: str, amount: str) -> None:
    world = World()
    world.full()
    (main,) = world.pod["spec"]["containers"]
    if where in ("asked", "memory"):
        resource = SLICE if where == "asked" else "memory"
        main["resources"] = {each: {SLICE: "1", resource: amount} for each in ("limits", "requests")}
    elif where == "bound":
        world.others[0]["spec"]["containers"][0]["resources"]["limits"] = {SLICE: amount, "cpu": amount}
    elif where == "node":
        world.nodes["a100"]["status"] |= {"allocatable": {SLICE: amount}, "capacity": {SLICE: amount, "cpu": amount}}
    elif where == "NodePool":
        world.node_pools[0]["spec"]["limits"] = {SLICE: amount, "cpu": 7}
    elif where == "launched":
        world.node_pools[0]["status"]["resources"] = {SLICE: amount, "nodes": 10**30}
    else:
        world.overlays[0]["spec"]["capacity"] = {SLICE: amount}
    if where == "asked":
        world.pod["metadata"]["annotations"] = {}  # by hand: gpu-slice would refuse it

    found = world.explain()

    assert max(len(line) for text in table(found) for line in text.splitlines()) < 400
    assert json.loads(json.dumps(as_json(found)))["cause"]["id"] == found.cause.id


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NODES, "what keeps the pod off each node is not known"),
        (NODE_POOLS, "what keeps Karpenter from launching a node is not known"),
        (NODE_OVERLAYS, "whether Karpenter knows the slices is not known"),
        (WEBHOOKS, "whether the API server asks gpu-slice is not known"),
        (EVENTS, "what Karpenter says of nodes on their way is not known"),
    ],
)
def test_what_may_not_be_read_is_said_and_nothing_is_concluded_from_it(kind: Kind[Any], words: str) -> None:
    world = World()
    world.full()
    world.problems[kind] = f"you may not list {kind.plural}"
    condition("0/2 nodes are available: 2 Insufficient nvidia.com/mig-1g.5gb.")(world)

    explanation = world.explain()

    assert f"you may not list {kind.plural}: {words}" in explanation.unread
    assert explanation.cause.id in ("scheduler", "soon")


def test_without_a_fleet_the_scheduler_is_quoted_in_the_fleets_words() -> None:
    world = World()
    world.around["fleet"] = None
    world.problems = {NODES: "you may not list nodes", NODE_POOLS: "you may not list nodepools"}
    condition("0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 Insufficient nvidia.com/mig-1g.5gb.")(
        world
    )

    explanation = world.explain()

    assert explanation.cause.id == "scheduler"
    assert "no node has a free nvidia.com/mig-1g.5gb" in explanation.cause.sentence
    assert explanation.pools == explanation.nodes == explanation.launches == ()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'incompatible requirements, label "tier" does not have known values',
            "selects by tier",
        ),
        (
            "all available instance types exceed limits for nodepool (NodePool=a)",
            "at its limit",
        ),
        ("Failed to schedule pod, no instance type has enough resources", "no type of node with these slices"),
        ("Pod should schedule on: nodeclaim/a100-x7k2p, node/n", "launching NodeClaim a100-x7k2p"),
        ("0/1 nodes are available: 1 Insufficient nvidia.com/x.", "no node has a free nvidia.com/x"),
        ("0/4 nodes are available: 1 node(s) had volume node affinity conflict.", "in another zone"),
        ("something else", ""),
    ],
)
def test_events_are_told_in_the_fleets_words(message: str, words: str) -> None:
    assert words in in_words(message)
    assert bool(in_words(message)) == bool(words)
    assert not in_words(message).endswith(".")


def test_without_a_fleet_the_record_says_which_pools_count() -> None:
    world = World()
    world.full()
    other = copy.deepcopy(world.nodes["a100"])
    other["metadata"] |= {"name": "theirs-1", "labels": {"gpu-slice/pool": "theirs"}}
    world.nodes["theirs"] = other
    world.around["fleet"] = None

    explanation = world.explain()

    assert explanation.cause.id == "slices-in-use"
    assert [each.name for each in explanation.nodes] == ["a100-1"]
