"""A pool as the webhook sees it: what its nodes serve, and what is known about them before they exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

from webhook.fleet.file import PoolEntry
from webhook.fleet.labels import Labels, node_labels
from webhook.slices.catalogue import Gpu, GpuProfile, InstanceType
from webhook.slices.profile import ATTRIBUTES, MigProfile
from webhook.slices.request import SHARED, Choice, Fraction, Memory

POOL_LABEL = "gpu-slice/pool"
WHOLE_GPU = "nvidia.com/gpu"
"""The extended resource of a whole GPU, of a slice under the device plugin's ``single`` strategy, and of a share where
the plugin does not rename them."""
SHARED_GPU = "nvidia.com/gpu.shared"
"""The extended resource of a share of a GPU, with the device plugin's ``renameByDefault``."""

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
    """One kind of node that a pool may have: an instance type with a capacity type and a zone."""

    instance_type: InstanceType
    labels: Labels
    """What is known of its labels before the node exists: see `webhook.fleet.labels`."""
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


def labels_of(entry: PoolEntry, gpu: Gpu) -> dict[str, str]:
    """The labels that select the pool's nodes."""
    return {WHOLE_GPU: gpu.family} if entry.labels is None else dict(entry.labels)


def build(entry: PoolEntry, gpu: Gpu, types: Iterable[InstanceType], first_order: int, others: Iterable[str]) -> Pool:
    """The pool that *entry* describes.  The entry has been checked.  *others*: keys of labels of all pools."""
    labels = labels_of(entry, gpu)
    offers = tuple(_offers(entry, gpu, first_order))
    types = tuple(types)
    shapes = tuple(
        NodeShape(
            instance_type=instance_type,
            labels=known,
            capacity={offer.resource: offer.per_gpu * instance_type.gpus for offer in offers},
        )
        for instance_type in types
        for known in node_labels(entry, instance_type, {POOL_LABEL: entry.name} | labels | entry.node_labels, others)
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
        sharing = partition.sharing
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
