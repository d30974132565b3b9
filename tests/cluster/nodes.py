"""The nodes of a fleet, as they stand once they were launched, cut and found by the device plugin."""

from __future__ import annotations

from typing import Any

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import NodeShape, Pool

Node = dict[str, Any]

ROOM = {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "250"}
"""Enough that only slices are ever scarce."""


def nodes(fleet: Fleet) -> list[Node]:
    """A node of each pool, of its first kind, and one without GPUs."""
    return [_plain(), *(node(pool, pool.shapes[0], f"{pool.name}-1") for pool in fleet.pools)]


def node(pool: Pool, shape: NodeShape, name: str) -> Node:
    """One node.  It advertises slices, and no whole GPU but where a slice is called that."""
    capacity = {resource: str(count) for resource, count in shape.capacity.items()}
    taints = [taint._asdict() for taint in pool.taints]
    labels = {key: value for key, value in shape.labels.items() if value is not None}
    return _node(name, {"topology.kubernetes.io/zone": "us-east-1a"} | labels, taints, capacity)


def _plain() -> Node:
    return _node("cpu-1", {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}, [], {})


def _node(name: str, labels: dict[str, str], taints: list[dict[str, str]], capacity: dict[str, str]) -> Node:
    room = ROOM | capacity
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels | {"kubernetes.io/hostname": name}},
        "spec": {"taints": taints},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }
