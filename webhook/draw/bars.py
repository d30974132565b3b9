"""Bars: one panel a question, one bar a candidate, such as the benchmark's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webhook.draw.svg import WIDTH, Drawing, element, text

NAMES = 164
"""Where the bars begin."""
VALUES = 62
"""Room behind the longest bar."""
BAR, GAP = 18, 8


def draw(title: str, panels: Mapping[str, Sequence[tuple[str, float]]], marked: str) -> str:
    """An SVG of bars, the largest of each panel as wide as there is room; *marked* is the candidate that stands out.

    *panels* have values above zero by candidate.  The values are written beside the bars, and in the description.
    """
    told = " ".join(
        f"{panel}: {', '.join(f'{name} {value:,.0f}' for name, value in bars)}." for panel, bars in panels.items()
    )
    drawing = Drawing(title, told)
    for panel, bars in panels.items():
        drawing.y += 6
        drawing.write(panel)
        drawing.y += 6
        longest = max(value for _, value in bars)
        for name, value in bars:
            width = value / longest * (WIDTH - NAMES - VALUES)
            kind, weight = ("bar marked", "strong") if name == marked else ("bar", "")
            base = drawing.y + BAR / 2 + 5
            drawing.add(
                text(name, NAMES - 10, base, weight, "end"),
                element("rect", class_=kind, x=NAMES, y=drawing.y, width=width, height=BAR, rx=2),
                text(f"{value:,.0f}", NAMES + width + 8, base, weight),
            )
            drawing.y += BAR + GAP
    return drawing.svg()
