"""Karpenter's NodeOverlays: what Karpenter must know about slices before a node exists.

Without them a pod that asks for ``nvidia.com/mig-1g.5gb`` waits for ever: "no instance type has enough
resources".  An overlay changes what Karpenter expects, not what a node has: the boot script and the device
plugin provide the slices.

Alpha, and off by default: ``settings.featureGates.nodeOverlay: true`` in Karpenter's chart, v1.13.0 or later:
before that, one NodePool whose instance types cannot be listed made Karpenter drop all overlays (karpenter#3002).
Source of the rules: Karpenter v1.15.0 ``pkg/apis/v1alpha1/nodeoverlay_validation.go`` and
``pkg/controllers/nodeoverlay/store.go``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, Pool
from webhook.render.manifest import Commented, labels


def node_overlays(fleet: Fleet) -> Iterator[Commented]:
    """One for each pool of Karpenter's nodes and number of GPUs on a node."""
    weights = count(1)
    for pool in fleet.pools:
        if pool.entry.nodes == "existing" and pool.entry.node_pools is None:
            continue
        for gpus, types in _by_gpus(pool).items():
            yield _overlay(pool, gpus, types, next(weights))


def _by_gpus(pool: Pool) -> dict[int, list[str]]:
    """Instance types by their number of GPUs: an overlay has one capacity for all types that it selects."""
    result: dict[int, list[str]] = {}
    for shape in pool.shapes:
        types = result.setdefault(shape.instance_type.gpus, [])
        if shape.instance_type.name not in types:
            types.append(shape.instance_type.name)
    return result


def _overlay(pool: Pool, gpus: int, types: list[str], weight: int) -> Commented:
    # The overlay replaces the type's capacity, so "0" removes the whole GPUs.  Otherwise a booting node would seem to
    # have them beside its slices, and a pod that wants a whole GPU would be bound to it and never start.
    capacity = {WHOLE_GPU: "0"} | {offer.resource: str(offer.per_gpu * gpus) for offer in pool.offers}
    plural = "" if gpus == 1 else "s"
    manifest = {
        "apiVersion": "karpenter.sh/v1alpha1",
        "kind": "NodeOverlay",
        "metadata": {"name": f"{pool.name}-{gpus}-gpu{plural}", "labels": labels("karpenter")},
        "spec": {
            "weight": weight,
            "requirements": [
                {"key": "karpenter.sh/nodepool", "operator": "In", "values": pool.entry.node_pools or [pool.name]},
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": types},
            ],
            "capacity": capacity,
        },
    }
    no_whole_gpus = capacity[WHOLE_GPU] == "0"
    return Commented(
        manifest,
        {
            ("spec", "weight"): (
                "Unique: if two overlays with the same weight overlap, Karpenter silently drops one of them."
            ),
            ("spec", "requirements"): (
                "Only labels that Karpenter knows.  With an unknown label the overlay is Ready but applies to nothing."
            ),
            ("spec", "capacity"): f"The capacity of a node with {gpus} GPU{plural}.",
            ("spec", "capacity", WHOLE_GPU): (
                "No whole GPUs: until the node has registered, Karpenter would expect them beside the slices."
                if no_whole_gpus
                else "The name of a slice under the device plugin's strategy `single`."
            ),
        },
    )
