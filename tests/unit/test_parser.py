"""A request in one piece, which a regular expression may read, and the same in two, which httptools reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.https.calling import REVIEW
from webhook.server import parser
from webhook.server.http import Refusal, Request
from webhook.server.parser import Parser
from webhook.server.settings import MOST_BODY, MOST_HEADER_BYTES
from webhook.server.webhook import Webhook

SITE = Webhook(lambda body: bytes(body), lambda: "")

LINES = (
    b"POST /mutate?timeout=2s HTTP/1.1",
    b"Host: webhook.gpu-slice.svc:443",
    b"User-Agent: kube-apiserver-admission",
    b"Content-Length: %d" % len(REVIEW),
    b"Accept: application/json, */*",
    b"Content-Type: application/json",
    b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"Accept-Encoding: gzip",
)
"""As an API server sends it."""

OTHER = (
    b"Content-Length: 3",
    b"Content-Length: +3",
    b"Content-Type: application/yaml",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Expect: 100-continue",
    b"Host: other",
    b"Host: a b",
    b"POST /elsewhere HTTP/1.1",
    b"POST mutate HTTP/1.1",
    b"POST /mutate HTTP/1.0",
    b"GET /mutate HTTP/1.1",
    b"GET /healthz HTTP/1.1",
    b"X: y",
    b" folded",
    b"",
)


def read(*pieces: bytes) -> tuple[object, ...]:
    """What comes of *pieces*: the parts of the request that anybody looks at, or the refusal."""
    reader = Parser(SITE)
    try:
        for piece in pieces:
            request = reader.feed(piece, 0.0)
    except Refusal as refusal:
        return refusal.status, refusal.problem
    return parts(request)


def parts(request: Request) -> tuple[object, ...]:
    return (
        request.method,
        request.path,
        request.query,
        bytes(request.body),
        request.complete,
        request.keep_alive,
        request.expects,
        request.headers_over,
    )


@given(
    lines=st.permutations(range(len(LINES))).flatmap(
        lambda order: st.lists(st.sampled_from(LINES + OTHER), max_size=2).map(
            lambda more: [*(LINES[place] for place in order), *more]
        )
    )
    | st.lists(st.sampled_from(LINES + OTHER), max_size=9)
    | st.lists(st.integers(1, len(LINES) - 1), max_size=3).map(
        lambda left_out: [line for place, line in enumerate(LINES) if place not in left_out]
    ),
    body=st.sampled_from([REVIEW, REVIEW[:-1], REVIEW + b"x", b""]),
    cut=st.integers(1, 40),
)
def test_both_ways_to_read_a_request_agree(lines: list[bytes], body: bytes, cut: int) -> None:
    text = b"\r\n".join(lines) + b"\r\n\r\n" + body
    assert read(text) == read(text[:cut], text[cut:])


def test_what_an_api_server_sends_is_read_without_httptools(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\r\n".join(LINES) + b"\r\n\r\n" + REVIEW
    expected = read(text[:10], text[10:])
    monkeypatch.setattr(Parser, "on_url", None)
    assert read(text) == expected


def test_both_ways_have_the_same_limits() -> None:
    long = [*LINES[:2], b"User-Agent: " + b"a" * MOST_HEADER_BYTES, *LINES[3:]]
    text = b"\r\n".join(long) + b"\r\n\r\n" + REVIEW
    assert read(text)[0] == 431
    large = [LINES[0], LINES[1], b"Content-Length: %d" % (MOST_BODY + 1), LINES[5]]
    assert read(b"\r\n".join(large) + b"\r\n\r\n" + b"x" * (MOST_BODY + 1))[0] == 413


def test_a_second_request_in_the_same_piece_is_refused() -> None:
    text = b"\r\n".join(LINES) + b"\r\n\r\n" + REVIEW
    assert parser._REVIEW.match(text) is not None
    assert read(text + text) == (400, "a second request before the answer to the first")
