"""Replicas that end without a farewell, one of three: P32."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.soak.caller import TIMEOUT, Caller, Figures
from tests.soak.replicas import Replicas
from tests.waiting import wait_for

BURST = 50
"""Reviews that begin at once, so that some are likely to be under way."""

LAG = 1.0
"""Seconds until the endpoints are told."""


def kill(
    folder: Path, tls: Path, *, count: int, rate: float = 600, number: int = signal.SIGKILL
) -> tuple[list[Figures], Figures]:
    """Of each of *count* ends, by the signal *number*: who was lost, how, and for how long.  And the whole load.

    SIGKILL is a process that dies; SIGSTOP a node that is gone, so that nobody even hangs up.
    """
    with Caller(folder) as caller, Replicas([caller], tls) as deployment:
        deployment.start(3)
        load = caller.load(workers=200, rate=rate, burst=BURST)
        found = []
        for _ in range(count):
            answered = caller.answered()
            wait_for("all is well", lambda answered=answered: caller.answered() > answered + rate)
            before = caller.stats()["open"]
            victim = max(deployment.endpoints, key=lambda each: before.get(each.address, 0))
            time.sleep(random.uniform(0, BURST / rate))  # any moment between two bursts
            at = time.time()
            victim.kill(number)
            time.sleep(LAG)  # which is simulated, and not waited for
            deployment.remove(victim)
            time.sleep(TIMEOUT + 1)  # in which it is to be over
            over = time.time()
            answered = caller.answered()
            wait_for("some more are answered", lambda answered=answered: caller.answered() > answered + rate)
            losses = [loss for loss in caller.stats()["loads"][0]["losses"] if loss["at"] > at]
            victim.close()
            deployment.forget(victim)
            deployment.start()
            found.append(
                {
                    "connections": caller.stats()["most"].get(victim.address, 0),
                    "under way": sum(loss["replica"] == victim.address for loss in losses),
                    "on their way": sum(loss["replica"] == "" for loss in losses),
                    "elsewhere": sum(loss["replica"] not in ("", victim.address) for loss in losses),
                    "seconds": max((loss["at"] - at for loss in losses), default=0.0),
                    "late": sum(loss["at"] > over for loss in losses),
                    "errors": sorted({loss["error"] for loss in losses}),
                }
            )
        caller.halt()
        return found, load.result(timeout=60)
