"""More reviews at once than a replica can answer: P33."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from bench.pods import review
from tests.soak.caller import SIZES, Caller, Figures, together
from tests.soak.replicas import Replica, Replicas


def overload(
    folder: Path,
    tls: Path,
    *,
    workers: int,
    seconds: float,
    callers: int = 3,
    sizes: tuple[int, ...] = SIZES,
) -> tuple[Figures, Figures]:
    """What becomes of *workers* reviews at once for one replica, of *callers* with an address each, for so many
    *seconds*; and then of an ordinary load, from one of them."""
    with ExitStack() as stack:
        sources = [f"127.0.0.{10 + number}" for number in range(callers)]
        api_servers = [stack.enter_context(Caller(folder, source=source, sizes=sizes)) for source in sources]
        after = stack.enter_context(Caller(folder, source="127.0.0.9"))
        deployment = stack.enter_context(Replicas([*api_servers, after], tls))
        replica = deployment.start()
        resident = [replica.resident()]
        loads = [each.load(workers=workers // callers, seconds=seconds) for each in api_servers]
        while not all(each.done() for each in loads):
            resident.append(replica.resident())
            time.sleep(0.1)  # between two samples
        figures = together([each.result() for each in loads])
        begun = time.time()
        ordinary = after.load(workers=20, rate=200, seconds=3).result(timeout=30)
        ordinary["recovered"] = max((loss["at"] - begun for loss in ordinary["losses"]), default=0.0)
        figures |= {"resident before": resident[0], "resident": max(resident), "resident after": replica.resident()}
        figures |= {"refused": sheds(replica), "bytes": len(review(max(sizes)))}
    return figures, ordinary


def sheds(replica: Replica) -> dict[str, int]:
    """What the replica says that it turned away, by reason."""
    found = {}
    for line in replica.get("/metrics")[1].splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(("gpu_slice_refused", "gpu_slice_shed")) and float(value) and "_created" not in name:
            found[name.removeprefix("gpu_slice_")] = int(float(value))
    return found
