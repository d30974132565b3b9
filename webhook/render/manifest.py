"""The parts of a companion: documents for a cluster, with comments for their readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.documents import write_commented
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, Pool

Manifest = dict[str, Any]
KeyPath = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Commented:
    """One document, and its comments by the path of the key below them; () is the top of the document."""

    manifest: Manifest
    notes: Mapping[KeyPath, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return write_commented(self.manifest, self.notes)


def write(documents: Iterable[Commented]) -> str:
    """All documents as one YAML file."""
    return "---\n".join(map(str, documents))


def labels(component: str) -> dict[str, str]:
    """The labels of all our objects."""
    return {"app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/component": component}


def made_by_karpenter(pools: Iterable[Pool]) -> list[Pool]:
    """The pools whose nodes Karpenter launches."""
    return [pool for pool in pools if pool.entry.nodes == "karpenter"]


def on_nodes_of(pools: Iterable[Pool]) -> Manifest:
    """Affinity and tolerations that send the pods of a DaemonSet to the nodes of *pools*."""
    pools = list(pools)
    in_pools = {"key": POOL_LABEL, "operator": "In", "values": [pool.name for pool in pools]}
    taints = {(WHOLE_GPU, "NoSchedule"): None} | {
        (taint.key, taint.effect): None for pool in pools for taint in pool.taints
    }
    return {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [in_pools]}]
                }
            }
        },
        "tolerations": [{"key": key, "operator": "Exists", "effect": effect} for key, effect in taints],
    }
