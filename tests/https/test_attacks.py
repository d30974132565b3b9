"""Whole servers of the size that the manifests give them, under what anybody may do who reaches the port."""

from __future__ import annotations

import json
import os
import resource
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.https.calling import GOOD, HEAD, REVIEW, answer, connect
from tests.https.proxy import segments
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli.loopback import LOOPBACK
from webhook.server.settings import CONNECTION, MIB

pytestmark = pytest.mark.slow  # each test starts a server of its own

MEMORY = 256
"""MiB: the limit in ``manifests/webhook/deployment.yaml``."""

GREEDY = ("127.0.0.2", "127.0.0.3")


@pytest.fixture(scope="module", autouse=True, name="files")
def _files() -> Iterator[None]:
    """As many file descriptors as there may be: each attacker has thousands."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def fewer_files(soft: int) -> Iterator[None]:
    """What is started meanwhile has this soft limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(name="start")
def _start(tls: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*options: str, **how: int) -> Running:
        running.append(Running(tls, *options, **how))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop()


def silent(server: Running, source: str) -> socket.socket:
    """A TCP connection on which nothing is said."""
    return socket.create_connection((LOOPBACK, server.port), timeout=60, source_address=(source, 0))


def padded(size: int) -> bytes:
    """A review of *size* bytes."""
    text = REVIEW + b" " * (size - len(REVIEW))
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text


def answered(server: Running, tls: Path, port: int = 0, text: bytes = GOOD) -> bool:
    """Whether a review on a new connection is answered."""
    with connect(port or server.port, tls / "ca.crt") as connection:
        connection.sendall(text)
        return answer(connection).startswith(b"HTTP/1.1 200 ")


def test_silent_connections_from_two_addresses_keep_nobody_out(start, tls: Path) -> None:
    """P17, P33."""
    server = start(memory=MEMORY * MIB)
    with ExitStack() as stack:
        for source in GREEDY:
            for _ in range(server.limits["connections"] // 2 + 100):
                with suppress(OSError):
                    stack.enter_context(silent(server, source))
        for _ in range(50):
            assert answered(server, tls)
    assert server.metric('gpu_slice_refused_connections_total{reason="handshakes"}') > 0


def test_idle_connections_from_two_addresses_keep_nobody_out(start, tls: Path) -> None:
    """P17, P33."""
    server = start(memory=96 * MIB)
    assert server.limits["connections"] < 1000
    with ExitStack() as stack:
        for source in GREEDY:
            for _ in range(server.limits["of_a_source"]):
                stack.enter_context(connect(server.port, tls / "ca.crt", source=source))
        for _ in range(20):
            assert answered(server, tls)


def test_headers_as_large_as_they_may_be_fit_the_memory(start, tls: Path) -> None:
    """P16, P18."""
    server = start(memory=MEMORY * MIB)
    filler = b"".join(b"a%d: %s\r\n" % (number, b"b" * 230) for number in range(60))
    with ExitStack() as stack:
        for number in range(server.limits["connections"]):
            source = GREEDY[number % 2]
            connection = stack.enter_context(connect(server.port, tls / "ca.crt", source=source))
            connection.sendall(HEAD + filler + b"Content-Length: 9999\r\n\r\n{")
        assert server.resident("VmHWM") < MEMORY
        assert answered(server, tls)


def test_a_large_review_on_every_connection_fits_the_memory(start, tls: Path) -> None:
    """P16, P33."""
    server = start(memory=MEMORY * MIB)
    before = server.resident()
    with ExitStack() as stack:
        for number in range(server.limits["connections"]):
            source = GREEDY[number % 2]
            connection = stack.enter_context(connect(server.port, tls / "ca.crt", source=source))
            connection.sendall(padded(60_000))
            assert answer(connection).startswith(b"HTTP/1.1 200 ")
        assert (server.resident() - before) * MIB < CONNECTION * server.limits["connections"]
        assert server.resident("VmHWM") < MEMORY
        assert answered(server, tls)


def test_bodies_that_are_held_keep_no_other_body_out(start, tls: Path) -> None:
    """P16, P33: other bodies come in many segments, as over a network."""
    server = start(memory=MEMORY * MIB)
    over = threading.Event()

    def hold() -> None:
        while not over.is_set():
            with suppress(OSError), connect(server.port, tls / "ca.crt", source=GREEDY[0]) as connection:
                connection.settimeout(5)
                connection.sendall(HEAD + b"Content-Length: 7000000\r\n\r\n")
                for _ in range(40):
                    connection.sendall(b" " * 150_000)
                    if over.wait(0.05):
                        return

    holding = [threading.Thread(target=hold) for _ in range(6)]
    for each in holding:
        each.start()
    try:
        with segments(server.port, "127.0.0.1") as port:
            for size in (6_000, 60_000) * 15:
                assert answered(server, tls, port, padded(size))
    finally:
        over.set()
        for each in holding:
            each.join(20)
    wait_for("nobody is connected", lambda: server.metric("gpu_slice_connections") == 0)
    assert server.resident("VmHWM") < MEMORY


def test_with_1024_files_idle_connections_keep_nobody_out(start, tls: Path) -> None:
    """P17, P33."""
    server = start(files=1024)
    assert server.limits["connections"] < 1000
    with ExitStack() as stack:
        for number in range(1200):
            with suppress(OSError, ssl.SSLError):
                stack.enter_context(connect(server.port, tls / "ca.crt", source=GREEDY[number % 2]))
        assert server.get("/healthz") == (200, "ok")
        for _ in range(20):
            assert answered(server, tls)
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 1024
    assert not any("refused" in line["message"] for line in [*server.seen, *server.lines.queue])


def test_the_soft_limit_of_files_is_raised(start) -> None:
    with fewer_files(1024):
        server = start()
    limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
    soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
    assert soft == hard


@pytest.mark.parametrize("depth", [300, 1010, 5000])
@pytest.mark.parametrize("place", ["apiVersion", "annotations"])
def test_a_review_that_is_nested_is_no_fault_of_ours(start, tls: Path, place: str, depth: int) -> None:
    """P4, P19."""
    nested = "[" * depth + "]" * depth
    text = REVIEW.decode()
    if place == "apiVersion":
        text = text.replace('"admission.k8s.io/v1"', nested)
    else:
        text = text.replace('{"gpu-slice": "1g.5gb"}', nested)
    body = text.encode()
    with connect(start().port, tls / "ca.crt") as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert answer(connection).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))


