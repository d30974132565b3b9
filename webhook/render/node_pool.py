"""Karpenter's NodePools: which nodes are launched for a pool, what they carry, and when they are removed.

Source of the fields: Karpenter v1.15.0 ``pkg/apis/v1/nodepool.go`` and ``nodeclaim.go``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.fleet.file import PoolEntry
from webhook.fleet.fleet import Fleet
from webhook.fleet.karpenter import merge
from webhook.fleet.labels import ZONE, for_operator
from webhook.fleet.pool import POOL_LABEL, Pool
from webhook.render.manifest import Commented, Manifest, labels, made_by_karpenter


def node_pools(fleet: Fleet) -> Iterator[Commented]:
    """One for each pool whose nodes Karpenter launches."""
    for pool in made_by_karpenter(fleet.pools):
        yield Commented(node_pool(pool), _notes(pool))


def node_pool(pool: Pool) -> Manifest:
    """The NodePool of one pool."""
    entry = pool.entry
    # A retired pool goes by its empty nodes, so they are not kept.
    empty_for = (
        PoolEntry.model_fields["empty_for"].default if entry.retired and entry.empty_for == "Never" else entry.empty_for
    )
    grace, startup = entry.termination_grace_period, [taint.model_dump() for taint in entry.startup_taints]
    spec: Manifest = {
        "weight": entry.weight,
        "limits": _limits(pool),
        "disruption": {
            "consolidationPolicy": entry.consolidation,
            "consolidateAfter": empty_for,
            **({"budgets": [each.model_dump(exclude_none=True) for each in entry.budgets]} if entry.budgets else {}),
        },
        "template": {
            "metadata": {"labels": {POOL_LABEL: pool.name, **for_operator(entry), **pool.labels, **entry.node_labels}},
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": pool.name},
                "expireAfter": entry.expire_after,
                **({"terminationGracePeriod": grace} if grace is not None else {}),
                **({"taints": [_taint(taint._asdict()) for taint in pool.taints]} if pool.taints else {}),
                **({"startupTaints": [_taint(taint) for taint in startup]} if startup else {}),
                "requirements": [
                    _one_of("node.kubernetes.io/instance-type", entry.instance_types),
                    _one_of("kubernetes.io/arch", [pool.architecture]),
                    _one_of("kubernetes.io/os", ["linux"]),
                    _one_of("karpenter.sh/capacity-type", entry.capacity_types),
                    *([_one_of(ZONE, entry.zones)] if entry.zones else []),
                ],
            },
        },
    }
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": pool.name, "labels": labels("karpenter")},
        "spec": merge(spec, entry.node_pool),
    }


def _notes(pool: Pool) -> dict[tuple[int | str, ...], str]:
    spec = ("spec", "template", "spec")
    notes: dict[tuple[int | str, ...], str] = {
        (): f"{pool.name}: {pool.gpu.name}, {cut(pool)}.",
        ("spec", "weight"): "If several pools can serve a pod, Karpenter launches the one with the largest weight.",
        ("spec", "limits"): "Retired: no node is launched any more, and empty ones go."
        if pool.entry.retired
        else "When the limit is reached, pods wait, and an event on this NodePool says so.",
        ("spec", "template", "metadata", "labels", POOL_LABEL): (
            "Selects this pool's device plugin.  A node without it advertises no slices."
        ),
        (*spec, "expireAfter"): "A node older than this is replaced, and its pods are evicted.",
        (
            *spec,
            "requirements",
        ): "Only types with this GPU and layout: the overlay promises their slices.",
    }
    if pool.entry.consolidation == "WhenEmpty":
        notes["spec", "disruption"] = "Consolidation never moves running pods, so a node with only one small pod stays."
    else:
        notes["spec", "disruption"] = (
            "Consolidation moves running pods to fewer nodes: only for work that survives that."
        )
    notes["spec", "template", "metadata", "labels", next(iter(for_operator(pool.entry)))] = (
        "The layout in the ConfigMap of the GPU Operator's MIG manager."
        if pool.entry.by_operator
        else "Keeps the GPU Operator's plugin and MIG manager off these nodes, where there is one."
    )
    if pool.taints:
        notes[*spec, "taints"] = "Not startupTaints: Karpenter waits until those are removed, and nothing removes them."
    return notes


def cut(pool: Pool) -> str:
    """How each GPU of the pool is divided, in words."""
    partition = pool.entry.partition
    if partition.mig is not None:
        layout = " + ".join(f"{count} x {name}" for name, count in partition.mig.items())
        return f"each GPU cut into {layout}"
    if partition.time_slicing is not None:
        return f"{partition.time_slicing.replicas} pods take turns on each GPU"
    return f"{partition.mps.replicas if partition.mps else 0} pods share each GPU by MPS"


def _limits(pool: Pool) -> dict[str, str]:
    """Karpenter counts capacity including overlays, so a limit on `nvidia.com/gpu` would count nothing."""
    limit = pool.entry.room
    if limit.slices is None:
        return {"nodes": str(limit.nodes)}
    per_gpu = sum(offer.per_gpu for offer in pool.offers)
    return {offer.resource: str(limit.slices * offer.per_gpu // per_gpu) for offer in pool.offers}


def _taint(taint: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in taint.items() if value}


def _one_of(key: str, values: Sequence[str]) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}
