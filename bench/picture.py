"""The picture of the first table: one panel a pod, one bar a server, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 760
NAMES = 190
"""Where the bars begin."""
VALUES = 80
"""Room behind the longest bar."""
BAR, GAP, PANEL = 20, 8, 44
"""Heights: of a bar, between two, and of a panel's title."""

STYLE = """
text { font: 14px -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.panel { font-weight: 600 }
.bar { fill: #8c959f }
.marked { fill: #0a7d4f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .marked { fill: #3fb97f }
}
"""


def draw(title: str, panels: Mapping[str, Sequence[tuple[str, float]]], marked: str) -> str:
    """An SVG of bars, the largest of each panel as wide as there is room; *marked* is the server that stands out.

    *panels* have values above zero by server.  The values are written beside the bars, and in the description.
    """
    lines: list[str] = []
    told: list[str] = []
    top = 8
    for name, bars in panels.items():
        most = max(value for _, value in bars)
        lines.append(f'<text class="panel" x="0" y="{top + 20}">{escape(name)}</text>')
        told.append(f"{name}: {', '.join(f'{server} {value:,.0f}' for server, value in bars)}.")
        top += PANEL - GAP
        for server, value in bars:
            width = value / most * (WIDTH - NAMES - VALUES)
            kind = "bar marked" if server == marked else "bar"
            middle = top + BAR / 2 + 5
            lines += [
                f'<text x="{NAMES - 10}" y="{middle:g}" text-anchor="end">{escape(server)}</text>',
                f'<rect class="{kind}" x="{NAMES}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>',
                f'<text x="{NAMES + width + 8:.1f}" y="{middle:g}">{value:,.0f}</text>',
            ]
            top += BAR + GAP
        top += GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
            'role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(" ".join(told))}</desc>',
            f"<style>{STYLE}</style>",
            *lines,
            "</svg>",
            "",
        ]
    )
