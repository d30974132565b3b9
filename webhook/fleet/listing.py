"""What a fleet offers, and what the catalogue knows, as rows for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.fleet.file import Mode
from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import EVERYTHING
from webhook.fleet.pool import MigOffer
from webhook.slices.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Offered:
    """One kind of slice in one pool."""

    slice: str
    """The annotation that asks for it."""
    resource: str
    """The extended resource that it gets."""
    pool: str
    gpu: str
    family: str
    """What a request may name instead of the GPU."""
    memory_mib: int | None
    """Of one slice in MiB; None if it is not known, and for a share of a GPU."""
    per_gpu: int
    per_node: dict[str, int]
    """Slices on a node, by instance type."""
    mode: Mode = "enforce"
    """Of the pool, for the namespace that was asked about, or for those that have none of their own."""
    permitted: bool = True
    """Whether the namespace that was asked about may use it."""


@dataclass(frozen=True, slots=True)
class Known:
    """One MIG profile of one GPU; without a profile, a GPU that has no MIG."""

    gpu: str
    family: str
    profile: str | None
    resource: str | None
    compute_slices: int | None
    """How many of the GPU's compute slices an instance takes."""
    memory_mib: int | None
    most: int | None
    """Most instances on one GPU."""
    instance_types: list[str]
    source: str
    unverified: str


def offered(fleet: Fleet, namespace: str | None = None) -> Iterator[Offered]:
    """Everything that *fleet* offers, in fleet order; *namespace* is whose permission the rows tell."""
    policy = fleet.policy(namespace) if namespace else EVERYTHING
    for pool, offer in fleet.offers:
        own = "shadow" in (pool.entry.mode, fleet.file.mode)
        yield Offered(
            slice=str(offer),
            resource=offer.resource,
            pool=pool.name,
            gpu=pool.gpu.name,
            family=pool.gpu.family,
            memory_mib=offer.profile.memory_mib if isinstance(offer, MigOffer) else None,
            per_gpu=offer.per_gpu,
            per_node={shape.instance_type.name: shape.capacity[offer.resource] for shape in pool.shapes},
            mode="shadow" if (pool.name in policy.shadow if namespace else own) else "enforce",
            permitted=policy.permits(pool, offer),
        )


def known(catalogue: Catalogue) -> Iterator[Known]:
    """Every profile of every GPU, in the order of the catalogue."""
    for gpu in catalogue.gpus.values():
        types = [entry.name for entry in catalogue.instance_types.values() if entry.gpu == gpu.name and entry.gpus]
        for profile in gpu.profiles:
            yield Known(
                gpu.name, gpu.family, str(profile), profile.profile.resource, profile.compute_slices,
                profile.memory_mib, profile.most, types, gpu.source, gpu.unverified,
            )  # fmt: skip
        if not gpu.profiles:
            yield Known(gpu.name, gpu.family, None, None, None, None, None, types, gpu.source, gpu.unverified)
