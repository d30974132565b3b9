"""What one connection may cost: time, bytes, and others' patience.

uvicorn has no deadline for a request, and httptools no limit for headers.  Here both are: a connection is always in
one phase, a phase has a deadline, and whoever sends byte by byte does not move it.  Nothing is timed per request:
`Port` looks at all connections twice a second.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from webhook.server.http import HttpError
from webhook.server.metrics import Metrics

HANDSHAKE = 5.0
"""Seconds for a TLS handshake."""

KEEP_ALIVE = 120.0
"""Seconds that a connection may be silent between requests, or before its first one: Go dials one, may then be served
by another, and keeps the new one for later.  The API server's pool keeps an idle connection 90 s: the server must be
the longer one, or a review is sent into a connection that is just being closed, and lost."""

HEADERS = 5.0
"""Seconds from the first byte of a request to the end of its headers."""

BODY = 10.0
"""Seconds for the body."""

ANSWER = 10.0
"""Seconds until the answer has left."""

MOST_HEADERS = 16 * 1024
"""Bytes of a request's line and headers."""

MOST_HEADER_LINES = 64
"""Headers of a request.  An API server sends about 8; each costs Python 140 bytes however short it is."""

MOST_HELD = 24 * 1024 * 1024
"""Bytes of bodies that are on their way at once, of all connections.  600 reviews of a large pod are 4 MB."""

LARGE = 64 * 1024
"""Bytes of a body after which the connection is closed with the answer: its buffers have grown, and would stay so. 500
such connections held 211 MiB, and 52 MiB when they are closed."""

OLDEST = 60.0
"""Seconds after which a connection is closed with an answer, so that new replicas get their share, and a new
certificate is the one that is shown.  Up to half as many more, or those that began together would end, and shake hands
anew, together."""


class Phase(Enum):
    """Where a connection is."""

    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    ANSWER = auto()
    CLOSING = auto()


ALLOWED = {
    Phase.IDLE: KEEP_ALIVE,
    Phase.HEADERS: HEADERS,
    Phase.BODY: BODY,
    Phase.ANSWER: ANSWER,
    Phase.CLOSING: HANDSHAKE,
}
"""Seconds in each phase.  Tests make them shorter."""


@dataclass(slots=True)
class Shared:
    """What the connections of one port know of each other."""

    metrics: Metrics
    leaving: bool = False
    """From SIGTERM on: each answer is the last on its connection."""
    held: int = 0
    """Bytes of bodies on their way."""
    lost: Callable[[Protocol], None] = field(default=lambda _: None)
    """Called when a connection is gone."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits."""

    def __init__(self, config: Config, server_state: ServerState, shared: Shared, source: str) -> None:
        super().__init__(config, server_state, {})
        self.shared = shared
        self.source = source
        self.refusal = HttpError(400, "no HTTP/1.1 request")
        self.phase = Phase.IDLE
        self.received = 0
        """Bytes of the request whose headers are not over yet."""
        self.held = 0
        self.before_headers_end = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.retire_at = self.loop.time() + OLDEST * random.uniform(1, 1.5)  # noqa: S311  # no secret
        self.enter(Phase.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self.release()
        super().connection_lost(exc)
        self.shared.lost(self)

    def enter(self, phase: Phase) -> None:
        """Begin *phase*, and its time."""
        self.phase = phase
        self.deadline = self.loop.time() + ALLOWED[phase]

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            return  # the answer is on its way, and the rest is of no interest
        before = self.phase
        if before is Phase.IDLE:
            self.received = 0
            self.before_headers_end = True
        self.received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.before_headers_end:
            if self.received > MOST_HEADERS:
                self.refuse(431, f"the headers have more than {MOST_HEADERS} bytes")
            elif before is not Phase.HEADERS:
                self.enter(Phase.HEADERS)
        elif not self.cycle.more_body:
            self.enter(Phase.ANSWER)
        else:
            if before is not Phase.BODY:
                self.enter(Phase.BODY)
            self.hold(len(data))

    def hold(self, count: int) -> None:
        """Keep account of a body that comes in pieces."""
        self.held += count
        self.shared.held += count
        if self.held > LARGE:
            self.cycle.keep_alive = False
        if self.shared.held > MOST_HELD:
            # The caller is asked to come again, and may find another replica.
            self.refuse(503, "too much is on its way to this replica", (b"retry-after", b"1"))

    def release(self) -> None:
        self.shared.held -= self.held
        self.held = 0

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.raise_refusal(400, "a second request before the answer to the first")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.before_headers_end:
            return  # a trailer: nobody reads it, and it may go on without end
        if len(self.headers) >= MOST_HEADER_LINES:
            self.raise_refusal(431, f"there are more than {MOST_HEADER_LINES} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.received > MOST_HEADERS:  # else they cannot be more
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MOST_HEADERS:
                self.raise_refusal(431, f"the headers have more than {MOST_HEADERS} bytes")
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self.raise_refusal(400, "the path is not readable")
        self.before_headers_end = False
        if self.scope["http_version"] not in ("1.1", "1.0"):
            self.raise_refusal(400, "no HTTP/1.1 request")
        if self.shared.leaving or self.loop.time() > self.retire_at:
            self.cycle.keep_alive = False

    def raise_refusal(self, status: int, problem: str) -> None:
        """Refuse from within a callback of the parser, which then stops."""
        self.refusal = HttpError(status, problem)
        raise self.refusal

    def on_response_complete(self) -> None:
        # Instead of uvicorn's, which sets a timer for each answer.
        self.server_state.total_requests += 1
        self.release()
        if self.transport.is_closing():
            self.enter(Phase.CLOSING)
            return
        self.flow.resume_reading()
        self.enter(Phase.IDLE)

    def _unsupported_upgrade_warning(self) -> None:
        # uvicorn would log it and go on, with the parser stopped in the middle of the request.
        self.refuse(400, "no other protocol is spoken here")

    def send_400_response(self, msg: str) -> None:
        """The parser stopped: for a reason of its own, or for `refusal`."""
        self.refuse(self.refusal.status, self.refusal.problem)

    def refuse(self, status: int, problem: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer in the place of the application, and hang up."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # whatever the application says now is not sent
            self.cycle.message_event.set()
        self.shared.metrics.refused.labels(status).inc()
        text = problem.encode()
        lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"content-type: text/plain; charset=utf-8", b"content-length: %d" % len(text), b"connection: close"]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join([*lines, b"", text]))
        self.hang_up()

    def hang_up(self) -> None:
        """Close when what was written has left, or soon in any case."""
        self.release()
        self.enter(Phase.CLOSING)
        self.transport.close()

    def abort(self) -> None:
        """Close now, whatever is under way.  It still counts until the loop says that it is gone."""
        self.enter(Phase.CLOSING)
        self.transport.abort()

    def expire(self) -> None:
        """The deadline has passed."""
        if self.phase is Phase.IDLE:
            self.hang_up()
        elif self.phase in (Phase.HEADERS, Phase.BODY):
            self.shared.metrics.refused_connections.labels(self.phase.name.lower()).inc()
            self.refuse(408, f"the {self.phase.name.lower()} took more than {ALLOWED[self.phase]:g} s")
        else:
            self.transport.abort()


def config_of(app: Any) -> Config:
    """uvicorn's configuration for `Protocol`."""
    config = Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config
