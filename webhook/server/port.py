"""A listening port: what its connections share, from listening to closed.  It is uvicorn's `Server`.

uvicorn accepts, makes a `webhook.server.https.Connection` for each, and asks them to shut down when it is told to exit.
What is ours is when that is (`webhook.server.drain`): uvicorn would stop listening on the first signal, and raise it
again afterwards.  That part of uvicorn which this relies on, and which it does not document, is pinned by a test.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from webhook.server import settings
from webhook.server.http import Site
from webhook.server.https import Connection
from webhook.server.metrics import Metrics
from webhook.server.settings import Limits
from webhook.server.sources import Sources
from webhook.server.turns import Turns


class Port(uvicorn.Server):
    """One port, with *site* on it.  *tls*: the context that shakes hands; None for plain HTTP."""

    def __init__(self, site: Site, limits: Limits, metrics: Metrics, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                self,  # type: ignore[arg-type]  # Connection takes it from there
                http=Connection,
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                backlog=settings.BACKLOG,
            )
        )
        self.site = site
        self.tls = tls
        self.metrics = metrics
        self.sources = Sources(limits, self.refused_connection)
        self.leaving = False
        """From SIGTERM on: each answer is the last on its connection.  New ones are still accepted."""
        self.handshakes = Turns()
        self.large = Turns()

    @property
    def connections(self) -> set[Connection]:
        """All of them, those that still shake hands included."""
        return self.server_state.connections  # type: ignore[return-value]

    def refused(self, status: int) -> None:
        """Count a request that was no review."""
        self.metrics.refused.labels(status).inc()

    def refused_connection(self, reason: str) -> None:
        """Count a connection that was cut off, or not let in."""
        self.metrics.refused_connections.labels(reason).inc()

    def open(self, listening: socket.socket) -> None:
        """Begin to accept."""
        self.serving = asyncio.create_task(self.serve([listening]))
        self.sweeping = asyncio.create_task(self.sweep())

    async def close(self, grace: float) -> None:
        """Accept nothing more, give what is in flight *grace* seconds, and end."""
        self.leaving = self.should_exit = True
        await asyncio.wait([self.serving], timeout=grace)
        for connection in list(self.connections):
            connection.abort()
        await self.serving
        self.sweeping.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `webhook.server.run`."""
        yield

    async def sweep(self) -> None:
        """Again and again, end what has been too long in its phase."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(settings.SWEEP)
            now = loop.time()
            for connection in list(self.connections):
                if connection.deadline < now:
                    connection.expire()
                elif connection.is_stuck(now):
                    connection.abort()
