"""What was read of a cluster at one moment, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from webhook.cluster.objects import Kind

T = TypeVar("T")

TRUSTED = frozenset(("kube-system", "karpenter", "gpu-operator", "nvidia-device-plugin"))
"""Namespaces where only administrators write.  In any other a tenant makes objects look as he likes."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """All objects of one kind, as far as they may be read."""

    items: tuple[T, ...] = ()
    problem: str = ""
    """Why some or all are missing, as a sentence's end: ``you may not list nodes``.  Empty: `items` is all there is."""
    namespace: str | None = None
    """Only objects of this namespace were read, because of `problem`."""
    installed: bool = True
    """False: the API server does not know the kind, so there are none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster at one moment."""

    when: datetime
    version: str = ""
    """Kubernetes' version, such as ``v1.36.3``; empty if it could not be read."""
    listings: Mapping[Kind[Any], Listing[Any]] = field(default_factory=dict)
    trusted: frozenset[str] = TRUSTED
    """`TRUSTED`, gpu-slice's own namespace, and those that the user names."""

    def of(self, kind: Kind[T]) -> Listing[T]:
        """The objects of *kind*.  Raises `KeyError` if they were not asked for."""
        return self.listings[kind]

    def items(self, kind: Kind[T]) -> tuple[T, ...]:
        """The objects of *kind* that could be read."""
        return self.of(kind).items

    def named(self, kind: Kind[dict[str, Any]], name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """One object of a kind that is kept whole, or None."""
        for item in self.items(kind):
            metadata = item["metadata"]
            if metadata["name"] == name and namespace in (None, metadata.get("namespace")):
                return item
        return None
