"""What a caller may cost: malformed, slow, greedy and huge ones are cut off, and others do not notice."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

import pytest
import uvloop

from tests.https.calling import GOOD, HEAD, LENGTH, REVIEW, answer, ask, connect, until_closed
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli import files
from webhook.cli.loopback import LOOPBACK
from webhook.server import settings, sources
from webhook.server.decide import Decide
from webhook.server.http import Request, Response, Site
from webhook.server.metrics import Metrics
from webhook.server.phase import ALLOWED, Phase
from webhook.server.port import Port
from webhook.server.run import listen
from webhook.server.settings import LARGE, MIB, MOST_HEADER_BYTES, Limits
from webhook.server.tls import load
from webhook.server.webhook import Webhook, late

CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module", name="server")
def _server(tls: Path) -> Iterator[Running]:
    server = Running(tls)
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param(HEAD + LENGTH + CHUNKED + b"\r\n0\r\n\r\n", 400, id="a length and chunks"),
        pytest.param(HEAD + LENGTH + LENGTH + b"\r\n" + REVIEW, 400, id="two lengths"),
        pytest.param(HEAD + LENGTH + b"Content-Length: 3\r\n\r\n" + REVIEW, 400, id="two lengths that differ"),
        pytest.param(HEAD + b"Content-Length: +3\r\n\r\nabc", 400, id="a length with a sign"),
        pytest.param(HEAD + b"Content-Length: 0x3\r\n\r\nabc", 400, id="a length in hex"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\nabc", 400, id="a negative length"),
        pytest.param(HEAD + b"Content-Length : 3\r\n\r\nabc", 400, id="a space before the colon"),
        pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\nabc", 400, id="an unknown encoding"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\nabc", 400, id="chunked, but not last"),
        pytest.param(
            HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, id="another encoding, and chunked"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400, id="the same in two headers"
        ),
        pytest.param(HEAD.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n", 400, id="chunks in HTTP/1.0"),
        pytest.param(
            HEAD + CHUNKED + b"\r\n1;" + b"a" * 300_000 + b"\r\n{\r\n0\r\n\r\n", 431, id="a chunk with a long extension"
        ),
        pytest.param(GOOD.replace(b"Host: x\r\n", b""), 400, id="no host"),
        pytest.param(GOOD.replace(b"Host: x\r\n", b"Host: x\r\nhost: x\r\n"), 400, id="two hosts"),
        pytest.param(GOOD.replace(b"Host: x", b"Host: x/y"), 400, id="a host that is none"),
        pytest.param(GOOD.replace(b" /mutate", b" https://y/mutate"), 400, id="the whole address of another host"),
        pytest.param(GOOD.replace(b" /mutate", b" ftp://x/mutate"), 400, id="an address of another kind"),
        pytest.param(GOOD.replace(b" /mutate", b" *"), 400, id="no path"),
        pytest.param(GOOD.replace(b"Host", b"Content-Type: application/json\r\nHost"), 400, id="two content types"),
        pytest.param(HEAD + CHUNKED + b"\r\n-1\r\n\r\n", 400, id="a negative chunk"),
        pytest.param(HEAD + CHUNKED + b"\r\n3\r\nabcX\r\n0\r\n\r\n", 400, id="a chunk that is longer than it says"),
        pytest.param(HEAD + b"X-A: b\r\n c\r\n" + LENGTH + b"\r\n" + REVIEW, 400, id="a folded header"),
        pytest.param(GOOD.replace(b"\r\n", b"\n"), 400, id="bare line feeds"),
        pytest.param(HEAD + b"X: a\x00b\r\n" + LENGTH + b"\r\n" + REVIEW, 400, id="a NUL in a header"),
        pytest.param(b"GET /healthz\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="CONNECT"),
        pytest.param(b"\x16\x03\x01 rubbish\r\n\r\n", 400, id="rubbish"),
        pytest.param(GOOD + GOOD, 400, id="a second request before the answer to the first"),
        pytest.param(
            HEAD + LENGTH + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n" + REVIEW, 400, id="another protocol"
        ),
        pytest.param(
            HEAD + b"X: " + b"a" * (MOST_HEADER_BYTES + 1) + b"\r\n" + LENGTH + b"\r\n", 431, id="a huge header"
        ),
        pytest.param(HEAD + b"X: aaaaaaaaaa\r\n" * 2000 + LENGTH + b"\r\n" + REVIEW, 431, id="many headers"),
        pytest.param(HEAD + b"a:\r\n" * 65 + LENGTH + b"\r\n" + REVIEW, 431, id="many short headers"),
        pytest.param(HEAD + b"X: " + b"a" * 300_000, 431, id="a header without an end"),
        pytest.param(b"GET /" + b"a" * MOST_HEADER_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, id="a long path"),
    ],
)
def test_a_malformed_request_is_answered_once_and_the_connection_closed(server, tls: Path, text, status) -> None:
    """P4, P18."""
    found = ask(server.port, tls / "ca.crt", text)

    assert found.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in found
    assert found.count(b"content-length:") == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.replace(b" /mutate", b" https://x/mutate"), id="the whole address"),
        pytest.param(GOOD.replace(b"Host: x", b"Host: webhook.gpu-slice.svc:443"), id="a host with a port"),
        pytest.param(GOOD.replace(b"Host: x", b"Host: [fd00::1]:10250"), id="IPv6"),
        pytest.param(GOOD.replace(b"1.1", b"1.0").replace(b"Host: x\r\n", b""), id="HTTP/1.0 without a host"),
        pytest.param(
            HEAD + b"Transfer-Encoding: Chunked\r\n\r\n%x;a=b\r\n" % len(REVIEW) + REVIEW + b"\r\n0\r\nX: y\r\n\r\n",
            id="a chunk with an extension, and a trailer",
        ),
        pytest.param(
            HEAD + CHUNKED + b"\r\n" + b"".join(b"1\r\n%c\r\n" % each for each in REVIEW) + b"0\r\n\r\n",
            id="chunks of one byte",
        ),
        pytest.param(HEAD + b"X: y\r\n" * 61 + LENGTH + b"\r\n" + REVIEW, id="64 headers"),
    ],
)
def test_what_http_allows_and_does_no_harm_is_read(server, tls: Path, text: bytes) -> None:
    with connect(server.port, tls / "ca.crt") as connection:
        connection.sendall(text)
        assert answer(connection).startswith(b"HTTP/1.1 200 ")


def test_who_waits_for_a_sign_to_send_a_body_gets_it(server, tls: Path) -> None:
    with connect(server.port, tls / "ca.crt") as connection:
        connection.sendall(HEAD + LENGTH + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(REVIEW)
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
    with connect(server.port, tls / "ca.crt") as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 413 ")


def test_what_follows_a_request_that_closes_is_not_a_second_request(server, tls: Path) -> None:
    """P18."""
    first = HEAD + LENGTH + b"Connection: close\r\n\r\n" + REVIEW
    found = ask(server.port, tls / "ca.crt", first + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.count(b"HTTP/1.1 200") == 1


def test_headers_just_below_the_limit_are_read_also_byte_by_byte(server, tls: Path) -> None:
    """P18."""
    filler = b"X: " + b"a" * (MOST_HEADER_BYTES - 500) + b"\r\n"
    with connect(server.port, tls / "ca.crt") as connection:
        for each in (HEAD + filler, LENGTH + b"\r\n" + REVIEW):
            connection.sendall(each)
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
        for start in range(0, len(GOOD), 7):
            connection.sendall(GOOD[start : start + 7])
        assert answer(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_in_records_of_one_byte_is_cut_off(server, tls: Path) -> None:
    """P16."""
    before = server.metric('gpu_slice_refused_connections_total{reason="records"}')
    with connect(server.port, tls / "ca.crt") as connection, suppress(OSError):
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        for _ in range(100_000):
            connection.sendall(b" ")
    assert server.metric('gpu_slice_refused_connections_total{reason="records"}') == before + 1


def test_a_malformed_request_writes_no_log_line(server, tls: Path) -> None:
    """P39."""
    ask(server.port, tls / "ca.crt", b"canary\r\n\r\n")
    assert "canary" not in str(list(server.lines.queue))
    assert server.lines.empty()


MANY = Limits(connections=100, of_a_source=100, handshakes=100, held=24 * MIB)


class Wordy:
    """Answers everything with 8 MB."""

    most_body = 0

    def check(self, request: Request) -> None:
        """Fine."""

    def answer(self, request: Request) -> Response:
        return Response(200, b"a" * 8_000_000)


@contextmanager
def serving(
    tls: Path, fleet: Callable[[], object] = lambda: files.fleet_at(None), site: Site | None = None, **how: int
) -> Iterator[tuple[int, Port]]:
    """A port in this process, with other limits where a test says so."""
    loop = uvloop.new_event_loop()
    metrics = Metrics()
    site = site or Webhook(Decide(fleet, metrics), lambda: "")
    port = Port(site, replace(MANY, **how), metrics, load(tls).context)
    port.loop = loop
    with listen(LOOPBACK, 0) as listening:
        number = listening.getsockname()[1]

        async def run() -> None:
            port.open(listening)
            await over.wait()
            await port.close(0)

        over = asyncio.Event()
        thread = Thread(target=loop.run_until_complete, args=(run(),))
        thread.start()
        try:
            yield number, port
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(20)
            loop.close()


@pytest.fixture(name="hasty")
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of tenths of a second, but for silence between requests."""
    for phase, seconds in ((Phase.HANDSHAKE, 0.5), (Phase.HEADERS, 0.3), (Phase.BODY, 0.5), (Phase.CLOSING, 0.5)):
        monkeypatch.setitem(ALLOWED, phase, seconds)
    monkeypatch.setattr(settings, "SWEEP", 0.05)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(HEAD + b"X: ", "headers", id="half a header"),
        pytest.param(HEAD + LENGTH + b"\r\n" + REVIEW[:10], "body", id="half a body"),
        pytest.param(HEAD + CHUNKED + b"\r\n500\r\nab", "body", id="half a chunk"),
    ],
)
def test_a_slow_caller_is_cut_off_also_one_that_drips(hasty, tls: Path, text: bytes, reason: str) -> None:
    """P17."""
    with (
        serving(tls) as (number, port),
        connect(number, tls / "ca.crt") as silent,
        connect(number, tls / "ca.crt") as drip,
    ):
        for each in (silent, drip):
            each.sendall(text)
        with suppress(OSError):  # byte after byte moves no deadline
            for _ in range(1000):
                drip.sendall(b"a")
                drip.settimeout(0.02)
                with suppress(TimeoutError):
                    drip.recv(1)
                    break
        assert until_closed(silent).startswith(b"HTTP/1.1 408 ")
        refused = port.metrics.refused_connections.labels(reason)
        wait_for("both are counted", lambda: refused._value.get() == 2)


