"""`gpu-slice explain` on a real control plane with Karpenter: one thing is broken, and the first sentence says what."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from certs.authority import create_authority
from tests.cluster import programs
from tests.cluster.conftest import skip, told
from tests.cluster.install import CONFIGURATION, NAME, Installation
from tests.cluster.world import FLEET, World, pod, world
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
            with suppress(DynamicApiError):  # not waiting until Karpenter has ended its instance
                claim_name = claim["metadata"]["name"]
                here.cluster.patch("NodeClaim", claim_name, {"metadata": {"finalizers": None}}, api="karpenter.sh/v1")
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


@contextmanager
def not_ready(here: World) -> Iterator[None]:
    """As the controllers that this control plane leaves out make it: a condition and a taint."""

    def condition(status: Document) -> None:
        status["conditions"] = [
            {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "it is down"}
        ]

    def taint(node: Document) -> None:
        node["spec"]["taints"].append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})

    with here.status("Node", "standing-1", condition), here.changed("Node", "standing-1", taint):
        yield


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
        not_ready,
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
        "limit-by-hand",
        edit("NodePool", "late", lambda d: d["spec"]["limits"].update(cpu="8")),
        "2g.20gb",
        {},
        "limit-reached",
        "0 of 8 cpu are launched. The fleet file does not name this limit.",
    ),
    (
        "zone-by-hand",
        edit(
            "NodePool",
            "late",
            lambda d: d["spec"]["template"]["spec"]["requirements"].append(
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1z"]}
            ),
        ),
        "2g.20gb",
        {},
        "node-pool-differs",
        "requires topology.kubernetes.io/zone In us-east-1z",
    ),
    (
        "disrupted",
        edit(
            "Node",
            "standing-1",
            lambda d: d["spec"]["taints"].append({"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}),
        ),
        "1g.10gb",
        {},
        "node-tainted",
        "karpenter.sh/disrupted",
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
    ("rights", refusing("UnauthorizedOperation"), "2g.20gb", {}, "launch-failed", "AWS refuses it"),
    ("aws-quota", refusing("VcpuLimitExceeded"), "2g.20gb", {}, "aws-quota", "quota is too small"),
    ("capacity", refusing("InsufficientInstanceCapacity"), "56x1g.5gb", {}, "no-capacity", "no capacity"),
]


@pytest.mark.parametrize(
    ("broken", "asked", "spec", "cause", "words"), [pytest.param(*each[1:], id=each[0]) for each in BROKEN]
)
def test_a_pod_that_waits(
    broken: Broken, asked: str, spec: Document, cause: str, words: str, here: World, request: Any
) -> None:
    found: dict[str, Any] = {}

    def told_so() -> bool:
        found["explanation"], found["code"] = explained(here, f"waits-{name}")
        return found["explanation"]["cause"]["id"] in {cause, "launching"}

    name = request.node.callspec.id
    with broken(here):
        for _ in range(3):  # Karpenter may launch a node before it has noticed
            with waiting(here, pod(f"waits-{name}", asked, **spec)), suppress(TimeoutError):
                wait_for("the cause is told", told_so, seconds=10)
            if found["explanation"]["cause"]["id"] == cause:
                break
    assert (found["explanation"]["cause"]["id"], found["code"]) == (cause, 1), json.dumps(
        found["explanation"], indent=1
    )
    assert words in found["explanation"]["cause"]["sentence"]


@contextmanager
def registered(here: World, change: Callable[[Document], object], said: str) -> Iterator[None]:
    """Within the block the webhook configuration is as *change* makes it, and the API server has noticed."""
    installation = Installation(here.cluster)
    with here.changed(CONFIGURATION, NAME, change):
        wait_for("the API server has noticed", lambda: said in installation.probe())
        yield
    wait_for("the API server has noticed", lambda: installation.probe() == "created")


def client(**fields: Any) -> Callable[[Document], None]:
    return lambda document: document["webhooks"][0]["clientConfig"].update(fields)


NOWHERE = {"url": "https://127.0.0.1:9/mutate"}
OTHER_CA = {"caBundle": base64.b64encode(create_authority("other", now=datetime.now(UTC)).certificate).decode()}


@contextmanager
def copied(here: World) -> Iterator[None]:
    """Another webhook configuration with the webhook of ours, which calls nobody."""
    installation, ours = Installation(here.cluster), here.get(CONFIGURATION, NAME)
    webhooks = [{**each, "clientConfig": NOWHERE} for each in ours["webhooks"]]
    copy = {"apiVersion": ours["apiVersion"], "kind": CONFIGURATION, "metadata": {"name": "copy"}, "webhooks": webhooks}
    with here.with_also(copy):
        wait_for("the API server has noticed", lambda: "connection refused" in installation.probe())
        yield
    wait_for("the API server has noticed", lambda: installation.probe() == "created")


def unreachable() -> Broken:
    return lambda here: registered(here, client(**NOWHERE), "connection refused")


def other_ca() -> Broken:
    return lambda here: registered(here, client(**OTHER_CA), "x509")


@contextmanager
def other_ca_without_keeper(here: World) -> Iterator[None]:
    with here.without("Deployment", "keeper", "gpu-slice"), other_ca()(here):
        yield


def fails_open(document: Document) -> None:
    document["webhooks"][0]["failurePolicy"] = "Ignore"
    client(**NOWHERE)(document)


@contextmanager
def no_configuration(here: World) -> Iterator[None]:
    installation = Installation(here.cluster)
    with here.without(CONFIGURATION, NAME):
        wait_for("the API server has noticed", lambda: "has not seen" in installation.probe())
        yield
    wait_for("the API server has noticed", lambda: installation.probe() == "created")


@contextmanager
def quota(here: World) -> Iterator[None]:
    spec = {"hard": {"requests.nvidia.com/gpu.shared": "0"}}
    metadata = {"name": "no-shares", "namespace": "limited"}
    with here.with_also({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec}):
        # Its controller writes into the status what the API server goes by.
        wait_for("the quota holds", lambda: here.cluster.get("ResourceQuota", *metadata.values())["status"].get("hard"))
        yield


def opted_out(here: World) -> AbstractContextManager[None]:
    return here.changed(
        "Namespace", "out", lambda document: document["metadata"].update(labels={"gpu-slice/opt-out": "0"})
    )


def misplaced(name: str = "web") -> Document:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "namespace": "default", "annotations": {"gpu-slice": "1g.5gb"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def job(name: str, asked: str, namespace: str = "default", **more: Any) -> Document:
    template = {
        "metadata": {"annotations": {"gpu-slice": asked}},
        "spec": pod("x")["spec"] | {"restartPolicy": "Never"},
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template, **more}}


REFUSED = [
    ("unreachable", unreachable(), pod("new", "1g.5gb"), "webhook-unreachable", "connection refused"),
    ("copy", copied, pod("new", "1g.5gb"), "other-webhook", "MutatingWebhookConfiguration copy calls 127.0.0.1"),
    ("ca", other_ca(), pod("new", "1g.5gb"), "certificate", "does not trust"),
    (
        "no-keeper",
        other_ca_without_keeper,
        pod("new", "1g.5gb"),
        "certificate",
        "keeper that would correct it is not there",
    ),
    (
        "ignore",
        lambda here: registered(here, fails_open, "has not seen"),
        pod("new", "1g.5gb"),
        "webhook-ignored",
        "Ignore",
    ),
    ("configuration", no_configuration, pod("new", "1g.5gb"), "webhook-missing", "MutatingWebhookConfiguration"),
    ("typo", nothing, pod("new", "1g5gb"), "denied", "'1g5gb' is not a"),
    ("policy", nothing, pod("new", "1g.5gb", "limited"), "denied", "namespace 'limited' may not use"),
    ("quota", quota, pod("new", "shared", "limited"), "quota", "ResourceQuota no-shares"),
    ("opt-out", opted_out, pod("new", "1g.5gb", "out"), "namespace-opted-out", "gpu-slice/opt-out=0"),
    ("kube-system", nothing, pod("new", "1g.5gb", "kube-system"), "namespace-excluded", "kube-system"),
    ("misplaced", nothing, misplaced(), "annotation-misplaced", "spec.template.metadata.annotations"),
    (
        "limit",
        edit("NodePool", "late", lambda d: d["spec"].update(limits={"nodes": "0"})),
        job("new", "2g.20gb"),
        "limit-reached",
        "NodePool late",
    ),
]


@pytest.mark.parametrize(
    ("broken", "document", "cause", "words"), [pytest.param(*each[1:], id=each[0]) for each in REFUSED]
)
def test_a_file_that_would_not_run(
    broken: Broken, document: Document, cause: str, words: str, here: World, tmp_path: Path
) -> None:
    file = tmp_path / "new.json"
    file.write_text(json.dumps(document))

    with broken(here):
        explanation, code = explained(here, str(file))

    assert (explanation["cause"]["id"], code) == (cause, 1), explanation
    assert words in explanation["cause"]["sentence"]
    assert here.cluster.get("Pod", "new", document["metadata"]["namespace"]) is None


@contextmanager
def made(here: World, document: Document) -> Iterator[str]:
    metadata = document["metadata"]
    with here.with_also(document):
        yield f"{document['kind'].lower()}/{metadata['name']}"
    for each in here.list("Pod", metadata["namespace"]):
        if each["metadata"]["name"].startswith(metadata["name"]):
            here.cluster.delete("Pod", each["metadata"]["name"], metadata["namespace"])


WORKLOADS = [
    ("denied", nothing, job("stuck", "1g.5gb", "limited"), "denied", "may not use"),
    ("quota", quota, job("stuck", "shared", "limited"), "quota", "ResourceQuota no-shares"),
    (
        "cordon",
        edit("Node", "standing-1", lambda d: d["spec"].update(unschedulable=True)),
        job("stuck", "1g.10gb"),
        "node-cordoned",
        "standing-1 is cordoned",
    ),
    ("suspended", nothing, job("stuck", "1g.5gb", suspend=True), "no-pods-wanted", "suspended"),
    ("misplaced", nothing, misplaced("stuck"), "annotation-misplaced", "spec.template.metadata.annotations"),
    ("running", nothing, job("stuck", "1g.5gb"), "running", "pool a100"),
]


@pytest.mark.parametrize(
    ("broken", "document", "cause", "words"), [pytest.param(*each[1:], id=each[0]) for each in WORKLOADS]
)
def test_a_workload(broken: Broken, document: Document, cause: str, words: str, here: World) -> None:
    found: dict[str, Any] = {}
    with broken(here), made(here, document) as name:

        def told_so() -> bool:
            arguments = (name, "-n", document["metadata"]["namespace"])
            found["explanation"], found["code"] = explained(here, *arguments)
            return found["explanation"]["cause"]["id"] == cause

        with suppress(TimeoutError):
            wait_for("the cause is told", told_so, seconds=15)
    assert found["explanation"]["cause"]["id"] == cause, found["explanation"]
    assert found["code"] == (0 if cause == "running" else 1)
    assert words in found["explanation"]["cause"]["sentence"]


def test_a_plain_user_is_told_what_could_not_be_looked_at(here: World) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list"]}]
    user = here.user("default", rules)

    cordoned = here.changed("Node", "standing-1", lambda node: node["spec"].update(unschedulable=True))
    with cordoned, waiting(here, pod("plain", "1g.10gb")) as name:
        explanation, code = explained(here, name, kubeconfig=user)
        table = here.gpu_slice("explain", name, kubeconfig=user)

    assert (explanation["cause"]["id"], code) == ("scheduler", 3)
    assert "nodes are cordoned" in explanation["cause"]["sentence"]
    assert [pool["pool"] for pool in explanation["pools"] if pool["serves"]] == ["standing"]
    missed = " ".join(explanation["couldNotLook"])
    for words in ("you may not list nodes:", "you may not list nodepools:", "namespace default"):
        assert words in missed
    assert "not looked at: you may not list nodes: what keeps the pod off each node is not known" in table.stdout


def test_what_is_not_there_could_not_be_looked_at(here: World) -> None:
    for name, words in (
        ("ghost", "there is no Pod ghost in namespace default"),
        ("job/ghost", "there is no Job ghost"),
    ):
        result = here.gpu_slice("explain", name)
        assert (result.exit_code, result.stdout) == (3, "")
        assert words in result.stderr
    assert here.gpu_slice("explain", "queue/ghost").exit_code == 2


def test_a_refusal_that_is_over_is_no_cause(here: World) -> None:
    document = misplaced("over")
    document["metadata"] |= {"namespace": "limited", "annotations": {}}
    document["spec"]["template"]["metadata"]["annotations"] = {"gpu-slice": "shared"}
    with quota(here), suppress(TimeoutError):
        here.cluster.create(document)
        wait_for("it is refused", lambda: explained(here, "deploy/over", "-n", "limited")[0]["cause"]["id"] == "quota")

    try:
        here.cluster.patch(
            "Deployment", "over", {"spec": {"template": {"metadata": {"labels": {"again": "1"}}}}}, "limited", "apps/v1"
        )
        wait_for("it runs", lambda: explained(here, "deploy/over", "-n", "limited")[0]["cause"]["id"] == "running")
    finally:
        here.cluster.delete("Deployment", "over", "limited", "apps/v1")


def test_a_file_is_explained_to_whoever_may_create_no_pods(here: World, tmp_path: Path) -> None:
    user = here.user("default", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
    file = tmp_path / "new.json"
    file.write_text(json.dumps(pod("new", "1g.10gb")))

    explanation, code = explained(here, str(file), kubeconfig=user)

    assert (explanation["cause"]["id"], code) == ("soon", 3)
    assert explanation["given"] == f"main={SLICE}:1"
    assert "you may not create pods in namespace default" in " ".join(explanation["couldNotLook"])
