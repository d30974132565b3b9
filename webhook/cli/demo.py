"""The main job once, for real: certificates, the server as a process of its own, and reviews over HTTPS."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import jsonpatch

from webhook.admission.workloads import Subject, subjects
from webhook.cli import show
from webhook.cli.loopback import LOOPBACK, Client, certify, server
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION


def run(documents: Sequence[tuple[Path, object]], fleet_path: Path | None, fleet: Fleet) -> int:
    """Tell the story on stdout.  Returns 0 where every answer came back."""
    with tempfile.TemporaryDirectory(prefix="gpu-slice-") as folder:
        tls = Path(folder) / "tls"
        certify(tls, "gpu-slice demo")
        with server(tls, fleet_path) as port:
            click.echo(f"The webhook serves on https://{LOOPBACK}:{port}/mutate with a certificate made just now.")
            click.echo(
                "Each example below was sent to it as an API server would, by a client that trusts that CA alone."
            )
            client = Client(port, tls / "ca.crt")
            counts = {"sliced": 0, "denied": 0, "left alone": 0}
            for path, document in documents:
                for subject in subjects(document):
                    if subject.pod is not None:
                        counts[_tell(path, subject, client)] += 1
            client.close()
    click.echo(f"\n{', '.join(f'{count} {outcome}' for outcome, count in counts.items() if count)}.")
    name = sys.argv[0] if sys.argv[0].endswith("gpu-slice") else "gpu-slice"
    name = os.path.relpath(name)
    click.echo(f"Your own pod: {name} preview FILE.  What this fleet offers: {name} profiles.")
    return 0


def _tell(path: Path, subject: Subject, client: Client) -> str:
    pod = subject.pod or {}
    asked = ((pod.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    click.echo(f"\n{click.style(path.name, bold=True)}: {subject.title} asks for {asked!r}")
    response = client.review(pod, subject.namespace or "default")
    if not response["allowed"]:
        click.echo(f"{click.style('denied', fg='red', bold=True)}: {response['status']['message']}")
        return "denied"
    operations = json.loads(base64.b64decode(response.get("patch", "W10=")))
    for line in show.diff(pod, jsonpatch.apply_patch(pod, operations), subject.title):
        click.echo(line)
    for warning in response.get("warnings", ()):
        click.echo(f"{click.style('warning', fg='yellow')}: {warning}")
    return "sliced" if operations else "left alone"
