"""A pool as the webhook sees it: what its nodes serve, and what is known about them before they exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

from webhook.fleet.file import PoolEntry
from webhook.slices.catalogue import Gpu, GpuProfile, InstanceType
from webhook.slices.profile import ATTRIBUTES, MigProfile
from webhook.slices.request import SHARED, Choice, Fraction, Memory

POOL_LABEL = "gpu-slice/pool"
WHOLE_GPU = "nvidia.com/gpu"
"""The extended resource of a whole GPU, of a slice under the device plugin's ``single`` strategy, and of a share where
the plugin does not rename them."""
SHARED_GPU = "nvidia.com/gpu.shared"
"""The extended resource of a share of a GPU, with the device plugin's ``renameByDefault``."""

RESERVED_LABELS = (
    "karpenter.sh/",
    "karpenter.k8s.aws/",
    "gpu-slice/",
    "kubernetes.io/",
    "beta.kubernetes.io/",
    "topology.kubernetes.io/",
    "node.kubernetes.io/",
)
"""Prefixes of labels that Karpenter, the cloud or gpu-slice set themselves (Karpenter ``pkg/apis/v1/labels.go``)."""

SET_ELSEWHERE = (
    *RESERVED_LABELS,
    "alpha.eksctl.io/",
    "eks.amazonaws.com/",
    "failure-domain.beta.kubernetes.io/",
    "feature.node.kubernetes.io/",
    "nvidia.com/gpu.",
    "nvidia.com/mig.",
    "topology.k8s.aws/",
)
"""Prefixes of labels that any node may have, whatever its pool says: EKS and GPU feature discovery set some."""

MIB_PER_GIB = 1024


Size: TypeAlias = tuple[int, int, int]
"""Compute slices, memory by the profile's number, attribute: the smallest that satisfies a choice is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedOffer:
    """A share of a GPU that is time-sliced, or shared by MPS."""

    gpu: Gpu
    resource: str
    """The extended resource that the device plugin advertises for it."""
    per_gpu: int
    """Shares of one GPU of the pool."""
    order: int
    """Its position among all offers of the fleet."""

    size: ClassVar[Size] = (0, 0, 0)

    def __str__(self) -> str:
        return str(SHARED)

    def satisfies(self, choice: Choice) -> bool:
        """Whether one share is what *choice* asks for, apart from the count."""
        return choice.slice == SHARED and (choice.gpu is None or self.gpu.called(choice.gpu))


@dataclass(frozen=True, slots=True, eq=False)
class MigOffer:
    """A MIG profile that a pool serves."""

    gpu: Gpu
    resource: str
    """The extended resource that the device plugin advertises for it."""
    per_gpu: int
    """Slices of this kind on one GPU of the pool."""
    order: int
    """Its position among all offers of the fleet."""
    name: MigProfile
    """The profile as this pool's driver prints it."""
    profile: GpuProfile
    """The same profile in the catalogue."""
    size: Size

    def __str__(self) -> str:
        return str(self.name)

    def satisfies(self, choice: Choice) -> bool:
        """Whether one slice of this kind is what *choice* asks for, apart from the count."""
        if choice.gpu is not None and not self.gpu.called(choice.gpu):
            return False
        wanted = choice.slice
        if isinstance(wanted, MigProfile):
            return self.gpu.profile(wanted) is self.profile
        if isinstance(wanted, Fraction):
            return self.profile.compute_slices * wanted.denominator >= wanted.numerator * self.gpu.compute_slices
        if isinstance(wanted, Memory):
            if wanted.unit == "gb":
                return self.name.memory_gb >= wanted.amount
            return self.profile.memory_mib is not None and self.profile.memory_mib >= wanted.amount * MIB_PER_GIB
        return False


Offer: TypeAlias = MigOffer | SharedOffer
"""One kind of slice that a pool serves."""


class Taint(NamedTuple):
    """A taint of a pool's nodes."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeShape:
    """One kind of node that a pool may have: an instance type with a capacity type."""

    instance_type: InstanceType
    labels: Mapping[str, str]
    """The labels that are known before the node exists."""
    capacity: Mapping[str, int]
    """Slices by resource."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Nodes that are all cut the same way."""

    name: str
    gpu: Gpu
    offers: tuple[Offer, ...]
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    architecture: str
    shapes: tuple[NodeShape, ...]
    largest: NodeShape
    """The one with the most GPUs.  All are cut alike, so what fits on any node of the pool fits on this one."""
    entry: PoolEntry
    """Its entry in the fleet file."""


