"""Packs pods by patterns, which say what is on one node.

A linear program says how often each pattern is used, and its prices lead to better patterns, each found by an integer
program (P. C. Gilmore and R. E. Gomory, 1961).  Where there are none, its cost is a bound that is seldom missed by more
than one node.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from webhook.fit.problem import Item, Pattern, Problem
from webhook.fit.solver import Program, Solution

ROUNDS = 300
"""Searches for better patterns."""

MOST_NODES = 40
"""Nodes up to which a packing is searched node by node, if all else left a gap."""

Pack = Callable[[Sequence[Item], Mapping[str, int], float], tuple[Sequence[int], Sequence[int]]]
"""Packs other items, within limits and an allowance: the nodes, and the pods that are left."""


def by_patterns(problem: Problem, patterns: list[Pattern], pack: Pack) -> None:
    """Put patterns of single nodes together, beginning with *patterns*, and search for better ones."""
    seen = {(b, *sorted(pattern.items())) for b, pattern in patterns}
    solution = None
    for _ in range(ROUNDS):
        solution, prices, dearer = _combine(problem, patterns, integer=False)
        excess = 0.0
        better = []
        for place in problem.by_place:
            pattern, gain = _best_pattern(problem, place, prices, dearer)
            excess = max(excess, gain)
            if pattern is not None and (key := (pattern[0], *sorted(pattern[1].items()))) not in seen:
                seen.add(key)
                better.append(pattern)
        # The prices divided by 1 + excess allow no pattern to be better (A. A. Farley, 1990).
        problem.raise_bound(solution.cost / (1 + excess))
        patterns += better
        if problem.done or not better or problem.allowance <= 0:
            break
    if not problem.done:
        _combine(problem, patterns, integer=True)
    if not problem.done and solution is not None and solution.values and problem.allowance > 0:
        _round(problem, patterns, solution.values, pack)
    if not problem.done and problem.allowance > 0:
        _node_by_node(problem)


def _combine(
    problem: Problem, patterns: Sequence[Pattern], *, integer: bool
) -> tuple[Solution, list[float], dict[str, float]]:
    """How often each pattern is used; what one more pod of each item costs, and one more unit of each limit."""
    program = Program()
    used = [program.variable(problem.costs[b], integer=integer) for b, _ in patterns]
    rows: list[dict[int, float]] = [{} for _ in problem.items]
    for variable, (_, pattern) in zip(used, patterns, strict=True):
        for k, n in pattern.items():
            rows[k][variable] = n
    slacks = [program.variable(problem.unplaced, integer=integer) for _ in problem.items]
    for row, slack, item in zip(rows, slacks, problem.items, strict=True):
        program.row({**row, slack: 1}, least=item.count)
    pools = problem.limit(program, [(variable, b) for variable, (b, _) in zip(used, patterns, strict=True)])
    solution = problem.solve(program)
    if integer and solution.values:
        nodes = [0] * len(problem.bins)
        for variable, (b, _) in zip(used, patterns, strict=True):
            nodes[b] += solution.whole(variable)
        problem.offer(nodes, [solution.whole(slack) for slack in slacks])
    count = len(problem.items)
    dearer = dict(zip(pools, solution.prices[count:], strict=False))
    return solution, list(solution.prices[:count]), dearer


def _best_pattern(
    problem: Problem, place: int, prices: Sequence[float], dearer: Mapping[str, float]
) -> tuple[Pattern | None, float]:
    """The pods of a node of *place* that are worth most at *prices*; and by which part more than the node costs."""
    program = Program()
    kinds = {}
    for b in problem.by_place[place]:
        each = problem.bins[b]
        kinds[b] = program.variable(problem.costs[b] - each.units * dearer.get(each.pool, 0.0), most=1)
    program.row(dict.fromkeys(kinds.values(), 1.0), most=1)
    rooms: dict[object, dict[int, float]] = defaultdict(dict)
    pods = {}
    for k, item in enumerate(problem.items):
        most = max((problem.most[k].get(b, 0) for b in kinds), default=0)
        if prices[k] > 1e-9 and most:
            pods[k] = program.variable(-prices[k], most=min(most, item.count))
            for key, count in item.need.items():
                rooms[key][pods[k]] = count
    for key, factors in rooms.items():
        for b, variable in kinds.items():
            if room := problem.bins[b].capacity.get(key):
                factors[variable] = -room
        program.row(factors, most=0)
    if not pods:
        return None, 0.0
    solution = problem.solve(program, 3.0)
    excess = max(0.0, -solution.bound / min(problem.costs[b] for b in kinds))
    if not solution.values or solution.cost > -1e-7:
        return None, excess
    b = next(b for b, variable in kinds.items() if solution.whole(variable))
    return (b, {k: n for k, variable in pods.items() if (n := solution.whole(variable))}), excess


def _round(problem: Problem, patterns: Sequence[Pattern], used: Sequence[float], pack: Pack) -> None:
    """Use the patterns as often as the linear program does, rounded down, and pack the rest as a new problem."""
    whole = [math.floor(value + 1e-6) for value, _ in zip(used, patterns, strict=False)]
    if not any(whole):
        whole[max(range(len(whole)), key=lambda i: (used[i], -i))] = 1
    nodes, left = [0] * len(problem.bins), [item.count for item in problem.items]
    limits = dict(problem.limits)
    for (b, pattern), n in zip(patterns, whole, strict=False):
        nodes[b] += n
        if problem.bins[b].pool in limits:
            limits[problem.bins[b].pool] -= n * problem.bins[b].units
        for k, pods in pattern.items():
            left[k] = max(0, left[k] - n * pods)
    if min(limits.values(), default=0) >= 0:
        items = [replace(item, count=count) for item, count in zip(problem.items, left, strict=True)]
        more, unplaced = pack(items, limits, problem.allowance / 2)
        problem.offer([n + m for n, m in zip(nodes, more, strict=True)], unplaced)


def _node_by_node(problem: Problem) -> None:
    """Search for a packing of a few nodes that is better than the best, with variables for each node."""
    useful = sorted({b for each in problem.most for b in each})
    most = problem.best[0] // min((problem.costs[b] for b in useful), default=1)
    counts = {b: min(most, problem.best[0] // problem.costs[b]) for b in useful}
    if sum(counts.values()) > MOST_NODES:
        return
    slots = [(b, number) for b, count in counts.items() for number in range(count)]
    program = Program()
    nodes = {slot: program.variable(problem.costs[slot[0]], most=1) for slot in slots}
    placed: list[dict[int, float]] = [{} for _ in problem.items]
    for (b, number), node in nodes.items():
        rooms: dict[object, dict[int, float]] = defaultdict(lambda node=node: {node: 0.0})  # type: ignore[misc]
        for k, item in enumerate(problem.items):
            if fitting := problem.most[k].get(b):
                pods = program.variable(most=min(fitting, item.count))
                placed[k][pods] = 1
                for key, count in item.need.items():
                    rooms[key] |= {pods: count, node: -problem.bins[b].capacity[key]}
        for factors in rooms.values():
            program.row(factors, most=0)
        if number:
            program.row({nodes[b, number - 1]: -1, node: 1}, most=0)  # the first of a kind are used first
    slacks = [program.variable(problem.unplaced) for _ in problem.items]
    for k, item in enumerate(problem.items):
        program.row({**placed[k], slacks[k]: 1}, least=item.count)
    problem.limit(program, [(node, b) for (b, _), node in nodes.items()])
    solution = problem.solve(program)
    problem.raise_bound(min(solution.bound, problem.best[0]))
    if solution.values:
        used = [sum(solution.whole(node) for (other, _), node in nodes.items() if other == b) for b in
                range(len(problem.bins))]  # fmt: skip
        problem.offer(used, [solution.whole(slack) for slack in slacks])
