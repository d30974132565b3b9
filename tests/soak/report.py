"""What a scenario found, as a row of a table."""

from __future__ import annotations

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
    return Row(
        what, figures["sent"], figures["lost"], bad, besides, not figures["lost"] and not bad if good is None else good
    )


def latency(figures: dict) -> str:
    """The percentiles."""
    found = figures["latency"]
    return f"p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms, longest {found['max']:.0f} ms"
