"""The second, plain port: metrics and health, and the human doors where somebody asked for them."""

from __future__ import annotations

from collections.abc import Callable

from webhook.server.app import HEALTH, health
from webhook.server.http import App, HttpError, Receive, Scope, Send, respond
from webhook.server.metrics import Metrics


class Ops:
    """The ASGI application of the second port.  *doors* answers what is neither health nor metrics."""

    def __init__(self, unready: Callable[[], str], metrics: Metrics, doors: App | None = None) -> None:
        self.unready = unready
        self.metrics = metrics
        self.doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] in HEALTH:
                await health(scope, send, self.unready())
            elif scope["path"] == "/metrics":
                if scope["method"] not in ("GET", "HEAD"):
                    raise HttpError(405, "metrics are read", close=True, headers=[(b"allow", b"GET, HEAD")])
                await respond(send, 200, self.metrics.text(), self.metrics.content_type.encode())
            elif self.doors is not None:
                await self.doors(scope, receive, send)
            else:
                raise HttpError(404, "nothing is here. Metrics are at /metrics", close=True)
        except HttpError as error:
            await respond(send, error.status, error.problem.encode(), headers=error.headers)
