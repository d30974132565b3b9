"""The kinds of slice that nodes have: those of a pool, and those of nodes that are in none."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.cluster.nodes import PRODUCT, REPLICAS, gpu_of
from webhook.cluster.objects import Node
from webhook.fleet.pool import SHARED_GPU, WHOLE_GPU, MigOffer, Pool
from webhook.slices.catalogue import Catalogue, Gpu
from webhook.slices.profile import RESOURCE_PREFIX, MigProfile

WHOLE = "whole GPU"
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Slice:
    """One kind of slice."""

    name: str
    """``1g.5gb``, ``shared`` or ``whole GPU``."""
    resource: str
    gpu: str = ""
    """Name of the GPU in the catalogue; empty if it is not known."""
    compute: int = 0
    """Compute slices of the GPU that one takes; 0 for a share and for a whole GPU."""
    memory_mib: int | None = None
    """Of one slice, where it is known."""

    @property
    def weight(self) -> int:
        """Its share of a node's price, compared with the other slices of the node."""
        return self.compute or 1


def of_pool(pool: Pool) -> dict[str, Slice]:
    """The slices of *pool* by resource."""
    return {
        offer.resource: _mig(offer.name, offer.resource, pool.gpu)
        if isinstance(offer, MigOffer)
        else Slice(SHARED, offer.resource, pool.gpu.name)
        for offer in pool.offers
    }


def of_node(node: Node, resource: str, catalogue: Catalogue) -> Slice:
    """What *resource* is on *node*, as far as its labels tell."""
    gpu = gpu_of(node, catalogue)
    labels = node.metadata.labels
    product = labels.get(PRODUCT, "")
    if resource == WHOLE_GPU and "-MIG-" in product:
        return called(resource, gpu, product.rpartition("-MIG-")[2])
    if resource == WHOLE_GPU and (product.endswith("-SHARED") or labels.get(REPLICAS, "1") not in ("0", "1")):
        return Slice(SHARED, resource, gpu.name if gpu else "")
    return called(resource, gpu)


def called(resource: str, gpu: Gpu | None = None, profile: str = "") -> Slice:
    """What *resource* is by its name alone, or by that of the MIG *profile* that it stands for."""
    name = MigProfile.read(profile or resource.removeprefix(RESOURCE_PREFIX))
    if name is not None:
        return _mig(name, resource, gpu)
    names = {WHOLE_GPU: WHOLE, SHARED_GPU: SHARED}
    return Slice(names.get(resource, resource), resource, gpu.name if gpu else "")


def _mig(name: MigProfile, resource: str, gpu: Gpu | None) -> Slice:
    profile = gpu.profile(name) if gpu is not None else None
    return Slice(
        str(name),
        resource,
        gpu.name if gpu else "",
        profile.compute_slices if profile else name.compute_slices,
        profile.memory_mib if profile else None,
    )
