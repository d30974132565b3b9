"""What an HTTP request and its answer are here, and which requests are refused before anybody looks at what they ask.

RFC 9112 allows more than an API server, a kubelet or Prometheus send.  What two readers could understand differently
is refused: a proxy in front may be the other reader.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

AGAIN = ((b"retry-after", b"1"),)
"""With it the API server asks again within the same admission: in a second, on a new connection, and so perhaps
another replica."""

INERT = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
"""Of what a browser may be made to ask for: it guesses no other kind, and gives it to no other site."""

SINGLE = frozenset((b"host", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"expect"))
"""Headers that say something once, or not at all."""

_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
_HEADS: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %s\r\ncontent-type: " % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_CLOSE = b"\r\nconnection: close"


class Request:
    """One request, as far as it has come."""

    __slots__ = (
        "begun", "body", "complete", "expects", "fields", "headers", "headers_over", "keep_alive", "method", "path",
        "query",
    )  # fmt: skip

    def __init__(self, begun: float) -> None:
        self.begun = begun
        """When its first byte came, in seconds of the monotonic clock."""
        self.method = b""
        self.path = b""
        """With the query, until the headers are over; as it was sent, with its percent signs."""
        self.query = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}
        """Those of the headers that say something once, by their names in lower case."""
        self.body: bytes | bytearray = b""
        self.headers_over = False
        self.complete = False
        self.keep_alive = True
        self.expects = False
        """The caller waits for 100 Continue."""

    def inspect(self, version: str) -> None:
        """Look at the request line and the headers.  Raises `Refusal` 400 where they are no plain HTTP/1.1."""
        fields = self.fields
        if version != "1.1" and version != "1.0":
            raise Refusal(400, "no HTTP/1.1 request")
        host = fields.get(b"host")
        if host is None:
            if version == "1.1":
                raise Refusal(400, "no Host header")
        elif not _HOST.fullmatch(host):
            raise Refusal(400, "the Host header is no host")
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.strip().lower() != b"chunked"):
            raise Refusal(400, "a transfer coding other than chunked")
        if self.path[:1] != b"/":
            self._take_absolute(host)
        self.path, _, self.query = self.path.partition(b"?")
        if b"expect" in fields and version == "1.1":
            self.expects = fields[b"expect"].lower() == b"100-continue"

    def _take_absolute(self, host: bytes | None) -> None:
        """Take the path of ``https://HOST/path``; no other form but a path is read."""
        scheme, slashes, rest = self.path.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        if scheme.lower() not in (b"http", b"https") or not slashes or not slash or authority != host:
            raise Refusal(400, "the target is no path of this host")
        self.path = b"/" + path


class Response:
    """A whole answer."""

    __slots__ = ("body", "close", "headers", "kind", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        kind: bytes = TEXT,
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        close: bool = False,
    ) -> None:
        self.status = status
        self.body = body
        self.kind = kind
        self.headers = headers
        self.close = close
        """What is still on its way is not worth reading."""

    def encode(self, *, close: bool, head: bool = False) -> bytes:
        """The bytes to send; for *head* without the body."""
        more = b"".join([b"\r\n%b: %b" % each for each in self.headers]) if self.headers else b""
        if close:
            more += _CLOSE
        text = self.body
        start = _HEADS[self.status]
        return b"%b%b\r\ncontent-length: %d%b\r\n\r\n%b" % (start, self.kind, len(text), more, b"" if head else text)


class Refusal(Exception):
    """The call itself was wrong, or cannot be answered now."""

    def __init__(
        self, status: int, problem: str, *, close: bool = False, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem
        self.close = close
        self.headers = tuple(headers)

    @property
    def response(self) -> Response:
        """As it is answered."""
        return Response(
            self.status, self.problem.encode("utf-8", "replace"), TEXT, (*self.headers, *INERT), close=self.close
        )


class Site(Protocol):
    """What is served on a port."""

    most_body: int
    """Bytes of a body."""

    def check(self, request: Request) -> None:
        """Raise `Refusal` where the body is not worth reading."""

    def answer(self, request: Request) -> Response | Coroutine[Any, Any, Response]:
        """The answer to a whole request.  Raises `Refusal`."""


def require_json(request: Request) -> None:
    """Raise `Refusal` 415 unless the body is plain JSON."""
    fields = request.fields
    if b"content-encoding" in fields and fields[b"content-encoding"].strip().lower() not in (b"", b"identity"):
        raise Refusal(415, "a compressed body. Send it as it is", close=True)
    kind = fields.get(b"content-type", b"")
    if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
        raise Refusal(415, "Content-Type must be application/json", close=True)


def wrong_method(*methods: bytes) -> Refusal:
    """405: only *methods* are known there."""
    allowed = b", ".join(methods)
    return Refusal(405, f"the method is none of {allowed.decode()}", close=True, headers=[(b"allow", allowed)])