def build(entry: PoolEntry, gpu: Gpu, types: Iterable[InstanceType], first_order: int) -> Pool:
    """The pool that *entry* describes.  The entry has been checked."""
    labels = {WHOLE_GPU: gpu.family} if entry.labels is None else dict(entry.labels)
    offers = tuple(_offers(entry, gpu, first_order))
    types = tuple(types)
    shapes = tuple(
        NodeShape(
            instance_type=instance_type,
            labels=_node_labels(entry, labels, instance_type) | capacity_type,
            capacity={offer.resource: offer.per_gpu * instance_type.gpus for offer in offers},
        )
        for instance_type in types
        for capacity_type in _capacity_types(entry)
    )
    return Pool(
        name=entry.name,
        gpu=gpu,
        offers=offers,
        labels=labels,
        taints=tuple(Taint(taint.key, taint.value, taint.effect) for taint in entry.taints),
        architecture=types[0].architecture,
        shapes=shapes,
        largest=max(shapes, key=lambda shape: shape.instance_type.gpus),
        entry=entry,
    )


def _offers(entry: PoolEntry, gpu: Gpu, order: int) -> Iterator[Offer]:
    partition = entry.partition
    if partition.mig is None:
        sharing = partition.time_slicing or partition.mps
        if sharing is not None:
            yield SharedOffer(gpu, SHARED_GPU if sharing.renamed else WHOLE_GPU, sharing.replicas, order)
        return
    counts = {MigProfile.parse(text): count for text, count in partition.mig.items()}
    # Largest first, whatever the order of the file.
    for index, name in enumerate(sorted(counts, key=_size, reverse=True)):
        profile = gpu.profile(name)
        if profile is None:
            raise ValueError(f"{gpu.name} has no profile {name}")  # `webhook.fleet.check` has refused it
        resource = WHOLE_GPU if entry.strategy == "single" else name.resource
        yield MigOffer(gpu, resource, counts[name], order + index, name, profile, _size(name))


def _size(name: MigProfile) -> Size:
    return name.compute_slices, name.memory_gb, ATTRIBUTES.index(name.attribute)


def _capacity_types(entry: PoolEntry) -> list[dict[str, str]]:
    if entry.nodes != "karpenter":
        return [{}]
    return [{"karpenter.sh/capacity-type": name} for name in entry.capacity_types]


def kubelet_labels(instance_type: InstanceType) -> dict[str, str]:
    """The labels that any node of *instance_type* has, whoever launched it."""
    return {
        "node.kubernetes.io/instance-type": instance_type.name,
        "beta.kubernetes.io/instance-type": instance_type.name,
        "kubernetes.io/arch": instance_type.architecture,
        "beta.kubernetes.io/arch": instance_type.architecture,
        "kubernetes.io/os": "linux",
        "beta.kubernetes.io/os": "linux",
    }


def _node_labels(entry: PoolEntry, labels: Mapping[str, str], instance_type: InstanceType) -> dict[str, str]:
    """Source: Karpenter's well-known labels (karpenter-provider-aws ``pkg/apis/v1/labels.go``)."""
    family, _, size = instance_type.name.partition(".")
    result = {POOL_LABEL: entry.name} | kubelet_labels(instance_type)
    if entry.nodes == "karpenter":
        result |= {
            "karpenter.sh/nodepool": entry.name,
            "karpenter.k8s.aws/instance-family": family,
            "karpenter.k8s.aws/instance-size": size,
            "karpenter.k8s.aws/instance-gpu-count": str(instance_type.gpus),
            "karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia",
        }
        if instance_type.gpu_name is not None:
            result["karpenter.k8s.aws/instance-gpu-name"] = instance_type.gpu_name
        if instance_type.gpu_memory is not None:
            result["karpenter.k8s.aws/instance-gpu-memory"] = str(instance_type.gpu_memory)
    return result | dict(labels) | dict(entry.node_labels)
