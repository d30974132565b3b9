"""The second port: uvicorn's server, with connections that have the limits of the HTTPS port.

uvicorn accepts, and makes a `Connection` of ours for each (``Config(http=…)``).  It leaves signals to
`webhook.server.run`.  What this relies on and uvicorn does not document is pinned by ``tests/unit/test_uvicorn.py``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from webhook.server.api.asgi import Asgi
from webhook.server.https import Connection
from webhook.server.metrics import Metrics
from webhook.server.phase import CLOSING
from webhook.server.port import Port
from webhook.server.settings import SECOND_PORT


class SecondPort(Port):
    """The port on which *site* runs an ASGI application."""

    def __init__(self, site: Asgi, metrics: Metrics) -> None:
        super().__init__(site, SECOND_PORT, metrics)
        config = uvicorn.Config(
            site.app,
            http=self._make,  # type: ignore[arg-type]  # it is called, and need not be a class
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self.server = Server(config)

    def _make(self, **_: Any) -> Connection:
        return Accepted(self)

    def refused(self, status: int) -> None:
        """Count nothing: the metrics, and the alerts on them, are about reviews."""

    def refused_connection(self, reason: str) -> None:
        """Count nothing."""

    def open(self, listening: socket.socket) -> None:
        """See `Port.open`."""
        self.loop = asyncio.get_running_loop()
        self._serving = asyncio.create_task(self.server.serve([listening]))
        self._sweep()

    async def close(self, grace: float) -> None:
        """See `Port.close`."""
        self.leaving = self.server.should_exit = True
        await self._serving
        await self._end(grace)


class Server(uvicorn.Server):
    """uvicorn's server, which would stop on the first signal and raise it again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `webhook.server.run`."""
        yield


class Accepted(Connection):
    """A connection that uvicorn accepted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = transport.get_extra_info("peername")
        source = self.port.sources.enter(self, address[0]) if address is not None else None
        if source is None:
            self.phase = CLOSING
        else:
            self.source = source
            self.port.connections.add(self)
        super().connection_made(transport)
