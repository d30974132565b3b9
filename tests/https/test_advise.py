"""``POST /advise`` on the HTTPS port: beside ``/mutate``, and under the same rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.https.calling import answer, ask, connect
from tests.running import Running
from tests.unit.test_advise import CURE, DENIED, TYPO, review_of, workload

HEAD = b"POST /advise?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(name="server", scope="module")
def _server(tls: Path) -> Iterator[Running]:
    server = Running(tls)
    yield server
    server.stop()


@pytest.fixture(name="advised")
def _advised(server: Running, tls: Path) -> Callable[[bytes], bytes]:
    """What the server answers to a body."""

    def advised(body: bytes) -> bytes:
        with connect(server.port, tls / "ca.crt") as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            return answer(connection)

    return advised


def test_a_workload_is_allowed_with_warnings(advised) -> None:
    head, _, body = advised(review_of(workload("Deployment", TYPO))).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["response"] == {
        "uid": "a-uid",
        "allowed": True,
        "warnings": [DENIED.format("spec.template") + CURE],
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 400, id="half a JSON text"),
        pytest.param(b"{}", 400, id="no review"),
        pytest.param(b"[" * 100_000, 400, id="100,000 levels deep"),
        pytest.param(review_of({}).replace(b'"object": {}', b'"object": "\\ud800"'), 400, id="half a character"),
        pytest.param(review_of(7), 200, id="a number instead of a workload"),
        pytest.param(review_of({"spec": {"template": {"spec": {"containers": {}}}}}), 200, id="odd containers"),
        pytest.param(review_of(workload("Job", ["x"], "batch")), 200, id="odd annotations"),
        pytest.param(review_of([{}] * 700_000), 200, id="millions of values"),
    ],
)
def test_odd_documents_are_no_fault_of_ours(advised, body: bytes, status: int) -> None:
    """P4, P19."""
    assert advised(body).startswith(b"HTTP/1.1 %d " % status)


def test_it_is_posted_to_as_json_and_in_no_other_way(server: Running, tls: Path) -> None:
    """P20."""
    for request, status in {
        b"GET /advise HTTP/1.1\r\nHost: x\r\n\r\n": b"405",
        b"POST /advise HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}": b"415",
        b"POST /advise/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}": b"404",
    }.items():
        assert ask(server.port, tls / "ca.crt", request).split()[1] == status


def test_metrics_count_advice_apart_from_decisions(server: Running, advised) -> None:
    """P43."""

    def counted() -> list[float]:
        names = [f'gpu_slice_advice_total{{outcome="{each}"}}' for each in ("denied", "warned", "silent")]
        return [server.metric(each) or 0 for each in (*names, "gpu_slice_admission_duration_seconds_count")]

    before = counted()
    for document in (
        workload("Deployment", TYPO),
        workload("Deployment", None, on_itself=TYPO),
        workload(),
        workload(),
    ):
        advised(review_of(document))

    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 2, 0]
