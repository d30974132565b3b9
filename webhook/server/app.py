"""The HTTPS port: ``POST /mutate``, and health for those who can only reach this port.

Plain ASGI, because a review's way through it is the hot path: the body is decoded once, and nothing stands
between the socket and `webhook.admission.review.answer`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

import orjson

from webhook.admission.review import Answer, answer
from webhook.errors import BadReview
from webhook.fleet.fleet import Fleet
from webhook.server.http import JSON, Disconnected, HttpError, Receive, Scope, Send, read_body, require_json, respond
from webhook.server.memory import Memory
from webhook.server.metrics import Metrics
from webhook.server.settings import MOST_BODY

MUTATE = "/mutate"
HEALTH = ("/healthz", "/readyz")

_log = logging.getLogger("gpu_slice")


class Webhook:
    """The ASGI application of the HTTPS port."""

    def __init__(self, fleet: Callable[[], Fleet | None], metrics: Metrics) -> None:
        self.fleet = fleet
        """The fleet in use; None while there is none."""
        self.memory: Memory | None = None
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] == MUTATE:
                await self.mutate(scope, receive, send)
            elif scope["path"] in HEALTH:
                await health(scope, send, self.fleet() is not None)
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
        body = await read_body(scope, receive, MOST_BODY)
        fleet = self.fleet()
        if fleet is None:
            # With Retry-After the API server asks again within the same admission.
            raise HttpError(503, "no fleet yet", close=True, headers=[(b"retry-after", b"1")])
        if self.memory is None or self.memory.fleet is not fleet:
            self.memory = Memory(fleet)
        start = perf_counter()
        try:
            decided = answer(orjson.loads(body), self.memory.plan)
        except orjson.JSONDecodeError as error:
            raise HttpError(400, f"the body is not JSON: {error}") from None
        except BadReview as error:
            raise HttpError(400, str(error)) from None
        sent = orjson.dumps(decided.body)
        took = perf_counter() - start
        self.metrics.duration.observe(took)
        self.metrics.count(decided)
        if _log.isEnabledFor(logging.DEBUG):
            _log_decision(decided, took)
        await respond(send, 200, sent, JSON)


def _log_decision(decided: Answer, took: float) -> None:
    resolution = decided.plan.resolution if decided.plan is not None else None
    _log.debug(
        "decided",
        extra={
            "fields": {
                "uid": decided.uid,
                "namespace": decided.namespace,
                "outcome": decided.outcome,
                "reason": decided.denial.reason if decided.denial is not None else None,
                "resources": [f"{each.resource}:{each.count}" for each in resolution.assignments] if resolution else [],
                "pools": [pool.name for pool in resolution.pools] if resolution else [],
                "milliseconds": round(took * 1000, 3),
            }
        },
    )


async def health(scope: Scope, send: Send, ready: bool) -> None:
    """``/healthz``: the process answers.  ``/readyz``: it can also decide."""
    if scope["method"] not in ("GET", "HEAD"):
        raise HttpError(405, "health is read", close=True, headers=[(b"allow", b"GET, HEAD")])
    if scope["path"] == "/readyz" and not ready:
        await respond(send, 503, b"no fleet yet")
        return
    await respond(send, 200, b"ok")
