"""A running replica decides on other pods while somebody sends what is made to hold it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile_texts import EVIL, HOSTILE_TEXTS, deployment
from tests.https.calling import answer, connect
from tests.pods import pod_of
from tests.running import Running
from tests.unit.test_advise import review_of
from webhook.server.settings import MOST_PREVIEW_BODY

HEAD = b"POST /%b?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@pytest.fixture(name="server", scope="module")
def _server(tls: Path) -> Iterator[Running]:
    server = Running(tls, "--preview")
    yield server
    server.stop()


def spent(server: Running) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (b"mutate", pod_of(EVIL)),
        (b"advise", json.loads(deployment(EVIL, *(f"a{n}/" for n in range(6))))),
    ],
)
def test_a_review_that_is_mostly_spaces_is_answered(server: Running, tls: Path, path: bytes, document: object) -> None:
    body, before = review_of(document), spent(server)
    with connect(server.port, tls / "ca.crt") as connection:
        connection.sendall(HEAD % (path, len(body), body))
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
    assert spent(server) - before < 2


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_text_for_the_page_is_answered_or_refused(server: Running, name: str) -> None:
    before = spent(server)
    status, _ = server.post("/dry-run", HOSTILE_TEXTS[name][:MOST_PREVIEW_BODY], "application/yaml")
    assert status in (200, 413)
    assert server.get("/healthz")[0] == 200
    assert spent(server) - before < 5


def test_a_query_that_is_no_ascii_is_no_fault_of_ours(server: Running, tls: Path) -> None:
    body = review_of(pod_of())
    text = (HEAD % (b"mutate", len(body), body)).replace(b"timeout=1s", b"x=%C2%B2&y=\xc2\xb2")
    with connect(server.port, tls / "ca.crt") as connection:
        connection.sendall(text)
        assert answer(connection).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert server.get("/readyz")[0] == 200
