"""How many slices of a node are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webhook.draw.svg import WIDTH, Drawing, Markup, box, group

CELL, COLUMNS = 17, 28
MOST = 448
"""Most slices that are drawn one by one; if a node has more, bars show the part that is used."""
KINDS = 24
"""Most kinds of slice; a fleet's pool has fewer."""


class Use(NamedTuple):
    """One kind of slice on a node."""

    name: str
    """As people ask for it, such as ``1g.5gb``, or its resource."""
    used: int
    """Slices that pods have; more than there are if a GPU failed under them."""
    capacity: int

    @property
    def total(self) -> int:
        """Slices that are used or free."""
        return max(self.used, self.capacity)

    def __str__(self) -> str:
        free = max(self.capacity - self.used, 0)
        return f"{self.name}: {self.used} of {self.capacity} used, {free} free"


def draw(name: str, uses: Sequence[Use]) -> str:
    """The slices of node *name* as an SVG: one square a slice, the used ones filled.

    A cluster says how many slices of a kind are used and not which, so the squares stand for numbers, not for places.
    """
    told = "; ".join(map(str, uses[:KINDS])) or "it has no slices"
    drawing = Drawing(f"Slices of node {name}", f"{told}. On which GPU they are is not known.")
    drawing.write("Filled: used. Empty: free. On which GPU they are is not known.")
    drawing.y += 4
    add(drawing, uses, single=sum(use.total for use in uses) <= MOST)
    return drawing.svg()


def add(drawing: Drawing, uses: Sequence[Use], *, single: bool) -> None:
    """Draw *uses* below what is there: a square a slice if *single*, else a bar."""
    for use in uses[:KINDS]:
        drawing.y += 4
        drawing.write(str(use))
        drawing.y += 4
        drawing.add(group(str(use), *(_squares(use, drawing.y) if single else _bar(use, drawing.y))))
        drawing.y += -(-use.total // COLUMNS) * CELL if single else CELL
    if len(uses) > KINDS:
        drawing.write(f"… and {len(uses) - KINDS} more kinds.")
    elif not uses:
        drawing.write("It has no slices.")


def _squares(use: Use, y: float) -> Iterator[Markup]:
    for number in range(use.total):
        row, column = divmod(number, COLUMNS)
        kind = "marked" if number < use.used else "free"
        yield box(kind, column * CELL + 1, y + row * CELL, CELL - 4, CELL - 4)


def _bar(use: Use, y: float) -> Iterator[Markup]:
    yield box("free", 1, y, WIDTH - 2, CELL - 4)
    if use.used:
        yield box("marked", 1, y, max(1.0, (WIDTH - 2) * use.used / use.total), CELL - 4)
