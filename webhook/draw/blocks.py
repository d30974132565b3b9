"""How many slices of a node are used, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.draw.node import Use

UNICODE, ASCII = ("█", "░"), ("#", ".")
"""A slice that is used, and one that is free: they differ in shape, also without colour."""


def draw(uses: Sequence[Use], *, width: int = 56, ascii_only: bool = False) -> Iterator[str]:
    """One line a kind of slice, such as ``1g.5gb  ████░░░  4 of 7 used``, and a line that says what they mean.

    A block is one slice where all slices fit into *width*.  Otherwise it is a part of them, and at least one block is
    filled if any slice is used, at least one is empty if any is free.  Names are not made safe for a terminal here.
    """
    full, empty = ASCII if ascii_only else UNICODE
    names = max((len(use.name) for use in uses), default=0)
    most = max((use.total for use in uses), default=0)
    scale = min(1, width / max(most, 1))
    for use in uses:
        length = max(round(use.total * scale), min(use.total, 2))
        filled = round(length * use.used / max(use.total, 1))
        filled = min(max(filled, use.used > 0), length - (use.used < use.total))
        bar = full * filled + empty * (length - filled)
        yield f"{use.name:<{names}}  {bar:<{min(most, width)}}  {use.used} of {use.capacity} used"
    if uses:
        size = "one slice" if scale == 1 else "several slices"
        yield f"{full} used, {empty} free, {size} each; on which GPU they are is not known"
