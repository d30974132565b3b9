"""Where a connection is, and how long it may be there.

| phase     | begins with                      | ends with                     | when its time is over |
| --------- | -------------------------------- | ----------------------------- | --------------------- |
| HANDSHAKE | a TCP connection                 | TLS being agreed              | cut off               |
| IDLE      | the handshake, or an answer      | the first byte of a request   | closed                |
| HEADERS   | the first byte of a request      | an empty line                 | 408, and closed       |
| BODY      | the end of the headers           | the last byte of the body     | 408, and closed       |
| DECIDING  | a whole request that has to wait | its answer                    | 503, and closed       |
| CLOSING   | an answer that is the last one   | the other side hanging up too | cut off               |

A small request that comes in one segment goes from IDLE to IDLE.  An answer that does not leave within `ANSWER`
seconds, because nobody reads it, cuts off an IDLE connection too.  Whoever sends byte by byte moves no deadline.
"""

from __future__ import annotations

from enum import Enum, auto

from webhook.server import settings


class Phase(Enum):
    """Where a connection is."""

    HANDSHAKE = auto()
    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    DECIDING = auto()
    CLOSING = auto()

    __hash__ = object.__hash__  # Enum's own is a function in Python, and this is asked for with every request


HANDSHAKE, IDLE, HEADERS, BODY, DECIDING, CLOSING = Phase
"""The same by themselves: an attribute of an Enum takes Python 3.11 longer than a header."""

ALLOWED = {
    HANDSHAKE: settings.HANDSHAKE,
    IDLE: settings.KEEP_ALIVE,
    HEADERS: settings.HEADERS,
    BODY: settings.BODY,
    DECIDING: settings.DECIDING,
    CLOSING: settings.CLOSING,
}
"""Seconds in each phase.  Tests make them shorter."""

SLOW = (CLOSING, HANDSHAKE, HEADERS, BODY)
"""Phases that are short, unless the other side makes them long."""
