"""Medians, Markdown tables, and the page that they go into."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """The middle of *values*."""
    return statistics.median(values)


def ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of those that were measured in one round."""
    return statistics.median(mine / other for mine, other in zip(ours, others, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* of all *values* do not exceed."""
    return sorted(values)[int(share * (len(values) - 1))]


def render(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first stand on the right."""
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *rows))


def replace(page: str, name: str, content: str) -> str:
    """*page* with *content* between its markers ``<!-- name -->`` and ``<!-- end name -->``.

    Raises ValueError where it does not have both.
    """
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end {name} -->"
    head, opened, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"the page has no place for '{name}'")
    return f"{head}{begin}{content}{end}{tail}"
