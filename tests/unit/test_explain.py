"""`explain` on clusters that are written down: the cause of a pod that waits, and what was not looked at."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import jsonpatch
import msgspec
import pytest

from tests.cluster.nodes import node as node_of
from tests.pods import container, expression, fleet_of, plan, pod_of, required
from tests.rendering import documents_of
from webhook.cli.explained import as_json, exit_code, short, table
from webhook.cli.terminal import echo
from webhook.cluster import causes
from webhook.cluster.asked import Asked
from webhook.cluster.causes import CAUSES, FINE, WAITS
from webhook.cluster.events import Said, in_words
from webhook.cluster.explain import Around, Explanation, explain
from webhook.cluster.objects import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    NODE_CLAIMS,
    NODE_CLASSES,
    NODE_OVERLAYS,
    NODE_POOLS,
    NODES,
    PODS,
    QUOTAS,
    WEBHOOKS,
    Kind,
    Node,
    Pod,
)
from webhook.cluster.snapshot import Listing, Snapshot

Document = dict[str, Any]
SHOWN = Path(__file__).parents[2] / "docs" / "live.md"
PAGE = SHOWN.with_name("causes.md")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
BEFORE = "2026-11-25T10:00:00Z"
SLICE = "nvidia.com/mig-1g.5gb"
FLEET = fleet_of("""
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {slices: 560}}
- {name: standing, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.48xlarge], nodes: existing}
""")
READY = {"type": "Ready", "status": "True"}


class World:
    """A cluster in which the pod `notebook` waits only because of what a test changes."""

    def __init__(self, asked: str | None = "1g.5gb", **spec: Any) -> None:
        pod = pod_of(asked, container(), **spec)
        if asked is None:
            pod["metadata"]["annotations"] = {}
        pod["metadata"] |= {"namespace": "team-a", "uid": "1", "creationTimestamp": "2026-11-25T11:58:00Z"}
        self.pod: Document = jsonpatch.apply_patch(pod, plan(pod, FLEET, "team-a").patch)
        self.pod["status"] = {"phase": "Pending"}
        pools = {pool.name: pool for pool in FLEET.pools}
        self.nodes = {name: node_of(pool, pool.shapes[0], f"{name}-1") for name, pool in pools.items()}
        self.others: list[Document] = []
        self.node_pools, self.classes, self.overlays = (
            [copy.deepcopy(each) for each in documents_of(FLEET, subject)]
            for subject in ("node-pools", "node-classes", "node-overlays")
        )
        for each in (*self.node_pools, *self.classes, *self.overlays):
            each["metadata"]["creationTimestamp"] = BEFORE
            each["status"] = {"conditions": [dict(READY)]}
        self.claims: list[Document] = []
        self.settings: list[Document] = []
        self.quotas: list[Document] = []
        self.karpenter = deployment(
            "karpenter", "kube-system", env=[{"name": "FEATURE_GATES", "value": "NodeOverlay=true"}]
        )
        self.keeper = deployment("keeper", "gpu-slice")
        self.configuration: Document | None = {
            "metadata": {"name": "gpu-slice", "creationTimestamp": BEFORE},
            "webhooks": [
                {
                    "name": "pods.gpu-slice.io",
                    "failurePolicy": "Fail",
                    "rules": [{"operations": ["CREATE"], "resources": ["pods"]}],
                    "namespaceSelector": {"matchExpressions": [expression("gpu-slice/opt-out", "DoesNotExist")]},
                }
            ],
        }
        self.copies: list[Document] = []
        """Webhook configurations beside ours."""
        self.namespace: Document = {"metadata": {"name": "team-a", "labels": {}}}
        self.problems: dict[Kind[Any], str] = {}
        self.around: dict[str, Any] = {}
        self.said: list[Said] = []
        self.exists = True

    def full(self, name: str = "a100") -> None:
        """All slices of the node of a pool are in use."""
        resource = {"a100": SLICE, "standing": "nvidia.com/mig-1g.10gb"}[name]
        busy = pod_of("1g.5gb", container(limits={resource: "56"}), nodeName=f"{name}-1")
        busy["metadata"] |= {"name": "busy", "namespace": "team-b"}
        self.others.append(busy)

    def explain(self) -> Explanation:
        listings: dict[Kind[Any], Listing[Any]] = {
            NODES: Listing(tuple(msgspec.convert(each, Node) for each in self.nodes.values())),
            PODS: Listing(tuple(msgspec.convert(each, Pod) for each in self.others)),
            NODE_POOLS: Listing(tuple(self.node_pools)),
            NODE_CLASSES: Listing(tuple(self.classes)),
            NODE_OVERLAYS: Listing(tuple(self.overlays)),
            NODE_CLAIMS: Listing(tuple(self.claims)),
            WEBHOOKS: Listing((*([self.configuration] if self.configuration else []), *self.copies)),
            DEPLOYMENTS: Listing((self.karpenter, self.keeper)),
            QUOTAS: Listing(tuple(self.quotas)),
            EVENTS: Listing(),
            CONFIG_MAPS: Listing(tuple(self.settings)),
        }
        listings |= {
            kind: Listing(installed=False) if why == "absent" else Listing(problem=why)
            for kind, why in self.problems.items()
        }
        around = Around(FLEET, Snapshot(NOW, listings=listings), namespace=self.namespace, said=self.said)
        asked = Asked.of(self.pod, exists=self.exists)
        return explain("Pod team-a/notebook", asked, replace(around, **self.around))

    def says(self, source: str, message: str, reason: str = "FailedScheduling") -> None:
        self.said.append(Said(source, "Pod/notebook", reason, message, NOW))

    def claim(self, age: str, **conditions: tuple[str, str, str]) -> None:
        """A NodeClaim of the pool a100."""
        written = [
            {"type": kind, "status": status, "reason": reason, "message": message}
            for kind, (status, reason, message) in conditions.items()
        ]
        metadata = {"name": "a100-x7k2p", "labels": {"karpenter.sh/nodepool": "a100"}, "creationTimestamp": age}
        self.claims.append({"metadata": metadata, "status": {"conditions": written}})


def deployment(name: str, namespace: str, **container: Any) -> Document:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [{"name": "main", **container}]}}},
        "status": {"availableReplicas": 1},
    }


def taint(world: World) -> None:
    world.nodes["a100"]["spec"]["taints"].append({"key": "team", "value": "b", "effect": "NoSchedule"})


def not_ready(world: World) -> None:
    world.nodes["a100"]["status"]["conditions"] = [
        {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting"}
    ]


def advertises(count: str | None, **more: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        for part in ("capacity", "allocatable"):
            status = world.nodes["a100"]["status"][part] = dict(world.nodes["a100"]["status"][part])
            status.update(more)
            status.pop(SLICE) if count is None else status.update({SLICE: count})

    return change


def no_label(key: str) -> Callable[[World], None]:
    return lambda world: world.nodes["a100"]["metadata"]["labels"].pop(key)


def full_and(change: Callable[[World], object]) -> Callable[[World], None]:
    def both(world: World) -> None:
        world.full()
        change(world)

    return both


def limit(world: World) -> None:
    world.node_pools[0]["status"]["resources"] = {SLICE: "560"}


def limit_zero(world: World) -> None:
    world.node_pools[0]["spec"]["limits"] = {"nodes": "0"}


def conflict(world: World) -> None:
    world.overlays[0]["status"]["conditions"] = [
        {
            "type": "ValidationSucceeded",
            "status": "False",
            "reason": "Conflict",
            "message": "conflict with another overlay",
        }
    ]


def foreign_overlay(world: World) -> None:
    other = copy.deepcopy(world.overlays[0])
    other["metadata"]["name"] = "theirs"
    other["spec"] |= {"weight": 1000, "capacity": {SLICE: "0"}}
    world.overlays.append(other)


def elsewhere(world: World) -> None:
    world.overlays[0]["spec"]["requirements"].append(expression("team", "In", "a"))


def class_condition(status: str, reason: str = "") -> Callable[[World], None]:
    def change(world: World) -> None:
        world.classes[0]["status"]["conditions"] = [
            {"type": "Ready", "status": status},
            {"type": "SubnetsReady", "status": status, "reason": reason, "message": "did not match any Subnets"},
        ]

    return change


def refused(message: str, **more: Any) -> Callable[[World], None]:
    return lambda world: world.around.update(refused=message, **more)


def gate(value: str | None) -> Callable[[World], None]:
    def change(world: World) -> None:
        env = [] if value is None else [{"name": "FEATURE_GATES", "value": value}]
        world.karpenter["spec"]["template"]["spec"]["containers"][0]["env"] = env

    return change


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


def condition(message: str) -> Callable[[World], None]:
    return lambda world: world.pod["status"].update(
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    )


def running(world: World) -> None:
    world.pod["spec"]["nodeName"] = "a100-1"
    world.pod["status"] = {"phase": "Running"}


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


OTHERS = (
    "Failed to schedule pod, incompatible requirements, key gpu-slice/pool, gpu-slice/pool In [standing] not in "
    "gpu-slice/pool In [late]; did not tolerate taint (taint=team=b:NoSchedule); no instance type has enough "
    "resources, requirements=gpu-slice/pool In [late], karpenter.sh/nodepool In [late], resources={}"
)
"""What Karpenter says of a pod that only other NodePools were looked at for."""


def standing() -> World:
    """The pod may only be on the node of the pool `standing`, which Karpenter does not launch."""
    return World("1g.10gb")


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


def test_a_message_of_the_scheduler_is_not_called_silence() -> None:
    world = World()
    condition("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.")(world)

    assert [cause.id for cause in (world.explain().cause, *world.explain().also)] == ["scheduler"]


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

    assert "0 of 8 cpu are launched. The fleet file does not name this limit." in world.explain().cause.sentence


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


def test_a_limit_that_somebody_lowered_is_applied_again() -> None:
    world = World()
    world.full()
    world.node_pools[0]["spec"]["limits"] = {SLICE: "7"}

    cause = world.explain().cause

    assert "The fleet file says 560." in cause.sentence
    assert cause.cure == "The platform team: gpu-slice render --only node-pools | kubectl apply -f -."


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
        ("ToBeDeletedByClusterAutoscaler", "NoSchedule", "Autoscaler is removing"),
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


@pytest.mark.parametrize(
    ("status", "sentence", "cure"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}, "Evicted", "requests"),
        ({"reason": "Preempting", "message": "Preempted in order to admit critical pod"}, "Preempting", "priority"),
        ({"reason": "DeadlineExceeded"}, "DeadlineExceeded", "activeDeadlineSeconds"),
        ({"reason": "Terminated", "message": "imminent node shutdown"}, "Terminated", "shut down"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            "PreemptionByScheduler",
            "priority",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]},
            "DeletionByTaintManager",
            "lost or drained",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "main", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
                ]
            },
            "container main has ended with OOMKilled (exit code 137)",
            "memory limit",
        ),
        (
            {"containerStatuses": [{"name": "main", "state": {"terminated": {"reason": "Error", "exitCode": 3}}}]},
            "container main has ended with Error (exit code 3)",
            "kubectl logs POD",
        ),
        ({"reason": "Later"}, "Later", "kubectl logs POD"),
    ],
)
def test_the_first_sentence_names_how_a_pod_has_failed(status: Document, sentence: str, cure: str) -> None:
    world = World()
    running(world)
    world.pod["status"] = {"phase": "Failed", **status}

    cause = world.explain().cause

    assert (cause.id, cause.sentence) == (
        "failed",
        f"The pod has failed on node a100-1: {sentence}. It holds no slice any more.",
    )
    assert cure in cause.cure


@pytest.mark.parametrize(
    ("reason", "message", "sentence", "cure"),
    [
        (
            "UnexpectedAdmissionError",
            f"Allocate failed due to no healthy devices present; cannot allocate unhealthy devices {SLICE}, which is "
            "unexpected",
            "its slice is not healthy",
            "kubectl drain a100-1",
        ),
        (
            "UnexpectedAdmissionError",
            f"Allocate failed due to requested number of devices unavailable for {SLICE}. Requested: 1, Available: 0",
            "it had nothing free for it",
            "Delete the pod",
        ),
        (
            "UnexpectedAdmissionError",
            "Allocate failed due to rpc error: code = Unknown desc = invalid allocation request, which is unexpected",
            "its device plugin gave no slice",
            "the device plugin's log on node a100-1",
        ),
        ("UnexpectedAdmissionError", "cannot mount", "it could not admit it (the message says why)", "Delete the pod"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down.", "it is being shut down", "Delete the pod"),
        ("NodeAffinity", "Predicate NodeAffinity failed", "it does not match the node any more", "Delete the pod"),
    ],
)
def test_a_kubelets_refusal_is_told_apart(reason: str, message: str, sentence: str, cure: str) -> None:
    world = World()
    running(world)
    world.pod["status"] = {"phase": "Failed", "reason": reason, "message": f"Pod {message}"}

    cause = world.explain().cause

    assert (cause.id, cause.sentence) == ("node-refused", f"The kubelet of node a100-1 refused the pod: {sentence}.")
    assert cure in cause.cure


@pytest.mark.parametrize(
    ("last", "words", "cure"),
    [
        ({"reason": "OOMKilled", "exitCode": 137}, "after it has ended with OOMKilled (exit code 137)", "memory limit"),
        ({"reason": "Error", "exitCode": 2}, "after it has ended with Error (exit code 2)", "kubectl describe pod"),
        ({"reason": "Completed", "exitCode": 0}, "does not run: CrashLoopBackOff.", "kubectl describe pod"),
    ],
)
def test_a_container_that_is_started_again_and_again_tells_how_it_ended(last: Document, words: str, cure: str) -> None:
    world = World()
    running(world)
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    world.pod["status"]["containerStatuses"] = [{"name": "main", "state": state, "lastState": {"terminated": last}}]

    cause = world.explain().cause

    assert cause.id == "container"
    assert words in cause.sentence
    assert cure in cause.cure


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


def test_a_container_that_has_just_ended_is_not_called_starting() -> None:
    world = World()
    running(world)
    ended = {"name": "prepare", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    world.pod["status"] = {"phase": "Pending", "initContainerStatuses": [ended]}

    cause = world.explain().cause

    assert cause.id == "container"
    assert "container prepare has ended with OOMKilled (exit code 137)." in cause.sentence
    assert "memory limit" in cause.cure


def test_a_pod_that_is_preempted_is_told_so_while_it_goes() -> None:
    world = World()
    running(world)
    world.pod["metadata"]["deletionTimestamp"] = BEFORE
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    world.pod["status"]["conditions"] = [target]

    assert world.explain().cause.sentence == f"The pod is being deleted since {BEFORE} (PreemptionByScheduler)."


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


def calls(name: str, **client: Any) -> Document:
    """A configuration with the webhook of gpu-slice."""
    webhooks = [{"name": "pods.gpu-slice.io", "clientConfig": client}]
    return {"metadata": {"name": name, "creationTimestamp": BEFORE}, "webhooks": webhooks}


OURS = {"service": {"name": "webhook", "namespace": "gpu-slice"}, "caBundle": "ours"}
NOWHERE = (
    'failed calling webhook "pods.gpu-slice.io": failed to call webhook: Post "https://webhook.gone.svc:443/mutate'
    '?timeout=2s": service "webhook" not found'
)
DISTRUSTED = (
    'failed calling webhook "pods.gpu-slice.io": failed to call webhook: Post "https://webhook.gpu-slice.svc:443/mutate'
    '?timeout=2s": tls: failed to verify certificate: x509: certificate signed by unknown authority'
)


@pytest.mark.parametrize(
    ("copy_calls", "message", "cause", "words"),
    [
        (
            {"service": {"name": "webhook", "namespace": "gone"}},
            NOWHERE,
            "other-webhook",
            "MutatingWebhookConfiguration copy calls webhook.gone.svc for pods.gpu-slice.io",
        ),
        (
            {"service": OURS["service"], "caBundle": "old"},
            DISTRUSTED,
            "other-webhook",
            "does not trust its certificate",
        ),
        (
            {"service": {"name": "webhook", "namespace": "gpu-slice", "port": 9}},
            NOWHERE.replace("gone.svc:443", "gpu-slice.svc:9"),
            "other-webhook",
            "copy calls webhook.gpu-slice.svc:9",
        ),
        ({"url": "https://webhook.gone.svc:443/mutate"}, NOWHERE, "other-webhook", "copy calls webhook.gone.svc"),
        ({"service": {"name": "webhook", "namespace": "gone"}}, DISTRUSTED, "certificate", "the webhook's certificate"),
        (OURS, DISTRUSTED, "certificate", "the webhook's certificate"),
    ],
)
def test_a_copy_of_the_configuration_that_fails_is_named(
    copy_calls: Document, message: str, cause: str, words: str
) -> None:
    world = World()
    world.configuration = calls("gpu-slice", **OURS)
    world.copies = [calls("copy", **copy_calls)]
    refused(f"Internal error occurred: {message}")(world)

    explanation = world.explain()

    assert explanation.cause.id == cause
    assert words in explanation.cause.sentence


@pytest.mark.parametrize("listed", [True, False])
def test_a_webhook_of_others_that_fails_is_named(listed: bool) -> None:
    world = World()
    theirs = {"name": "mutate.example.com", "clientConfig": {"url": "https://hook.example.com/x"}}
    world.copies = [{"metadata": {"name": "theirs"}, "webhooks": [theirs]}] if listed else []
    refused(
        'Internal error occurred: failed calling webhook "mutate.example.com": failed to call webhook: Post '
        '"https://hook.example.com/x?timeout=10s": EOF'
    )(world)

    explanation = world.explain()

    assert explanation.cause.id == "other-webhook"
    assert ("theirs calls hook.example.com" if listed else "not gpu-slice's") in explanation.cause.sentence


def test_no_cure_replaces_the_fleet_or_image() -> None:
    for name, kind in CAUSES.items():
        assert "apply manifests/webhook" not in kind.cure, name
    assert "Not manifests/webhook: it would replace your fleet" in CAUSES["webhook-missing"].cure


def test_every_page_and_heading_that_a_cure_names_is_there() -> None:
    pages = PAGE.parents[1]
    code = "".join(path.read_text() for path in Path(causes.__file__).parent.glob("*.py"))
    named = set(
        re.findall(
            r"(?<![\w/.-])(docs/[\w-]+\.md)(?:#([\w-]+))?", code + "".join(kind.cure for kind in CAUSES.values())
        )
    )

    assert ("docs/eks.md", "6-nodes-for-a-cheap-first-pool") in named
    for page, anchor in named:
        headings = re.findall(r"^#+ (.+)$", (pages / page).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, f"{page}#{anchor}"
    assert not re.search(r"docs/[\w-]+\.md[^.;\n]*\b(in step \d|, [A-Z])", " ".join(k.cure for k in CAUSES.values()))


def test_every_cause_has_its_paragraph_and_no_other_is_there() -> None:
    paragraphs = dict(re.findall(r"^### `([^`]+)`\n\n(.*?)(?=\n##|\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE))

    assert {name: " ".join(text.split()) for name, text in paragraphs.items()} == {
        name: f"{kind.title}. What to do: {kind.cure}" for name, kind in CAUSES.items()
    }
    assert list(paragraphs) == list(CAUSES)


def test_every_cause_can_be_found() -> None:
    folder = Path(causes.__file__).parent
    code = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "causes.py")

    assert [name for name in CAUSES if f'"{name}"' not in code] == []


def test_every_cause_is_a_sentence_with_a_cure() -> None:
    assert set(CAUSES) >= FINE | WAITS
    for kind in CAUSES.values():
        assert not kind.title.endswith(".")
        assert kind.cure.endswith(".")


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


def test_a_node_without_the_pools_label_is_found_by_its_slices() -> None:
    world = World()
    labels = world.nodes["a100"]["metadata"]["labels"]
    for key in ("gpu-slice/pool", "karpenter.sh/nodepool", "nvidia.com/gpu"):
        del labels[key]
    limit(world)

    explanation = world.explain()

    assert explanation.cause.id == "node-label"
    assert "--overwrite nvidia.com/gpu=a100" in explanation.cause.cure


def test_a_pods_own_selection_is_not_taken_for_the_cause_of_a_limit() -> None:
    world = World(nodeSelector={"topology.kubernetes.io/zone": "us-east-1b"})
    limit(world)

    explanation = world.explain()

    assert explanation.cause.id == "limit-reached"
    assert [cause.id for cause in explanation.also] == ["node-selector"]


def test_affinity_is_matched_with_the_labels_that_a_node_really_has() -> None:
    for operator, values, holds in (
        ("In", ["us-east-1a"], True),
        ("In", ["us-east-1b"], False),
        ("NotIn", ["us-east-1b"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ):
        term = {"matchExpressions": [expression("topology.kubernetes.io/zone", operator, *values)]}
        world = World(affinity=required(term))
        (candidate,) = world.explain().nodes
        assert (not candidate.causes) == holds, operator


def test_what_a_rescue_changed_is_told() -> None:
    world = World()
    world.around["changed"] = ("'main': nvidia.com/gpu: 1 was replaced by nvidia.com/mig-1g.5gb: 1",)
    running(world)

    assert world.explain().changed == world.around["changed"]


def printed(explanation: Explanation, output: str) -> str:
    """What the command prints, without colours."""
    lines = {"table": table, "short": short}[output](explanation)
    return "".join(f"{click.unstyle(text)}\n" for text in lines)


def without_its_overlay() -> Explanation:
    world = World()
    world.full()
    world.overlays.clear()
    world.says("karpenter", "Failed to schedule pod, no instance type has enough resources")
    return world.explain()


def test_the_readme_shows_an_explanation_as_it_is_printed() -> None:
    (block,) = re.findall(r"```text\n\$ kubectl gpu-slice explain notebook\n(.*?)```", SHOWN.read_text(), re.DOTALL)

    assert block == printed(without_its_overlay(), "table")


def test_the_short_form_is_the_cause_and_the_cure() -> None:
    title, sentence, cure = printed(without_its_overlay(), "short").splitlines()

    assert title == "× Pod team-a/notebook [overlay-missing]"
    assert sentence == without_its_overlay().cause.sentence
    assert cure.startswith("What to do: The platform team: gpu-slice render --only node-overlays | kubectl apply")


def test_programs_get_ids_sentences_cures_and_all_tables() -> None:
    found = as_json(without_its_overlay())

    assert json.loads(json.dumps(found)) == found
    assert found["cause"]["id"] == "overlay-missing"
    assert found["cause"]["docs"] == "docs/causes.md#overlay-missing"
    assert [pool["serves"] for pool in found["pools"]] == [True, False]
    assert found["nodes"][0]["causes"][0]["id"] == "slices-in-use"
    assert found["nodePools"][0]["causes"][0]["id"] == "overlay-missing"
    assert found["events"][0]["words"] == "Karpenter knows no type of node with these slices and resources"
    assert found["couldNotLook"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (running, 0),
        (taint, 1),
        (lambda world: world.problems.update({NODES: "you may not list nodes", NODE_POOLS: "nor nodepools"}), 3),
    ],
    ids=["it runs", "it waits", "nothing could be looked at"],
)
def test_the_exit_code_says_whether_it_has_its_slice(change: Callable[[World], object], code: int) -> None:
    world = World()
    change(world)

    assert exit_code(world.explain()) == code


def test_nothing_that_others_wrote_controls_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.nodes["a100"]["spec"]["taints"].append({"key": "a\x1b[31m", "effect": "NoSchedule"})
    world.says("default-scheduler", "\x1b]0;title\x07::error::")

    for text in table(world.explain()):
        echo(text)

    printed_text = capsys.readouterr().out
    assert "\x1b]0" not in click.unstyle(printed_text)
    assert "\x07" not in printed_text
    assert "\\x1b]0;title" in printed_text


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