def preview(server: Running, document: object) -> tuple[int, str]:
    return server.post("/preview", json.dumps(document).encode())


def test_many_documents_are_no_preview_on_the_second_port(start) -> None:
    """P16, P33."""
    server = start("--preview")
    before = server.resident()
    pod = json.loads(REVIEW)["request"]["object"] | {"kind": "Pod"}

    assert preview(server, {"kind": "List", "items": [pod] * 30_000})[0] == 413
    assert preview(server, {"kind": "List", "items": [pod] * 101})[0] == 413
    assert preview(server, {"kind": "List", "items": [{"kind": "List", "items": [pod] * 51}] * 2})[0] == 413
    assert preview(server, {"kind": "List", "items": [pod] * 100})[0] == 200
    assert server.resident("VmHWM") < before + 32


def test_previews_that_take_long_hold_up_neither_reviews_nor_the_end(start, tls: Path) -> None:
    """P29, P33."""
    server = start("--preview", "--settle", "0")
    containers = [{"name": f"c{number}"} for number in range(2000)]
    pod = {"kind": "Pod", "metadata": {"annotations": {"gpu-slice": "1/7"}}, "spec": {"containers": containers}}
    body = json.dumps({"kind": "List", "items": [pod] * 6}).encode()
    head = b"POST /preview HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(30):
            connection = socket.create_connection((LOOPBACK, server.ops_port), timeout=60)
            stack.enter_context(connection)
            connection.sendall(head % len(body) + body)
        for _ in range(20):
            assert answered(server, tls)
        assert server.get("/healthz") == (200, "ok")
        assert server.stop() == 0


def test_the_second_port_has_the_limits_of_the_first(start) -> None:
    """P17, P18: on headers, on what is no plain HTTP, and on connections."""
    server = start()
    for text, status in (
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 65 + b"\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ):
        with socket.create_connection((LOOPBACK, server.ops_port), timeout=60) as connection:
            connection.sendall(text)
            assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status), text
    with ExitStack() as stack:
        for number in range(200):
            with suppress(OSError):
                address = (LOOPBACK, server.ops_port)
                connection = socket.create_connection(address, timeout=60, source_address=(GREEDY[number % 2], 0))
                stack.enter_context(connection)
        assert server.get("/healthz") == (200, "ok")
