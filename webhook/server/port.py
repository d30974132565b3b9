"""A listening port: it accepts, shakes hands, keeps account of who is connected, and stops without losing anybody.

uvicorn speaks HTTP here (`webhook.server.limits.Protocol`).  Its own accepting is not used: it has no limit for
handshakes and for sources, and its stopping closes connections that callers still believe in.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter

from uvicorn.server import ServerState

from webhook.server.http import App
from webhook.server.limits import HANDSHAKE, Phase, Protocol, Shared, config_of
from webhook.server.metrics import Metrics

MOST_OF_A_SOURCE = 1280
"""Connections from one address.  An API server has at most 600 requests under way (``--max-requests-inflight`` and
``--max-mutating-requests-inflight``), but Go dials for each that waits, and drops above 25 what was dialled in vain:
200 at once were seen to have more than 640 connections."""

MOST = 2560
"""Connections, of all addresses."""

EVERY = 0.5
"""Seconds between two looks at the deadlines."""

_TO_SPARE = (Phase.IDLE, Phase.HEADERS)

_AT_ONCE = 64
"""Connections that are accepted before others get their turn."""

_log = logging.getLogger("gpu_slice")


class Port:
    """One port, from listening to closed.  *tls*: the context that shakes hands; None for plain HTTP."""

    def __init__(self, app: App, listening: socket.socket, metrics: Metrics, tls: ssl.SSLContext | None = None) -> None:
        self.listening = listening
        self.tls = tls
        self.metrics = metrics
        self.config = config_of(app)
        self.state = ServerState()
        self.shared = Shared(metrics, lost=self._lost)
        self.sources: Counter[str] = Counter()
        """Connections of each address, those that still shake hands included."""
        self.opening: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many there are, those that still shake hands included."""
        return self.sources.total()

    @property
    def established(self) -> set[Protocol]:
        """Those that shook hands."""
        return self.state.connections  # type: ignore[return-value]

    def open(self) -> None:
        """Begin to accept."""
        self.loop = asyncio.get_running_loop()
        self.listening.setblocking(False)
        self._listen()
        self.sweeping = self.loop.call_later(EVERY, self._sweep)

    def leave(self) -> None:
        """From now on each answer says that it is the last on its connection.  New ones are still accepted."""
        self.shared.leaving = True
        for each in self.established:
            if each.cycle is not None and not each.cycle.response_started:
                each.cycle.keep_alive = False

    async def close(self, grace: float) -> None:
        """Accept nothing more, give what is under way *grace* seconds, and end."""
        self.leave()
        self.loop.remove_reader(self.listening)
        for each in list(self.established):
            if each.phase is Phase.IDLE:
                each.hang_up()
        end = self.loop.time() + grace
        while (self.connections or self.state.tasks) and self.loop.time() < end:
            await asyncio.sleep(0.05)
        self.sweeping.cancel()
        for protocol in list(self.established):
            protocol.transport.abort()
        for task in [*self.opening, *self.state.tasks]:
            task.cancel()

    def _listen(self) -> None:
        self.loop.add_reader(self.listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self.listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptors, no memory: it is no use trying again at once
                _log.error("cannot accept connections", extra={"fields": {"problem": str(error)}})
                self.loop.remove_reader(self.listening)
                self.loop.call_later(EVERY, self._listen)
                return
            source = address[0]
            if not self._may_enter(source):
                connection.close()
                continue
            connection.setblocking(False)
            self.sources[source] += 1
            task = self.loop.create_task(self._connect(connection, source))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def _connect(self, connection: socket.socket, source: str) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: Protocol(self.config, self.state, self.shared, source),
                connection,
                ssl=self.tls,
                ssl_handshake_timeout=None if self.tls is None else HANDSHAKE,
                ssl_shutdown_timeout=None if self.tls is None else HANDSHAKE,
            )
        except (OSError, asyncio.CancelledError):  # ssl.SSLError and the end of the time are OSErrors too
            self.metrics.refused_connections.labels("handshake").inc()
            self._left(source)
            connection.close()

    def _may_enter(self, source: str) -> bool:
        """Whether one more connection of *source* is welcome, if need be in the place of another's."""
        if self.sources[source] >= MOST_OF_A_SOURCE:
            self.metrics.refused_connections.labels("source").inc()
            return False
        if self.connections < MOST:
            return True
        greediest, _ = self.sources.most_common(1)[0]
        self.metrics.refused_connections.labels("total").inc()
        if greediest == source:
            return False
        idle = [each for each in self.established if each.source == greediest and each.phase in _TO_SPARE]
        if not idle:
            return False
        # Rather one that is slow than one that is silent, on which a review may just be coming; of those the oldest.
        min(idle, key=lambda each: (each.phase is Phase.IDLE, each.deadline)).abort()
        return True

    def _lost(self, protocol: Protocol) -> None:
        self._left(protocol.source)

    def _left(self, source: str) -> None:
        self.sources[source] -= 1
        if not self.sources[source]:
            del self.sources[source]

    def _sweep(self) -> None:
        self.sweeping = self.loop.call_later(EVERY, self._sweep)
        now = self.loop.time()
        for each in list(self.established):
            if each.deadline < now:
                each.expire()
