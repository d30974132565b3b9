"""Why no pod can fill the free slices of a node."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal

from webhook.cluster.objects import Node
from webhook.cluster.requests import ZERO, Amounts, amounts
from webhook.fleet.file import TAINT_KEY
from webhook.fleet.pool import Pool

ALL = Decimal("Infinity")
LEAST = (Decimal("0.001"), Decimal(1))
"""CPU and memory that a pod is taken to need of a kind that no pod has yet: next to nothing."""


class Needs:
    """The CPU and memory that pods ask for beside their slices: of each kind, the pairs that no other one undercuts."""

    def __init__(self) -> None:
        self._asked: dict[str, set[tuple[Decimal, Decimal]]] = {}
        self._least: dict[str, list[tuple[Decimal, Decimal]]] = {}

    def note(self, resource: str, requests: Mapping[str, Decimal]) -> None:
        """A pod that asks for *resource*, and for *requests* in all."""
        self._asked.setdefault(resource, set()).add((requests.get("cpu", ZERO), requests.get("memory", ZERO)))

    def fit(self, resource: str, cpu: Decimal, memory: Decimal) -> bool:
        """Whether any pod asks for *resource* and not for more than *cpu* and *memory*."""
        if resource not in self._least:
            least: list[tuple[Decimal, Decimal]] = []
            for pair in sorted(self._asked.get(resource) or {LEAST}):
                if not least or pair[1] < least[-1][1]:
                    least.append(pair)
            self._least[resource] = least
        least = self._least[resource]
        place = bisect_right(least, cpu, key=lambda pair: pair[0])
        return place > 0 and least[place - 1][1] <= memory


def why_unusable(node: Node, pool: Pool | None, resource: str, pods: int, taken: Amounts, needs: Needs | None) -> str:
    """Why no pod can fill free slices of *resource*, as what one says of the node; empty if nothing is known.

    *pods* run there and have *taken* CPU and memory.  *needs* is None where not all pods could be seen.
    """
    if node.metadata.deletion_timestamp is not None:
        return "is being removed"
    if not any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions):
        return "is not ready"
    if node.spec.unschedulable:
        return "is cordoned"
    # What gpu-slice writes into a pod tolerates these.  Of nodes in no pool nobody knows what their pods tolerate.
    tolerated = {TAINT_KEY, resource, *(taint.key for taint in pool.taints)} if pool is not None else None
    for taint in node.spec.taints:
        own = tolerated is None and not taint.key.startswith(("node.kubernetes.io/", "karpenter.sh/"))
        if taint.effect != "PreferNoSchedule" and not own and taint.key not in (tolerated or ()):
            return f"has the taint {taint.key}"
    room = amounts(node.status.allocatable)
    if pods >= room.get("pods", ALL):
        return "runs as many pods as it may"
    cpu, memory = (room.get(name, ALL) - taken.get(name, ZERO) for name in ("cpu", "memory"))
    if needs is None or needs.fit(resource, cpu, memory):
        return ""
    short = [
        name
        for name, fits in (("CPU", needs.fit(resource, cpu, ALL)), ("memory", needs.fit(resource, ALL, memory)))
        if not fits
    ]
    return f"has too little {' and '.join(short or ('CPU', 'memory'))} left"
