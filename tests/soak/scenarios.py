"""The scenarios at full length, and short: what ``python -m tests.soak`` runs."""

from __future__ import annotations

import random
import signal
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.cluster import programs
from tests.soak.attacks import attacked
from tests.soak.caller import SIZES, TIMEOUT, Figures, together
from tests.soak.fuzz import fuzz
from tests.soak.kill import LAG, kill
from tests.soak.overload import overload
from tests.soak.race import Silence, race
from tests.soak.replicas import LONGEST, Plain
from tests.soak.report import Row, failed, latency, row
from tests.soak.rotations import api_server, rotations
from tests.soak.slow import slow
from tests.soak.stops import stops

MOST_RESIDENT = 256
"""MiB: the limit in ``manifests/webhook/deployment.yaml``."""


def of_stops(folder: Path, tls: Path, short: bool) -> list[Row]:
    """Graceful stops."""
    plain = stops(folder, tls, count=10 if short else 50, at_once=2, kind=Plain)
    rows = [
        row(
            f"{plain['stops']} stops of uvicorn as it comes",
            plain,
            f"{plain['lost'] / plain['stops']:.1f} lost a stop",
            good=plain["lost"] > 0,
        )
    ]
    for pool, version, count in (("service", "up to 1.36", 1000), ("endpoint", "from 1.37", 100)):
        how = {"count": 20, "patience": 5.0} if short else {"count": count, "patience": LONGEST}
        found = stops(folder, tls, pool=pool, **how)
        rows.append(
            row(
                f"{found['stops']:,} graceful stops at {found['rate']:,.0f} reviews/s, pooled as {version}",
                found,
                f"{latency(found)}; gone after {found['drained']:.1f} s, at most {found['longest']:.0f} s",
                good=not found["lost"] and not failed(found) and found["exits"] == [0],
            )
        )
    return rows


def of_race(folder: Path, tls: Path, short: bool) -> list[Row]:
    """The keep-alive race."""
    silences = [Silence(100, 1, 0.003, 8), Silence(100, 4, 0.01, 2)]
    if not short:
        silences = [
            Silence(50, 1, 0.003, 450),
            Silence(100, 2, 0.003, 225),
            Silence(100, 5, 0.01, 90),
            Silence(100, 60, 1, 7),
            Silence(400, 90, 2, 5),
        ]
    (control,) = race(folder, tls, [Silence(100, 1, 0.003, 8)], kind=Plain, options=("1",), replicas=1)
    rows = [_raced("uvicorn that hangs up after 1 s, reviews after 1 s ± 3 ms", control, good=control[0]["lost"] > 0)]
    for silence, found in zip(silences, race(folder, tls, silences, callers=1 if short else 2), strict=True):
        rows.append(_raced(f"reviews after {silence.idle:g} s ± {1000 * silence.spread:g} ms of silence", found))
    return rows


def _raced(what: str, found: list[Figures], *, good: bool | None = None) -> Row:
    figures = together(found)
    return row(what, figures, f"{figures['reused']:,} of them on a connection that was there", good=good)


def of_rotations(folder: Path, tls: Path, short: bool) -> list[Row]:
    """Certificates."""
    early = rotations(folder / "early", leaves=20, authorities=2, informed=False)
    rows = [_rotated("callers that are not told of a new CA", early, good=failed(early) > 0)]
    many = {"leaves": 20, "authorities": 2} if short else {"leaves": 1000, "authorities": 100}
    with ExitStack() as stack:
        try:
            place, where = stack.enter_context(api_server(folder / "cluster")), "on a real API server"
        except programs.BuildError:
            place, where = None, "in memory"
        found = rotations(folder / "patient", place=place, **many)
    rows.append(_rotated(f"stored {where}, everybody as late as they may be", found))
    return rows


def _rotated(what: str, found: Figures, *, good: bool | None = None) -> Row:
    return row(
        f"{found['leaves']:,} leaf and {found['authorities']:,} CA rotations, {what}",
        found,
        f"{found['handshakes']:,} handshakes; two keepers, killed {found['deaths']:,} times, {found['conflicts']:,} "
        f"conflicts; {latency(found)}",
        good=good,
    )


def of_kill(folder: Path, tls: Path, short: bool) -> list[Row]:
    """One of three, without a farewell."""
    rows = []
    for what, number in (("processes killed", signal.SIGKILL), ("nodes gone", signal.SIGSTOP)):
        found, figures = kill(folder, tls, count=3 if short else 20, number=number)
        under_way = [each["under way"] for each in found]
        longest = max(each["seconds"] for each in found)
        rows.append(
            row(
                f"{len(found)} {what}, one of three each time, an endpoint for {LAG:g} s more",
                figures,
                f"lost each time: {statistics.mean(under_way):.1f} under way on it, at most {max(under_way)}, and "
                f"{statistics.mean(each['on their way'] for each in found):.1f} at its door; over in {longest:.1f} s",
                good=all(is_bounded(each) for each in found),
            )
        )
    return rows


