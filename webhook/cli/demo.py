"""``gpu-slice demo``: certificates, the server as a separate process, and reviews over HTTPS."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jsonpatch

from webhook.admission.workloads import Subject, subjects
from webhook.cli import show
from webhook.cli.loopback import LOOPBACK, Client, certify, server
from webhook.cli.terminal import echo, line
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION


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
                        counts[_show(path, subject, client)] += 1
            client.close()
    echo(f"\n{', '.join(f'{count} {outcome}' for outcome, count in counts.items() if count)}.")
    name = sys.argv[0] if sys.argv[0].endswith("gpu-slice") else "gpu-slice"
    name = os.path.relpath(name)
    echo(f"To try your own pod, run: {name} preview FILE")
    echo(f"To see what this fleet offers, run: {name} profiles")
    return 0


def _show(path: Path, subject: Subject, client: Client) -> str:
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
