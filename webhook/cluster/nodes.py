"""What a node says of its GPUs: their model, how they are cut, and the pool to which it belongs."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.cluster.objects import Node
from webhook.cluster.requests import quantity
from webhook.fleet.labels import NODE_POOL
from webhook.fleet.pool import POOL_LABEL, SHARED_GPU, WHOLE_GPU, Pool
from webhook.slices.catalogue import Catalogue, Gpu
from webhook.slices.profile import RESOURCE_PREFIX

PRODUCT = "nvidia.com/gpu.product"
"""Of GPU feature discovery: ``NVIDIA-A100-SXM4-40GB``; with ``-MIG-1g.5gb`` or ``-SHARED`` for what is called a GPU."""
REPLICAS = "nvidia.com/gpu.replicas"
"""Of GPU feature discovery: pods that share a GPU."""
INSTANCE_TYPE, OLD_INSTANCE_TYPE = "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"
PASSING = (
    "node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "karpenter.sh/", "karpenter.k8s.aws/",
    "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler", "aws-node-termination-handler/",
)  # fmt: skip
"""Beginnings of taints that come and go with the life of a node."""

LEAVING = {
    "aws-node-termination-handler/": "AWS takes it back or maintains it, and then it is gone within minutes",
    "ToBeDeletedByClusterAutoscaler": "the Cluster Autoscaler is removing it",
}
"""Those of nodes that are to go, by the beginning of their key, and what becomes of the node.

Source: aws-node-termination-handler ``pkg/node/node.go``; the Cluster Autoscaler's ``utils/taints``.
"""


class Known(dict[str, str | None]):
    """Labels of which nothing more is to come: a key that is not there, the node does not have."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> None:
        return None


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
    return node.metadata.labels.get(INSTANCE_TYPE) or node.metadata.labels.get(OLD_INSTANCE_TYPE, "")


def leaving(node: Node) -> str:
    """What is about to become of *node*, as a clause; empty if it stays, as far as its taints say."""
    ours = NODE_POOL in node.metadata.labels  # of another node, Karpenter removes no taint
    keys = [taint.key for taint in node.spec.taints if ours or not taint.key.startswith("karpenter.sh/")]
    return next((words for start, words in LEAVING.items() if any(key.startswith(start) for key in keys)), "")


def gpu_of(node: Node, catalogue: Catalogue) -> Gpu | None:
    """The node's GPU, by its instance type or else by the product that GPU feature discovery found."""
    known = catalogue.instance_types.get(instance_type(node))
    if known is not None:
        return catalogue.gpus[known.gpu]
    meant = catalogue.meant(node.metadata.labels.get(PRODUCT, ""))
    return catalogue.gpus[meant[0]] if len(meant) == 1 else None


def node_pools(pool: Pool) -> list[str]:
    """The names of the NodePools that launch the nodes of *pool*."""
    return [pool.name] if pool.entry.nodes == "karpenter" else pool.entry.node_pools or []


def pool_of(node: Node, pools: Sequence[Pool], *, cut: bool = True) -> Pool | None:
    """The one of *pools* to which *node* belongs: by our label, or else by the NodePool that launched it.

    Without either, it is the only pool of existing nodes whose labels and type it has, and, with *cut*, whose slices.
    """
    labels = node.metadata.labels
    if POOL_LABEL in labels:
        return next((pool for pool in pools if pool.name == labels[POOL_LABEL]), None)
    for pool in pools:
        if labels.get(NODE_POOL) in node_pools(pool):
            return pool
    offered = gpu_resources(node)
    matching = [
        pool
        for pool in pools
        if pool.entry.nodes == "existing"
        and not pool.entry.node_pools
        and instance_type(node) in pool.entry.instance_types
        and pool.labels.items() <= labels.items()
        and (all(offer.resource in offered for offer in pool.offers) if cut else pool.labels)
    ]
    return matching[0] if len(matching) == 1 else None
