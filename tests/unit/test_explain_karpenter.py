"""`explain`: NodePools, NodeClasses, NodeOverlays and Karpenter itself as causes."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonpatch
import pytest

from tests.pods import expression, fleet_of
from tests.unit.explain_world import (
    BEFORE,
    SLICE,
    Document,
    World,
    condition,
    deployment,
    foreign_overlay,
    limit_zero,
    standing,
)
from webhook.cluster.events import in_words
from webhook.cluster.objects import (
    NODE_CLASSES,
    NODES,
)


def causes_of(world: World) -> set[str]:
    """Why Karpenter launches no node, and what else is told."""
    found = world.explain()
    return {found.cause.id, *(each.id for each in found.also)} | {
        each.id for launch in found.launches for each in launch.causes
    }


def gate_of(world: World, **fields: Any) -> None:
    container = world.karpenter["spec"]["template"]["spec"]["containers"][0]
    container.pop("env")
    container.update(fields)


@pytest.mark.parametrize(
    ("fields", "off"),
    [
        pytest.param({"args": ["-feature-gates", "NodeOverlay=1"]}, False, id="by two arguments"),
        pytest.param({"envFrom": [{"configMapRef": {"name": "settings"}}]}, False, id="in a ConfigMap, unread"),
        pytest.param({"args": ["--feature-gates=NodeOverlay=true,NodeOverlay=false"]}, True, id="the last wins"),
    ],
)
def test_karpenters_gate_is_found_where_it_stands(fields: Document, off: bool) -> None:
    world = World()
    world.full()
    gate_of(world, **fields)
    assert ("gate-off" in causes_of(world)) == off


def test_a_karpenter_that_is_scaled_to_zero_beside_another_is_no_cause() -> None:
    world = World()
    world.full()
    world.keeper = deployment("karpenter", "karpenter") | {"status": {}}
    assert "karpenter-down" not in causes_of(world)
    world.karpenter["status"] = {}
    assert "karpenter-down" in causes_of(world)


def test_a_tenants_deployment_does_not_count_as_karpenter() -> None:
    world = World()
    world.full()
    world.keeper = deployment("karpenter", "evil", env=[{"name": "FEATURE_GATES", "value": "NodeOverlay=false"}])
    assert "gate-off" not in causes_of(world)
    world.karpenter["status"] = {}
    assert "karpenter-down" in causes_of(world)
    world.karpenter, world.keeper["status"] = world.keeper, {}
    assert "karpenter-down" not in causes_of(world)


BY_KEY = {"configMapKeyRef": {"name": "settings", "key": "FEATURE_GATES"}}
SETTINGS = {"metadata": {"name": "settings", "namespace": "kube-system"}}


@pytest.mark.parametrize("gates", ["NodeOverlay=true", "NodeOverlay=false", None])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"env": [{"name": "FEATURE_GATES", "valueFrom": BY_KEY}]}, id="a key"),
        pytest.param({"envFrom": [{"configMapRef": {"name": "settings"}}]}, id="all keys"),
    ],
)
def test_karpenters_gate_is_read_in_its_config_map(fields: Document, gates: str | None) -> None:
    world = World()
    world.full()
    gate_of(world, **fields)
    world.settings = [SETTINGS | ({"data": {"FEATURE_GATES": gates}} if gates is not None else {})]
    # A key that is not there says nothing; of a whole map, it says that the default holds.
    assert ("gate-off" in causes_of(world)) == (gates == "NodeOverlay=false" or (gates is None and "envFrom" in fields))


def test_a_gate_that_is_on_is_not_called_off_where_overlays_have_no_condition_yet() -> None:
    world = World()
    world.full()
    for overlay in world.overlays:
        overlay["status"] = {}
    assert causes_of(world) & {"gate-off", "overlay-unread"} == {"overlay-unread"}


def test_an_overlay_for_another_architecture_selects_other_nodes() -> None:
    world = World()
    world.full()
    world.overlays[0]["spec"]["requirements"].append(expression("kubernetes.io/arch", "In", "arm64"))
    assert "overlay-differs" in causes_of(world)


OTHERS = (
    "Failed to schedule pod, incompatible requirements, key gpu-slice/pool, gpu-slice/pool In [standing] not in "
    "gpu-slice/pool In [late]; did not tolerate taint (taint=team=b:NoSchedule); no instance type has enough "
    "resources, requirements=gpu-slice/pool In [late], karpenter.sh/nodepool In [late], resources={}"
)
"""What Karpenter says of a pod that only other NodePools were looked at for."""


def disrupted(world: World) -> None:
    for node in world.nodes.values():
        node["spec"]["taints"].append({"key": "karpenter.sh/disrupted", "effect": "NoSchedule"})


def require_zone(world: World) -> None:
    template = world.node_pools[0]["spec"]["template"]["spec"]
    template["requirements"].append(expression("topology.kubernetes.io/zone", "In", "us-east-1z"))


def test_what_karpenter_says_of_other_pools_does_not_count_for_existing_nodes() -> None:
    world = standing()
    condition("0/2 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.")(world)
    world.says("karpenter", OTHERS)

    explanation = world.explain()

    assert (explanation.cause.id, explanation.also) == ("scheduler", ())
    assert "a port that it wants on the node is taken" in explanation.cause.sentence


def test_without_a_fleet_the_record_says_whose_messages_count() -> None:
    world = standing()
    world.around["fleet"] = None
    world.problems[NODES] = "you may not list nodes"
    condition("0/2 nodes are available: 2 Insufficient nvidia.com/mig-1g.10gb.")(world)
    world.says("karpenter", OTHERS)

    explanation = world.explain()

    assert (explanation.cause.id, explanation.also) == ("scheduler", ())


def test_karpenters_silence_on_a_pool_is_not_filled_with_what_it_says_of_others() -> None:
    world = World()
    world.full()
    world.says("karpenter", OTHERS)

    explanation = world.explain()

    assert explanation.cause.id == "karpenter"
    assert explanation.also == ()
    assert "no node of NodePool a100, and does not say why" in explanation.cause.sentence
    assert "docs/eks.md#if-it-does-not-work" in explanation.cause.cure


@pytest.mark.parametrize(
    "of_ours",
    [
        "all available instance types exceed limits for nodepool (NodePool=a100)",
        "no instance type has enough resources, requirements=karpenter.sh/nodepool In [a100], resources={}",
    ],
)
def test_of_several_the_part_about_the_pods_own_pool_is_told(of_ours: str) -> None:
    world = World()
    world.full()
    world.says("karpenter", f"{OTHERS}; {of_ours}")

    explanation = world.explain()

    assert explanation.cause.id == "karpenter"
    assert explanation.cause.sentence == f"Karpenter launches no node: {in_words(of_ours)}."


def test_a_taint_of_karpenter_on_a_node_that_it_does_not_have_is_a_taint() -> None:
    world = standing()
    disrupted(world)
    world.says("karpenter", OTHERS)

    cause = world.explain().cause

    assert cause.id == "node-tainted"
    assert cause.cure.endswith("kubectl taint node standing-1 karpenter.sh/disrupted:NoSchedule-")


def test_a_requirement_that_somebody_added_to_a_node_pool_is_named() -> None:
    world = World()
    world.full()
    require_zone(world)
    assert world.explain().cause.id == "soon"  # nothing says that it matters

    world.says("karpenter", OTHERS)

    cause = world.explain().cause
    assert cause.id == "node-pool-differs"
    assert "requires topology.kubernetes.io/zone In us-east-1z, which the fleet file does not say" in cause.sentence
    assert "kubectl replace" in cause.cure


@pytest.mark.parametrize("limits", [{"cpu": "0"}, {SLICE: "560", "cpu": "0"}, {"example.com/x": "0"}])
def test_a_limit_that_somebody_added_is_removed_and_not_raised_in_the_fleet(limits: Document) -> None:
    world = World()
    world.full()
    world.node_pools[0]["spec"]["limits"] = limits
    *_, added = limits

    cause = world.explain().cause

    assert cause.id == "limit-reached"
    assert f"0 of 0 {added} are launched. The fleet file does not name this limit." in cause.sentence
    patch = json.loads(re.search(r"-p '(.*?)'", cause.cure)[1])  # type: ignore[index]
    patched = jsonpatch.apply_patch(world.node_pools[0], patch)
    assert patched["spec"]["limits"] == {name: limit for name, limit in limits.items() if name != added}


def test_a_limit_that_somebody_added_counts_once_karpenter_says_so() -> None:
    world = World()
    world.full()
    world.node_pools[0]["spec"]["limits"] = {SLICE: "560", "cpu": "8"}
    assert world.explain().cause.id == "soon"

    world.says("karpenter", f"{OTHERS}; all available instance types exceed limits for nodepool (NodePool=a100)")

    cause = world.explain().cause
    assert "as an event says: 0 of 8 cpu are launched. The fleet file does not name this limit." in cause.sentence
    assert "see in Karpenter's log that it is so" in cause.cure


def test_a_limit_that_somebody_lowered_is_applied_again() -> None:
    world = World()
    world.full()
    world.node_pools[0]["spec"]["limits"] = {SLICE: "7"}

    cause = world.explain().cause

    assert "The fleet file says 560." in cause.sentence
    assert cause.cure == "The platform team: gpu-slice render --fleet FILE --only node-pools | kubectl apply -f -."


def test_a_node_pool_that_others_make_is_not_rendered_again() -> None:
    fleet = fleet_of("""
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], nodes: existing,
   nodePools: [theirs]}
