"""Packs pods onto nodes at the least cost, and proves how good that is.

It is a problem of bin packing with several resources, kinds of nodes and alternatives.  An integer program that counts
slices, and not which pod is on which node, gives a bound.  Pods of one slice always meet it.  For the others a first
fit is tried with the nodes of that program, and then `webhook.fit.patterns`.  What is still not proved has a gap.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webhook.fit.patterns import by_patterns
from webhook.fit.problem import Bin, Item, Pattern, Problem, times
from webhook.fit.solver import Program, Solution

ALLOWANCE = 30.0
"""Seconds of the solver for one packing.  After that, the gap remains."""

TIDYING = 2.0
"""Seconds in which fewer kinds of nodes are searched for."""


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
    problem = Problem(bins, items, limits or {}, ALLOWANCE)
    _solve(problem)
    total, nodes, left = problem.best
    unplaced = problem.unplaced * sum(left)
    cost, bound = total - unplaced, max(problem.bound - unplaced, 0)
    return Packing(tuple(nodes), tuple(left), cost * problem.unit, bound * problem.unit)


def _solve(problem: Problem) -> None:
    """Each step is taken only if those before it did not prove the best."""
    nodes, left = _count(problem)
    if nodes and all(item.single for item in problem.items):
        problem.offer(nodes, left)
    if problem.done:
        return
    patterns = _first_fit(problem, None)
    if nodes:
        patterns += _first_fit(problem, nodes)
    if problem.done:
        return

    def rest(items: Sequence[Item], limits: Mapping[str, int], allowance: float) -> tuple[list[int], list[int]]:
        inner = Problem(problem.bins, items, limits, allowance)
        _solve(inner)
        return inner.best[1:]

    by_patterns(problem, patterns, rest)


def _count(problem: Problem) -> tuple[list[int], list[int]]:
    """The nodes if only slices are counted, and the pods that are left; both empty if none are found.

    Raises the bound.
    """
    program = Program()
    nodes = [program.variable(cost) for cost in problem.costs]
    rooms: dict[tuple[int, object], dict[int, float]] = defaultdict(dict)
    unplaced = []
    for item, most in zip(problem.items, problem.most, strict=True):
        placed = {}
        for place in sorted({problem.bins[b].place for b in most}):
            flow = placed[place] = program.variable(most=item.count, integer=not item.single)
            if not item.single:
                fitting = {nodes[b]: -float(most[b]) for b in problem.by_place[place] if b in most}
                program.row({flow: 1, **fitting}, most=0)
            for key, count in item.need.items():
                rooms[place, key][flow] = count
        always = bool(placed) and not problem.limits
        slack = program.variable(problem.unplaced, integer=False, most=0 if always else item.count)
        unplaced.append(slack)
        program.row({**dict.fromkeys(placed.values(), 1.0), slack: 1}, least=item.count, most=item.count)
    for (place, key), factors in rooms.items():
        for b in problem.by_place[place]:
            if room := problem.bins[b].capacity.get(key):
                factors[nodes[b]] = -room
        program.row(factors, most=0)
    problem.limit(program, [(node, b) for b, node in enumerate(nodes)])
    solution = problem.solve(program)
    problem.raise_bound(solution.bound)
    if not solution.values:
        return [], []
    solution = _with_few_kinds(problem, program, nodes, solution)
    return [solution.whole(n) for n in nodes], [math.ceil(solution.values[u] - 1e-6) for u in unplaced]


def _with_few_kinds(problem: Problem, program: Program, nodes: Sequence[int], solution: Solution) -> Solution:
    """A solution that is as good, with as few kinds of nodes as are soon found: nobody wants ten pools of one node."""
    if sum(solution.whole(n) > 0 for n in nodes) < 2:
        return solution
    cost = round(solution.cost)
    program.row({v: c for v, c in enumerate(program.costs) if c}, most=cost + 1e-4)
    program.costs = [0.0] * len(program.costs)
    for b, n in enumerate(nodes):
        used = program.variable(1 + b / len(nodes) / 1000, most=1)
        program.row({n: 1, used: -float(cost // max(problem.costs[b], 1))}, most=0)
    fewer = problem.solve(program, TIDYING)
    return fewer if fewer.values else solution


def _first_fit(problem: Problem, nodes: Sequence[int] | None) -> list[Pattern]:
    """Fill one node after the other, the largest pods first, with the best kind of node.  The patterns of the nodes.

    *nodes*: how many of each bin are filled before any other.
    """
    sizes = [_size(problem, k) for k in range(len(problem.items))]
    order = sorted(range(len(sizes)), key=lambda k: (-sizes[k], k))
    left = [item.count for item in problem.items]
    used = [0] * len(problem.bins)
    units = dict(problem.limits)
    patterns: list[Pattern] = []
    while any(left):
        best: tuple[float, int, dict[int, int]] | None = None
        for b, each in enumerate(problem.bins):
            full = nodes is not None and used[b] >= nodes[b]
            if full or units.get(each.pool, each.units) < each.units:
                continue
            pattern = _fill(problem, b, order, left)
            worth = sum(sizes[k] * n for k, n in pattern.items()) / problem.costs[b] if pattern else 0.0
            if pattern and (best is None or worth > best[0] + 1e-9):
                best = worth, b, pattern
        if best is None and nodes is not None:
            nodes = None  # what they have no room for takes more
            continue
        if best is None:
            break
        _, b, pattern = best
        number = min(left[k] // n for k, n in pattern.items())
        if nodes is not None:
            number = min(number, nodes[b] - used[b])
        pool, unit = problem.bins[b].pool, problem.bins[b].units
        if pool in units:
            number = min(number, units[pool] // unit)
            units[pool] -= number * unit
        used[b] += number
        for k, n in pattern.items():
            left[k] -= number * n
        patterns.append((b, pattern))
    problem.offer(used, left)
    return patterns


def _size(problem: Problem, k: int) -> float:
    """The smallest part of a node's cost that one pod of item *k* takes."""
    need = problem.items[k].need.items()
    return min(
        (problem.costs[b] * max(n / problem.bins[b].capacity[key] for key, n in need) for b in problem.most[k]),
        default=0.0,
    )


def _fill(problem: Problem, b: int, order: Sequence[int], left: Sequence[int]) -> dict[int, int]:
    """The pods of one node of bin *b*, by item."""
    room = dict(problem.bins[b].capacity)
    pattern = {}
    for k in order:
        if left[k] and b in problem.most[k] and (n := min(left[k], times(problem.items[k].need, room))):
            pattern[k] = n
            for key, count in problem.items[k].need.items():
                room[key] -= n * count
    return pattern
