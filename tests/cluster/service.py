"""A Service that an API server really reaches: its ClusterIP is an address of loopback, and this is its proxy.

The control plane must have been told such addresses (`tests.cluster.control_plane`, *services*).
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

SERVICES = "127.90.0.0/24"
"""Addresses of loopback, so that nobody else reaches what listens there."""


class Service:
    """Takes each new connection to *address* to any of the *ports* on 127.0.0.1, as kube-proxy does."""

    def __init__(self, address: str, port: int, ports: Callable[[], Sequence[int]]) -> None:
        self.ports = ports
        self.listening = socket.create_server((address, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Refuse connections; those that are open go on."""
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _ = self.listening.accept()
                threading.Thread(target=self._take, args=(caller,), daemon=True).start()

    def _take(self, caller: socket.socket) -> None:
        ports = list(self.ports())
        with caller:
            for port in random.sample(ports, len(ports)):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as replica:
                    back = threading.Thread(target=_copy, args=(replica, caller), daemon=True)
                    back.start()
                    _copy(caller, replica)
                    back.join()
                    return


def _copy(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
