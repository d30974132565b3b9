"""Packs pods onto nodes at the least cost, and proves how good that is.

It is a problem of bin packing with several resources, kinds of nodes and alternatives.  An integer program that counts
slices, and not which pod is on which node, gives a bound.  Pods of one slice always meet it.  For the others a first
fit is tried with the nodes of that program, and then the patterns of single nodes are put together, each found by an
integer program of its own (P. C. Gilmore and R. E. Gomory, 1961), which gives a second bound.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from webhook.cluster.solver import SECONDS, Program, Solution

ALLOWANCE = 30.0
"""Seconds of the solver for one packing.  After that, the gap remains."""

ROUNDS = 300
"""Searches for better patterns."""

_UNPLACED = 1000
"""What a pod that is not placed costs, in times of the dearest node: every pod that can be is placed first."""

Need: TypeAlias = Mapping[Any, int]
"""Slices by kind."""


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


@dataclass(frozen=True, slots=True)
class Packing:
    """How many nodes, and how good that is."""

    nodes: tuple[int, ...]
    """By bin."""
    left: tuple[int, ...]
    """Pods without a node, by item."""
    cost: int
    """Of the nodes."""
    bound: int
    """No packing that leaves so few pods costs less."""

    @property
    def exact(self) -> bool:
        """Whether it is proved that nothing is better."""
        return self.bound >= self.cost


def pack(bins: Sequence[Bin], items: Sequence[Item], limits: Mapping[str, int] | None = None) -> Packing:
    """The best packing that is found of *items* into *bins*.  *limits*: most units by pool, where there is a limit."""
    return _Packer(bins, items, limits or {}).run()


class _Packer:
    """One problem, and the best that is known of it."""

    def __init__(
        self, bins: Sequence[Bin], items: Sequence[Item], limits: Mapping[str, int], allowance: float = ALLOWANCE
    ) -> None:
        self.bins, self.items, self.limits = bins, items, limits
        self.unit = math.gcd(*(each.cost for each in bins)) or 1
        self.costs = [each.cost // self.unit for each in bins]
        self.unplaced = _UNPLACED * max(self.costs, default=1)
        self.by_place: dict[int, list[int]] = defaultdict(list)
        for index, each in enumerate(bins):
            self.by_place[each.place].append(index)
        self.most = [{b: _times(items[k].need, bins[b].capacity) for b in self.allowed(k)} for k in range(len(items))]
        self.sizes = [self._size(k) for k in range(len(items))]
        self.order = sorted(range(len(items)), key=lambda k: (-self.sizes[k], k))
        self.allowance = allowance
        self.bound = 0
        self.best: tuple[int, list[int], list[int]] = (
            self.unplaced * sum(item.count for item in items) + 1,
            [0] * len(bins),
            [item.count for item in items],
        )

    def allowed(self, k: int) -> list[int]:
        """The bins on which pods of item *k* may be."""
        return [b for place in sorted(self.items[k].places) for b in self.by_place.get(place, ())]

    def _size(self, k: int) -> float:
        """The smallest part of a node's cost that one pod takes."""
        need = self.items[k].need
        return min(
            (
                self.costs[b] * max(count / self.bins[b].capacity[key] for key, count in need.items())
                for b, most in self.most[k].items()
                if most
            ),
            default=0.0,
        )

    def run(self) -> Packing:
        """Each step is taken only if the one before it did not prove the best."""
        nodes, flows = self._count()
        if nodes is not None and self.single:
            self._offer(nodes, flows)
        if not self.done:
            greedy = self._first_fit(None)
            if nodes is not None:
                self._first_fit(nodes)
            if not self.done:
                self._patterns(greedy)
        total, best, left = self.best
        unplaced = self.unplaced * sum(left)
        return Packing(
            tuple(best), tuple(left), (total - unplaced) * self.unit, max(self.bound - unplaced, 0) * self.unit
        )

    @property
    def single(self) -> bool:
        """Whether every pod has one slice, so that counting decides."""
        return all(sum(item.need.values()) == 1 for item in self.items)

    @property
    def done(self) -> bool:
        return self.bound >= self.best[0]

    def _solve(self, program: Program, seconds: float = SECONDS) -> Solution:
        solution = program.solve(min(seconds, self.allowance))
        self.allowance -= solution.seconds
        return solution

    def _raise(self, bound: float) -> None:
        """All costs are whole, so the next whole number is a bound too."""
        if math.isfinite(bound):
            self.bound = max(self.bound, math.ceil(bound - 1e-5 - abs(bound) * 1e-9))

    def _offer(self, nodes: Sequence[int], left: Sequence[int]) -> None:
        """Keep a packing if it is better than the best."""
        total = sum(n * cost for n, cost in zip(nodes, self.costs, strict=True)) + self.unplaced * sum(left)
        if total < self.best[0]:
            self.best = total, list(nodes), list(left)

    def _limit(self, program: Program, of_bin: Mapping[int, int] | Sequence[tuple[int, int]]) -> list[str]:
        """Add a row for each limit; *of_bin*: pairs of a variable and its bin.  The pools, in the order of the rows."""
        pairs = list(of_bin.items()) if isinstance(of_bin, Mapping) else of_bin
        rows: dict[str, dict[int, float]] = defaultdict(dict)
        for variable, b in pairs:
            if self.bins[b].pool in self.limits:
                rows[self.bins[b].pool][variable] = self.bins[b].units
        for pool, factors in rows.items():
            program.row(factors, most=self.limits[pool])
        return list(rows)

    def _count(self) -> tuple[list[int] | None, list[int]]:
        """The nodes if only slices are counted, and the pods that are left; raises the bound."""
        program = Program()
        nodes = [program.variable(cost) for cost in self.costs]
        rooms: dict[tuple[int, Hashable], dict[int, float]] = defaultdict(dict)
        unplaced = []
        for k, item in enumerate(self.items):
            placed = {}
            for place in sorted(item.places):
                fitting = {nodes[b]: -float(self.most[k][b]) for b in self.by_place.get(place, ()) if self.most[k][b]}
                if not fitting:
                    continue
                flow = placed[place] = program.variable(most=item.count, integer=sum(item.need.values()) > 1)
                if sum(item.need.values()) > 1:
                    program.row({flow: 1, **fitting}, most=0)
                for key, count in item.need.items():
                    rooms[place, key][flow] = count
            slack = program.variable(self.unplaced, integer=False, most=0 if placed and not self.limits else item.count)
            unplaced.append(slack)
            program.row({**dict.fromkeys(placed.values(), 1.0), slack: 1}, least=item.count, most=item.count)
        for (place, key), factors in rooms.items():
            for b in self.by_place[place]:
                if room := self.bins[b].capacity.get(key):
                    factors[nodes[b]] = -room
            program.row(factors, most=0)
        self._limit(program, dict(zip(nodes, range(len(nodes)), strict=True)))
        solution = self._solve(program)
        self._raise(solution.bound)
        if not solution.values:
            return None, []
        solution = self._with_few_pools(program, nodes, solution)
        return [solution.whole(n) for n in nodes], [math.ceil(solution.values[u] - 1e-6) for u in unplaced]

    def _with_few_pools(self, program: Program, nodes: Sequence[int], solution: Solution) -> Solution:
        """As good a solution with nodes of as few kinds as can be found soon: nobody wants ten pools of one node."""
        if sum(solution.whole(n) > 0 for n in nodes) < 2:
            return solution
        cost = round(solution.cost)
        most = sum(item.count for item in self.items)
        program.row({v: c for v, c in enumerate(program.costs) if c}, most=cost + 1e-4)
        program.costs = [0.0] * len(program.costs)
        for b, n in enumerate(nodes):
            used = program.variable(1 + 1e-3 * b / len(nodes), most=1)
            program.row({n: 1, used: -float(min(most, cost // max(self.costs[b], 1)))}, most=0)
        fewer = self._solve(program, 2.0)
        return fewer if fewer.values else solution

    def _first_fit(self, nodes: Sequence[int] | None) -> list[tuple[int, dict[int, int]]]:
        """Fill one node after the other, the largest pods first, with the best kind of node.  Its patterns.

        *nodes*: the most of each bin; None if there is no such limit.
        """
        left = [item.count for item in self.items]
        used = [0] * len(self.bins)
        units = dict(self.limits)
        patterns: list[tuple[int, dict[int, int]]] = []
        while any(left):
            best: tuple[float, int, dict[int, int]] | None = None
            for b, each in enumerate(self.bins):
                if (nodes is not None and used[b] >= nodes[b]) or units.get(each.pool, each.units) < each.units:
                    continue
                pattern = self._fill(b, left)
                worth = sum(self.sizes[k] * n for k, n in pattern.items()) / self.costs[b] if pattern else 0.0
                if pattern and (best is None or worth > best[0] + 1e-9):
                    best = worth, b, pattern
            if best is None:
                break
            _, b, pattern = best
            times = min(left[k] // n for k, n in pattern.items())
            if nodes is not None:
                times = min(times, nodes[b] - used[b])
            pool, unit = self.bins[b].pool, self.bins[b].units
            if pool in units:
                times = min(times, units[pool] // unit)
                units[pool] -= times * unit
            used[b] += times
            for k, n in pattern.items():
                left[k] -= times * n
            patterns.append((b, pattern))
        self._offer(used, left)
        return patterns

    def _fill(self, b: int, left: Sequence[int]) -> dict[int, int]:
        """The pods of one node of bin *b*, by item."""
        room = dict(self.bins[b].capacity)
        pattern = {}
        for k in self.order:
            if not left[k] or not self.most[k].get(b):
                continue
            need = self.items[k].need
            if n := min(left[k], _times(need, room)):
                pattern[k] = n
                for key, count in need.items():
                    room[key] -= n * count
        return pattern

    def _patterns(self, patterns: list[tuple[int, dict[int, int]]]) -> None:
        """Put patterns of single nodes together, and search for better ones until there are none."""
        seen = {(b, *sorted(pattern.items())) for b, pattern in patterns}
        solution = None
        for _ in range(ROUNDS):
            solution, prices, dearer = self._combine(patterns, integer=False)
            excess = 0.0
            better = []
            for place in self.by_place:
                pattern, gain = self._best_pattern(place, prices, dearer)
                excess = max(excess, gain)
                if pattern is not None and (key := (pattern[0], *sorted(pattern[1].items()))) not in seen:
                    seen.add(key)
                    better.append(pattern)
            # The prices divided by 1 + excess allow no pattern to be better (A. A. Farley, 1990).
            self._raise(solution.cost / (1 + excess) if math.isfinite(solution.cost) else 0)
            patterns += better
            if self.done or not better or self.allowance <= 0:
                break
        if not self.done:
            self._combine(patterns, integer=True)
        if not self.done and solution is not None and solution.values and self.allowance > 0:
            self._round(patterns, solution.values)

    def _round(self, patterns: Sequence[tuple[int, dict[int, int]]], times: Sequence[float]) -> None:
        """Use the patterns as often as the linear program does, rounded down, and pack the rest as a new problem."""
        whole = [math.floor(value + 1e-6) for value, _ in zip(times, patterns, strict=False)]
        if not any(whole):
            whole[max(range(len(whole)), key=lambda i: (times[i], -i))] = 1
        nodes, left, limits = [0] * len(self.bins), [item.count for item in self.items], dict(self.limits)
        for (b, pattern), n in zip(patterns, whole, strict=True):
            nodes[b] += n
            if self.bins[b].pool in limits:
                limits[self.bins[b].pool] -= n * self.bins[b].units
            for k, pods in pattern.items():
                left[k] = max(0, left[k] - n * pods)
        if any(count < 0 for count in limits.values()):
            return
        items = [replace(item, count=count) for item, count in zip(self.items, left, strict=True)]
        rest = _Packer(self.bins, items, limits, self.allowance / 2).run()
        self._offer([n + more for n, more in zip(nodes, rest.nodes, strict=True)], rest.left)

    def _combine(
        self, patterns: Sequence[tuple[int, dict[int, int]]], *, integer: bool
    ) -> tuple[Solution, list[float], dict[str, float]]:
        """How often each pattern is used; what one more pod of each item costs, and one more unit of each limit."""
        program = Program()
        times = [program.variable(self.costs[b], integer=integer) for b, _ in patterns]
        rows: list[dict[int, float]] = [{} for _ in self.items]
        for variable, (_, pattern) in zip(times, patterns, strict=True):
            for k, n in pattern.items():
                rows[k][variable] = n
        slacks = [program.variable(self.unplaced, integer=integer) for _ in self.items]
        for row, slack, item in zip(rows, slacks, self.items, strict=True):
            program.row({**row, slack: 1}, least=item.count)
        pools = self._limit(program, [(variable, b) for variable, (b, _) in zip(times, patterns, strict=True)])
        solution = self._solve(program)
        if integer and solution.values:
            nodes = [0] * len(self.bins)
            for variable, (b, _) in zip(times, patterns, strict=True):
                nodes[b] += solution.whole(variable)
            self._offer(nodes, [solution.whole(slack) for slack in slacks])
        count = len(self.items)
        dearer = dict(zip(pools, solution.prices[count:], strict=False))
        return solution, list(solution.prices[:count]), dearer

    def _best_pattern(
        self, place: int, prices: Sequence[float], dearer: Mapping[str, float]
    ) -> tuple[tuple[int, dict[int, int]] | None, float]:
        """The filling of a node of *place* that is worth most at *prices*; and by which part more than it costs."""
        program = Program()
        kinds = {}
        for b in self.by_place[place]:
            each = self.bins[b]
            kinds[b] = program.variable(self.costs[b] - each.units * dearer.get(each.pool, 0.0), most=1)
        program.row(dict.fromkeys(kinds.values(), 1.0), most=1)
        rooms: dict[Hashable, dict[int, float]] = defaultdict(dict)
        pods = {}
        for k, item in enumerate(self.items):
            most = max((self.most[k].get(b, 0) for b in kinds), default=0)
            if place in item.places and prices[k] > 1e-9 and most:
                pods[k] = program.variable(-prices[k], most=min(most, item.count))
                for key, count in item.need.items():
                    rooms[key][pods[k]] = count
        for key, factors in rooms.items():
            for b, variable in kinds.items():
                if room := self.bins[b].capacity.get(key):
                    factors[variable] = -room
            program.row(factors, most=0)
        if not pods:
            return None, 0.0
        solution = self._solve(program, 3.0)
        excess = max(0.0, -solution.bound / min(self.costs[b] for b in kinds))
        if not solution.values or solution.cost > -1e-7:
            return None, excess
        b = next(b for b, variable in kinds.items() if solution.whole(variable))
        return (b, {k: n for k, variable in pods.items() if (n := solution.whole(variable))}), excess


def _times(need: Need, room: Need) -> int:
    """How many times *room* has *need*."""
    return min(room.get(key, 0) // count for key, count in need.items())
