"""Any bytes at all to ``/mutate`` and ``/advise`` give a valid review or a clean 4xx."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import broken, cases
from webhook.cli import files
from webhook.server.decide import Decide
from webhook.server.https import Connection
from webhook.server.metrics import Metrics
from webhook.server.port import Port
from webhook.server.settings import MIB, limits
from webhook.server.webhook import Webhook

DECIDE = Decide(lambda: files.fleet_at(None), Metrics())
SENT: list[bytes] = []


class Transport(asyncio.Transport):
    """Keeps what is sent."""

    def write(self, data: bytes) -> None:
        SENT.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        SENT.append(b"")


def post(body: bytes, parts: int = 1, path: bytes = b"/mutate") -> tuple[int, bytes]:
    """Post *body* in so many parts over a connection without a network: the status and the answer."""

    async def send() -> None:
        port = Port(Webhook(DECIDE, lambda: ""), limits(256 * MIB, 1024), DECIDE.metrics)
        port.loop = asyncio.get_running_loop()
        connection = Connection(port)
        connection.source = port.sources.enter(connection, "127.0.0.1")
        connection.connection_made(Transport())
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        size = max(1, -(-len(body) // parts))
        connection.data_received(head % (path, len(body)))
        for start in range(0, len(body), size):
            connection.data_received(body[start : start + size])
        assert not port.sources.held

    SENT.clear()
    asyncio.run(send())
    head, _, answer = b"".join(SENT).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(answer) in head
    return int(head.split()[1]), answer


def is_an_answer(status: int, body: bytes) -> bool:
    """Whether that is a clean 4xx, or an AdmissionReview that an API server accepts."""
    if 400 <= status < 500:
        return bool(body) and b"Traceback" not in body
    assert status == 200
    review = json.loads(body)
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = review["response"]
    assert isinstance(response["uid"], str)
    assert ("patch" in response) == ("patchType" in response)
    if "patch" in response:
        assert all(
            each["op"] in ("add", "replace", "remove") for each in json.loads(base64.b64decode(response["patch"]))
        )
    return response["allowed"] or ("patch" not in response and "\n" not in response["status"]["message"])


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """P4."""
    assert is_an_answer(*post(body))
    assert is_advice(*post(body, path=b"/advise"))


def is_advice(status: int, body: bytes) -> bool:
    """Whether that is a clean 4xx, or allows what was sent without a change."""
    return is_an_answer(status, body) and (
        status != 200 or json.loads(body)["response"].keys() - {"warnings"} == {"uid", "allowed"}
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json(value: object) -> None:
    """P4."""
    assert is_an_answer(*post(json.dumps(value).encode()))
    assert is_advice(*post(json.dumps(value).encode(), path=b"/advise"))


@given(cases(), st.data())
def test_any_review_with_something_odd_in_it(case: tuple[dict, str], data: st.DataObject) -> None:
    """P3, P4."""
    review = data.draw(broken(whole(case[0])))
    assert is_an_answer(*post(json.dumps(review).encode()))
    workload = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"template": case[0]}}
    assert is_advice(*post(json.dumps(data.draw(broken(whole(workload)))).encode(), path=b"/advise"))


@given(cases(), st.data())
def test_a_review_that_was_cut_or_bent_on_the_way(case: tuple[dict, str], data: st.DataObject) -> None:
    """P4."""
    body = bytearray(json.dumps(whole(case[0])).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert is_an_answer(*post(bytes(body[: data.draw(st.integers(0, len(body)))])))


@given(cases(), st.integers(2, 50))
def test_it_does_not_matter_in_how_many_parts_a_review_comes(case: tuple[dict, str], parts: int) -> None:
    body = json.dumps(whole(case[0])).encode()
    assert post(body, parts) == post(body)


def test_our_own_fault_is_a_500_that_says_nothing_of_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """P39."""

    def crash(*_: object) -> None:
        raise KeyError("canary-secret")

    monkeypatch.setattr("webhook.server.decide.plan", crash)
    review = whole({"metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": [{"name": "main"}]}})

    assert post(json.dumps(review).encode()) == (500, b"internal error of gpu-slice: its log says where")


def test_a_log_line_about_an_exception_says_where_but_not_what_it_says() -> None:
    import logging
    import sys

    from webhook.server.logs import JsonFormatter

    try:
        raise KeyError("canary-secret")
    except KeyError:
        record = logging.LogRecord("gpu_slice", logging.ERROR, __file__, 1, "a request failed", (), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "canary" not in line
    assert json.loads(line)["error"] == "KeyError"
    assert "test_app.py" in json.loads(line)["at"][-1]


def test_a_log_line_steers_no_terminal_whatever_a_caller_sends() -> None:
    import logging

    from webhook.server.logs import JsonFormatter

    text = "a\x00\n\x1b\x7f\x9b\u2028\u202eé\ud800\U000e0001"
    record = logging.LogRecord("gpu_slice", logging.DEBUG, __file__, 1, text, (), None)
    record.fields = {"uid": text, "pools": [text], "milliseconds": 0.5}
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert [json.loads(line)[key] for key in ("message", "uid", "pools", "milliseconds")] == [text, text, [text], 0.5]


def whole(pod: object) -> dict:
    """An AdmissionReview for *pod*."""
    request = {
        "uid": "a-uid",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "team-a",
        "object": pod,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
