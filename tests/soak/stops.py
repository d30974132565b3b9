"""Replicas that stop gracefully under load, some at once: P29, P30."""

from __future__ import annotations

import random
import statistics
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from tests.soak.caller import Caller, Figures, together
from tests.soak.replicas import LONGEST, Plain, Replica, Replicas
from tests.waiting import wait_for

LAG = (0.5, 1.0)
"""Seconds from SIGTERM until the replica is no endpoint any more."""

SETTLE = 2.0
"""Seconds that replicas stay at least: longer than the lag, as the 30 of ``manifests/`` are longer than a real one."""

BURST = 25
"""Reviews that begin at once: as many as an API server's pool keeps idle connections."""

MOST_LEAVING = 40
"""Replicas that drain at once: one in twenty waits 90 s for a connection that idles in a caller's pool."""


def stops(
    folder: Path,
    tls: Path,
    *,
    count: int,
    at_once: int = 3,
    replicas: int = 6,
    callers: int = 2,
    rate: float = 1000,
    settle: float = SETTLE,
    patience: float = LONGEST,
    kind: type[Replica] = Replica,
    pool: str = "service",
) -> Figures:
    """Stop *count* replicas, *at_once* at a time, and start as many others, under *rate* reviews a second.

    The load ends when all have gone, or the last had *patience* seconds for it; who is still there is told to hurry.
    """
    options = () if kind is Plain else ("--settle", str(settle))
    with ExitStack() as stack:
        api_servers = [stack.enter_context(Caller(folder, pool=pool)) for _ in range(callers)]
        ends = stack.enter_context(ThreadPoolExecutor(MOST_LEAVING))
        deployment = stack.enter_context(Replicas(api_servers, tls, *options, kind=kind))
        deployment.start(replicas)
        loads = [each.load(workers=4 * BURST, rate=rate / callers, burst=BURST) for each in api_servers]
        for each in api_servers:
            wait_for("the load has begun", lambda each=each: each.answered() > rate / 10)

        def stop(_: int) -> tuple[Replica, Future[tuple[int, float]]]:
            leaving = deployment.stop(random.uniform(*LAG))
            return leaving, ends.submit(deployment.end, leaving)

        with ThreadPoolExecutor(at_once) as threads:
            leaving = dict(threads.map(stop, range(count)))
        waiting = wait(leaving.values(), timeout=patience).not_done
        for each in api_servers:
            each.halt()
        figures = together([each.result(timeout=60) for each in loads])
        for replica, end in leaving.items():
            if end in waiting and not end.done():
                replica.hurry()
        ended = [each.result() for each in leaving.values()]
    return figures | {
        "stops": count,
        "exits": sorted({code for code, _ in ended}),
        "drained": statistics.median(seconds for _, seconds in ended),
        "longest": max(seconds for _, seconds in ended),
    }
