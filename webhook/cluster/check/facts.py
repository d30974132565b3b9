"""What the checks are about: a cluster as it was read, and what of it was asked besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from webhook.cluster.objects import Document, Kind
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool

T = TypeVar("T")

Address: TypeAlias = tuple[str, str, str]
"""Kind, namespace and name."""


NO_FLEET = "the fleet of the cluster cannot be read (see 'fleet')"


class CannotLook(Exception):
    """What a check is about could not be read.  The message says why."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the creation of an annotated pod, as a dry run, came to."""

    assigned: str = ""
    """What the stored pod's record would be."""
    refusal: str = ""
    """The API server's message."""
    namespace: str = "default"
    shadow: bool = False
    """Whether the pod should stay as it is."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The certificate that the webhook serves, as its Secret has it."""

    until: datetime | None
    flaw: str | None = None
    """Why it cannot serve."""
    trusted: bool = True
    """Whether a CA in ``caBundle`` issued it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks look at.  What could not be read raises `CannotLook` where it is asked for."""

    snapshot: Snapshot
    given: Fleet | None
    """The fleet that the cluster is held against; None if it cannot be read."""
    rendered: tuple[Document, ...] = ()
    """What `gpu-slice render` prints for the fleet."""
    namespace: str = "gpu-slice"
    """Where gpu-slice is installed."""
    single: Mapping[Address, Document | str | None] = field(default_factory=dict)
    """Objects that were asked for by name; a string says why one could not be read."""
    served: Fleet | str | None = None
    """The fleet of the cluster, or what is wrong with it, a line each; None if there is none."""
    probe: Probe | str | None = None
    leaf: Leaf | str | None = None
    refused: tuple[str, ...] = ()
    """What the user may not do that an installation needs."""
    patience: timedelta = timedelta(minutes=10)
    """How long a node may take to join."""

    @property
    def fleet(self) -> Fleet:
        """The fleet that the cluster is held against."""
        if self.given is None:
            raise CannotLook(NO_FLEET)
        return self.given

    @property
    def now(self) -> datetime:
        return self.snapshot.when

    def all(self, kind: Kind[T]) -> tuple[T, ...]:
        """All objects of *kind*."""
        listing = self.snapshot.of(kind)
        if listing.problem:
            raise CannotLook(listing.problem)
        return listing.items

    def named(self, kind: Kind[dict[str, Any]], name: str) -> Document | None:
        """An object that has no namespace."""
        self.all(kind)
        return self.snapshot.named(kind, name)

    def one(self, kind: Kind[Any], name: str, namespace: str | None = None) -> Document | None:
        """An object that was asked for by name."""
        found = self.single.get((kind.name, namespace or self.namespace, name))
        if isinstance(found, str):
            raise CannotLook(found)
        return found

    @property
    def karpenter_pools(self) -> list[Pool]:
        """The pools whose nodes Karpenter launches, also by NodePools that somebody else wrote."""
        return [pool for pool in self.fleet.pools if pool.entry.nodes == "karpenter" or pool.entry.node_pools]

    def made(self, kind: str) -> Iterator[Document]:
        """What is rendered of a kind of object."""
        if self.given is None:
            raise CannotLook(NO_FLEET)
        return (document for document in self.rendered if document["kind"] == kind)
