"""Small things that both ports need to speak ASGI: read a body up to a limit, send an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class HttpError(Exception):
    """The call itself was wrong.  *close*: what is still on its way is not worth reading."""

    def __init__(self, status: int, problem: str, *, close: bool = False, headers: Iterable[tuple[bytes, bytes]] = ()):
        super().__init__(status, problem)
        self.status = status
        self.problem = problem
        self.headers = [*headers, *([(b"connection", b"close")] if close else [])]


class Disconnected(Exception):
    """The caller went away: nobody is left to answer."""


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body, if it has at most *most* bytes.  Raises `HttpError` 413 as soon as it has more."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > 15 or int(value) > most):
            raise _too_large(most)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= most:
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        if size > most:
            raise _too_large(most)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > most:
        raise _too_large(most)
    return b"".join(parts)


def _too_large(most: int) -> HttpError:
    return HttpError(413, f"the body has more than {most} bytes", close=True)


async def respond(
    send: Send, status: int, body: bytes, kind: bytes = TEXT, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


def require_json(scope: Scope) -> None:
    """Raise `HttpError` 415 unless the body is plain JSON."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise HttpError(415, "a compressed body. Send it as it is", close=True)
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value.partition(b";")[0].strip().lower() == JSON:
                return
            break
    raise HttpError(415, "Content-Type must be application/json", close=True)
