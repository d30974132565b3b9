"""What a companion is: documents for a cluster, with comments for whoever reads them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.documents import write_commented
from webhook.fleet.pool import Pool

Manifest = dict[str, Any]
Path = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Commented:
    """One document, and comments by the path of the key that they stand above; () is the top."""

    manifest: Manifest
    notes: Mapping[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return write_commented(self.manifest, self.notes)


def write(documents: Iterable[Commented]) -> str:
    """All of them as one YAML file."""
    return "---\n".join(map(str, documents))


def labels(component: str) -> dict[str, str]:
    """What every object of ours is labelled with."""
    return {"app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/component": component}


def made_by_karpenter(pools: Iterable[Pool]) -> list[Pool]:
    """The pools whose nodes Karpenter launches."""
    return [pool for pool in pools if pool.entry.nodes == "karpenter"]