""")
    world = World()
    world.full()
    world.around["fleet"] = fleet
    world.node_pools[0]["metadata"]["name"] = "theirs"
    world.overlays[0]["spec"]["requirements"] = []
    limit_zero(world)

    cause = world.explain().cause

    assert cause.id == "limit-reached"
    assert "gpu-slice does not render this NodePool" in cause.cure


def test_a_heavier_overlay_of_others_is_not_rendered_again() -> None:
    world = World()
    world.full()
    foreign_overlay(world)
    world.overlays[-1]["metadata"]["labels"] = {}

    assert world.explain().cause.cure == "The platform team: lower the weight of NodeOverlay theirs, or delete it."


def test_a_node_class_that_is_being_deleted_waits_for_its_claims() -> None:
    world = World()
    world.full()
    world.classes[0]["metadata"]["deletionTimestamp"] = BEFORE

    cause = world.explain().cause

    assert cause.id == "node-class-not-ready"
    assert f"EC2NodeClass a100 is being deleted since {BEFORE}" in cause.sentence
    assert "kubectl get nodeclaims" in cause.cure


def test_a_node_class_that_may_not_be_read_is_known_to_be_deleted_by_its_node_pool() -> None:
    world = World()
    world.full()
    world.problems[NODE_CLASSES] = "you may not list ec2nodeclasses"
    terminating = {"type": "NodeClassReady", "status": "False", "reason": "NodeClassTerminating"}
    world.node_pools[0]["status"]["conditions"] = [terminating]

    assert "kubectl get nodeclaims" in world.explain().cause.cure


def test_a_node_on_its_way_does_not_come_while_karpenter_is_scaled_to_0() -> None:
    world = World()
    world.full()
    world.claim("2026-11-25T11:59:00Z", Launched=("True", "", ""))
    world.says("karpenter", "Pod should schedule on: nodeclaim/a100-x7k2p", "Nominated")
    world.karpenter["spec"]["replicas"] = 0
    world.karpenter["status"].clear()

    explanation = world.explain()

    assert explanation.cause.id == "karpenter-down"
    assert "Karpenter is scaled to 0 (Deployment karpenter in kube-system)" in explanation.cause.sentence
    assert "kubectl -n kube-system scale deployment karpenter --replicas=2" in explanation.cause.cure
    assert "launching" in [cause.id for cause in explanation.also]
