"""From bytes to a `Request`, by httptools, with the limits that it has not: headers, framing, body.

httptools calls a method here for every header, which takes longer than to encrypt the answer.  So a request that comes
in one piece, exactly as Go writes a review, is read by one regular expression instead, with the same result.
"""

from __future__ import annotations

import re
from typing import Any

import httptools

from webhook.server.http import JSON, SINGLE, Refusal, Request, Site
from webhook.server.settings import MOST_FRAMING, MOST_HEADER_BYTES, MOST_HEADERS

_REVIEW = re.compile(
    rb"POST (/[!-~]*) HTTP/1\.1\r\n"
    rb"Host: ([A-Za-z0-9.:\[\]-]+)\r\n"
    rb"(?:User-Agent: [ -~]*\r\n)?"
    rb"Content-Length: ([0-9]{1,7})\r\n"
    rb"(?:Accept: [ -~]*\r\n)?"
    rb"Content-Type: application/json\r\n"
    rb"(?:Traceparent: [ -~]*\r\n)?"
    rb"(?:Accept-Encoding: gzip\r\n)?"
    rb"\r\n"
)
"""What client-go sends, in the order of Go's ``net/http``.  Every other request is read by httptools."""


class Parser:
    """Reads one request after the other from a connection; `request` is the one that has begun."""

    __slots__ = ("_begun", "_parser", "_site", "received", "request")

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parser: Any = httptools.HttpRequestParser(self)
        # What follows a request with "Connection: close" is not read, and is no reason for a 400.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._begun = False
        self.request: Request | None = None
        self.received = 0
        """Bytes of the request."""

    def feed(self, text: bytes, now: float) -> Request:
        """Read on.  Raises `Refusal` where it is not worth reading any further, or `Exception` of our own making."""
        request = self.request
        if request is None:
            request = self.request = Request(now)
            if self._is_review(request, text):
                return request
            self.received = 0
            self._begun = False
        self.received += len(text)
        try:
            self._parser.feed_data(text)
        except httptools.HttpParserUpgrade:
            raise Refusal(400, "no other protocol is spoken here") from None
        except httptools.HttpParserError as error:
            # What one of the callbacks below raised stands behind the parser's own error.
            raise (error.__context__ or Refusal(400, "no HTTP/1.1 request")) from None
        size = len(request.body)
        if self.received - size > MOST_HEADER_BYTES + MOST_FRAMING * size:
            part = "framing of the body has" if request.headers_over else "headers have"
            raise Refusal(431, f"the {part} more than {MOST_HEADER_BYTES} bytes")
        return request

    def _is_review(self, request: Request, text: bytes) -> bool:
        """Whether *text* is one whole request in the form of `_REVIEW`, which is in *request* then."""
        match = _REVIEW.match(text)
        if match is None:
            return False
        end = match.end()
        target, host, length = match.groups()
        if len(text) - end != int(length) or end > MOST_HEADER_BYTES or len(text) - end > self._site.most_body:
            return False
        request.method = b"POST"
        request.path, _, request.query = target.partition(b"?")
        request.fields = {b"host": host, b"content-length": length, b"content-type": JSON}
        request.headers = list(request.fields.items())
        request.body = text[end:]
        self._site.check(request)
        request.headers_over = request.complete = True
        return True

    def close(self) -> None:
        """Read nothing any more.  The two parsers hold each other, which would keep both in memory for a while."""
        self._parser = self.request = None

    # Called by httptools.

    def on_message_begin(self) -> None:
        if self._begun:
            raise Refusal(400, "a second request before the answer to the first")
        self._begun = True

    def on_url(self, url: bytes) -> None:
        self.request.path += url  # type: ignore[union-attr]  # as in all that follow, it has begun

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self.request
        if request.headers_over:  # type: ignore[union-attr]
            return  # a trailer: nobody reads it
        headers = request.headers  # type: ignore[union-attr]
        if len(headers) >= MOST_HEADERS:
            raise Refusal(431, f"there are more than {MOST_HEADERS} headers")
        headers.append((name, value))
        key = name.lower()
        if key in SINGLE:
            fields = request.fields  # type: ignore[union-attr]
            if key in fields:
                raise Refusal(400, f"two {key.decode()} headers")
            fields[key] = value

    def on_headers_complete(self) -> None:
        request: Request = self.request  # type: ignore[assignment]
        if self.received > MOST_HEADER_BYTES:  # else they cannot be more
            size = len(request.path) + sum(len(name) + len(value) + 4 for name, value in request.headers)
            if size > MOST_HEADER_BYTES:
                raise Refusal(431, f"the headers have more than {MOST_HEADER_BYTES} bytes")
        request.method = self._parser.get_method()
        request.inspect(self._parser.get_http_version())
        length = request.fields.get(b"content-length")
        if length is not None and (len(length) > 15 or int(length) > self._site.most_body):
            raise self._too_large()
        self._site.check(request)
        request.headers_over = True

    def on_body(self, part: bytes) -> None:
        request: Request = self.request  # type: ignore[assignment]
        body = request.body
        if len(body) + len(part) > self._site.most_body:
            raise self._too_large()
        if not body:
            request.body = part
        elif isinstance(body, bytes):
            request.body = bytearray(body + part)  # not a list of parts, each of which takes more than its bytes
        else:
            body += part

    def on_message_complete(self) -> None:
        request: Request = self.request  # type: ignore[assignment]
        request.complete = True
        request.keep_alive = self._parser.should_keep_alive()

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the body has more than {self._site.most_body} bytes")
