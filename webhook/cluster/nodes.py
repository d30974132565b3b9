"""What a node says of its GPUs: their model, how they are cut, and the pool to which it belongs."""

from __future__ import annotations

from webhook.cluster.objects import Node
from webhook.cluster.requests import quantity
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL, SHARED_GPU, WHOLE_GPU, Pool
from webhook.slices.catalogue import Catalogue, Gpu
from webhook.slices.profile import RESOURCE_PREFIX

PRODUCT = "nvidia.com/gpu.product"
"""Of GPU feature discovery: ``NVIDIA-A100-SXM4-40GB``; with ``-MIG-1g.5gb`` or ``-SHARED`` for what is called a GPU."""
REPLICAS = "nvidia.com/gpu.replicas"
"""Of GPU feature discovery: pods that share a GPU."""
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
NODE_POOL = "karpenter.sh/nodepool"


def counted(resource: str) -> bool:
    """Whether *resource* is a GPU, a slice or a share."""
    return resource.startswith(RESOURCE_PREFIX) or resource in (WHOLE_GPU, SHARED_GPU)


def gpu_resources(node: Node, *, capacity: bool = False) -> dict[str, int]:
    """How many GPUs, slices and shares the node's device plugin offers, by resource; those that are 0 are left out.

    With *capacity* also those that are not healthy.
    """
    amounts = (node.status.capacity if capacity else None) or node.status.allocatable
    counts = {name: int(quantity(text)) for name, text in amounts.items() if counted(name)}
    return {name: count for name, count in counts.items() if count}


def instance_type(node: Node) -> str:
    """The EC2 instance type; empty if the node does not say."""
    return node.metadata.labels.get(INSTANCE_TYPE, "")


def gpu_of(node: Node, catalogue: Catalogue) -> Gpu | None:
    """The node's GPU, by its instance type or else by the product that GPU feature discovery found."""
    known = catalogue.instance_types.get(instance_type(node))
    if known is not None:
        return catalogue.gpus[known.gpu]
    meant = catalogue.meant(node.metadata.labels.get(PRODUCT, ""))
    return catalogue.gpus[meant[0]] if len(meant) == 1 else None


def pool_of(node: Node, fleet: Fleet) -> Pool | None:
    """The pool to which *node* belongs: by our label, or else the only one of existing nodes that it matches."""
    labels = node.metadata.labels
    if POOL_LABEL in labels:
        return next((pool for pool in fleet.pools if pool.name == labels[POOL_LABEL]), None)
    offered = gpu_resources(node)
    matching = [
        pool
        for pool in fleet.pools
        if pool.entry.nodes == "existing"
        and instance_type(node) in pool.entry.instance_types
        and (not pool.entry.node_pools or labels.get(NODE_POOL) in pool.entry.node_pools)
        and pool.labels.items() <= labels.items()
        and all(offer.resource in offered for offer in pool.offers)
    ]
    return matching[0] if len(matching) == 1 else None
