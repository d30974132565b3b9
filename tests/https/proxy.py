"""A proxy that makes loopback a network: what passes it comes in segments of an Ethernet frame, not all at once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

from webhook.cli.loopback import LOOPBACK

SEGMENT = 1448
"""Bytes of TCP in a frame of 1,500."""


@contextmanager
def segments(port: int, source: str) -> Iterator[int]:
    """A port of loopback from which everything goes to *port*, from the address *source*, a segment at a time."""
    threads: list[Thread] = []
    ends: list[socket.socket] = []
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server((LOOPBACK, 0), backlog=128))
        ends.append(listening)

        def begin(work: Callable[..., None], *arguments: socket.socket) -> None:
            threads.append(Thread(target=work, args=arguments))
            threads[-1].start()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    caller = sockets.enter_context(listening.accept()[0])
                    server = socket.create_connection((LOOPBACK, port), source_address=(source, 0))
                    sockets.enter_context(server)
                    ends.extend((caller, server))
                    for one, other in ((caller, server), (server, caller)):
                        other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        begin(forward, one, other)

        begin(accept)
        yield listening.getsockname()[1]
        for each in ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in threads:
            each.join(20)


def forward(one: socket.socket, other: socket.socket) -> None:
    """Everything that *one* receives, to *other*, until somebody hangs up."""
    with suppress(OSError):
        while data := one.recv(SEGMENT):
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
