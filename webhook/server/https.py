"""One connection: TLS, HTTP/1.1, and what it may cost in time, bytes, and others' patience.

uvicorn's own protocol has no deadline for a request, no limit for headers, and a task for each request, which takes
longer than the decision.  A request is answered by the `Site` of its port: at once, or in its turn where it is large or
its address sends what is costly.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from time import perf_counter
from typing import TYPE_CHECKING

from webhook.server import settings
from webhook.server.http import AGAIN, Refusal, Request, Response
from webhook.server.parser import Parser
from webhook.server.phase import ALLOWED, BODY, CLOSING, DECIDING, HANDSHAKE, HEADERS, IDLE, Phase
from webhook.server.session import Session
from webhook.server.settings import LARGE, MOST_EMPTY, MOST_HELLO, PIECE

if TYPE_CHECKING:
    from webhook.server.port import Port
    from webhook.server.sources import Source

_log = logging.getLogger("gpu_slice")


class Connection(asyncio.Protocol):
    """A connection from accepted to gone, in one of the phases of `webhook.server.phase`."""

    __slots__ = (
        "answered", "body_begun", "close_at", "deadline", "empty", "held", "hello", "loop", "parser", "phase", "port",
        "source", "task", "tls", "transport",
    )  # fmt: skip

    def __init__(self, port: Port) -> None:
        self.port = port
        self.loop = port.loop
        self.parser = Parser(port.site)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until it is made
        self.source: Source | None = None
        self.tls = None if port.tls is None else Session(port.tls)
        self.task: asyncio.Task[Response] | None = None
        self.held = 0
        """Bytes of a body, or of a large answer, that are accounted for."""
        self.hello = b""  # what came, and waits for the handshake to have its turn
        self.answered = False  # its ClientHello
        self.empty = 0  # bytes that came for the handshake, or since the last answer in records with little text
        self.close_at = self.loop.time() + settings.OLDEST * random.uniform(1, 1.5)  # noqa: S311  # no secret
        self.enter(IDLE if self.tls is None else HANDSHAKE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if self.phase is CLOSING:  # it was given up before it began
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = CLOSING
        self.leave()
        self.port.connections.discard(self)
        self.parser.close()
        self.tls = None

    def enter(self, phase: Phase) -> None:
        """Begin *phase*, and its time."""
        self.phase = phase
        self.deadline = self.loop.time() + ALLOWED[phase]

    # What comes in.

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase is CLOSING:
            return  # the last answer is on its way, and the rest is of no interest
        if phase is HANDSHAKE:
            self.shake(data)
        elif self.tls is None:
            self.parse(data)
        else:
            self.decrypt(data)
        self.answer()

    def shake(self, data: bytes) -> None:
        """Go on with the handshake when it has its turn: it costs more than a decision."""
        self.transport.pause_reading()
        self.hello = data
        self.port.handshakes.add(self.source, self.shake_in_turn)

    def shake_in_turn(self) -> None:
        if self.phase is HANDSHAKE:
            self.transport.resume_reading()
            self.decrypt(self.hello)
            self.hello = b""
            self.answer()

    def decrypt(self, data: bytes) -> None:
        """Take the next bytes of TLS."""
        tls: Session = self.tls  # type: ignore[assignment]
        for records in tls.records(data):
            self.decrypt_records(tls, records)
            if self.phase is CLOSING:
                return

    def decrypt_records(self, tls: Session, records: bytes) -> None:
        try:
            text = tls.read(records)
        except ssl.SSLError:
            self.break_off(tls.pending())  # an alert, which says why
            return
        if self.phase is HANDSHAKE:
            if more := tls.pending():
                self.transport.write(more)
                self.answered = True
            self.empty += len(records)
            if tls.shaken:
                self.port.sources.end_handshake(self, self.source)  # type: ignore[arg-type]
                self.empty = 0
                self.enter(IDLE)
        elif len(records) > 2 * len(text):  # a record of one byte costs as much as one of a thousand
            self.empty += len(records)
        if self.empty > (MOST_HELLO if self.phase is HANDSHAKE else MOST_EMPTY):
            self.port.refused_connection("handshake" if self.phase is HANDSHAKE else "records")
            self.abort()
        elif text:
            self.parse(text)

    def parse(self, text: bytes) -> None:
        """Take the next bytes of HTTP."""
        phase = self.phase
        if phase is IDLE and self.transport.get_write_buffer_size():
            self.abort()  # it asks again without having read the last answer
            return
        if phase is IDLE and self.held:
            self.release()
        try:
            request = self.parser.feed(text, self.loop.time())
        except Refusal as refusal:
            self.refuse(refusal)
            return
        except Exception as error:
            self.fail(error)
            return
        if request.complete:
            return
        if request.headers_over:
            self.go_on_with_body(request, begins=phase is not BODY)
        elif phase is IDLE:
            self.enter(HEADERS)

    def go_on_with_body(self, request: Request, *, begins: bool) -> None:
        """Keep account of a body that comes in pieces."""
        if begins:
            self.body_begun = self.loop.time()
            self.phase = BODY
            if request.expects:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = len(request.body)
        allowed = min(ALLOWED[BODY], settings.BODY_START + size / settings.BODY_RATE)
        self.deadline = self.body_begun + allowed
        self.hold(size - self.held)

    def hold(self, count: int) -> None:
        """Account for *count* bytes more of a body; this or another one may be given up for it."""
        self.held += count
        self.port.sources.hold(self.source, count)  # type: ignore[arg-type]

    # What goes out.

    def answer(self) -> None:
        """Answer the request, if it is whole."""
        request = self.parser.request
        if request is None or not request.complete or self.phase in (DECIDING, CLOSING):
            if self.tls is not None and self.tls.ended and self.phase is not CLOSING:
                self.hang_up()
            return
        source: Source = self.source  # type: ignore[assignment]
        if len(request.body) <= LARGE:
            if source.cost <= settings.COSTLY:
                self.decide()
            else:
                self.enter(DECIDING)
                self.port.costly.add(source, self.decide)
        elif self.port.large.is_full(source, settings.MOST_WAITING):
            # In a second, and not at once: that would be a storm of handshakes, and then the API server gives up.
            self.refuse(Refusal(503, "too many large bodies wait here", headers=AGAIN))
        else:
            self.enter(DECIDING)
            self.hold(len(request.body) - self.held)
            self.port.large.add(source, self.decide)

    def decide(self) -> None:
        """Find the answer, and send it."""
        request = self.parser.request
        if request is None or self.phase is CLOSING:
            return  # it went while it waited for its turn
        begun = perf_counter()
        try:
            answer = self.port.site.answer(request)
        except Refusal as refusal:
            self.port.refused(refusal.status)
            answer = refusal.response
        except Exception as error:
            self.fail(error)
            return
        finally:
            if len(request.body) <= LARGE:  # large ones have turns of their own
                self.source.decided(perf_counter() - begun)  # type: ignore[union-attr]
        if isinstance(answer, Response):
            self.respond(request, answer)
        else:
            self.enter(DECIDING)
            self.task = self.loop.create_task(answer)
            self.task.add_done_callback(self.decided)

    def decided(self, task: asyncio.Task[Response]) -> None:
        """The answer that was waited for is there."""
        request = self.parser.request
        if self.task is not task or request is None or task.cancelled():
            return
        self.task = None
        if task.exception() is None:
            self.respond(request, task.result())
        else:
            self.fail(task.exception())

    def respond(self, request: Request, response: Response) -> None:
        """Send the answer, and begin to wait for the next request."""
        now = self.loop.time()
        close = response.close or not request.keep_alive or self.port.leaving or now > self.close_at
        text = response.encode(close=close, head=request.method == b"HEAD")
        self.write(text)
        if close:
            self.hang_up()
        else:
            if self.held:
                self.release()
            self.parser.request = None
            self.empty = 0
            self.phase = IDLE
            self.deadline = now + ALLOWED[IDLE]
        if len(text) > PIECE:
            self.hold(len(text))  # until the next request: it may never be read

    def refuse(self, refusal: Refusal) -> None:
        """Answer in the place of the site, and hang up."""
        self.port.refused(refusal.status)
        self.write(refusal.response.encode(close=True))
        self.hang_up()

    def fail(self, error: BaseException | None) -> None:
        """It is our own fault.  The log says where, and not what the request said."""
        _log.error("a request failed", exc_info=error)
        self.refuse(Refusal(500, "internal error of gpu-slice: its log says where"))

    def write(self, text: bytes) -> None:
        if self.tls is None:
            self.transport.write(text)
        else:
            for start in range(0, len(text), PIECE):
                self.transport.write(self.tls.write(text[start : start + PIECE]))

    # How it ends.

    def hang_up(self) -> None:
        """Say that nothing more is sent, and wait a while for the other side to do the same.

        To close at once would tell it that its bytes were lost, and it might not read the answer.
        """
        if self.tls is not None:
            self.transport.write(self.tls.end())
        self.transport.write_eof()
        self.release()
        self.enter(CLOSING)

    def break_off(self, last: bytes) -> None:
        """TLS has failed: send what it says last, and close."""
        if self.phase is HANDSHAKE:
            self.port.refused_connection("handshake")
        self.transport.write(last)
        self.transport.close()
        self.release()
        self.enter(CLOSING)

    def abort(self) -> None:
        """Close now, whatever is under way."""
        self.phase = CLOSING
        self.leave()
        if self.transport is not None:
            self.transport.abort()

    def release(self) -> None:
        """Give back what a request or a handshake took."""
        if self.source is None:
            return
        sources = self.port.sources
        if self.held:
            sources.hold(self.source, -self.held)
            self.held = 0
        sources.end_handshake(self, self.source)
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self.parser.request = None

    def leave(self) -> None:
        """Give back everything."""
        if self.source is not None:
            self.release()
            self.port.sources.leave(self, self.source)

    def expire(self) -> None:
        """The deadline has passed."""
        phase = self.phase
        if phase is IDLE:
            self.hang_up()
        elif phase in (HEADERS, BODY):
            name = phase.name.lower()
            self.port.refused_connection(name)
            self.refuse(Refusal(408, f"the {name} took too long"))
        elif phase is DECIDING:
            self.refuse(Refusal(503, "no answer was found in time", headers=AGAIN))
        else:
            if phase is HANDSHAKE:
                self.port.refused_connection("handshake")
            self.abort()

    @property
    def is_silent(self) -> bool:  # no whole ClientHello has come
        return self.phase is HANDSHAKE and not self.hello and not self.answered

    @property
    def age(self) -> float:
        """Seconds in this phase."""
        return self.loop.time() - self.deadline + ALLOWED[self.phase]

    def is_stuck(self, now: float) -> bool:
        """Whether the last answer was not taken."""
        answered = self.deadline - ALLOWED[IDLE]
        return self.phase is IDLE and now > answered + settings.ANSWER and self.transport.get_write_buffer_size() > 0

    def finish(self) -> None:
        """End after the request that has begun."""
        self.close_at = 0.0
        if self.phase is IDLE:
            self.hang_up()
        elif self.phase is HANDSHAKE:
            self.abort()
