"""Every setting and every limit of the server: its default, its unit, and why that default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """How `webhook.server.run` serves.  The command line fills it."""

    tls_directory: Path
    """Has ``tls.crt`` and ``tls.key``."""
    fleet: Path | None = None
    """The fleet file; None for the built-in one."""
    host: str = ""
    """Address to listen on; empty for all of them, IPv6 too."""
    port: int = 10250
    """HTTPS.  EKS' restricted security group lets the control plane reach 443, 10250 and 53 only."""
    ops_port: int = 8080
    """Plain HTTP: health, metrics, and previews where asked for."""
    preview: bool = False
    """Previews, catalogue and fleet on the second port: for people, so not where nobody asked for them."""
    preview_hosts: tuple[str, ...] = ()
    """Names of that port beside those that no other site can own."""
    log_level: str = "info"
    names: tuple[str, ...] = ()
    """Host names for which a certificate must be good to be served; the API server asks for SERVICE.NAMESPACE.svc."""
    poll: float = 2.0
    """Seconds between two looks at the fleet file and the certificate.  The kubelet takes about a minute to bring
    new ones."""
    settle: float = 30.0
    """Seconds from SIGTERM in which new connections are answered in any case: until then an API server or a
    kube-proxy may not know yet that this replica leaves."""


# Time, in seconds.

HANDSHAKE = 5.0
"""For a TLS handshake."""

SILENT = 0.5
"""After which a connection may be given up for another one in the middle of a handshake or a request.  Where the event
loop is busy, what is missing may have come and not be read yet."""

KEEP_ALIVE = 120.0
"""That a connection may be silent between requests, or before its first one: Go dials one, may then be served by
another, and keeps the new one for later.  The API server's pool keeps an idle connection 90 s: the server must be the
longer one, or a review is sent into a connection that is just being closed, and lost."""

HEADERS = 5.0
"""From the first byte of a request to the end of its headers."""

BODY = 10.0
"""For the body, at most."""

BODY_START = 3.0
"""For a body of which little has come: after that it must have come at `BODY_RATE`."""

BODY_RATE = 64 * KIB
"""Bytes a second below which a body is slow.  An API server sends at the speed of the network, and waits 2 s in all."""

DECIDING = 10.0
"""For an answer to be found."""

ANSWER = 10.0
"""Until the answer has left."""

CLOSING = 5.0
"""For the other side to hang up too, when it was told that the connection ends."""

OLDEST = 60.0
"""After which a connection is closed with an answer, so that new replicas get their share, and a new certificate is the
one that is shown.  Up to half as many more, or those that began together would end, and shake hands anew, together."""

SWEEP = 0.5
"""Between two looks at the deadlines of all connections; nothing is timed per request."""

SWITCH = 0.0005
"""That a thread which reads a fleet or makes a preview may go on while the event loop has something to do.  Python's
own 5 ms would be waited for at each look at the network, and a handshake takes several."""

LOOK = 0.05
"""Between two looks at who is still connected, when the process ends."""

DRAIN = 95.0
"""From SIGTERM until nobody is waited for any more: the 90 of the API server's pool, and some more."""

GRACE = 10.0
"""For what is in flight when nothing more is accepted.  The API server waits for 2."""

PREVIEW = 5.0
"""For one preview on the second port.  A pod takes milliseconds."""

# Sizes, in bytes.

MOST_BODY = 7 * MIB
"""Of a review.  An API server takes objects of 3 MiB, and a review may carry two of them and some more;
controller-runtime has the same limit (``pkg/webhook/admission/http.go``)."""

MOST_PREVIEW_BODY = 512 * KIB
"""Of a request on the second port.  Larger files are for the command line."""

MOST_PREVIEWS_BYTES = 4 * MIB
"""Of the previews that answer one request.  Each shows a whole pod."""

MOST_HEADER_BYTES = 16 * KIB
"""Of a request's line and headers."""

MOST_FRAMING = 1
"""For each byte of a body, beside `MOST_HEADER_BYTES`: what announces its chunks, extensions and trailers included.
A chunk of one byte takes five more."""

MOST_HELLO = 16 * KIB
"""Of a client before its handshake is over: a ClientHello with post-quantum key shares has 2 KiB, and OpenSSL would
take 128."""

MOST_EMPTY = 24 * MOST_HEADER_BYTES
"""Of TLS records in one request that carry little or nothing: the largest headers, byte by byte.  A record of one byte
has 23, and takes 3 µs."""

