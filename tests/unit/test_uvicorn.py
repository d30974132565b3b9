"""What the server relies on in uvicorn beyond what it documents.

Where a test here fails after uvicorn was renewed: read its ``server.py``, then `webhook.server.port` and
`webhook.server.https`, and only then change the version in ``pyproject.toml``.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import socket

import uvicorn

from webhook.server.https import Connection
from webhook.server.metrics import Metrics
from webhook.server.port import Port
from webhook.server.settings import SECOND_PORT
from webhook.server.webhook import Webhook


def port() -> Port:
    return Port(Webhook(bytes, lambda: ""), SECOND_PORT, Metrics())


def test_it_is_the_version_that_was_read() -> None:
    assert uvicorn.__version__.startswith("0.54.")


def test_it_makes_a_connection_of_ours_for_each_and_tells_them_to_shut_down() -> None:
    """P29."""

    async def serve() -> None:
        serving = port()
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        serving.open(listening)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        (connection,) = serving.connections
        assert isinstance(connection, Connection)
        await serving.close(10)
        assert (await reader.read()).endswith(b"ok")  # and no more: it was closed
        assert not serving.connections
        writer.close()

    asyncio.run(serve())


def test_it_leaves_signals_alone() -> None:
    """P29."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with port().capture_signals():
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_it_gives_a_protocol_what_ours_takes() -> None:
    source = inspect.getsource(uvicorn.Server.startup)
    taken = inspect.signature(Connection).parameters
    for name in ("config", "server_state", "app_state", "_loop"):
        assert f"{name}=" in source
        assert name in taken
