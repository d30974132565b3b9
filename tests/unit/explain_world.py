"""A cluster that is written down, in which one pod waits, and ways to change it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
import jsonpatch
import msgspec

from tests.cluster.nodes import node as node_of
from tests.pods import container, expression, fleet_of, plan, pod_of
from tests.rendering import documents_of
from webhook.cli.explained import short, table
from webhook.cluster.asked import Asked
from webhook.cluster.events import Said
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


def advertises(count: str | None, **more: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        for part in ("capacity", "allocatable"):
            status = world.nodes["a100"]["status"][part] = dict(world.nodes["a100"]["status"][part])
            status.update(more)
            status.pop(SLICE) if count is None else status.update({SLICE: count})

    return change


def limit(world: World) -> None:
    world.node_pools[0]["status"]["resources"] = {SLICE: "560"}


def limit_zero(world: World) -> None:
    world.node_pools[0]["spec"]["limits"] = {"nodes": "0"}


def foreign_overlay(world: World) -> None:
    other = copy.deepcopy(world.overlays[0])
    other["metadata"]["name"] = "theirs"
    other["spec"] |= {"weight": 1000, "capacity": {SLICE: "0"}}
    world.overlays.append(other)


def refused(message: str, **more: Any) -> Callable[[World], None]:
    return lambda world: world.around.update(refused=message, **more)


def condition(message: str) -> Callable[[World], None]:
    return lambda world: world.pod["status"].update(
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    )


def running(world: World) -> None:
    world.pod["spec"]["nodeName"] = "a100-1"
    world.pod["status"] = {"phase": "Running"}


def standing() -> World:
    """The pod may only be on the node of the pool `standing`, which Karpenter does not launch."""
    return World("1g.10gb")


def printed(explanation: Explanation, output: str) -> str:
    """What the command prints, without colours."""
    lines = {"table": table, "short": short}[output](explanation)
    return "".join(f"{click.unstyle(text)}\n" for text in lines)
