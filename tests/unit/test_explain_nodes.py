"""`explain`: nodes, their labels and taints as causes."""

from __future__ import annotations

import copy
import re

import pytest

from tests.cluster.nodes import node as node_of
from tests.pods import container, fleet_of, pod_of
from tests.unit.explain_world import World, advertises, limit, standing


def test_a_node_with_the_label_of_another_pool_is_named_by_its_type() -> None:
    world = standing()
    world.full("standing")
    world.nodes["a100"]["metadata"]["labels"]["gpu-slice/pool"] = "standing"

    cause = world.explain().cause

    assert cause.id == "node-label"
    assert "a100-1 has the label gpu-slice/pool=standing, and is a p4d.24xlarge, which" in cause.sentence
    assert "--overwrite gpu-slice/pool=" in cause.cure


def test_where_no_device_plugin_runs_the_cure_is_about_its_daemon_set() -> None:
    world = World()
    advertises("0")(world)

    assert "no device plugin runs on it" in world.explain().cause.sentence
    assert "describe daemonsets" in world.explain().cause.cure


@pytest.mark.parametrize(
    ("ready", "why", "cure"),
    [
        ("True", "its device plugin does not show all slices", "and read its log."),
        ("False", "its device plugin does not run (pod nvidia-device-plugin-x is not ready)",
         "The platform team: kubectl -n kube-system describe pod nvidia-device-plugin-x says why."),
        (None, "its device plugin does not run (pod nvidia-device-plugin-x is not ready)", "describe pod"),
    ],
    ids=["it runs", "its image cannot be pulled", "the kubelet has said nothing yet"],
)  # fmt: skip
def test_nobody_is_sent_to_the_log_of_a_device_plugin_that_does_not_run(ready: str | None, why: str, cure: str) -> None:
    world = World()
    advertises("0")(world)
    plugin = pod_of("", container(), nodeName="a100-1")
    plugin["metadata"] |= {"name": "nvidia-device-plugin-x", "namespace": "kube-system"}
    plugin["status"] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": ready}] if ready else []}
    world.others.append(plugin)

    found = world.explain()

    assert why in found.cause.sentence
    assert cure in found.cure(found.cause)


@pytest.mark.parametrize(
    ("key", "effect", "words"),
    [
        ("node.kubernetes.io/disk-pressure", "NoSchedule", "free disk on the node"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule", "the node's memory"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule", "processes"),
        ("node.kubernetes.io/network-unavailable", "NoSchedule", "network plugin"),
        ("node.kubernetes.io/out-of-service", "NoExecute", "declared lost"),
        ("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule", "cloud controller"),
        ("ebs.csi.aws.com/agent-not-ready", "NoExecute", "the agent"),
    ],
)
def test_a_taint_that_a_program_sets_is_not_merely_removed(key: str, effect: str, words: str) -> None:
    world = World()
    world.nodes["a100"]["spec"]["taints"].append({"key": key, "effect": effect})

    cause = world.explain().cause

    assert cause.id == "node-tainted"
    assert words in cause.cure
    assert cause.cure.startswith("The platform team: ")
    assert cause.cure.endswith(f"if nobody does: kubectl taint node a100-1 {key}:{effect}-")


@pytest.mark.parametrize("cordoned", [False, True])
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("aws-node-termination-handler/spot-itn", "AWS takes it back"),
        ("aws-node-termination-handler/scheduled-maintenance", "AWS takes it back or maintains it"),
        ("aws-node-termination-handler/asg-lifecycle-termination", "AWS takes it back"),
        ("ToBeDeletedByClusterAutoscaler", "the Cluster Autoscaler is removing it"),
        ("karpenter.sh/disrupted", "Karpenter is replacing it"),
    ],
)
def test_nobody_is_told_to_keep_a_node_that_is_to_go(key: str, words: str, cordoned: bool) -> None:
    world = World()
    world.nodes["a100"]["spec"]["taints"].append({"key": key, "effect": "NoSchedule"})
    world.nodes["a100"]["spec"]["unschedulable"] = cordoned
    if not key.startswith("karpenter.sh/"):
        world.nodes["a100"]["metadata"]["labels"].pop("karpenter.sh/nodepool", None)

    causes = world.explain().nodes[0].causes

    assert [cause.id for cause in causes] == ["node-cordoned", "node-tainted"][not cordoned :]
    for cause in causes:
        assert cause.cure.startswith(f"Wait for another node: {words}")
        assert not re.search("uncordon|kubectl taint", cause.cure)


def test_many_nodes_with_one_obstacle_are_told_once() -> None:
    world = World()
    for number in range(2, 12):
        other = copy.deepcopy(world.nodes["a100"])
        other["metadata"]["name"] = f"a100-{number}"
        world.nodes[other["metadata"]["name"]] = other
    for node in world.nodes.values():
        node["spec"]["unschedulable"] = True

    assert world.explain().cause.sentence.endswith("so the scheduler skips it, and 10 more nodes likewise.")


def test_a_node_that_karpenter_removes_is_no_fault() -> None:
    world = World()
    world.nodes["a100"]["spec"]["taints"].append({"key": "karpenter.sh/disrupted", "effect": "NoSchedule"})
    limit(world)

    explanation = world.explain()

    assert explanation.cause.id == "limit-reached"
    assert explanation.nodes[0].coming


def test_nodes_of_a_pool_that_the_pod_may_not_use_do_not_count() -> None:
    """Another pool with the same slices, whose nodes have another taint."""
    fleet = fleet_of("""
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
- {name: theirs, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
namespaces: {team-a: {pools: [a100]}}
""")
    world = World()
    (_, theirs) = fleet.pools
    world.nodes = {"theirs": node_of(theirs, theirs.shapes[0], "theirs-1")}
    world.nodes["theirs"]["spec"]["unschedulable"] = True
    limit(world)
    world.around["fleet"] = fleet

    explanation = world.explain()

    assert explanation.cause.id == "limit-reached"
    assert explanation.nodes == ()
    assert [(each.pool, each.why_not) for each in explanation.pools if each.why_not] == [
        ("theirs", "namespace 'team-a' may not use it")
    ]


def test_a_node_without_the_pools_label_is_found_by_its_slices() -> None:
    world = World()
    labels = world.nodes["a100"]["metadata"]["labels"]
    for key in ("gpu-slice/pool", "karpenter.sh/nodepool", "nvidia.com/gpu"):
        del labels[key]
    limit(world)

    explanation = world.explain()

    assert explanation.cause.id == "node-label"
    assert "--overwrite nvidia.com/gpu=a100" in explanation.cause.cure
