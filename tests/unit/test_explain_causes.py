"""`explain`: one change to a cluster that works, and the cause that is told first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.pods import container, expression, pod_of, required
from tests.unit.explain_world import (
    BEFORE,
    SLICE,
    World,
    advertises,
    condition,
    foreign_overlay,
    limit,
    limit_zero,
    refused,
    running,
    taint,
)
from webhook.cluster.objects import (
    NODE_OVERLAYS,
    NODE_POOLS,
)


def not_ready(world: World) -> None:
    world.nodes["a100"]["status"]["conditions"] = [
        {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting"}
    ]


def no_label(key: str) -> Callable[[World], None]:
    return lambda world: world.nodes["a100"]["metadata"]["labels"].pop(key)


def full_and(change: Callable[[World], object]) -> Callable[[World], None]:
    def both(world: World) -> None:
        world.full()
        change(world)

    return both


def conflict(world: World) -> None:
    world.overlays[0]["status"]["conditions"] = [
        {
            "type": "ValidationSucceeded",
            "status": "False",
            "reason": "Conflict",
            "message": "conflict with another overlay",
        }
    ]


def elsewhere(world: World) -> None:
    world.overlays[0]["spec"]["requirements"].append(expression("team", "In", "a"))


def class_condition(status: str, reason: str = "") -> Callable[[World], None]:
    def change(world: World) -> None:
        world.classes[0]["status"]["conditions"] = [
            {"type": "Ready", "status": status},
            {"type": "SubnetsReady", "status": status, "reason": reason, "message": "did not match any Subnets"},
        ]

    return change


def launches_into(world: World, *reservations: str) -> None:
    """The first NodePool launches into these capacity reservations alone."""
    rules = world.node_pools[0]["spec"]["template"]["spec"]["requirements"]
    (rule,) = [each for each in rules if each["key"] == "karpenter.sh/capacity-type"]
    rule["values"] = ["reserved"]
    world.classes[0]["status"]["capacityReservations"] = [{"id": each} for each in reservations]


def gate(value: str | None) -> Callable[[World], None]:
    def change(world: World) -> None:
        env = [] if value is None else [{"name": "FEATURE_GATES", "value": value}]
        world.karpenter["spec"]["template"]["spec"]["containers"][0]["env"] = env

    return change


def unseen(change: Callable[[World], object]) -> Callable[[World], None]:
    """The pod was created while the webhook was not asked."""

    def both(world: World) -> None:
        world.pod = pod_of("1g.5gb", container())
        world.pod["metadata"] |= {"namespace": "team-a", "creationTimestamp": "2026-11-25T11:58:00Z"}
        world.pod["status"] = {"phase": "Running"}
        world.pod["spec"]["nodeName"] = "cpu-1"
        change(world)

    return both


def webhook(**fields: Any) -> Callable[[World], None]:
    return lambda world: world.configuration["webhooks"][0].update(fields)  # type: ignore[index]


def no_conditions(world: World) -> None:
    world.karpenter["metadata"]["name"] = "autoscaler"
    for overlay in world.overlays:
        overlay["status"] = {}


def image(world: World) -> None:
    running(world)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "a/b:1"'}
    world.pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": waiting}}]}


BROKEN = [
    # A node could take the pod, if it were not for one thing.
    pytest.param(taint, "node-tainted", "Node a100-1 has the taint team=b:NoSchedule", id="a taint"),
    pytest.param(
        lambda w: w.nodes["a100"]["spec"].update(unschedulable=True),
        "node-cordoned",
        "a100-1 is cordoned",
        id="cordoned",
    ),
    pytest.param(not_ready, "node-not-ready", "a100-1 is not ready: NodeStatusUnknown", id="not ready"),
    pytest.param(no_label("nvidia.com/gpu"), "node-label", "lacks the label nvidia.com/gpu", id="a label is missing"),
    pytest.param(
        lambda w: (no_label("gpu-slice/pool")(w), no_label("nvidia.com/gpu")(w)),
        "node-label",
        "a100-1 lacks the label nvidia.com/gpu",
        id="and the pool's",
    ),
    pytest.param(
        advertises("0"),
        "slices-not-advertised",
        "advertises 0 of nvidia.com/mig-1g.5gb, and the fleet says 56",
        id="the plugin shows none",
    ),
    pytest.param(advertises(None), "slices-not-advertised", "says 56", id="the plugin never registered"),
    pytest.param(advertises("0", **{"nvidia.com/gpu": "8"}), "two-plugins", "8 whole GPUs", id="two plugins"),
    pytest.param(
        lambda w: w.pod["spec"]["containers"][0]["resources"].update(requests={SLICE: "1", "cpu": "200"}),
        "node-full",
        "a100-1 has 96 of 96 cpu free, and the pod asks for 200",
        id="more CPU than a node has",
    ),
    # None has a free slice, and Karpenter launches none.
    pytest.param(full_and(limit), "limit-reached", "560 of 560 nvidia.com/mig-1g.5gb are launched", id="limit"),
    pytest.param(full_and(limit_zero), "limit-reached", "0 of 0 nodes", id="limit 0"),
    pytest.param(full_and(lambda w: w.overlays.clear()), "overlay-missing", "there is no NodeOverlay", id="no overlay"),
    pytest.param(
        full_and(lambda w: w.problems.update({NODE_OVERLAYS: "absent"})),
        "overlay-missing",
        "this cluster has no NodeOverlays",
        id="no CRD of overlays",
    ),
    pytest.param(
        full_and(gate("NodeOverlay=false,StaticCapacity=true")), "gate-off", "gate NodeOverlay is off", id="gate off"
    ),
    pytest.param(full_and(gate(None)), "gate-off", "gate NodeOverlay is off", id="gate never set"),
    pytest.param(full_and(no_conditions), "gate-off", "does not read NodeOverlays", id="gate off, unseen"),
    pytest.param(full_and(conflict), "overlay-refused", "same weight", id="two overlays of one weight"),
    pytest.param(
        full_and(foreign_overlay), "overlay-differs", "NodeOverlay theirs tells Karpenter", id="a heavier overlay"
    ),
    pytest.param(
        full_and(lambda w: w.node_pools.clear()), "node-pool-missing", "no NodePool a100", id="fleet is newer"
    ),
    pytest.param(
        full_and(lambda w: w.problems.update({NODE_POOLS: "absent"})),
        "karpenter-missing",
        "no NodePools",
        id="no Karpenter",
    ),
    pytest.param(
        full_and(lambda w: w.karpenter["status"].clear()), "karpenter-down", "No replica of Karpenter", id="down"
    ),
    pytest.param(full_and(lambda w: w.classes.clear()), "node-class-missing", "EC2NodeClass a100", id="no NodeClass"),
    pytest.param(full_and(launches_into), "reservation-missing", "has found none in AWS", id="no reservation"),
    pytest.param(
        full_and(class_condition("False", "SubnetsNotFound")),
        "node-class-not-ready",
        "no subnet in AWS",
        id="no subnet",
    ),
    pytest.param(full_and(class_condition("Unknown")), "node-class-not-ready", "Karpenter's log", id="no image"),
    pytest.param(
        full_and(lambda w: w.node_pools[0]["spec"]["template"]["metadata"]["labels"].pop("nvidia.com/gpu")),
        "node-pool-differs",
        "do not have the label nvidia.com/gpu",
        id="NodePool without the label",
    ),
    pytest.param(
        full_and(
            lambda w: w.node_pools[0]["spec"]["template"]["spec"]["taints"].append(
                {"key": "team", "effect": "NoSchedule"}
            )
        ),
        "node-pool-differs",
        "taint team",
        id="NodePool with another taint",
    ),
    pytest.param(
        full_and(lambda w: w.pod["spec"]["nodeSelector"].update(tier="x")),
        "unknown-label",
        "label tier",
        id="a label that nobody knows",
    ),
    pytest.param(
        full_and(
            lambda w: w.says(
                "karpenter",
                "NodeClaim a100-x7k2p nominated for this pod failed to launch: "
                "creating instance, VcpuLimitExceeded: You have requested more vCPU",
                "InsufficientCapacityError",
            )
        ),
        "aws-quota",
        "quota is too small",
        id="AWS' quota",
    ),
    pytest.param(
        full_and(
            lambda w: w.says(
                "karpenter",
                "NodeClaim a100-x7k2p nominated for this pod failed to launch: "
                "InsufficientInstanceCapacity: We currently do not have",
                "InsufficientCapacityError",
            )
        ),
        "no-capacity",
        "no capacity",
        id="no capacity",
    ),
    pytest.param(
        full_and(lambda w: w.claim(BEFORE, Launched=("True", "", ""))),
        "node-not-registered",
        "a100-x7k2p",
        id="an instance that becomes no node",
    ),
    pytest.param(
        full_and(
            lambda w: w.claim(
                BEFORE,
                Launched=("True", "", ""),
                Registered=("True", "", ""),
                Initialized=("Unknown", "ResourceNotRegistered", "mig"),
            )
        ),
        "slices-not-registered",
        "registered no slices",
        id="uncut",
    ),
    pytest.param(
        full_and(
            lambda w: (
                w.claim("2026-11-25T11:59:00Z", Launched=("True", "", "")),
                limit(w),
                w.says("karpenter", "Pod should schedule on: nodeclaim/a100-x7k2p", "Nominated"),
            )
        ),
        "launching",
        "60 s old",
        id="on its way",
    ),
    # The webhook was not asked, or the pod was refused.
    pytest.param(
        unseen(lambda w: w.namespace["metadata"].update(labels={"gpu-slice/opt-out": "false"})),
        "namespace-opted-out",
        "gpu-slice/opt-out=false",
        id="opted out",
    ),
    pytest.param(
        unseen(lambda w: setattr(w, "configuration", None)), "webhook-missing", "gpu-slice was not asked", id="gone"
    ),
    pytest.param(
        unseen(lambda w: w.pod["metadata"].update(namespace="kube-system")),
        "namespace-excluded",
        "kube-system",
        id="kube-system",
    ),
    pytest.param(unseen(webhook(failurePolicy="Ignore")), "webhook-ignored", "failurePolicy: Ignore", id="fails open"),
    pytest.param(
        unseen(webhook(objectSelector={"matchLabels": {"gpu": "yes"}})),
        "webhook-not-asked",
        "gpu=yes",
        id="an object selector",
    ),
    pytest.param(
        unseen(webhook(rules=[{"operations": ["UPDATE"], "resources": ["pods"]}])),
        "webhook-not-asked",
        "rules",
        id="other rules",
    ),
    pytest.param(
        unseen(lambda w: w.pod["metadata"].update(creationTimestamp="2026-11-25T09:00:00Z")),
        "older-than-webhook",
        "09:00:00",
        id="older than the webhook",
    ),
    pytest.param(unseen(lambda w: None), "not-visited", "added after", id="annotated later"),
    pytest.param(
        refused(
            'Error creating: admission webhook "pods.gpu-slice.io" denied the request: metadata.annotations'
            "[gpu-slice]: 'x' is not a slice. Write '1g.5gb'.",
            fleet=None,
        ),
        "denied",
        "Write '1g.5gb'.",
        id="denied",
    ),
    pytest.param(
        refused('admission webhook "pods.gpu-slice.io" denied the request: metadata.annotations[gpu-slice]: it is not'),
        "fleet-newer",
        "would not by the fleet file",
        id="denied by a webhook with another fleet",
    ),
    pytest.param(
        refused(
            'pods "x" is forbidden: exceeded quota: gpu-slice, requested: requests.nvidia.com/mig-1g.5gb=1, '
            "used: requests.nvidia.com/mig-1g.5gb=4, limited: requests.nvidia.com/mig-1g.5gb=4"
        ),
        "quota",
        "ResourceQuota gpu-slice",
        id="quota",
    ),
    pytest.param(
        lambda w: (
            w.keeper["status"].clear(),
            refused(
                "Internal error occurred: failed calling webhook "
                '"pods.gpu-slice.io": failed to call webhook: Post "https://x": tls: failed to verify certificate: '
                "x509: certificate signed by unknown authority"
            )(w),
        ),
        "certificate",
        "keeper",
        id="CA swapped, no keeper",
    ),
    pytest.param(
        refused(
            'failed calling webhook "pods.gpu-slice.io": failed to call webhook: Post "https://x": dial tcp '
            "10.0.0.1:443: connect: connection refused"
        ),
        "webhook-unreachable",
        "refused",
        id="no replica",
    ),
    pytest.param(
        refused(
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'gpu-slice' with binding 'gpu-slice' denied "
            "request: it has not seen"
        ),
        "guard",
        "has not seen",
        id="guard",
    ),
    pytest.param(
        lambda w: w.pod["metadata"]["annotations"].update({"gpu-slice": "2g.10gb"}),
        "annotation-changed",
        "'2g.10gb' afterwards",
        id="annotation changed afterwards",
    ),
    pytest.param(
        lambda w: w.pod["metadata"]["annotations"].update(
            {"gpu-slice": "7g.40gb", "gpu-slice/assigned": "7g.40gb -> main=nvidia.com/mig-1g.5gb:1"}
        ),
        "fleet-changed",
        "fleet has changed",
        id="fleet changed afterwards",
    ),
    pytest.param(
        lambda w: (w.pod["metadata"].update(annotations={}), w.pod["spec"].update(tolerations=[])),
        "by-hand",
        "by its resource",
        id="by hand",
    ),
    # It waits for something else, or does not wait at all.
    pytest.param(
        lambda w: w.pod["spec"].update(schedulingGates=[{"name": "kueue.x-k8s.io/admission"}]),
        "scheduling-gates",
        "Kueue has not admitted it",
        id="Kueue",
    ),
    pytest.param(
        lambda w: w.pod["spec"].update(schedulerName="volcano"), "other-scheduler", "volcano", id="a scheduler"
    ),
    pytest.param(
        condition("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: no"),
        "volume",
        "unbound immediate",
        id="a volume",
    ),
    pytest.param(
        condition("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."),
        "spread",
        "anti-affinity",
        id="anti-affinity",
    ),
    pytest.param(image, "image", "cannot be pulled", id="an image"),
    pytest.param(running, "running", "runs on node a100-1 (pool a100) and has 1 nvidia.com/mig-1g.5gb", id="it runs"),
    pytest.param(lambda w: (running(w), not_ready(w)), "node-lost", "not ready", id="its node is lost"),
    pytest.param(
        lambda w: w.pod["status"].update(phase="Failed", reason="UnexpectedAdmissionError", message="Allocate"),
        "node-refused",
        "nothing free",
        id="the kubelet refused it",
    ),
    pytest.param(
        lambda w: w.pod["metadata"].update(deletionTimestamp=BEFORE, finalizers=["a/b"]), "leaving", "a/b", id="goes"
    ),
    pytest.param(lambda w: setattr(w, "exists", False), "served", "56 of 56", id="it would run at once"),
    pytest.param(
        lambda w: (w.full(), setattr(w, "exists", False)),
        "launchable",
        "launching a node of NodePool a100",
        id="launched",
    ),
    pytest.param(
        full_and(elsewhere), "overlay-differs", "a100-8-gpus selects other nodes", id="an overlay for nothing"
    ),
    pytest.param(
        full_and(
            lambda w: w.claim(
                BEFORE,
                Launched=("True", "", ""),
                Registered=("True", "", ""),
                Initialized=("Unknown", "StartupTaintsExist", "cilium"),
            )
        ),
        "node-not-initialized",
        "nobody removes its startup taint",
        id="a startup taint that stays",
    ),
    pytest.param(
        lambda w: w.pod["status"].update(phase="Failed", reason=f"OutOf{SLICE}", message="Node didn't have enough"),
        "node-refused",
        "nothing free",
        id="it named its node",
    ),
    pytest.param(
        lambda w: w.pod["spec"].update(
            affinity=required({"matchFields": [expression("metadata.name", "In", "cpu-1")]})
        ),
        "daemon-set",
        "placed it on node cpu-1",
        id="of a DaemonSet, on a node without slices",
    ),
    pytest.param(
        lambda w: w.pod["spec"].update(tolerations=[]), "fleet-changed", "lacks a toleration", id="toleration stripped"
    ),
    pytest.param(
        lambda w: (
            w.node_pools[0]["spec"]["template"]["spec"]["requirements"][0].update(values=["g5.xlarge"]) or w.full()
        ),
        "node-pool-differs",
        "another node.kubernetes.io/instance-type",
        id="a NodePool of other instances",
    ),
    pytest.param(
        full_and(lambda w: w.says("karpenter", "Failed to schedule pod, no instance type has enough resources")),
        "karpenter",
        "no type of node with these slices and resources",
        id="Karpenter knows better",
    ),
    pytest.param(
        condition("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports."),
        "scheduler",
        "a port",
        id="a port that is taken",
    ),
    pytest.param(lambda w: None, "soon", "Node a100-1 has 56 of 56", id="just created"),
    pytest.param(
        lambda w: w.around.update(wants_none="it is suspended (spec.suspend)"),
        "no-pods-wanted",
        "suspended",
        id="suspended",
    ),
    pytest.param(
        refused('failed calling webhook "pods.gpu-slice.io": no endpoints available for service "webhook"'),
        "webhook-unreachable",
        "the webhook that answers is not there",
        id="the webhook is gone",
    ),
    pytest.param(
        lambda w: (
            condition("0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints.")(w),
            w.problems.update({NODE_POOLS: "absent"}),
        ),
        "spread",
        "topology spread excludes the nodes that have room",
        id="spread, where Karpenter could launch no other node",
    ),
]


@pytest.mark.parametrize(("change", "cause", "words"), BROKEN)
def test_the_first_sentence_is_what_was_changed(change: Callable[[World], object], cause: str, words: str) -> None:
    world = World()
    change(world)

    explanation = world.explain()

    assert (explanation.cause.id, explanation.also) == (cause, explanation.also)
    assert words in explanation.cause.sentence
    assert explanation.cause.sentence.endswith(".")
    assert not re.search(r"\.\.$|\{|\bNone\b", explanation.cause.sentence)


def test_a_reservation_that_was_found_is_no_cause() -> None:
    world = World()
    world.full()
    launches_into(world, "cr-0a")

    assert "reservation-missing" not in {each.id for launch in world.explain().launches for each in launch.causes}
