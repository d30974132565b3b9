"""The keeper's port: metrics and health for those who ask, whoever else is connected."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from certs import metrics as module
from certs.metrics import MOST_CONNECTIONS, KeeperMetrics, serve
from tests.waiting import wait_for
from webhook.cli.loopback import LOOPBACK


@pytest.fixture(name="port")
def _port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(module, "LONGEST_REQUEST", 1.0)
    server = serve(KeeperMetrics(), LOOPBACK, 0, 60)
    yield server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_metrics_and_health_are_read_there_and_nothing_else(port: int) -> None:
    assert [get(port, path) for path in ("/metrics", "/healthz", "/")] == [200, 200, 404]


def test_many_that_say_nothing_keep_nobody_out(port: int) -> None:
    """P17."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=60))
            for _ in range(4 * MOST_CONNECTIONS)
        ]
        assert get(port, "/healthz") == 200
        assert silent[0].recv(1) == b""


def test_one_that_sends_byte_after_byte_is_cut_off(port: int) -> None:
    """P17."""
    with socket.create_connection((LOOPBACK, port), timeout=60) as drip:
        drip.settimeout(0.05)

        def ended() -> bool:
            try:
                drip.sendall(b"a")
                return drip.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_for("it is cut off", ended)


def test_who_breaks_off_writes_no_traceback(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """P39."""
    for text in (b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /metr", b"\xff\x00\r\n\r\n"):
        with socket.create_connection((LOOPBACK, port), timeout=60) as caller, suppress(OSError):
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset
            caller.sendall(text)
    assert get(port, "/healthz") == 200
    assert capfd.readouterr().err == ""