def test_a_handshake_that_does_not_end_is_cut_off(hasty, tls: Path) -> None:
    """P17."""
    with serving(tls) as (number, port), socket.create_connection((LOOPBACK, number), timeout=60) as plain:
        wait_for("it is counted", lambda: len(port.connections) == 1)
        assert until_closed(plain) == b""
        wait_for("it is gone", lambda: not port.connections)


def test_what_is_under_way_is_answered_though_nobody_else_is_let_in(tls: Path) -> None:
    """P29."""
    with serving(tls) as (number, port), connect(number, tls / "ca.crt") as slow:
        slow.sendall(HEAD + LENGTH + b"\r\n" + REVIEW[:50])
        wait_for("it has begun", lambda: any(each.phase is Phase.BODY for each in port.connections))
        closing = asyncio.run_coroutine_threadsafe(port.close(10), port.loop)
        wait_for("it closes", lambda: port.leaving)
        slow.sendall(REVIEW[50:])
        found = until_closed(slow)
        slow.close()
        closing.result(10)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in found


def test_a_connection_that_was_never_used_may_wait_as_long_as_one_that_was(hasty, tls: Path) -> None:
    """P31."""
    with serving(tls) as (number, _), connect(number, tls / "ca.crt") as fresh, connect(number, tls / "ca.crt") as slow:
        slow.sendall(HEAD)
        until_closed(slow)  # by now the time for headers is over
        fresh.sendall(GOOD)
        assert answer(fresh).startswith(b"HTTP/1.1 200 ")


