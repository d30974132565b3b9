"""Stopping without losing a review.

From SIGTERM on the replica is not ready, and each answer says ``Connection: close``, but it accepts and answers on:
API servers up to 1.36 keep using the connections that they have to a replica that left the endpoints
(kubernetes#127335), and never repeat a review that was cut off.  They drop an idle connection after 90 s; so after 95 s
each has been used, and told to close, or is gone.  Where all are gone sooner, so is the replica.
"""

from __future__ import annotations

import asyncio
import logging

from webhook.server.metrics import Metrics
from webhook.server.port import Port
from webhook.server.settings import DRAIN, LOOK

_log = logging.getLogger("gpu_slice")


class Drain:
    """Takes one port out of service."""

    def __init__(self, port: Port, metrics: Metrics, settle: float) -> None:
        self.port = port
        self.metrics = metrics
        self.settle = settle
        """Seconds that are waited in any case: until then somebody may not know yet that this replica leaves."""
        self.leaving = False
        self.hurry = asyncio.Event()
        """Set: do not wait for anybody."""

    def begin(self) -> None:
        """SIGTERM."""
        self.leaving = True
        self.metrics.draining.set(1)
        self.port.leaving = True
        _log.info("leaving", extra={"fields": {"connections": len(self.port.connections)}})

    async def wait(self) -> None:
        """Until nobody holds a connection to us, and nobody will want one."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not self.hurry.is_set():
            passed = loop.time() - start
            if passed >= DRAIN or (passed >= self.settle and not self.port.connections):
                break
            await asyncio.sleep(LOOK)
        _log.info(
            "left",
            extra={"fields": {"seconds": round(loop.time() - start, 1), "connections": len(self.port.connections)}},
        )
