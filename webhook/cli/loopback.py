"""A server on loopback, and a client that calls it as an API server would: for the demo, tests and the benchmark."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certs import authority
from certs.directory import write
from webhook.cli.terminal import CouldNotLook, echo

LOOPBACK = "127.0.0.1"


def certify(tls: Path, issuer: str) -> None:
    """Write ca.crt, tls.crt and tls.key of a new authority: for the webhook's Service, and for loopback."""
    now = datetime.now(UTC)
    root = authority.create_authority(issuer, now=now)
    names = [*authority.service_names("webhook", "gpu-slice"), LOOPBACK]
    write(tls, authority.issue_leaf(root, names, now=now), root.certificate)


class Client:
    """Sends reviews as an API server does, over one connection that verifies the CA."""

    def __init__(self, port: int, ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        self.connection = http.client.HTTPSConnection(LOOPBACK, port, context=context, timeout=10)

    def review(self, pod: dict[str, Any], namespace: str) -> dict[str, Any]:
        """The response to a review of *pod*.  Raises ConnectionError where the server did not answer one."""
        body = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": str(uuid.uuid4()),
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "namespace": namespace,
                "operation": "CREATE",
                "object": pod,
            },
        }
        self.connection.request("POST", "/mutate?timeout=2s", json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ConnectionError(f"{answer.status}: {text.decode('utf-8', 'replace')}")
        response: dict[str, Any] = json.loads(text)["response"]
        return response

    def close(self) -> None:
        self.connection.close()


@contextmanager
def server(tls: Path, fleet_path: Path | None) -> Iterator[int]:
    """``gpu-slice serve`` as a process of its own.  Yields its port, and ends it."""
    command = [sys.executable, "-m", "webhook", "serve", "--tls-dir", str(tls), "--host", LOOPBACK]
    command += ["--port", "0", "--ops-port", "0"]
    command += ["--fleet", str(fleet_path)] if fleet_path is not None else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            for line in process.stderr or ():
                found: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
                if found.get("message") == "listening":
                    yield int(found["port"])
                    break
                if found.get("message") != "fleet taken":
                    echo(line.rstrip(), err=True)
            else:
                raise CouldNotLook("the server did not start")
        finally:
            process.send_signal(signal.SIGINT)
