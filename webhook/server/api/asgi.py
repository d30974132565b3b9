"""Runs an ASGI application behind a `Connection`, with the limits that the connections of both ports have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from webhook.server.http import INERT, Request, Response

Message: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_OURS = frozenset((b"content-length", b"content-type", b"connection"))


class Asgi:
    """The site of a port on which *app* answers, whole requests with whole answers."""

    def __init__(self, app: App, most_body: int) -> None:
        self.app = app
        self.most_body = most_body

    def check(self, request: Request) -> None:
        """See `Site.check`: the application will look."""

    async def answer(self, request: Request) -> Response:
        """See `Site.answer`."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method.decode("ascii"),
            "scheme": "http",
            "path": unquote(request.path.decode("ascii", "replace")),
            "raw_path": request.path,
            "query_string": request.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers],
            "client": None,
            "server": None,
            "state": {},
        }
        body: list[bytes] = [bytes(request.body)]
        head: Message = {}
        parts: list[bytes] = []

        async def receive() -> Message:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await asyncio.get_running_loop().create_future()  # whoever hangs up cancels all this
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                head.update(message)
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, receive, send)
        headers = {name.lower(): value for name, value in head["headers"]}
        kind = headers.get(b"content-type", b"text/plain; charset=utf-8")
        others = [each for each in headers.items() if each[0] not in _OURS]
        return Response(head["status"], b"".join(parts), kind, [*others, *INERT])
