"""What the sockets of the server are like."""

from __future__ import annotations

import socket

import pytest

from webhook.server.run import listen


@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["loopback", "all addresses"])
def test_an_answer_does_not_wait_for_the_callers_acknowledgement(host: str) -> None:
    with listen(host, 0) as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1])):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
