"""A namespace's default: what a pod gets there that asks for one whole GPU and has no annotation.

The platform team writes the default into the fleet file and labels the namespace ``gpu-slice/default``.  Then the
second entry of the webhook configuration has such pods sent here.  A pod is decided as if it were annotated.  One that
cannot have the slice keeps its whole GPU, because its author has not asked for a slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from webhook.admission.patch import Operation, escape
from webhook.admission.pod import EMPTY_SPEC, Metadata, Place, Pod
from webhook.fleet.pool import WHOLE_GPU, Pool
from webhook.slices.request import ANNOTATION, ASSIGNED, POOLS

_OF_GPUS = ("nvidia.com/", "k8s.amazonaws.com/accelerator", "cloud.google.com/gke-accelerator")
"""How labels begin that name a GPU: those of NVIDIA's GPU Feature Discovery, and of node groups."""

DEFAULT = f"{ANNOTATION}/default"
"""The annotation of a pod that got its namespace's default, with the name of the namespace.  The webhook configuration
sends such a pod here again if another webhook changes it."""


def asking(places: list[Place]) -> list[tuple[Place, int]]:
    """The containers that ask for whole GPUs, and for how many."""
    return [(place, place.asks[WHOLE_GPU]) for place in places if WHOLE_GPU in place.asks]


def annotated(pod: Pod, value: str, namespace: str, place: Place) -> tuple[Pod, list[Operation]]:
    """*pod* with the annotation *value* for the container *place*, and the operations that write it."""
    if place.init:  # which is never chosen unless it is named
        value = f"{place.name}={value}"
    added = {ANNOTATION: value, DEFAULT: namespace}
    metadata = pod.metadata
    others = {key: text for key, text in pod.annotations.items() if key not in (ASSIGNED, POOLS)}  # of no visit of ours
    meant = replace(pod, metadata=replace(metadata or Metadata(), annotations=others | added))
    if metadata is None:
        return meant, [_add("/metadata", {"annotations": added})]
    if metadata.annotations is None:
        return meant, [_add("/metadata/annotations", added)]
    return meant, [_add(f"/metadata/annotations/{escape(key)}", text) for key, text in added.items()]


def _add(pointer: str, value: str | Mapping[str, Any]) -> Operation:
    return {"op": "add", "path": pointer, "value": value}


def why_whole(pod: Pod, asked: list[tuple[Place, int]]) -> str:
    """Why *pod*, whose containers ask for whole GPUs, keeps them; empty if it may have the default."""
    if len(asked) > 1:
        return f"{len(asked)} of its containers ask for GPUs"
    if asked[0][1] > 1:
        return f"it asks for {asked[0][1]} GPUs"
    if (pod.spec or EMPTY_SPEC).resource_claims:
        return "it has spec.resourceClaims"
    return ""


def unknown_gpu(keys: Iterable[str], pools: Iterable[Pool]) -> str:
    """One of *keys*, by which a pod selects nodes, that names a GPU and of which not all *pools* say what it is."""
    known = [pool.shapes[0].labels for pool in pools]
    return next(
        (key for key in sorted(keys) if key.startswith(_OF_GPUS) and not all(key in labels for labels in known)), ""
    )
