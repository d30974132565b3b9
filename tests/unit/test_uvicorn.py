"""What the second port relies on in uvicorn beyond what it documents.

Where a test here fails after uvicorn was renewed: read its ``server.py``, then `webhook.server.api.port`, and only then
change the version here.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import socket

import uvicorn

from webhook.server.api.app import application
from webhook.server.api.asgi import Asgi
from webhook.server.api.port import Accepted, SecondPort
from webhook.server.metrics import Metrics
from webhook.server.settings import MOST_PREVIEW_BODY


def port() -> SecondPort:
    metrics = Metrics()
    return SecondPort(Asgi(application(lambda: "", metrics), MOST_PREVIEW_BODY), metrics)


def test_it_is_the_version_that_was_read() -> None:
    assert uvicorn.__version__.startswith("0.54.")


def test_it_makes_a_connection_of_ours_for_each_and_ends_with_them() -> None:
    """P29."""

    async def serve() -> None:
        serving = port()
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        serving.open(listening)
        while not serving.server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        (connection,) = serving.connections
        assert isinstance(connection, Accepted)
        await serving.close(10)
        assert (await reader.read()).endswith(b"ok")  # and no more: it was closed
        assert not serving.connections
        writer.close()

    asyncio.run(serve())


def test_it_leaves_signals_alone() -> None:
    """P29."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with port().server.capture_signals():
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert "self.capture_signals()" in inspect.getsource(uvicorn.Server.serve)
