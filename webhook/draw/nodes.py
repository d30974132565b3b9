"""How many slices of each node of a cluster are used, by pool."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from webhook.draw.node import KINDS, Use, add
from webhook.draw.svg import Drawing

MOST = 120
"""Nodes that are drawn.  Those of a pool that are not are added up."""

SQUARES = 1_500
"""Most slices that are drawn one by one."""


class Node(NamedTuple):
    """A node with slices."""

    name: str
    uses: Sequence[Use]


class Pool(NamedTuple):
    """The nodes of a pool."""

    name: str
    nodes: Sequence[Node]


def draw(pools: Sequence[Pool]) -> str:
    """The slices of all nodes as an SVG.  Each pool has its share of the `MOST` nodes that are drawn one by one; the
    others are one line, and so are more pools than that."""
    count = sum(len(pool.nodes) for pool in pools)
    told = "; ".join(f"{pool.name}: {', '.join(map(str, _sum(pool.nodes)))}" for pool in islice(pools, MOST))
    title = f"Slices of {count:,} node{'' if count == 1 else 's'}"
    drawing = Drawing(title, f"{told or 'There are none'}. On which GPU they are is not known.")
    drawing.write("Filled: used. Empty: free. On which GPU they are is not known.")
    most = MOST if count <= MOST else max(MOST // len(pools), 1)
    drawn = [use.total for pool in pools[:MOST] for node in pool.nodes[:most] for use in node.uses]
    single = count <= MOST and sum(drawn) <= SQUARES
    for pool in pools[:MOST]:
        shown = pool.nodes[:most]
        drawing.y += 12
        drawing.write(pool.name, "title", 16)
        for node in shown:
            _add(drawing, node, single)
        if rest := pool.nodes[len(shown) :]:
            _add(drawing, Node(f"… and {len(rest):,} more node{'' if len(rest) == 1 else 's'}", _sum(rest)), False)
    if len(pools) > MOST:
        drawing.write(f"… and {len(pools) - MOST} more pools.")
    return drawing.svg()


def _add(drawing: Drawing, node: Node, single: bool) -> None:
    drawing.y += 6
    drawing.write(node.name, "strong", 14)
    add(drawing, node.uses, single=single)
    drawing.y += 4


def _sum(nodes: Sequence[Node]) -> list[Use]:
    """The slices of several nodes, of each kind together."""
    sums: dict[str, tuple[int, int]] = {}
    for node in nodes:
        for use in node.uses:
            used, capacity = sums.get(use.name, (0, 0))
            sums[use.name] = (used + use.used, capacity + use.capacity)
    return [Use(name, used, capacity) for name, (used, capacity) in islice(sums.items(), KINDS)]
