"""What the sockets of the server are like."""

from __future__ import annotations

import asyncio
import socket

import pytest

from webhook.server.run import listen, look_again


@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["loopback", "all addresses"])
def test_an_answer_does_not_wait_for_the_callers_acknowledgement(host: str) -> None:
    with listen(host, 0) as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1])):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_look_that_fails_ends_neither_the_others_nor_the_next() -> None:
    """P24."""
    looks: list[str] = []

    def fail() -> None:
        looks.append("fails")
        raise KeyError("of no kind that was foreseen")

    async def look_three_times() -> None:
        looking = asyncio.create_task(look_again([fail, lambda: looks.append("goes on")], 0.001))
        while len(looks) < 6 and not looking.done():
            await asyncio.sleep(0.001)
        looking.cancel()

    asyncio.run(look_three_times())
    assert looks[:6] == ["fails", "goes on"] * 3
