"""The webhook and its guard in a cluster, as ``manifests/`` has them; only ``clientConfig`` differs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.control_plane import LOOPBACK
from tests.waiting import wait_for
from webhook import documents

MANIFESTS = Path(__file__).parents[2] / "manifests"
CONFIGURATION = "MutatingWebhookConfiguration"
ADVICE = "ValidatingWebhookConfiguration"
ADMISSION = "admissionregistration.k8s.io/v1"
NAME = "gpu-slice"
WEBHOOK = "pods.gpu-slice.io"
"""The name by which the API server's messages and metrics call it."""
ADVISER = "gpu-slice-advice"

PROBE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe", "namespace": "default", "annotations": {"gpu-slice": "1g.5gb"}},
    "spec": {"containers": [{"name": "main", "image": "example/main:1"}]},
}


def manifests(path: str) -> list[Document]:
    """The documents of a file in ``manifests/``."""
    return [found.value for found in documents.read((MANIFESTS / path).read_bytes(), name=path)]


def manifest(path: str) -> Document:
    """The only document of such a file."""
    (found,) = manifests(path)
    return found


def configuration(url: str, ca: bytes, path: str = "webhook/webhook.yaml") -> Document:
    """A webhook configuration of ours, with a URL in place of the Service."""
    document = manifest(path)
    for each in document["webhooks"]:
        each["clientConfig"] = {"url": url, "caBundle": base64.b64encode(ca).decode()}
    return document


class Installation:
    """Registers and takes away.  Each verb returns once the API server does accordingly: it takes its time."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def probe(self) -> str:
        """What creating an annotated pod says, or ``created``; nothing is stored."""
        try:
            self.cluster.create(PROBE, dry_run=True)
        except DynamicApiError as error:
            return said(error)
        return "created"

    def guard(self, *, shadow: bool = False) -> None:
        """Set up the guard, while no webhook is there.  In *shadow* it refuses nothing, as in ``manifests/shadow``."""
        for path in ("guard/policy.yaml", "guard/binding.yaml", "guard/running.yaml"):
            for document in manifests(path):
                if shadow and path == "guard/binding.yaml":
                    document["spec"]["validationActions"] = ["Audit"]
                self.cluster.create(document)
        if not shadow:
            self._wait(lambda said: "ValidatingAdmissionPolicy 'gpu-slice'" in said)

    def point_at(self, port: int, ca: Path, noticed: Callable[[str], bool], *, shadow: bool = False) -> None:
        """Register the server on *port*; *noticed* tells, by what a probe said, that it is asked."""
        document = configuration(f"https://{LOOPBACK}:{port}/mutate", ca.read_bytes())
        for each in document["webhooks"] if shadow else ():
            each["failurePolicy"] = "Ignore"
        there = self.cluster.get(CONFIGURATION, NAME, api_version=ADMISSION)
        if there is None:
            self.cluster.create(document)
        else:
            document["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
            self.cluster.replace(document)
        self._wait(noticed)

    def advise_at(self, port: int, ca: Path) -> None:
        """Have the server on *port* give advice."""
        self.cluster.create(configuration(f"https://{LOOPBACK}:{port}/advise", ca.read_bytes(), "webhook/advice.yaml"))

        def advised() -> bool:
            made = ["create", "job", "probe", "--image=a/b:1", "--dry-run=client", "-o", "json"]
            job = json.loads(self.cluster.kubectl(*made).stdout)
            job["metadata"]["annotations"] = PROBE["metadata"]["annotations"]
            told = self.cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(job))
            return "Warning: gpu-slice: " in told.stderr

        wait_for("advice is given", advised)

    def take_away(self) -> None:
        """Remove the webhook; the guard stays."""
        self.cluster.delete(CONFIGURATION, NAME, api_version=ADMISSION)
        self._wait(lambda said: "ValidatingAdmissionPolicy" in said)

    def _wait(self, noticed: Callable[[str], bool]) -> None:
        def done() -> bool:
            self.last = self.probe()
            return noticed(self.last)

        try:
            wait_for("the API server has noticed", done)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; a probe says: {self.last}") from None
