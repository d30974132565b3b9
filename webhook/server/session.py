"""TLS of one connection, between the bytes of the network and those of HTTP.

It is the standard library's ``ssl.SSLObject`` over two buffers in memory.  uvloop's own TLS gives each connection a
buffer of 256 KiB and lets all others grow with what comes: an idle connection that carried a large review keeps 162 kB
there, and 40 here, at the same speed.  Its ``start_tls`` cannot be used on accepted connections at all: reading goes
on before it begins, so a ClientHello that comes at once is lost.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress

from webhook.server.settings import PIECE

_HEADER = 5
"""Bytes of a record before what it carries; the last two say how much that is (RFC 8446, 5.1)."""


class Session:
    """The server's side of one TLS session."""

    __slots__ = ("_incoming", "_outgoing", "_rest", "_tls", "ended", "shaken")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._rest = b""
        """The beginning of a record whose end has not come."""
        self.shaken = False
        """The handshake is over."""
        self.ended = False
        """The other side has said that it sends nothing more."""

    def records(self, data: bytes) -> Iterator[bytes]:
        """*data* in pieces of whole records, each at most `PIECE` bytes, for `read`.

        With half a record OpenSSL would raise an exception, which takes longer than to look for its end.
        """
        if self._rest:
            data = self._rest + data
        start = end = 0
        size = len(data)
        while end + _HEADER <= size:
            after = end + _HEADER + (data[end + 3] << 8 | data[end + 4])
            if after - start > PIECE:
                if end == start:  # it is longer than a record may be, as `read` will say
                    after = size
                else:
                    yield data[start:end]
                    start = end
                    continue
            if after > size:
                break
            end = after
        if end > start:
            yield data if end - start == size else data[start:end]
        self._rest = data[end:]

    def read(self, records: bytes) -> bytes:
        """What *records* say in plain.  Raises ssl.SSLError; `pending` may have an alert then."""
        incoming, tls = self._incoming, self._tls
        incoming.write(records)
        text = b""
        try:
            if not self.shaken:
                tls.do_handshake()
                self.shaken = True
            while incoming.pending or tls.pending():
                more = tls.read(PIECE)
                if not more:
                    self.ended = True
                    break
                text = text + more if text else more
        except ssl.SSLWantReadError:
            pass
        return text

    def pending(self) -> bytes:
        """What TLS itself wants to send."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def write(self, text: bytes) -> bytes:
        """*text*, at most `PIECE` bytes, as it is sent."""
        self._tls.write(text)
        return self._outgoing.read()

    def end(self) -> bytes:
        """Say that nothing more is sent."""
        with suppress(ssl.SSLError):  # that the other side has not said so yet, or its handshake is not over
            self._tls.unwrap()
        return self.pending()
