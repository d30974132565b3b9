"""What each namespace uses of a cluster's slices."""

from __future__ import annotations

from dataclasses import dataclass

from webhook.cluster.kinds import Slice
from webhook.cluster.usage import Amount, Held, Usage, amount, total


@dataclass(frozen=True, slots=True)
class NamespaceUse:
    """What pods of one namespace hold, and how many slices they wait for."""

    name: str
    slices: tuple[tuple[Slice, tuple[Held, ...]], ...]
    waiting: int

    @property
    def used(self) -> Amount:
        return total(amount_of(kind, pods) for kind, pods in self.slices)


def amount_of(kind: Slice, pods: tuple[Held, ...]) -> Amount:
    """What *pods* hold of *kind*."""
    return amount(kind, sum(pod.count for pod in pods))


def by_namespace(usage: Usage) -> tuple[NamespaceUse, ...]:
    """Every namespace with pods that hold slices or wait for them, by name."""
    held: dict[str, dict[Slice, list[Held]]] = {}
    waiting: dict[str, int] = {}
    for use in (use for pool in usage.pools for node in pool.nodes for use in node.slices):
        for pod in use.pods:
            held.setdefault(pod.namespace, {}).setdefault(use.kind, []).append(pod)
    for pod in (pod for queue in usage.waiting for pod in queue.pods):
        waiting[pod.namespace] = waiting.get(pod.namespace, 0) + pod.count
    return tuple(
        NamespaceUse(
            name,
            tuple((kind, tuple(sorted(pods, key=lambda pod: pod.pod))) for kind, pods in held.get(name, {}).items()),
            waiting.get(name, 0),
        )
        for name in sorted(held.keys() | waiting.keys())
    )
