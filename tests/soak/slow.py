"""Slow clients beside an ordinary caller: P17."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.soak.caller import Caller, Figures, together
from tests.soak.replicas import Replica, Replicas
from tests.soak.slow_clients import KINDS

RATE = 100
"""Reviews a second: five times the pods that Kubernetes promises to start in one."""


@contextmanager
def slow_clients(replica: Replica, tls: Path, count: int, kinds: Sequence[str], found: list[dict]) -> Iterator[None]:
    """*count* of them, of all *kinds*, from another address; what they met is added to *found*."""
    # As nice as can be: they are to take connections, and not the processor.
    command = ["nice", "-n", "19", sys.executable, "-m", "tests.soak.slow_clients", str(replica.port)]
    command += [str(tls / "ca.crt"), "127.0.0.2", str(count), *kinds]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        found.append(json.loads(process.stdout.readline()))


def slow(
    folder: Path,
    tls: Path,
    *,
    rounds: int,
    seconds: float,
    count: int = 500,
    kinds: Sequence[str] = tuple(KINDS),
    rate: float = RATE,
) -> Figures:
    """*rounds* without slow clients and with *count* of them, of so many *seconds* each, in turns."""
    with Caller(folder, source="127.0.0.1") as caller, Replicas([caller], tls) as deployment:
        replica = deployment.start()

        def ordinary(seconds: float) -> Figures:
            return caller.load(workers=50, rate=rate, seconds=seconds).result(timeout=seconds + 30)

        ordinary(1)  # the first of a process are another matter
        met: list[dict] = []
        alone, beside = [], []
        for _ in range(rounds):
            alone.append(ordinary(seconds))
            with slow_clients(replica, tls, count, kinds, met):
                beside.append(ordinary(seconds))

    def p99(figures: Figures) -> float:
        return figures["latency"]["p99"]

    return {
        "sent": sum(each["sent"] for each in alone + beside),
        "lost": sum(each["lost"] for each in alone + beside),
        "errors": together([{"errors": each["errors"]} for each in alone + beside])["errors"],
        "handshakeErrors": {},
        "p99 alone": statistics.median(map(p99, alone)),
        "p99 beside": statistics.median(map(p99, beside)),
        "ratio": statistics.median(p99(b) / p99(a) for a, b in zip(alone, beside, strict=True)),
        "cut": {kind: sum(each[kind]["cut"] for each in met) for kind in met[0]},
        "seconds": {kind: max(each[kind]["seconds"] for each in met) for kind in met[0]},
    }
