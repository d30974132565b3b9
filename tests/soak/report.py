"""What a scenario found, as a row of a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

BEGIN, END = "<!-- soak -->", "<!-- end -->"
"""Between these the table stands in ``docs/reliability.md``."""

HEAD = (
    "| scenario | what | reviews | lost | handshakes failed | besides |",
    "| --- | --- | ---: | ---: | ---: | --- |",
)


@dataclass(frozen=True)
class Row:
    """One thing that was done, and what became of it."""

    what: str
    reviews: int
    lost: int
    handshakes_failed: int | None
    besides: str
    good: bool
    """Whether it is as promised."""

    def __str__(self) -> str:
        handshakes = "" if self.handshakes_failed is None else f"{self.handshakes_failed:,}"
        return f"| {self.what} | {self.reviews:,} | {self.lost:,} | {handshakes} | {self.besides} |"


def failed(figures: dict) -> int:
    """Handshakes that failed."""
    return sum(figures["handshakeErrors"].values())


def row(what: str, figures: dict, besides: str, *, good: bool | None = None) -> Row:
    """The row of a load; good is who lost nothing, if nothing else is said."""
    bad = failed(figures)
    if figures["lost"]:
        besides = f"{besides}; lost by {causes(figures)}"
    return Row(
        what, figures["sent"], figures["lost"], bad, besides, not figures["lost"] and not bad if good is None else good
    )


def causes(figures: dict) -> str:
    """What ended the reviews that were lost, the most frequent first: Go's words, without who said them to whom."""
    kinds: Counter[str] = Counter()
    for error, count in figures["errors"].items():
        kinds[error.rpartition(": ")[2].partition(" (")[0]] += count
    return ", ".join(f"{count:,} × {kind}" for kind, count in kinds.most_common())


def latency(figures: dict) -> str:
    """The percentiles."""
    found = figures["latency"]
    return f"p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms, longest {found['max']:.0f} ms"