PIECE = 16 * KIB + 512
"""That TLS is given at once.  Its buffers keep the size to which they once grew, so this is what a connection costs
after a large body; a record has at most 16 KiB and a header."""

LARGE = 64 * KIB
"""Of a body that takes its turn: decoding it takes a millisecond or more, in which nobody else is answered.  Most pods
have a tenth of it."""

RECEIVE = 32 * KIB
"""That the kernel may hold of what a connection has sent: it counts against the container's memory."""

# Numbers.

MOST_HEADERS = 64
"""Headers of a request.  An API server sends about 8; each costs Python 140 bytes however short it is."""

MOST_WAITING = 128
"""Large bodies that may wait for their turn: as many as are decided in the second after which others are asked back."""

MOST_PREVIEW_VALUES = 50_000
"""Values in a body of the second port: to decode these lets nothing else run, for up to 30 ms."""

MOST_PREVIEWED = 100
"""Documents of one preview on the second port."""

MOST_PREVIEWS = 8
"""Previews at once: one is worked on, in a thread of its own, and the others wait."""

GREEDY = 2
"""Times the connections of a newcomer's address that another address must have to give one up for it: API servers that
are equally busy would only cut off each other."""

COSTLY = 0.002
"""Seconds of a decision from which on those of the same address take turns.  Ordinary ones take a tenth of that; at
5 ms each, those of one address with a thousand connections would hold up everybody for seconds."""

MEMORY_OF_COST = 0.98
"""Of a decision's cost, what counts at the next one: after 5 ms, the address takes turns for 45 decisions."""

TURN = 0.5
"""Of the time that others had, how much handshakes have then, and large bodies: under overload, to answer on the
connections that there are is worth more than to make new ones."""

ACCEPTED = 64
"""Connections that are accepted before others have their turn."""

BACKLOG = 2048
"""Connections that the kernel may hold until they are accepted."""


@dataclass(frozen=True)
class Limits:
    """What the connections of one port may take together."""

    connections: int
    """Of all addresses."""
    of_a_source: int
    """Of one address.  An API server has at most 600 requests in flight (``--max-requests-inflight`` and
    ``--max-mutating-requests-inflight``), but Go dials for each that waits, and drops above 25 what was dialled in
    vain: 200 at once were seen to have more than 640 connections."""
    handshakes: int
    """Of the connections, those that still shake hands.  Beyond that, those on which nothing is said are given up."""
    held: int
    """Bytes of bodies that are on their way.  600 reviews of a large pod are 4 MB."""


PROCESS = 72 * MIB
"""What the process takes by itself, and when nobody is connected."""

CONNECTION = 48 * KIB
"""What a connection costs that has carried a large review and is idle: 41 was measured."""

HELD = 3
"""A body is there two times while it is decoded, and once more in parts."""

MOST_CONNECTIONS = 4096
"""However much memory there is: more callers than that are no API servers."""

MOST_HELD = 64 * MIB
"""Of bodies, however much memory there is."""

LEAST = 64
"""Connections, and MiB, below which there is no use in being small."""

FILES = 64
"""File descriptors for all but connections: listening, logs, the event loop, files that are read, and those of
connections that are just being closed."""

LEAST_MEMORY = 256 * MIB
"""Bytes: what the manifests give."""

LEAST_FILES = 2048
"""File descriptors.  An API server may have 600 requests in flight, and one address gets half of the connections."""

SECOND_PORT = Limits(connections=64, of_a_source=32, handshakes=64, held=4 * MIB)
"""Probes and Prometheus, and some people."""


def limits(memory: int, files: int) -> Limits:
    """The limits of the HTTPS port, for a process that may have *memory* bytes and *files* file descriptors.

    Of the memory that the process itself leaves, five eighths are for connections and a fourth for bodies.
    """
    rest = max(memory - PROCESS, LEAST * MIB)
    connections = min(rest * 5 // 8 // CONNECTION, files - FILES - SECOND_PORT.connections, MOST_CONNECTIONS)
    connections = max(connections, LEAST) // 2 * 2
    held = min(rest // 4 // HELD, MOST_HELD)
    return Limits(connections, connections // 2, connections // 3, max(held, MOST_BODY))


def shortage(memory: int, files: int) -> str:
    """What a process is short of that may have *memory* bytes and *files* file descriptors.  Empty if of nothing."""
    if memory < LEAST_MEMORY:
        return f"{memory // MIB} MiB of memory. Give the container at least {LEAST_MEMORY // MIB} MiB"
    if files < LEAST_FILES:
        return f"{files} file descriptors. Give the process at least {LEAST_FILES:,}"
    return ""
