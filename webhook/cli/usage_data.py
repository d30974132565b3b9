"""What a cluster's slices are used for, for programs: JSON, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from webhook.cluster import namespaces
from webhook.cluster.usage import Held, NodeUse, PoolUse, SliceUse, Usage

NODE = (
    "pool", "node", "instance_type", "slice", "resource", "gpu", "used", "free", "total", "compute_slices",
    "memory_mib", "unusable", "node_price", "node_free_cost",
)  # fmt: skip
NAMESPACE = ("namespace", "slice", "resource", "gpu", "used", "compute_slices", "memory_mib")


def document(usage: Usage, namespace: str | None) -> dict[str, Any]:
    """Everything.  What is not known, because something could not be looked at, is null."""
    return {
        "problems": usage.problems,
        "notCounted": [
            {"namespace": pod.namespace, "name": pod.pod, "why": pod.why}
            for pod in usage.apart
            if namespace in (None, pod.namespace)
        ],
        **_sums(usage, usage),
        "pools": [
            {
                "name": pool.name or None,
                "retired": pool.retired,
                **_sums(usage, pool),
                "nodes": [
                    {
                        "name": node.name,
                        "instanceType": node.instance_type or None,
                        "price": node.price,
                        **_sums(usage, node),
                        "slices": [_slice(usage, use, namespace) for use in node.slices],
                    }
                    for node in pool.nodes
                ],
            }
            for pool in usage.pools
        ],
        "namespaces": [
            {
                "name": use.name,
                "used": use.used.slices,
                "usedComputeSlices": use.used.compute,
                "usedMemoryMib": use.used.memory_mib,
                "waiting": use.waiting,
            }
            for use in namespaces.by_namespace(usage)
            if namespace in (None, use.name)
        ],
        "stranded": [
            {"pool": lost.pool or None, "slice": lost.slice, "count": lost.count, "nodes": lost.nodes, "why": lost.why}
            for lost in usage.stranded
        ],
        "waiting": [
            {
                "slice": queue.slice,
                "resource": queue.resource,
                "pools": queue.pools,
                "count": queue.count,
                "free": queue.free if usage.complete else None,
                "seconds": int(queue.longest.total_seconds()),
                "pods": _pods(queue.pods, namespace),
            }
            for queue in usage.waiting
        ],
    }


def _slice(usage: Usage, use: SliceUse, namespace: str | None) -> dict[str, Any]:
    return {
        "name": use.kind.name,
        "resource": use.kind.resource,
        "gpu": use.kind.gpu or None,
        **_sums(usage, use),
        "unusable": use.unusable or None,
        "pods": _pods(use.pods, namespace),
    }


def _sums(usage: Usage, use: Usage | PoolUse | NodeUse | SliceUse) -> dict[str, Any]:
    used, total = use.used, use.total
    sums: dict[str, Any] = {
        "used": used.slices,
        "free": use.free if usage.complete else None,
        "total": total.slices if usage.nodes_seen else None,
        "usedComputeSlices": used.compute,
        "totalComputeSlices": total.compute if usage.nodes_seen else None,
        "usedMemoryMib": used.memory_mib,
        "totalMemoryMib": total.memory_mib if usage.nodes_seen else None,
    }
    if not isinstance(use, SliceUse):
        sums["freeCost"] = use.free_cost if usage.complete else None
    return sums


def _pods(pods: Iterable[Held], namespace: str | None) -> list[dict[str, Any]]:
    named = (pod for pod in pods if namespace in (None, pod.namespace))
    return [{"namespace": pod.namespace, "name": pod.pod, "count": pod.count} for pod in named]


def by_node(usage: Usage) -> Iterator[str]:
    """A row for each kind of slice on each node."""
    yield _csv(NODE)
    for pool in usage.pools:
        for node in pool.nodes:
            for use in node.slices:
                yield _csv(
                    (
                        pool.name, node.name, node.instance_type, use.kind.name, use.kind.resource, use.kind.gpu,
                        use.held, use.free if usage.complete else "", use.count if usage.nodes_seen else "",
                        use.kind.compute, use.kind.memory_mib, use.unusable, node.price,
                        node.free_cost if usage.complete else "",
                    )
                )  # fmt: skip


def by_namespace(usage: Usage, namespace: str | None) -> Iterator[str]:
    """A row for each kind of slice that each namespace uses."""
    yield _csv(NAMESPACE)
    for use in namespaces.by_namespace(usage):
        for kind, pods in use.slices if namespace in (None, use.name) else ():
            used = namespaces.amount_of(kind, pods)
            yield _csv((use.name, kind.name, kind.resource, kind.gpu, used.slices, used.compute, used.memory_mib))


def _csv(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow("" if cell is None else cell for cell in cells)
    return text.getvalue()
