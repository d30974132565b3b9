"""A listening port: it accepts, keeps account of who is connected, and stops without losing anybody.

uvicorn serves the second port (`webhook.server.api.port`), and does not carry this one.  It accepts one connection in
each turn of the event loop, because libuv does: with 600 busy connections a turn takes 50 ms, and who dials waits for
2 s and longer.  It limits neither sources nor handshakes.  And it stops listening on the first signal, while API
servers still call.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

from webhook.server import settings
from webhook.server.http import Site
from webhook.server.https import Connection
from webhook.server.metrics import Metrics
from webhook.server.settings import Limits
from webhook.server.sources import Sources
from webhook.server.turns import Turns

_log = logging.getLogger("gpu_slice")


class Port:
    """One port, with *site* on it, from listening to closed.  *tls*: the context that shakes hands; None for HTTP."""

    def __init__(self, site: Site, limits: Limits, metrics: Metrics, tls: ssl.SSLContext | None = None) -> None:
        self.site = site
        self.tls = tls
        self.metrics = metrics
        self.sources = Sources(limits, self.refused_connection)
        self.connections: set[Connection] = set()
        """All of them, those that still shake hands included."""
        self.leaving = False
        """From SIGTERM on: each answer is the last on its connection.  New ones are still accepted."""
        self.handshakes = Turns()
        self.large = Turns()
        self.costly = Turns()
        self._opening: set[asyncio.Task[None]] = set()

    def refused(self, status: int) -> None:
        """Count a request that was no review."""
        self.metrics.refused.labels(status).inc()

    def refused_connection(self, reason: str) -> None:
        """Count a connection that was cut off, or not let in."""
        self.metrics.refused_connections.labels(reason).inc()

    def open(self, listening: socket.socket) -> None:
        """Begin to accept."""
        self.loop = asyncio.get_running_loop()
        self.listening = listening
        listening.setblocking(False)
        self._listen()
        self._sweep()

    async def close(self, grace: float) -> None:
        """Accept nothing more, give what is in flight *grace* seconds, and end."""
        self.leaving = True
        self.loop.remove_reader(self.listening)
        await self._end(grace)

    async def _end(self, grace: float) -> None:
        for connection in list(self.connections):
            connection.finish()
        end = self.loop.time() + grace
        while self.connections and self.loop.time() < end:
            await asyncio.sleep(settings.LOOK)
        self._sweeping.cancel()
        for connection in list(self.connections):
            connection.abort()
        for task in self._opening:
            task.cancel()
        await asyncio.sleep(0)

    def _listen(self) -> None:
        self.loop.add_reader(self.listening, self._accept)

    def _accept(self) -> None:
        for _ in range(settings.ACCEPTED):
            try:
                accepted, address = self.listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptors, no memory: it is no use trying again at once
                _log.error("cannot accept connections", extra={"fields": {"problem": str(error)}})
                self.loop.remove_reader(self.listening)
                self.loop.call_later(settings.SWEEP, self._listen)
                return
            connection = Connection(self)
            source = self.sources.enter(connection, address[0])
            if source is None:
                accepted.close()
                continue
            connection.source = source
            self.connections.add(connection)
            accepted.setblocking(False)
            task = self.loop.create_task(self._connect(connection, accepted))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: connection, accepted)
        except (OSError, asyncio.CancelledError):
            connection.connection_lost(None)
            accepted.close()

    def _sweep(self) -> None:
        """End what has been too long in its phase, and look again."""
        self._sweeping = self.loop.call_later(settings.SWEEP, self._sweep)
        now = self.loop.time()
        for connection in list(self.connections):
            if connection.deadline < now:
                connection.expire()
            elif connection.is_stuck(now):
                connection.abort()
