"""`explain`: whether a node that Karpenter launches is for the pod, and what is known of that with few rights."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.explain_world import BEFORE, NOW, World, condition, limit, taint
from webhook.cluster.events import Said
from webhook.cluster.objects import NODE_CLAIMS, NODE_CLASSES, NODE_OVERLAYS, NODE_POOLS, NODES

TOO_LARGE = "Failed to schedule pod, no instance type has enough resources"
NO_LABELS = (
    "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are "
    "available: 3 Preemption is not helpful for scheduling."
)


def says(world: World, message: str, reason: str, seconds: int = 0) -> None:
    """Karpenter says something of the pod, *seconds* ago."""
    world.said.append(Said("karpenter", "Pod/notebook", reason, message, NOW - timedelta(seconds=seconds)))
    world.said.sort(key=lambda said: said.when, reverse=True)


def nominates(world: World, claim: str = "a100-x7k2p", seconds: int = 0) -> None:
    says(world, f"Pod should schedule on: nodeclaim/{claim}", "Nominated", seconds)


def boots(world: World, age: str = "2026-11-25T11:59:00Z") -> None:
    world.claim(age, Launched=("True", "", ""))


def few_rights(world: World) -> None:
    """As of a developer with rights in one namespace."""
    kinds = (NODES, NODE_POOLS, NODE_CLAIMS, NODE_CLASSES, NODE_OVERLAYS)
    world.problems |= {kind: f"you may not list {kind.plural}" for kind in kinds}
    world.around["fleet"] = None
    condition(NO_LABELS)(world)


class TestNodesOfOthers:
    """A node boots that may be another pod's."""

    def test_a_pod_that_karpenter_refuses_does_not_wait_for_it(self) -> None:
        world = World()
        world.full()
        boots(world)
        says(world, TOO_LARGE, "FailedScheduling")

        explanation = world.explain()

        assert explanation.cause.id == "karpenter"
        assert "launching" not in {each.id for each in (*explanation.also, *explanation.launches[0].causes)}

    @pytest.mark.parametrize("age", [BEFORE, "2026-11-25T11:59:00Z"], ids=["it is stuck", "it boots"])
    def test_nor_is_a_node_that_it_was_never_meant_for_the_cause(self, age: str) -> None:
        world = World()
        world.full()
        boots(world, age)
        says(world, TOO_LARGE, "FailedScheduling")
        assert world.explain().cause.id == "karpenter"

    def test_one_that_is_stuck_still_counts_where_it_uses_up_a_limit(self) -> None:
        world = World()
        world.full()
        limit(world)
        boots(world, BEFORE)
        says(world, "Failed to schedule pod, all available instance types exceed limits", "FailedScheduling")
        explanation = world.explain()
        assert (explanation.cause.id, explanation.also[0].id) == ("limit-reached", "node-not-registered")

    def test_a_pod_of_which_karpenter_has_not_spoken_may_wait_for_it(self) -> None:
        world = World()
        world.full()
        boots(world)
        assert world.explain().cause.id == "launching"

    def test_so_may_one_that_was_refused_before_and_nominated_again(self) -> None:
        """Karpenter says the same of a pod once in two minutes, so of the second NodeClaim it does not speak."""
        world = World()
        world.full()
        nominates(world, "a100-gone1", seconds=90)
        says(world, TOO_LARGE, "FailedScheduling", seconds=75)
        boots(world)
        assert world.explain().cause.id == "launching"

    def test_one_that_was_refused_since_does_not(self) -> None:
        world = World()
        world.full()
        nominates(world, "a100-gone1", seconds=90)
        boots(world)
        says(world, TOO_LARGE, "FailedScheduling", seconds=30)
        assert world.explain().cause.id == "karpenter"


class TestNodesForThePod:
    """Karpenter has nominated the pod for a node that boots."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(taint, id="a node has a taint"),
            pytest.param(lambda world: world.nodes["a100"]["spec"].update(unschedulable=True), id="a node is cordoned"),
            pytest.param(limit, id="the limit is reached with it"),
            pytest.param(
                condition("0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity."),
                id="its volume is in another zone than a node with room",
            ),
            pytest.param(
                condition("0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints."),
                id="its spread excludes a node with room",
            ),
        ],
    )
    def test_what_keeps_it_off_others_does_not_matter(self, change: Callable[[World], None]) -> None:
        world = World()
        change(world)
        boots(world)
        nominates(world)
        cause = world.explain().cause
        assert (cause.id, "NodeClaim a100-x7k2p of NodePool a100, 60 s old" in cause.sentence) == ("launching", True)

    def test_nor_does_a_node_that_was_launched_for_others(self) -> None:
        world = World()
        world.full()
        boots(world)
        world.claims[0]["metadata"]["name"] = "a100-other"
        boots(world, BEFORE)
        world.claims[1]["metadata"] |= {"name": "a100-stuck"}
        boots(world)
        nominates(world)
        explanation = world.explain()
        assert (explanation.cause.id, explanation.also) == ("launching", ())
        assert "NodeClaim a100-x7k2p" in explanation.cause.sentence

    def test_one_that_is_stuck_is_told(self) -> None:
        world = World()
        world.full()
        boots(world, BEFORE)
        nominates(world)
        assert world.explain().cause.id == "node-not-registered"


class TestFewRights:
    """Of a user who may read one namespace, the pod's own event is all that tells of a node."""

    def test_an_ordinary_launch_is_told_as_one(self) -> None:
        world = World()
        few_rights(world)
        nominates(world, seconds=40)

        explanation = world.explain()

        assert (explanation.cause.id, explanation.also) == ("launching", ())
        assert explanation.cause.sentence.endswith("nominated the pod for NodeClaim a100-x7k2p 40 s ago.")

    def test_a_node_that_has_joined_is_named(self) -> None:
        world = World()
        few_rights(world)
        says(world, "Pod should schedule on: nodeclaim/a100-x7k2p, node/ip-10-0-0-7.ec2.internal", "Nominated", 40)
        cause = world.explain().cause
        assert (cause.id, cause.sentence) == (
            "launching",
            "Karpenter expects the pod on node ip-10-0-0-7.ec2.internal (NodeClaim a100-x7k2p), as it said 40 s ago.",
        )

    def test_of_several_the_newest_is_named(self) -> None:
        world = World()
        few_rights(world)
        nominates(world, "a100-older", seconds=300)
        nominates(world, seconds=40)
        assert "NodeClaim a100-x7k2p 40 s ago" in world.explain().cause.sentence

    def test_a_refusal_that_is_newer_wins(self) -> None:
        world = World()
        few_rights(world)
        nominates(world, seconds=40)
        says(world, TOO_LARGE, "FailedScheduling")
        assert world.explain().cause.id == "karpenter"

    def test_what_was_said_long_ago_is_not_on_its_way(self) -> None:
        world = World()
        few_rights(world)
        nominates(world, seconds=3600)
        assert world.explain().cause.id == "scheduler"

    def test_a_node_that_is_known_to_be_gone_is_not_either(self) -> None:
        world = World()
        few_rights(world)
        del world.problems[NODE_CLAIMS]
        nominates(world, seconds=40)
        assert world.explain().cause.id == "scheduler"

    def test_nor_does_anybody_else_say_so(self) -> None:
        world = World()
        few_rights(world)
        world.says("default-scheduler", "Pod should schedule on: nodeclaim/a100-x7k2p", "Nominated")
        assert world.explain().cause.id == "scheduler"
