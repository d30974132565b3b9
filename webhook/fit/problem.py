"""One problem of packing pods onto nodes, and the best that is known of it: a packing, and a bound."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from webhook.fit.solver import SECONDS, Program, Solution

_UNPLACED = 1000
"""What a pod that is not placed costs, in times of the dearest node: every pod that can be is placed first."""

Need: TypeAlias = Mapping[Any, int]
"""Slices by kind."""

Pattern: TypeAlias = tuple[int, dict[int, int]]
"""A bin, and the pods of one such node by item."""


@dataclass(frozen=True, slots=True)
class Bin:
    """A kind of node."""

    place: int
    """What decides which pods may be on it.  Several layouts may have one place."""
    pool: str
    capacity: Need
    cost: int
    units: int = 1
    """What one node takes of the pool's limit."""


@dataclass(frozen=True, slots=True)
class Item:
    """Pods that are alike."""

    need: Need
    """Of one pod: all of it on one node."""
    count: int
    places: frozenset[int]

    @property
    def single(self) -> bool:
        """Whether a pod has one slice, so that it matters only how many of them there are."""
        return sum(self.need.values()) == 1


class Problem:
    """*items* into *bins*.  Costs are divided by their greatest common divisor, and so are those of `best`."""

    def __init__(self, bins: Sequence[Bin], items: Sequence[Item], limits: Mapping[str, int], allowance: float) -> None:
        self.bins, self.items, self.limits = bins, items, limits
        self.allowance = allowance
        """Seconds of the solver that are left."""
        self.by_place: dict[int, list[int]] = defaultdict(list)
        for index, each in enumerate(bins):
            self.by_place[each.place].append(index)
        self.most = [
            {
                b: most
                for place in sorted(item.places)
                for b in self.by_place.get(place, ())
                if (most := times(item.need, bins[b].capacity))
            }
            for item in items
        ]
        """By item: the most pods on one node, by bin."""
        useful = {b for each in self.most for b in each}
        self.unit = math.gcd(*(bins[b].cost for b in useful)) or 1
        self.costs = [each.cost // self.unit if b in useful else each.cost for b, each in enumerate(bins)]
        self.unplaced = _UNPLACED * max((self.costs[b] for b in useful), default=1)
        self.bound = 0
        pods = [item.count for item in items]
        self.best: tuple[int, list[int], list[int]] = (self.unplaced * sum(pods) + 1, [0] * len(bins), pods)
        """Cost with that of pods that are not placed, nodes by bin, and pods that are not placed, by item."""

    @property
    def done(self) -> bool:
        """Whether the best is proved to be the best of all."""
        return self.bound >= self.best[0]

    def solve(self, program: Program, seconds: float = SECONDS) -> Solution:
        """The solution of *program*, at the expense of the allowance."""
        solution = program.solve(min(seconds, self.allowance))
        self.allowance -= solution.seconds
        return solution

    def raise_bound(self, bound: float) -> None:
        """Remember that nothing costs less than *bound*.  All costs are whole, so the next whole number is one, too."""
        if math.isfinite(bound):
            self.bound = max(self.bound, math.ceil(bound - 1e-5 - abs(bound) * 1e-9))

    def offer(self, nodes: Sequence[int], left: Sequence[int]) -> None:
        """Remember a packing if it is better than the best."""
        total = sum(n * cost for n, cost in zip(nodes, self.costs, strict=True)) + self.unplaced * sum(left)
        if total < self.best[0]:
            self.best = total, list(nodes), list(left)

    def limit(self, program: Program, variables: Iterable[tuple[int, int]]) -> list[str]:
        """Add a row for each limit, over pairs of a variable and its bin.  The pools, in the order of the rows."""
        rows: dict[str, dict[int, float]] = defaultdict(dict)
        for variable, b in variables:
            if self.bins[b].pool in self.limits:
                rows[self.bins[b].pool][variable] = self.bins[b].units
        for pool, factors in rows.items():
            program.row(factors, most=self.limits[pool])
        return list(rows)


def times(need: Need, room: Need) -> int:
    """How many times *room* has *need*."""
    return min(room.get(key, 0) // count for key, count in need.items())