def is_bounded(found: Figures) -> bool:
    """Whether nobody was lost who was neither under way on the one that ended, nor sent to it since."""
    return found["under way"] <= found["connections"] and not found["elsewhere"] and not found["late"]


def of_overload(folder: Path, tls: Path, short: bool) -> list[Row]:
    """More than one replica can do."""
    rows = []
    for workers, callers, sizes in ((600, 1, SIZES), (1800, 3, SIZES), (120, 3, (2000,))):
        found, ordinary = overload(
            folder, tls, workers=workers, callers=callers, sizes=sizes, seconds=5 if short else 30
        )
        told = ", ".join(f"{count:,} × {status}" for status, count in sorted(found["statuses"].items()))
        rows.append(
            row(
                f"{workers:,} at once, of {callers}, on one replica"
                + (f", {found['bytes'] // 1000} kB each" if max(sizes) > 100 else ""),
                found,
                f"{found['rate']:,.0f} answered/s ({told}), {latency(found)}; {found['resident']:.0f} MiB at most; "
                f"an ordinary load right after it: {ordinary['lost']} lost, the last {ordinary['recovered']:.1f} s "
                f"later, {latency(ordinary)}",
                good=ordinary["recovered"] <= TIMEOUT + 1 and found["resident"] < MOST_RESIDENT,
            )
        )
    return rows


def of_slow(folder: Path, tls: Path, short: bool) -> list[Row]:
    """Slow clients."""
    how = {"rounds": 2, "seconds": 12} if short else {"rounds": 7, "seconds": 15}
    rows = []
    for what, kinds in (("silent", {"kinds": ["silent"]}), ("slow", {})):
        found = slow(folder, tls, **how, **kinds)
        cut = ", ".join(f"{kind} after {found['seconds'][kind]:.1f} s" for kind, count in found["cut"].items() if count)
        rows.append(
            row(
                f"500 {what} clients beside 100 reviews/s",
                found,
                f"p99 {found['p99 alone']:.1f} ms without them, {found['p99 beside']:.1f} ms with them, ratio "
                f"{found['ratio']:.2f}" + (f"; cut at the latest: {cut}" if cut else ""),
            )
        )
    return rows


def of_attack(kind: str, what: str) -> Callable[[Path, Path, bool], list[Row]]:
    """Attackers of one *kind* beside an ordinary caller."""

    def scenario(folder: Path, tls: Path, short: bool) -> list[Row]:
        found = attacked(folder, tls, kind, seconds=5 if short else 60)
        done = ", ".join(f"{count:,} {name}" for name, count in found["done"].items())
        return [
            row(
                f"{what}, beside 100 reviews/s",
                found,
                f"p50 {found['alone']['p50']:.1f} ms, p99 {found['alone']['p99']:.1f} ms without them, "
                f"p50 {found['beside']['p50']:.1f} ms, p99 {found['beside']['p99']:.1f} ms with them; "
                f"{found['resident']:.0f} MiB; they did: {done}",
                good=not found["lost"] and found["resident"] < MOST_RESIDENT,
            )
        ]

    return scenario


def of_fuzz(folder: Path, tls: Path, short: bool) -> list[Row]:
    """Bent reviews."""
    count = 10_000 if short else 2_000_000
    found = fuzz(count, seed=random.randrange(2**32))
    told = ", ".join(f"{number:,} × {outcome}" for outcome, number in sorted(found.items()))
    return [Row(f"{count:,} reviews that were bent on their way", count, 0, None, f"{told}; no 5xx", True)]


SCENARIOS: dict[str, Callable[[Path, Path, bool], list[Row]]] = {
    "stops": of_stops,
    "race": of_race,
    "rotations": of_rotations,
    "kill": of_kill,
    "overload": of_overload,
    "slow": of_slow,
    "costly pods": of_attack("costly pods", "4 connections that send pods which are hard to decide about"),
    "costly handshakes": of_attack("costly handshakes", "64 connections that only begin handshakes"),
    "held bodies through a slow network": of_attack(
        "held bodies", "12 bodies of 7 MB that come slowly; all others through a slow network"
    ),
    "two greedy addresses": of_attack(
        "greedy addresses", "2,800 connections from two addresses on which nothing is said"
    ),
    "fuzz": of_fuzz,
}
