"""What the sockets and connections of the server are like."""

from __future__ import annotations

import asyncio
import socket

import pytest
from uvicorn.server import ServerState

from webhook.server.metrics import Metrics
from webhook.server.ops import Ops
from webhook.server.run import Protocol, listen, server_of


class Silent(asyncio.Transport):
    """A transport that nobody listens to."""

    def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["closed", "broken off"])
def test_a_connection_that_is_gone_leaves_no_timer_behind(error: Exception | None) -> None:
    async def lose() -> None:
        loop = asyncio.get_running_loop()
        config = server_of(Ops(lambda: None, Metrics()), None).config
        config.load()
        protocol = Protocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        protocol.connection_made(Silent())
        timer = protocol.timeout_keep_alive_task = loop.call_later(120, protocol.timeout_keep_alive_handler)
        protocol.connection_lost(error)
        assert timer.cancelled()
        assert protocol not in protocol.connections

    asyncio.run(lose())


@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["loopback", "all addresses"])
def test_an_answer_does_not_wait_for_the_callers_acknowledgement(host: str) -> None:
    with listen(host, 0) as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1])):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
