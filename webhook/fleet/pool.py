"""A pool as the webhook sees it: what its nodes serve, and what is known of them before they exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from webhook.fleet.file import PoolEntry, Taint
from webhook.slices.catalogue import Gpu, GpuProfile, InstanceType
from webhook.slices.profile import MigProfile
from webhook.slices.request import Choice, Fraction, Shared

POOL_LABEL = "gpu-slice/pool"
WHOLE_GPU = "nvidia.com/gpu"
"""The extended resource of a whole GPU, and of a slice under the device plugin's ``single`` strategy."""
SHARED_GPU = "nvidia.com/gpu.shared"
"""What the device plugin, with ``renameByDefault``, calls a share of a GPU."""

MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of slice that a pool serves."""

    gpu: Gpu
    resource: str
    """The extended resource that the device plugin advertises for it."""
    per_gpu: int
    """Slices of this kind on one GPU of the pool."""
    order: int
    """Its place among all the fleet's offers."""
    name: MigProfile | None = None
    """The profile as this pool's driver prints it; None for a share of a GPU."""
    profile: GpuProfile | None = None
    """The same profile in the catalogue."""

    def __str__(self) -> str:
        return str(self.name) if self.name else "shared"

    def satisfies(self, choice: Choice) -> bool:
        """Whether one slice of this kind is what *choice* asks for, its count aside."""
        if choice.gpu is not None and not self.gpu.called(choice.gpu):
            return False
        wanted, profile = choice.slice, self.profile
        if isinstance(wanted, Shared) or profile is None or self.name is None:
            return isinstance(wanted, Shared) and profile is None
        if isinstance(wanted, MigProfile):
            return self.gpu.profile(wanted) is profile
        if isinstance(wanted, Fraction):
            return profile.compute_slices * wanted.denominator >= wanted.numerator * self.gpu.compute_slices
        if wanted.unit == "gb":
            return self.name.memory_gb >= wanted.amount
        return profile.memory_mib is not None and profile.memory_mib >= wanted.amount * MIB_PER_GIB

    @property
    def size(self) -> tuple[int, int, bool]:
        """Smaller is better where a choice leaves several: compute slices, memory, and media engines."""
        if self.name is None or self.profile is None:
            return (0, 0, False)
        return (self.profile.compute_slices, self.name.memory_gb, self.name.media_extensions)


@dataclass(frozen=True, slots=True)
class NodeShape:
    """One kind of node that a pool may have: an instance type, bought in one way."""

    instance_type: InstanceType
    labels: Mapping[str, str]
    """What its labels will be, as far as they are known before it exists."""
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
    entry: PoolEntry
    """What the fleet file says of it."""

    def offer(self, resource: str, choice: Choice) -> Offer | None:
        """The offer of *resource* that satisfies *choice*, if the pool has one."""
        return next((each for each in self.offers if each.resource == resource and each.satisfies(choice)), None)


def build(entry: PoolEntry, gpu: Gpu, types: Iterable[InstanceType], first_order: int) -> Pool:
    """The pool that *entry* describes, once it has been checked."""
    labels = {WHOLE_GPU: gpu.family} if entry.labels is None else dict(entry.labels)
    offers = tuple(_offers(entry, gpu, first_order))
    types = tuple(types)
    return Pool(
        name=entry.name,
        gpu=gpu,
        offers=offers,
        labels=labels,
        taints=tuple(entry.taints),
        architecture=types[0].architecture,
        shapes=tuple(
            NodeShape(
                instance_type=each,
                labels=_node_labels(entry, labels, each) | bought,
                capacity={offer.resource: offer.per_gpu * each.gpus for offer in offers},
            )
            for each in types
            for bought in _bought(entry)
        ),
        entry=entry,
    )


def _offers(entry: PoolEntry, gpu: Gpu, order: int) -> Iterator[Offer]:
    partition = entry.partition
    if partition.mig is None:
        sharing = partition.time_slicing or partition.mps
        if sharing is not None:
            yield Offer(gpu, SHARED_GPU, sharing.replicas, order)
        return
    for index, (text, count) in enumerate(partition.mig.items()):
        name = MigProfile.parse(text)
        resource = WHOLE_GPU if entry.strategy == "single" else name.resource
        yield Offer(gpu, resource, count, order + index, name, gpu.profile(name))


def _bought(entry: PoolEntry) -> list[dict[str, str]]:
    if entry.nodes != "karpenter":
        return [{}]
    return [{"karpenter.sh/capacity-type": each} for each in entry.capacity_types]


def _node_labels(entry: PoolEntry, labels: Mapping[str, str], each: InstanceType) -> dict[str, str]:
    """Source: Karpenter's well-known labels (karpenter-provider-aws ``pkg/apis/v1/labels.go``)."""
    family, _, size = each.name.partition(".")
    found = {
        POOL_LABEL: entry.name,
        "node.kubernetes.io/instance-type": each.name,
        "beta.kubernetes.io/instance-type": each.name,
        "kubernetes.io/arch": each.architecture,
        "beta.kubernetes.io/arch": each.architecture,
        "kubernetes.io/os": "linux",
        "beta.kubernetes.io/os": "linux",
    }
    if entry.nodes == "karpenter":
        found |= {
            "karpenter.sh/nodepool": entry.name,
            "karpenter.k8s.aws/instance-family": family,
            "karpenter.k8s.aws/instance-size": size,
            "karpenter.k8s.aws/instance-gpu-count": str(each.gpus),
            "karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia",
        }
        if each.gpu_name is not None:
            found["karpenter.k8s.aws/instance-gpu-name"] = each.gpu_name
        if each.gpu_memory is not None:
            found["karpenter.k8s.aws/instance-gpu-memory"] = str(each.gpu_memory)
    return found | dict(labels)
