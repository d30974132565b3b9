"""Pods, workloads and fleets for the tests of `fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from webhook.cli import files
from webhook.cli.main import main
from webhook.cluster.reader import Reader, Refused

ROOT = Path(__file__).parents[2]


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["fit", *arguments], input=text)


def answer(*arguments: str, text: str | None = None) -> dict[str, Any]:
    """The answer as a program reads it."""
    return json.loads(run(*arguments, "-o", "json", text=text).stdout)


def pools_of(found: dict[str, Any]) -> dict[str, int]:
    """Nodes by pool."""
    return {pool["name"]: pool["nodes"] for pool in found["pools"]}


def pod(value: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "test", "annotations": {"gpu-slice": value}},
        "spec": {"containers": [{"name": "main", "image": "example/main:1"}], **spec},
    }


def template(value: str = "1g.5gb", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"annotations": {"gpu-slice": value}}, "spec": pod(value, **spec)["spec"]}


def object_of(kind: str, spec: dict[str, Any], group: str = "apps/v1") -> dict[str, Any]:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": "test"}, "spec": spec}


def job(**spec: Any) -> dict[str, Any]:
    return {**spec, "template": template()}


def owned(document: dict[str, Any], name: str, *owner: str, **metadata: Any) -> dict[str, Any]:
    """*document* with another name, and with an owner: its apiVersion, its kind and its name."""
    reference = dict(zip(("apiVersion", "kind", "name"), owner, strict=False)) | {"controller": True}
    more = {"ownerReferences": [reference]} if owner else {}
    return document | {"metadata": {**document["metadata"], "name": name, **more, **metadata}}


class Cluster(Reader):
    """A cluster with these objects, by path."""

    def __init__(self, objects: dict[str, Any], forbidden: tuple[str, ...] = ()) -> None:
        self.objects, self.forbidden, self.namespace = objects, forbidden, "team-a"

    def _ask(self, method: str, path: str, query: Any = None, body: Any = None, **more: Any) -> bytes:
        if path in self.forbidden:
            raise Refused(403, "forbidden")
        return json.dumps(self.objects.get(path) or {"items": [], "metadata": {}}).encode()


def cluster_of(monkeypatch: pytest.MonkeyPatch, *pods: dict[str, Any], forbidden: tuple[str, ...] = ()) -> None:
    objects = {
        f"/api/v1{where}/pods": {"items": list(pods), "metadata": {}} for where in ("", "/namespaces/team-a")
    } | {"/api/v1/namespaces/gpu-slice/configmaps/fleet": {"data": {"fleet.yaml": files.default_fleet_text().decode()}}}
    monkeypatch.setattr("webhook.cluster.reader.connect", lambda *_: Cluster(objects, forbidden))
