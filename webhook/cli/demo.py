"""``gpu-slice demo``: certificates, the server as a separate process, and reviews over HTTPS."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import jsonpatch

from certs import authority
from certs.directory import write
from webhook.admission.workloads import Subject, subjects
from webhook.cli import show
from webhook.cli.terminal import echo, line
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION

LOOPBACK = "127.0.0.1"


def run(documents: Sequence[tuple[Path, object]], fleet_path: Path | None, fleet: Fleet) -> int:
    """Print what happens to each pod on stdout.  Returns 0 when every review was answered."""
    with tempfile.TemporaryDirectory(prefix="gpu-slice-") as folder:
        tls = Path(folder) / "tls"
        certify(tls, "gpu-slice demo")
        with server(tls, fleet_path) as port:
            echo(f"The webhook serves https://{LOOPBACK}:{port}/mutate with a new certificate.")
            echo("Each example below was sent to it as an API server would, by a client that trusts only its CA.")
            client = Client(port, tls / "ca.crt")
            counts = {"sliced": 0, "denied": 0, "left alone": 0}
            for path, document in documents:
                for subject in subjects(document):
                    if subject.pod is not None:
                        counts[_tell(path, subject, client)] += 1
            client.close()
    echo(f"\n{', '.join(f'{count} {outcome}' for outcome, count in counts.items() if count)}.")
    name = sys.argv[0] if sys.argv[0].endswith("gpu-slice") else "gpu-slice"
    name = os.path.relpath(name)
    echo(f"To try your own pod, run: {name} preview FILE")
    echo(f"To see what this fleet offers, run: {name} profiles")
    return 0


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
                raise click.ClickException("the server did not start")
        finally:
            process.send_signal(signal.SIGINT)


def _tell(path: Path, subject: Subject, client: Client) -> str:
    pod = subject.pod or {}
    asked = ((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    echo("")
    echo(line(line(path.name, bold=True), f": {subject.title} asks for {asked!r}"))
    response = client.review(pod, subject.namespace or "default")
    if not response["allowed"]:
        echo(line(line("denied", fg="red", bold=True), f": {response['status']['message']}"))
        return "denied"
    operations = json.loads(base64.b64decode(response.get("patch", "W10=")))
    for change in show.diff(pod, jsonpatch.apply_patch(pod, operations), subject.title):
        echo(change)
    for warning in response.get("warnings", ()):
        echo(line(line("warning", fg="yellow"), f": {warning}"))
    return "sliced" if operations else "left alone"
