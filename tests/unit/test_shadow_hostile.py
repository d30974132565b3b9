"""`gpu-slice check --shadow` where what answers is no replica: a stranger answers anything, or for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_shadow_check import IN_SHADOW, counted, pod
from webhook.cli.main import main
from webhook.cluster import shadow
from webhook.cluster.shadow import read, replicas
from webhook.cluster.snapshot import Listing

NO_METRICS = "it did not answer with metrics"
GOOD = counted(IN_SHADOW, pod("1g.5gb"))


def summed(source: object, output: str = "table") -> Result:
    return CliRunner().invoke(main, ["check", "--shadow", "-o", output, "--metrics", str(source)])


@pytest.mark.parametrize(
    "said",
    [
        "process_start_time_seconds NaN",
        "process_start_time_seconds 1e30",
        "process_start_time_seconds 1e15",
        "process_start_time_seconds -1",
        "gpu_slice_admissions_total +Inf",
        "gpu_slice_admissions_total NaN",
        "gpu_slice_shadow NaN",
        "gpu_slice_shadow_admissions_total 1",
        'gpu_slice_shadow_admissions_total{outcome="sliced"} 1',
        'gpu_slice_shadow_admissions_total{outcome="sliced",pool="a",profile="b"} -3',
        "gpu_slice_shadow_denials_total 1",
        'gpu_slice_shadow_denials_total{reason="grammar"} -3',
        'gpu_slice_shadow_denials_total{reason="grammar"} 1e300',
        "gpu_slice_shadow {",
        "gpu_slice_shadow 0x",
    ],
)
@pytest.mark.parametrize("output", ["table", "json", "short"])
def test_an_answer_that_no_replica_gives_is_none(said: str, output: str, tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text(f"{GOOD}{said}\n")
    result = summed(tmp_path / "metrics", output)
    assert (result.exit_code, NO_METRICS in result.stdout) == (3, True), result.output
    assert isinstance(result.exception, SystemExit)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["process_start_time_seconds", "gpu_slice_shadow", "gpu_slice_shadow_denials_total", "#"]),
            st.text("{}\"',=\\ \n#\x00reason", max_size=12),
            st.sampled_from([" 1", " NaN", " -Inf", " 1e400", "", " 1 99999999999999999999", " 0b1", " ½"]),
        )
    )
)  # fmt: skip
def test_whatever_is_answered_is_read_or_is_no_metrics(lines: list[tuple[str, str, str]]) -> None:
    replica = read("a", "".join(f"{''.join(parts)}\n" for parts in lines))
    assert replica.problem or replica.denied.total() >= 0


def test_without_a_review_in_shadow_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text(counted(IN_SHADOW))
    result = summed(tmp_path / "metrics")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1].startswith("? of 0 reviews in shadow")
    assert "√" not in result.stdout


@contextmanager
def _server(answer: Callable[[socket.socket, threading.Event], object]) -> Iterator[str]:
    """An address at which *answer* answers one connection after the other, until the end."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    continue
                with connection:
                    connection.recv(4096)
                    try:
                        answer(connection, over)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
        over.set()
        thread.join()


def dripping(first: bytes, each: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(0.05):
            connection.sendall(each)

    return answer


@pytest.mark.parametrize(
    ("first", "each"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"up 1\n", id="a line after the other"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", id="a header after the other"),
        pytest.param(b"", b"H", id="never a status"),
    ],
)
def test_one_limit_of_time_holds_for_the_whole_answer(
    first: bytes, each: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "SECONDS", 0.5)
    with _server(dripping(first, each)) as address:
        result = summed(address)
    assert result.exit_code == 3
    assert f"{NO_METRICS} within 0.5 s" in result.stdout


def test_one_limit_of_bytes_holds_for_the_whole_answer() -> None:
    with _server(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"up 1\n" * 200_000)) as address:
        result = summed(address)
    assert result.exit_code == 3
    assert f"{NO_METRICS}, but with more than 4 MiB" in result.stdout


@pytest.mark.parametrize("answer", [b"", b"220 mail\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<"])
def test_who_speaks_no_http_cannot_be_read(answer: bytes) -> None:
    with _server(lambda connection, _: connection.sendall(answer)) as address:
        result = summed(address)
    assert result.exit_code == 3
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("source", ["http://[", "http://127.0.0.1:x/", "http://a b/", "/dev/zero", "/", "a\0b"])
def test_a_source_that_is_none_could_not_be_looked_at(source: str) -> None:
    result = summed(source)
    assert result.exit_code == 3
    assert isinstance(result.exception, SystemExit)


def test_the_limits_hold_through_the_api_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "SECONDS", 0.2)
    over = threading.Event()

    def text(path: str, most: int) -> bytes:
        if "slow" in path:
            over.wait()
        return b"a" * most

    items = [SimpleNamespace(ended=False, metadata=SimpleNamespace(name=name)) for name in ("slow", "large")]
    reader: Any = SimpleNamespace(list=lambda *_, **__: Listing(tuple(items)), text=text)
    slow, large = (each.problem for each in replicas(reader, "gpu-slice"))
    over.set()
    assert (slow, large) == (f"{NO_METRICS} within 0.2 s", f"{NO_METRICS}, but with more than 4 MiB")
