"""The real helm, 4 and 3, on our chart."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart import CHART
from tests.cluster import programs
from tests.cluster.cluster import Document
from tests.cluster.install import MANIFESTS
from webhook import documents

MAJORS = (4, 3)
HELM_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
}
"""What every object of a chart carries by convention, and nothing that kustomize makes."""


@dataclass(frozen=True)
class Helm:
    """A helm that keeps what it stores in *home*, and talks to the cluster of *kubeconfig*, if any."""

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def __call__(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Whatever it says."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "HELM_NO_PLUGINS": "1"}
        environment["KUBECONFIG"] = str(self.kubeconfig or self.home / "none")
        return subprocess.run(
            [str(self.program), *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=300
        )

    def template(self, *options: str, values: Document | None = None, namespace: str = "gpu-slice") -> str:
        """The rendered documents.  Raises `AssertionError` with what helm said."""
        done = self.render(*options, values=values, namespace=namespace)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def render(
        self, *options: str, values: Document | None = None, namespace: str = "gpu-slice", release: str = "gpu-slice"
    ) -> subprocess.CompletedProcess[str]:
        """The same, whatever it says."""
        version = f"--kube-version={programs.kubernetes()}"
        given = json.dumps(values or {})
        return self("template", release, str(CHART), "-n", namespace, version, "-f", "-", *options, stdin=given)


def read(text: str) -> dict[tuple[str, str], Document]:
    """Documents by kind and name."""
    found = [each.value for each in documents.read(text.encode(), name="rendered") if each.value]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def comparable(document: Document) -> Document:
    """*document* without labels, and with what a ConfigMap holds as YAML read."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "labels"}
    found: Document = {**document, "metadata": metadata}
    if document["kind"] == "ConfigMap" and metadata["name"] == "webhook-configuration":
        inner: dict[str, Any] = {}
        for name, text in document["data"].items():
            (value,) = [each.value for each in documents.read(text.encode(), name=name)]
            inner[name] = comparable(value)
        found["data"] = inner
    return found


def overlay(folder: Path, namespace: str, of: str = ".") -> Path:
    """A kustomization in *folder* that installs a folder of ``manifests`` into *namespace*."""
    manifests = Path(os.path.relpath(MANIFESTS, folder.resolve()))
    kustomization = {
        "namespace": namespace,
        "resources": [str(manifests / of)],
        "transformers": [str(manifests / "namespace")],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return folder
