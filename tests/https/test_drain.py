"""From SIGTERM to the end: nobody who still calls is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.https.calling import GOOD, HEAD, LENGTH, REVIEW, answer, connect, until_closed
from tests.running import Running
from tests.waiting import wait_for

pytestmark = pytest.mark.slow  # each test starts a server of its own

CLOSE = b"connection: close"


@pytest.fixture(name="start")
def _start(tls: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*options: str) -> Running:
        started.append(Running(tls, *options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.stop()


def leave(server: Running) -> None:
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("leaving")


def ended(server: Running) -> int:
    server.process.wait(timeout=60)
    return server.stop()


def test_each_answer_from_then_on_is_the_last_of_its_connection(start, tls: Path) -> None:
    """P29."""
    server = start("--settle", "5")
    ca = tls / "ca.crt"
    kept, half, idle = (connect(server.port, ca) for _ in range(3))
    for each in (kept, idle):
        each.sendall(GOOD)
        assert CLOSE not in answer(each)
    half.sendall(HEAD + LENGTH + b"\r\n" + REVIEW[:50])
    wait_for("it is counted", lambda: server.metric("gpu_slice_connections") == 3)

    leave(server)

    assert server.get("/readyz") == (503, "leaving")
    assert server.get("/healthz") == (200, "ok")
    assert server.metric("gpu_slice_draining") == 1
    fresh = connect(server.port, ca)
    for connection, text in ((kept, GOOD), (half, REVIEW[50:]), (fresh, GOOD)):
        connection.sendall(text)
        found = until_closed(connection)
        assert found.startswith(b"HTTP/1.1 200 ")
        assert CLOSE in found
    with connect(server.port, ca) as wrong:
        wrong.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert CLOSE in until_closed(wrong)
    # One is silent still, and might be used: it is waited for.
    assert server.process.poll() is None
    idle.sendall(GOOD)
    assert CLOSE in until_closed(idle)
    for each in (kept, half, fresh, idle):
        each.close()
    assert ended(server) == 0


def test_a_silent_connection_holds_it_until_the_caller_lets_go(start, tls: Path) -> None:
    """P29."""
    server = start("--settle", "0")
    with connect(server.port, tls / "ca.crt") as silent:
        silent.sendall(GOOD)
        answer(silent)
        leave(server)
        assert server.get("/readyz")[0] == 503
        silent.sendall(GOOD)
        assert until_closed(silent).startswith(b"HTTP/1.1 200 ")
    assert ended(server) == 0
    assert server.seen[-1]["message"] == "stopped" or any(
        line["message"] == "stopped" for line in list(server.lines.queue)
    )


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_who_is_in_a_hurry_does_not_wait(start, tls: Path, first: int) -> None:
    server = start("--settle", "600")
    with connect(server.port, tls / "ca.crt") as silent:
        silent.sendall(GOOD)
        answer(silent)
        server.process.send_signal(first)
        server.wait_for("leaving")
        if first == signal.SIGTERM:
            server.process.send_signal(signal.SIGTERM)
        assert ended(server) == 0
