"""The HTTPS port: ``POST /mutate``, and health for those who can only reach this port.

Plain ASGI, because a review's way through it is the hot path: the body is decoded once, and nothing stands
between the socket and `webhook.admission.review.answer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from urllib.parse import parse_qsl

from webhook.errors import BadReview
from webhook.fleet.fleet import Fleet
from webhook.server.decide import Decide, NoFleet
from webhook.server.http import JSON, Disconnected, HttpError, Receive, Scope, Send, read_body, require_json, respond
from webhook.server.metrics import Metrics
from webhook.server.settings import MOST_BODY

MUTATE = "/mutate"
HEALTH = ("/healthz", "/readyz")

BIG = 64 * 1024
"""Bytes of a body that takes its turn: milliseconds go by while it is decoded and decided, in which nobody else is
answered.  Most pods have a tenth of it."""

MOST_BIG = 128
"""Big bodies that may wait for their turn: as many as are decided in the second after which others are asked back."""

_log = logging.getLogger("gpu_slice")


class Webhook:
    """The ASGI application of the HTTPS port."""

    def __init__(self, fleet: Callable[[], Fleet | None], metrics: Metrics, unready: Callable[[], str]) -> None:
        self.fleet = fleet
        """The fleet in use; None while there is none."""
        self.unready = unready
        """Why nothing more should be sent here; empty while all is well."""
        self.turn = asyncio.Lock()
        self.waiting = 0
        self.decide_review = Decide(fleet, metrics)
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] == MUTATE:
                await self.mutate(scope, receive, send)
            elif scope["path"] in HEALTH:
                await health(scope, send, self.unready())
            else:
                raise HttpError(404, f"nothing is here. Reviews go to {MUTATE}", close=True)
        except HttpError as error:
            self.metrics.refused.labels(error.status).inc()
            await respond(send, error.status, error.problem.encode("utf-8", "replace"), headers=error.headers)
        except Disconnected:
            pass
        except Exception:
            self.metrics.refused.labels(500).inc()
            _log.exception("a review failed")
            await respond(send, 500, b"internal error of gpu-slice: its log says where")

    async def mutate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one review."""
        if scope["method"] != "POST":
            raise HttpError(405, "reviews are posted", close=True, headers=[(b"allow", b"POST")])
        require_json(scope)
        begun = monotonic()
        body = await read_body(scope, receive, MOST_BODY)
        sent = self.decide(body) if len(body) <= BIG else await self.decide_big(body)
        if monotonic() - begun > 1 and late(scope["query_string"], monotonic() - begun):
            raise HttpError(503, "the caller does not wait any more", close=True, headers=[(b"retry-after", b"1")])
        await respond(send, 200, sent, JSON)

    async def decide_big(self, body: bytes) -> bytes:
        """As `decide`: one at a time, and between two of them everybody else."""
        if self.waiting >= MOST_BIG:
            # In a second, on a new connection, and so perhaps another replica.  At once would be a storm: ten times
            # a handshake, and then the API server gives up.
            raise HttpError(503, "too many big bodies wait here", close=True, headers=[(b"retry-after", b"1")])
        self.waiting += 1
        try:
            async with self.turn:
                sent = self.decide(body)
                await asyncio.sleep(0)
        finally:
            self.waiting -= 1
        return sent

    def decide(self, body: bytes) -> bytes:
        """The answer to the review in *body*.  Raises `HttpError` where it is none."""
        try:
            return self.decide_review(body)
        except BadReview as error:
            raise HttpError(400, str(error)) from None
        except NoFleet:
            # With Retry-After the API server asks again within the same admission.
            raise HttpError(503, "no fleet yet", close=True, headers=[(b"retry-after", b"1")]) from None


def late(query: bytes, passed: float) -> bool:
    """Whether the caller, who says ``timeout=2s``, has given up after *passed* seconds."""
    for name, value in parse_qsl(query):
        if name == b"timeout" and value[-1:] == b"s" and value[:-1].isdigit():
            return passed >= int(value[:-1][:9])
    return False


async def health(scope: Scope, send: Send, unready: str) -> None:
    """``/healthz``: the process answers.  ``/readyz``: reviews should be sent to it."""
    if scope["method"] not in ("GET", "HEAD"):
        raise HttpError(405, "health is read", close=True, headers=[(b"allow", b"GET, HEAD")])
    if scope["path"] == "/readyz" and unready:
        await respond(send, 503, unready.encode())
        return
    await respond(send, 200, b"ok")
