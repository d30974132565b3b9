"""`gpu-slice explain` on a real control plane with Karpenter: one thing is broken, and the first sentence says what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster import programs
from tests.cluster.conftest import skip, told
from tests.cluster.install import CONFIGURATION, NAME
from tests.cluster.world import FLEET, World, karpenter_deployment, pod, world
from tests.waiting import wait_for

Document = dict[str, Any]
Broken = Callable[[World], AbstractContextManager[object]]

LATE = """\
- name: late
  gpu: a100-80gb
  partition: {mig: {2g.20gb: 3}}
  instanceTypes: [p4de.24xlarge]
- name: ghost
  gpu: h200
  partition: {mig: {3g.71gb: 2}}
  instanceTypes: [p5en.48xlarge]
namespaces:
  "*": {}
  limited: {pools: [shared]}
"""
"""Pools without nodes; the NodePool of `ghost` is not in the cluster."""
SLICE, LATE_SLICE = "nvidia.com/mig-1g.10gb", "nvidia.com/mig-2g.20gb"


@pytest.fixture(scope="module", name="here")
def _here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        with world(tmp_path_factory.mktemp("explain"), FLEET + LATE) as made:
            told.logs = made.cluster.plane.logs
            made.cluster.delete("NodePool", "ghost", None, "karpenter.sh/v1")
            for name in ("limited", "out"):
                made.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            yield made
    except programs.BuildError as error:
        skip(error)


@contextmanager
def waiting(here: World, document: Document) -> Iterator[str]:
    """Within the block a pod is there and waits; yields its name."""
    name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
    here.cluster.create(document)
    try:
        if "schedulingGates" not in document["spec"] and "schedulerName" not in document["spec"]:
            here.cluster.unschedulable(name, namespace)
        yield name
    finally:
        here.cluster.delete("Pod", name, namespace)
        for claim in here.list("NodeClaim", label_selector="karpenter.sh/nodepool=late"):
            with suppress(DynamicApiError):
                claim_name = claim["metadata"]["name"]
                here.cluster.delete("NodeClaim", claim_name, None, "karpenter.sh/v1")


def explained(here: World, *arguments: str, **more: Any) -> tuple[Document, int]:
    """The only explanation, and the exit code."""
    result = here.gpu_slice("explain", *arguments, "-o", "json", **more)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout, result.output
    (explanation,) = json.loads(result.stdout)
    return explanation, result.exit_code


def edit(kind: str, name: str, change: Callable[[Document], object], namespace: str | None = None) -> Broken:
    return lambda here: here.changed(kind, name, change, namespace)


def status(change: Callable[[Document], object]) -> Broken:
    """Of the node of the pool `standing`."""
    return lambda here: here.status("Node", "standing-1", change)


def advertises(**resources: str) -> Broken:
    """What the node of `standing` shows in place of its 56 slices."""

    def change(status: Document) -> None:
        for part in ("capacity", "allocatable"):
            status[part] |= {"nvidia.com/mig-1g.10gb": "0"} | {f"nvidia.com/{key}": n for key, n in resources.items()}

    return status(change)


def not_ready(status: Document) -> None:
    ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down"}
    status["conditions"] = [ready]


def overlay_of(here: World, pool: str = "late") -> str:
    names = [each["metadata"]["name"] for each in here.list("NodeOverlay")]
    return str(next(name for name in names if name.startswith(pool)))


def overlay(name: str, weight: int, capacity: str) -> Document:
    requirement = {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["late"]}
    spec = {"weight": weight, "requirements": [requirement], "capacity": {LATE_SLICE: capacity}}
    return {"apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": {"name": name}, "spec": spec}


@contextmanager
def conflict(here: World) -> Iterator[None]:
    """Another overlay of the same weight, which Karpenter evaluates first."""
    ours = here.get("NodeOverlay", overlay_of(here))
    with here.with_also(overlay("zzz", ours["spec"]["weight"], "0")):
        yield


@contextmanager
def no_subnet(here: World) -> Iterator[None]:
    def elsewhere(document: Document) -> None:
        document["spec"]["subnetSelectorTerms"] = [{"tags": {"no": "such"}}]

    with here.changed("EC2NodeClass", "late", elsewhere):
        wait_for("the NodeClass is not ready", lambda: not ready(here))
        yield
    wait_for("the NodeClass is ready", lambda: ready(here))


def ready(here: World) -> bool:
    conditions = here.get("EC2NodeClass", "late")["status"]["conditions"]
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def nothing(_: World) -> AbstractContextManager[None]:
    return nullcontext()


def refusing(code: str) -> Broken:
    return lambda here: here.cloud.refusing("CreateFleet", code)


def cpu(number: str) -> Document:
    return {"containers": [{"name": "main", "image": "a/b:1", "resources": {"requests": {"cpu": number}}}]}


BROKEN = [
    # name, what is broken, what the pod asks for and more of its spec, the cause, words of its sentence
    (
        "taint",
        edit("Node", "standing-1", lambda d: d["spec"]["taints"].append({"key": "a", "effect": "NoSchedule"})),
        "1g.10gb",
        {},
        "node-tainted",
        "standing-1 has the taint a:NoSchedule",
    ),
    (
        "cordon",
        edit("Node", "standing-1", lambda d: d["spec"].update(unschedulable=True)),
        "1g.10gb",
        {},
        "node-cordoned",
        "standing-1 is cordoned",
    ),
    (
        "label",
        edit("Node", "standing-1", lambda d: d["metadata"]["labels"].pop("nvidia.com/gpu")),
        "1g.10gb",
        {},
        "node-label",
        "lacks the label nvidia.com/gpu",
    ),
    (
        "not-ready",
        status(not_ready),
        "1g.10gb",
        {"nodeSelector": {"kubernetes.io/hostname": "standing-1"}},
        "node-not-ready",
        "KubeletNotReady",
    ),
    ("no-slices", advertises(), "1g.10gb", {}, "slices-not-advertised", "advertises 0 of nvidia.com/mig-1g.10gb"),
    ("two-plugins", advertises(gpu="8"), "1g.10gb", {}, "two-plugins", "8 whole GPUs"),
    ("cpu", nothing, "1g.10gb", cpu("200"), "node-full", "200"),
    ("in-use", nothing, "56x1g.10gb", {}, "slices-in-use", "55 of the 56"),
    (
        "limit",
        edit("NodePool", "late", lambda d: d["spec"].update(limits={LATE_SLICE: "0"})),
        "2g.20gb",
        {},
        "limit-reached",
        "NodePool late is at its limit",
    ),
    (
        "limit-nodes",
        edit("NodePool", "late", lambda d: d["spec"].update(limits={"nodes": "0"})),
        "2g.20gb",
        {},
        "limit-reached",
        "0 of 0 nodes",
    ),
    (
        "overlay",
        lambda here: here.without("NodeOverlay", overlay_of(here)),
        "2g.20gb",
        {},
        "overlay-missing",
        "NodePool late",
    ),
    ("weight", conflict, "2g.20gb", {}, "overlay-refused", "same weight"),
    ("heavier", lambda here: here.with_also(overlay("theirs", 1000, "0")), "2g.20gb", {}, "overlay-differs", "theirs"),
    ("class", no_subnet, "2g.20gb", {}, "node-class-not-ready", "no subnet in AWS"),
    (
        "pool-taint",
        edit(
            "NodePool",
            "late",
            lambda d: d["spec"]["template"]["spec"]["taints"].append({"key": "a", "effect": "NoSchedule"}),
        ),
        "2g.20gb",
        {},
        "node-pool-differs",
        "taint a:NoSchedule",
    ),
    (
        "pool-label",
        edit("NodePool", "late", lambda d: d["spec"]["template"]["metadata"]["labels"].pop("nvidia.com/gpu")),
        "2g.20gb",
        {},
        "node-pool-differs",
        "nvidia.com/gpu",
    ),
    ("capacity", refusing("InsufficientInstanceCapacity"), "2g.20gb", {}, "no-capacity", "no capacity"),
    ("aws-quota", refusing("VcpuLimitExceeded"), "2g.20gb", {}, "aws-quota", "quota is too small"),
    ("rights", refusing("UnauthorizedOperation"), "2g.20gb", {}, "launch-failed", "AWS refuses it"),
    ("no-node-pool", nothing, "3g.71gb", {}, "node-pool-missing", "no NodePool ghost"),
    ("unknown-label", nothing, "2g.20gb", {"nodeSelector": {"tier": "x"}}, "unknown-label", "label tier"),
    (
        "gate",
        nothing,
        "1g.10gb",
        {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
        "scheduling-gates",
        "Kueue",
    ),
    ("scheduler", nothing, "1g.10gb", {"schedulerName": "volcano"}, "other-scheduler", "volcano"),
    ("on-its-way", nothing, "2g.20gb", {}, "launching", "NodeClaim late-"),
]


@pytest.mark.parametrize(
    ("broken", "asked", "spec", "cause", "words"), [pytest.param(*each[1:], id=each[0]) for each in BROKEN]
)
def test_a_pod_that_waits(
    broken: Broken, asked: str, spec: Document, cause: str, words: str, here: World, request: Any
) -> None:
    with broken(here), waiting(here, pod(f"waits-{request.node.callspec.id}", asked, **spec)) as name:
        found: dict[str, Any] = {}

        def told_so() -> bool:
            found["explanation"], found["code"] = explained(here, name)
            return found["explanation"]["cause"]["id"] == cause

        with suppress(TimeoutError):  # what Karpenter does takes it a moment
            wait_for("the cause is told", told_so, seconds=8)
    assert (found["explanation"]["cause"]["id"], found["code"]) == (cause, 1), found["explanation"]
    assert words in found["explanation"]["cause"]["sentence"]
