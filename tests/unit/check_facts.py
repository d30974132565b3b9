"""What the tests of the checks look at: a fleet, what it renders, and objects of a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from tests.rendering import documents_of
from webhook.cli import check as command
from webhook.cli.files import load_fleet
from webhook.cluster.check import (
    CHECKS,
    Facts,
    Line,
    run,
)
from webhook.cluster.check.look import KINDS, NAMESPACED
from webhook.cluster.objects import (
    NODES,
    PODS,
    Kind,
)
from webhook.cluster.snapshot import Listing, Snapshot
from webhook.fleet.fleet import Fleet

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
Document = dict[str, Any]
FLEET = load_fleet(b"""\
apiVersion: gpu-slice/v1
cluster: my-cluster
pools:
- name: a100
  gpu: a100-40gb
  partition: {mig: {1g.5gb: 7}}
  instanceTypes: [p4d.24xlarge]
- name: standing
  gpu: h100-80gb
  partition: {mig: {1g.10gb: 7}}
  instanceTypes: [p5.48xlarge]
  nodes: existing
namespaces:
  limited: {pools: [standing]}
  given: {default: 1g.5gb}
""")
SUBJECTS = ("device-plugin", "node-classes", "node-pools", "node-overlays", "quota")
RENDERED = tuple(document for subject in SUBJECTS for document in documents_of(FLEET, subject))


def facts(objects: dict[Kind[Any], Iterable[Any]] | None = None, fleet: Fleet = FLEET, **more: Any) -> Facts:
    """A cluster with *objects* and nothing else; what is of a typed kind is converted."""
    listings: dict[Kind[Any], Listing[Any]] = {kind: Listing() for kind in (*KINDS, *NAMESPACED, NODES, PODS)}
    for kind, items in (objects or {}).items():
        listings[kind] = Listing(tuple(items if kind.type is dict else msgspec.convert(list(items), list[kind.type])))
    return Facts(Snapshot(NOW, "v1.36.3", listings), fleet, RENDERED, **more)


def done(id: str, about: Facts) -> Line:
    """What becomes of one check, whatever comes first."""
    (check,) = [each for each in CHECKS if each.id == id]
    (line,) = run([check], about)
    return line


def told(line: Line) -> str:
    return " | ".join(problem.reason for problem in line.problems)


def deployment(
    name: str = "karpenter", namespace: str = "kube-system", replicas: int = 2, **container: Any
) -> Document:
    image = container.pop("image", "public.ecr.aws/karpenter/controller:1.15.0")
    labels = container.pop("labels", {})
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {}, "spec": {"containers": [{"name": "controller", "image": image, **container}]}},
        },
        "status": {"availableReplicas": replicas},
    }


NODE_POOL = next(document for document in RENDERED if document["kind"] == "NodePool")


def requires(key: str, operator: str, *values: str) -> Document:
    return {"key": key, "operator": operator, "values": list(values)}


def node(pool: str = "a100", type: str = "p4d.24xlarge", **more: Any) -> Document:
    shape = next(each for each in FLEET.pools if each.name == pool).shapes[0]
    labels = {key: value for key, value in shape.labels.items() if value is not None}
    taints = [{"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"}, *more.pop("taints", [])]
    allocatable = {key: str(count) for key, count in shape.capacity.items()} | more.pop("allocatable", {})
    joined = {"karpenter.sh/initialized": "true"} if pool == "a100" else {}
    labels |= joined | {"node.kubernetes.io/instance-type": type} | more.pop("labels", {})
    labels = {key: value for key, value in labels.items() if value is not None}
    return {
        "metadata": {"name": "n1", "labels": labels},
        "spec": {"taints": taints, **more},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


YOUNG, OLD = timedelta(minutes=3), timedelta(minutes=11)
HERE = {"nodeSelectorTerms": [{"matchExpressions": [requires("nvidia.com/gpu.present", "In", "true")]}]}


def running(asked: str, given: str | None, pools: str = "a100", namespace: str = "default", **limits: str) -> Document:
    annotations = {"gpu-slice": asked} | ({"gpu-slice/assigned": given, "gpu-slice/pools": pools} if given else {})
    return {
        "metadata": {
            "name": "p",
            "namespace": namespace,
            "annotations": annotations,
            "creationTimestamp": (NOW - YOUNG).isoformat(),
        },
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "main", "resources": {"limits": limits, "requests": limits}}],
        },
        "status": {"phase": "Running"},
    }


SLICE = {"nvidia.com/mig-1g.5gb": "1"}
SLICED = running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", **SLICE)


def printed(line: Line) -> list[str]:
    return [click.unstyle(str(each)) for each in command.table([line], "", "docs/checks.md", short=False)]