def test_an_old_connection_is_closed_with_an_answer_and_never_while_idle(tls: Path, monkeypatch) -> None:
    """P31."""
    monkeypatch.setattr(settings, "OLDEST", 0.0)
    with serving(tls) as (number, _), connect(number, tls / "ca.crt") as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(GOOD)
        found = until_closed(connection)
        assert found.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in found


def test_one_address_has_its_share_and_no_more(tls: Path) -> None:
    """P17, P33."""
    with serving(tls, of_a_source=3) as (number, port), ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2"))
        with pytest.raises((ssl.SSLError, OSError)):
            connect(number, tls / "ca.crt", source="127.0.0.2")
        with connect(number, tls / "ca.crt") as other:
            other.sendall(GOOD)
            assert answer(other).startswith(b"HTTP/1.1 200 ")
        assert port.metrics.refused_connections.labels("source")._value.get() == 1
    assert not port.connections


def test_when_all_places_are_taken_the_greediest_gives_one_up(tls: Path) -> None:
    """P17, P33."""
    with serving(tls, connections=4) as (number, port), ExitStack() as stack:
        greedy = [stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2")) for _ in range(4)]
        wait_for("all are there", lambda: len(port.connections) == 4)
        good = stack.enter_context(connect(number, tls / "ca.crt"))
        good.sendall(GOOD)
        assert answer(good).startswith(b"HTTP/1.1 200 ")
        wait_for("one had to go", lambda: len(port.connections) == 4)
        with pytest.raises((ssl.SSLError, OSError)):
            connect(number, tls / "ca.crt", source="127.0.0.2")
        assert len(greedy) == 4


def test_rather_one_that_is_slow_is_given_up_than_one_that_is_silent(tls: Path, monkeypatch) -> None:
    """P31, P33: on the silent one a review may just be coming."""
    monkeypatch.setattr(sources, "SILENT", -1.0)  # the loop's clock may not have ticked
    with serving(tls, connections=4) as (number, port), ExitStack() as stack:
        first, second, slow, last = (
            stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2")) for _ in range(4)
        )
        slow.sendall(HEAD)
        phases = [Phase.HEADERS, Phase.IDLE, Phase.IDLE, Phase.IDLE]
        wait_for("it has begun", lambda: sorted((each.phase for each in port.connections), key=str) == phases)
        stack.enter_context(connect(number, tls / "ca.crt"))
        assert until_closed(slow) == b""
        for silent in (first, second, last):
            silent.sendall(GOOD)
            assert answer(silent).startswith(b"HTTP/1.1 200 ")


def test_who_asks_again_without_having_read_the_answer_is_cut_off(tls: Path) -> None:
    """P16, P17."""
    ask_health = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(tls, site=Wordy()) as (number, port), connect(number, tls / "ca.crt") as connection:
        connection.sendall(ask_health)
        wait_for("it is answered", lambda: any(each.transport.get_write_buffer_size() for each in port.connections))
        with suppress(OSError):
            connection.sendall(ask_health)
        wait_for("it is cut off", lambda: not port.connections)


def test_an_answer_that_nobody_reads_is_not_kept(hasty, tls: Path, monkeypatch) -> None:
    """P16, P17."""
    monkeypatch.setattr(settings, "ANSWER", 0.3)
    with serving(tls, site=Wordy()) as (number, port), connect(number, tls / "ca.crt") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for("it is answered", lambda: any(each.transport.get_write_buffer_size() for each in port.connections))
        wait_for("it is cut off", lambda: not port.connections)


def test_answers_that_are_not_read_count_as_bytes_on_their_way(tls: Path) -> None:
    """P16, P33."""
    asked, size = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", len(Wordy().answer(Request(0.0)).body)
    with serving(tls, site=Wordy(), held=size * 5 // 2) as (number, port), ExitStack() as stack:
        greedy = [stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2")) for _ in range(2)]
        for count, connection in enumerate(greedy, 1):
            connection.sendall(asked)
            wait_for("it is held", lambda count=count: port.sources.held >= size * count)
        good = stack.enter_context(connect(number, tls / "ca.crt"))
        good.sendall(asked)
        wait_for("one of the greedy is given up", lambda: len(port.connections) == 2)
        assert len(answer(good)) > size
        good.sendall(asked)
        assert len(answer(good)) > size
        for connection in (*greedy, good):
            connection.close()
        wait_for("nothing is held", lambda: port.sources.held == 0)


def test_a_uid_that_no_api_server_sends_is_not_repeated(server, tls: Path) -> None:
    """P16."""
    long = REVIEW.replace(b'"a-uid"', b'"%s"' % (b"u" * 129))
    answered = ask(
        server.port, tls / "ca.crt", HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(long) + long
    )
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert len(answered) < 1_000


def test_an_answer_that_is_read_slowly_comes_whole(tls: Path) -> None:
    with serving(tls, site=Wordy()) as (number, _), connect(number, tls / "ca.crt") as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert len(answer(connection)) > 8_000_000


def test_many_that_come_at_once_do_not_all_take_the_same_place(tls: Path) -> None:
    """P17, P33."""
    held = Event()
    with serving(tls, connections=4) as (number, port), ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2"))
        wait_for("all are there", lambda: len(port.connections) == 4)
        port.loop.call_soon_threadsafe(held.wait)  # the rest come while it looks elsewhere, and so in one batch
        for last in range(10, 50):
            plain = socket.create_connection((LOOPBACK, number), timeout=60, source_address=(f"127.0.0.{last}", 0))
            stack.enter_context(plain)
        held.set()
        wait_for("all were seen", lambda: port.metrics.refused_connections.labels("total")._value.get() == 40)
        assert len(port.connections) <= 2 * 4
        wait_for("who had to go is gone", lambda: len(port.connections) == 4)


def test_bodies_on_their_way_are_bounded_in_all_and_the_largest_of_the_greediest_goes(tls: Path) -> None:
    """P16, P33."""
    head = HEAD + b"Content-Length: 90000\r\n\r\n"
    with serving(tls, held=100_000) as (number, port), ExitStack() as stack:
        small, large = (stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2")) for _ in range(2))
        good = stack.enter_context(connect(number, tls / "ca.crt"))
        for connection, size in ((small, 5_000), (large, 60_000)):
            connection.sendall(head + b"a" * size)
        wait_for("they are held", lambda: port.sources.held > 60_000)
        good.sendall(head + b"a" * 50_000)
        found = until_closed(large)
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in found
        assert b"connection: close" in found
        for connection, size in ((good, 40_000), (small, 85_000)):
            connection.sendall(b"a" * size)
            assert answer(connection).startswith(b"HTTP/1.1 400 ")  # it was no JSON, but it was read
        wait_for("nothing is held", lambda: port.sources.held == 0)


def padded(size: int) -> bytes:
    """A review of *size* bytes."""
    text = REVIEW + b" " * (size - len(REVIEW))
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text


def test_beyond_a_few_large_bodies_callers_are_asked_to_come_again(tls: Path, monkeypatch) -> None:
    """P33."""
    monkeypatch.setattr(settings, "MOST_WAITING", 0)
    with serving(tls) as (number, _), connect(number, tls / "ca.crt") as small:
        found = ask(number, tls / "ca.crt", padded(LARGE + 1))
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in found
        small.sendall(GOOD)
        assert answer(small).startswith(b"HTTP/1.1 200 ")


def test_large_bodies_are_decided_one_after_the_other(tls: Path) -> None:
    """P33."""
    with serving(tls) as (number, _), ThreadPoolExecutor(8) as threads:

        def one(_: int) -> bytes:
            with connect(number, tls / "ca.crt") as connection:
                connection.sendall(padded(1_000_000))
                return answer(connection)

        assert {found[:13] for found in threads.map(one, range(16))} == {b"HTTP/1.1 200 "}


class Costly:
    """Takes long about what is costly, and waits at the first one until it may go on."""

    most_body = 100

    def __init__(self) -> None:
        self.order: list[bytes] = []
        self.go_on = Event()

    def check(self, request: Request) -> None:
        """Fine."""

    def answer(self, request: Request) -> Response:
        body = bytes(request.body)
        self.order.append(body)
        if body == b"costly":
            self.go_on.wait(20)
            begun = perf_counter()
            while perf_counter() < begun + 2 * settings.COSTLY:
                pass
        return Response(200, b"")


def test_an_address_with_many_costly_pods_holds_up_nobody_else(tls: Path) -> None:
    """P33."""
    site = Costly()
    with serving(tls, site=site) as (number, _), ExitStack() as stack:
        greedy = [stack.enter_context(connect(number, tls / "ca.crt", source="127.0.0.2")) for _ in range(30)]
        good = stack.enter_context(connect(number, tls / "ca.crt"))
        for each in greedy:
            each.sendall(HEAD + b"Content-Length: 6\r\n\r\ncostly")
        good.sendall(HEAD + b"Content-Length: 4\r\n\r\ngood")
        site.go_on.set()
        for each in [good, *greedy]:
            assert answer(each).startswith(b"HTTP/1.1 200 ")
    # The first costly ones may have been decided before it was known that they are.
    assert site.order.index(b"good") <= 3
    assert site.order.count(b"costly") == 30


@pytest.mark.parametrize("value", [b"{},", b"[],", b"0,", b'{"a":1},'])
def test_a_body_of_millions_of_values_is_not_even_decoded(server, tls: Path, value: bytes) -> None:
    """P16, P19."""
    text = b"[" + value * (3_000_000 // len(value)) + b"0]"
    with connect(server.port, tls / "ca.crt") as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        found = answer(connection)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert server.metric("process_resident_memory_bytes") < 128 * 1024 * 1024


@pytest.mark.parametrize(
    ("query", "passed", "given_up"),
    [
        (b"timeout=2s", 2.1, True),
        (b"timeout=2s", 1.9, False),
        (b"a=b&timeout=3s", 3.0, True),
        (b"", 100, False),
        (b"timeout=s", 100, False),
        (b"timeout=2", 100, False),
        (b"timeout=99999999999999999999s", 100, False),
        ("x=\u00b2&timeout=1s".encode(), 100, True),
        (b"x=%C2%B2&timeout=%C2%B2s", 100, False),
        ("timeout=\u00b2s".encode(), 100, False),
        (bytes(range(128, 256)), 100, False),
        (b"\xff=\xff&&=&timeout=\xffs", 100, False),
    ],
)
def test_who_has_given_up_is_known_by_the_timeout_in_the_query(query: bytes, passed: float, given_up: bool) -> None:
    """P14."""
    assert late(query, passed) is given_up


def test_nobody_is_answered_who_has_given_up(tls: Path) -> None:
    """P14."""
    text = HEAD.replace(b"/mutate", b"/mutate?timeout=1s") + LENGTH + b"\r\n" + REVIEW[:10]
    with serving(tls) as (number, port), connect(number, tls / "ca.crt") as slow:
        slow.sendall(text)
        wait_for("it has begun", lambda: any(each.phase is Phase.BODY for each in port.connections))
        loop_time = port.loop.time
        (protocol,) = port.connections
        begun = protocol.parser.request.begun
        wait_for("its second is over", lambda: loop_time() > begun + 1.05)
        slow.sendall(REVIEW[10:])
        found = until_closed(slow)
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in found


def test_without_a_fleet_callers_are_asked_to_come_again(tls: Path) -> None:
    """P33."""
    with serving(tls, lambda: None) as (number, _):
        found = ask(number, tls / "ca.crt", GOOD)
    assert found.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in found
    assert b"connection: close" in found


def test_a_body_without_end_is_refused_and_costs_no_memory(server, tls: Path) -> None:
    """P16."""

    def stream(_: int) -> bytes:
        with connect(server.port, tls / "ca.crt") as connection:
            with suppress(OSError):
                connection.sendall(HEAD + CHUNKED + b"\r\n")
                for _ in range(32):
                    connection.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
            return until_closed(connection)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(stream, range(16)))
    assert all(each.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 503 ")) or not each for each in answers)
    assert any(each for each in answers)
    assert server.metric("process_resident_memory_bytes") < 128 * 1024 * 1024


def test_trailers_without_end_cost_no_memory(server, tls: Path) -> None:
    """P16."""
    before = server.metric("process_resident_memory_bytes")
    with connect(server.port, tls / "ca.crt") as connection, suppress(OSError):
        connection.sendall(HEAD + CHUNKED + b"\r\n%x\r\n" % len(REVIEW) + REVIEW + b"\r\n0\r\n")
        for _ in range(160):
            connection.sendall(b"ab: c\r\n" * 10_000)
        assert server.metric("process_resident_memory_bytes") < before + 16 * 1024 * 1024


def test_of_connections_that_were_broken_off_nothing_is_left(server, tls: Path) -> None:
    for index in range(300):
        connection = connect(server.port, tls / "ca.crt")
        connection.sendall(GOOD[: index % len(GOOD)])
        connection.close()
    wait_for("all are gone", lambda: server.metric("gpu_slice_connections") == 0)


def test_deep_json_is_refused(server, tls: Path) -> None:
    """P19."""
    for text in (b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, json.dumps("\ud800").encode()):
        with connect(server.port, tls / "ca.crt") as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text)
            assert answer(connection).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
