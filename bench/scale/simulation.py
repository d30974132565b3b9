"""Replicas as queues: reviews come, each takes the same processor time, and one replica decides one after the other.

No clock is looked at and the same numbers come each time, so what two cores cannot send is simulated here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from bench.report import percentile

TIMEOUT = 2.0
"""Seconds that the API server waits."""
SEATS = 200
"""Reviews that one API server may have in flight: its default for requests that change something."""


@dataclass(frozen=True)
class Case:
    """Reviews that come, and who answers them."""

    name: str
    replicas: int
    cores: float
    """That each replica has."""
    rate: float
    """Reviews a second."""
    burst: int
    """Reviews that come at the same moment."""
    count: int
    seats: int
    """Reviews in flight at once, at most: those above wait in the API servers, which costs them no time-out."""


CASES = (
    Case("1,000 a second, evenly", 3, 1, 1_000, 1, 30_000, 3 * SEATS),
    Case("1,000 a second, in groups of 500", 3, 1, 1_000, 500, 30_000, 3 * SEATS),
    Case("the same, one replica of three left", 1, 1, 1_000, 500, 30_000, 3 * SEATS),
    Case("the same, three with a tenth of a core each", 3, 0.1, 1_000, 500, 30_000, 3 * SEATS),
    Case("a zone is lost: 50,000 at once, three API servers", 2, 1, 0, 50_000, 50_000, 3 * SEATS),
    Case("the same, five API servers", 2, 1, 0, 50_000, 50_000, 5 * SEATS),
    Case("the same, one replica with half a core", 1, 0.5, 0, 50_000, 50_000, 5 * SEATS),
)


def run(cost: float) -> list[dict[str, Any]]:
    """All cases, with reviews of *cost* seconds each."""
    return [asdict(case) | simulate(case, cost) for case in CASES]


def simulate(case: Case, cost: float) -> dict[str, Any]:
    """How long reviews wait for their answer from when they are sent."""
    random, service = Random(1), cost / case.cores
    free = [0.0] * case.replicas
    under_way: list[float] = []
    waits = []
    for arrival in _arrivals(case, random):
        sent = arrival
        if len(under_way) == case.seats:
            sent = max(arrival, heapq.heappop(under_way))
        replica = random.randrange(case.replicas)
        free[replica] = max(free[replica], sent) + service
        heapq.heappush(under_way, free[replica])
        waits.append(free[replica] - sent)
    last = max(free)
    return {
        "p99Milliseconds": round(percentile(waits, 0.99) * 1000, 1),
        "longestMilliseconds": round(max(waits) * 1000, 1),
        "tooLate": sum(wait > TIMEOUT for wait in waits),
        "seconds": round(last, 1),
        "busy": round(case.count * service / case.replicas / last, 2),
    }


def _arrivals(case: Case, random: Random) -> Iterator[float]:
    """Groups at random moments."""
    now = 0.0
    for number in range(case.count):
        if number % case.burst == 0 and case.rate:
            now += random.expovariate(case.rate / case.burst)
        yield now
