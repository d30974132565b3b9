"""What a cluster's slices are used for, as values: by pool, node, slice and pod, and what is free or waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from webhook.cluster.kinds import WHOLE, Slice
from webhook.cluster.requests import left

NO_POOL = ""
"""The name of the pool of nodes that are in none."""


@dataclass(frozen=True, slots=True)
class Held:
    """A pod, and how many slices of one kind it holds or waits for."""

    namespace: str
    pod: str
    count: int


@dataclass(frozen=True, slots=True)
class Apart:
    """A pod that is not counted."""

    namespace: str
    pod: str
    why: str
    """As in ``is bound to node a, which does not exist``."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Some slices, counted in three ways."""

    slices: int = 0
    compute: int = 0
    """Compute slices, of those that are MIG slices."""
    memory_mib: int = 0
    """Of those whose memory is known."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.slices + other.slices, self.compute + other.compute, self.memory_mib + other.memory_mib)


def amount(kind: Slice, count: int) -> Amount:
    """*count* slices of *kind*."""
    return Amount(count, count * kind.compute, count * (kind.memory_mib or 0))


@dataclass(frozen=True, slots=True)
class SliceUse:
    """One kind of slice on one node."""

    kind: Slice
    count: int
    """How many the node has."""
    pods: tuple[Held, ...]
    unusable: str
    """Why no pod can fill those that are free, as in ``is cordoned``; empty if one can."""

    @property
    def held(self) -> int:
        """How many pods hold: more than there are, if the node has lost some."""
        return sum(pod.count for pod in self.pods)

    @property
    def free(self) -> int:
        return left(self.count, self.held)

    @property
    def used(self) -> Amount:
        return amount(self.kind, self.held)

    @property
    def total(self) -> Amount:
        return amount(self.kind, self.count)


@dataclass(frozen=True, slots=True)
class NodeUse:
    """One node with GPUs."""

    name: str
    instance_type: str
    price: float | None
    """Dollars an hour."""
    slices: tuple[SliceUse, ...]

    @property
    def used(self) -> Amount:
        return total(use.used for use in self.slices)

    @property
    def total(self) -> Amount:
        return total(use.total for use in self.slices)

    @property
    def free(self) -> int:
        return sum(use.free for use in self.slices)

    @property
    def free_cost(self) -> float | None:
        """What its free slices cost an hour: their part of its price, by compute slices.  All of it if it has none."""
        if self.price is None:
            return None
        weight = sum(use.count * use.kind.weight for use in self.slices)
        return self.price * (sum(use.free * use.kind.weight for use in self.slices) / weight if weight else 1)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The nodes of one pool, or those of none."""

    name: str
    nodes: tuple[NodeUse, ...]
    retired: bool = False
    """Whether no new pod gets slices of it."""

    @property
    def used(self) -> Amount:
        return total(node.used for node in self.nodes)

    @property
    def total(self) -> Amount:
        return total(node.total for node in self.nodes)

    @property
    def free(self) -> int:
        return sum(node.free for node in self.nodes)

    @property
    def free_cost(self) -> float | None:
        """Of the nodes whose price is known."""
        return sum_of(node.free_cost for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The pods that wait for one kind of slice."""

    slice: str
    resource: str
    pools: tuple[str, ...]
    """Those that may serve them."""
    free: int
    """Slices of this kind that are free there and that a pod could fill."""
    longest: timedelta
    """How long the first of them has waited."""
    pods: tuple[Held, ...]

    @property
    def count(self) -> int:
        return sum(pod.count for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Stranded:
    """Free slices that are of no use now."""

    pool: str
    slice: str
    count: int
    nodes: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The slices of a cluster."""

    pools: tuple[PoolUse, ...]
    waiting: tuple[Waiting, ...]
    stranded: tuple[Stranded, ...]
    nodes_seen: bool
    """If not, nobody knows how many slices there are."""
    pods_seen: bool
    """Whether all pods were seen.  If not, more slices may be used."""
    problems: tuple[str, ...] = ()
    """What could not be looked at."""
    apart: tuple[Apart, ...] = ()
    """Pods whose numbers would make those of all others useless."""

    @property
    def whole_gpus(self) -> int:
        """How many of the slices are whole GPUs, on nodes that are in no pool."""
        uses = (use for pool in self.pools for node in pool.nodes for use in node.slices)
        return sum(use.count for use in uses if use.kind.name == WHOLE)

    @property
    def complete(self) -> bool:
        """Whether it is known what is free."""
        return self.nodes_seen and self.pods_seen

    @property
    def used(self) -> Amount:
        return total(pool.used for pool in self.pools)

    @property
    def total(self) -> Amount:
        return total(pool.total for pool in self.pools)

    @property
    def free(self) -> int:
        return sum(pool.free for pool in self.pools)

    @property
    def free_cost(self) -> float | None:
        """Of the nodes whose price is known."""
        return sum_of(pool.free_cost for pool in self.pools)


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum."""
    return sum(amounts, Amount())


def sum_of(costs: Iterable[float | None]) -> float | None:
    """The sum of the costs that are known; None if none is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None
