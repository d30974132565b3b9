"""Raw requests over TLS, for tests that write what no client would."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from pathlib import Path

from webhook.cli.loopback import LOOPBACK

POD = {"metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": [{"name": "main"}]}}
REVIEW = json.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "a-uid",
            "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "team-a",
            "object": POD,
        },
    }
).encode()
HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(REVIEW)
GOOD = HEAD + LENGTH + b"\r\n" + REVIEW


def connect(port: int, ca: Path, *, source: str = LOOPBACK, name: str | None = LOOPBACK) -> ssl.SSLSocket:
    """A connection from *source* that trusts *ca* alone; without *name*, one that asks for none."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = name is not None
    plain = socket.create_connection((LOOPBACK, port), timeout=60, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as Go does
    return context.wrap_socket(plain, server_hostname=name)


def answer(connection: socket.socket) -> bytes:
    """One answer with its body."""
    text = b""
    while b"\r\n\r\n" not in text:
        more = connection.recv(65536)
        if not more:
            return text
        text += more
    head, _, body = text.partition(b"\r\n\r\n")
    (length,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def until_closed(connection: socket.socket) -> bytes:
    """Everything until the other side hangs up."""
    text = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(65536):
            text += more
    return text


def ask(port: int, ca: Path, text: bytes) -> bytes:
    """What comes back until the other side hangs up; *text* is one that it hangs up on."""
    with connect(port, ca) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(text)
        return until_closed(connection)
