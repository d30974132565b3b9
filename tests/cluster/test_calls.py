"""What a pod costs: how often the API server asks us, by our own count and by its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import ANY

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.cluster.install import WEBHOOK
from tests.waiting import wait_for

ASKS = {"gpu-slice": "1g.5gb"}
SLICE = "nvidia.com/mig-1g.5gb"
TOLERATED = {"key": SLICE, "operator": "Exists", "effect": "NoSchedule"}
"""What the API server's ExtendedResourceToleration, which EKS has too, would add to a pod with a slice."""
FAMILIES = {
    "calls": "apiserver_admission_webhook_request_total",
    "answers": "apiserver_admission_webhook_admission_duration_seconds_count",
    "exclusions": "apiserver_admission_match_condition_exclusions_total",
}


@dataclass
class Costs:
    """What a block of a test cost."""

    ours: int = -1
    """Reviews that our server counted."""
    calls: int = -1
    """The API server's own counts: requests that it sent, …"""
    answers: int = -1
    """… calls that it timed, …"""
    exclusions: int = -1
    """… and pods that the matchConditions spared."""


NOTHING = {"ours": 0, "calls": 0, "answers": 0}


@pytest.fixture(name="counting")
def _counting(cluster: Cluster, ours: Ours) -> Callable[[], Any]:
    def now() -> dict[str, int]:
        text = cluster.plane.metrics()
        found = {"ours": ours.calls()}
        for name, family in FAMILIES.items():
            samples = re.findall(rf'^{family}{{.*name="{WEBHOOK}".*}} (\S+)$', text, re.MULTILINE)
            found[name] = sum(int(each) for each in samples)
        return found

    @contextmanager
    def counting() -> Iterator[Costs]:
        before, costs = now(), Costs()
        yield costs
        vars(costs).update({name: count - before[name] for name, count in now().items()})

    return counting


def pod(annotations: dict[str, str] | None, **more: Any) -> Document:
    """A pod that no scheduler binds, so nothing but the test changes it."""
    spec = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "a/b:1"}]} | more
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": annotations}, "spec": spec}


SMALL = {"name": "main", "image": "a/b:1", "resources": {"limits": {"cpu": "1"}}}


def times(count: int) -> dict[str, int]:
    return dict.fromkeys(NOTHING, count)


def spent(costs: Costs) -> dict[str, int]:
    """All that must agree with each other."""
    return {name: getattr(costs, name) for name in NOTHING}


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param(None, id="no annotations at all"),
        pytest.param({"team": "a", "gpu-slice.example.com": "1g.5gb"}, id="those of others"),
        pytest.param({"gpu-slice/assigned": "1g.5gb -> main=nvidia.com/gpu:1"}, id="only one that we would write"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True], ids=["stored", "dry run"])
def test_a_pod_that_asks_for_nothing_costs_nothing(cluster, namespace, counting, annotations, dry_run) -> None:
    """P1."""
    with counting() as costs:
        stored = cluster.create(pod(annotations), namespace, dry_run=dry_run)
    assert spent(costs) == NOTHING
    assert costs.exclusions == 1
    assert stored["metadata"].get("annotations") == annotations
    assert not stored["spec"]["containers"][0]["resources"]


@pytest.mark.parametrize("dry_run", [False, True], ids=["stored", "dry run"])
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(pod(ASKS), id="as people write it"),
        pytest.param(pod(ASKS, tolerations=[TOLERATED]), id="it has the toleration of the slice"),
        pytest.param(pod(ASKS, tolerations=[{"operator": "Exists"}]), id="it tolerates everything"),
        pytest.param(pod(ASKS, tolerations=[{"key": SLICE, "operator": "Exists"}]), id="it tolerates any effect"),
        pytest.param(
            pod(ASKS, containers=[{**SMALL, "resources": {"limits": {SLICE: "1"}}}]), id="it has the slice by hand"
        ),
        pytest.param(
            pod(ASKS, containers=[{**SMALL, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]), id="a whole GPU"
        ),
        pytest.param(
            pod(
                {"gpu-slice": "main=1g.5gb, first=1g.5gb"},
                initContainers=[{"name": "first", "image": "a/b:1"}],
                containers=[{**SMALL, "resources": {"limits": {"cpu": "1"}}}],
            ),
            id="an init container too",
        ),
    ],
)
def test_a_pod_that_asks_for_a_slice_costs_one_call(cluster, namespace, counting, dry_run, document) -> None:
    """The toleration that ExtendedResourceToleration adds would be a change after ours, and bring the pod back to us:
    so we write it first, to the letter."""
    with counting() as costs:
        made = cluster.create(document, namespace, dry_run=dry_run)
    assert spent(costs) == times(1)
    assert costs.exclusions == 0
    assert made["spec"]["containers"][0]["resources"]["limits"][SLICE] == "1"
    assert TOLERATED in made["spec"]["tolerations"]
    assert bool(cluster.get("Pod", "a", namespace)) is not dry_run


def test_a_pod_that_is_denied_costs_one_call(cluster, namespace, counting) -> None:
    """P10."""
    with counting() as costs, pytest.raises(DynamicApiError) as refused:
        cluster.create(pod({"gpu-slice": "1g5gb"}), namespace)
    assert spent(costs) == times(1)
    assert f'admission webhook "{WEBHOOK}" denied the request: metadata.annotations' in said(refused.value)
    assert cluster.get("Pod", "a", namespace) is None


@pytest.mark.parametrize(
    ("namespace", "labels", "annotations", "exclusions"),
    [
        pytest.param("kube-system", {}, {}, 0, id="kube-system"),
        pytest.param("gpu-slice", {}, {}, 0, id="our own namespace"),
        pytest.param("costs-nothing", {"gpu-slice/opt-out": ""}, {}, 0, id="a namespace that opted out"),
        pytest.param("costs-nothing-either", {"gpu-slice/opt-out": "false"}, {}, 0, id="whatever the label's value"),
        pytest.param("default", {}, {"kubernetes.io/config.mirror": "x"}, 1, id="a static pod's mirror"),
    ],
)
def test_a_pod_that_is_not_ours_costs_nothing_and_is_stored_as_written(
    cluster, counting, namespace, labels, annotations, exclusions
) -> None:
    """P2."""
    if not cluster.get("Namespace", namespace):
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    document = pod(ASKS | annotations, nodeName="cpu-1")  # a mirror has a node already
    with counting() as costs:
        made = cluster.create(document, namespace, dry_run=True)
    assert spent(costs) == NOTHING
    assert costs.exclusions == exclusions
    assert made["metadata"]["annotations"] == ASKS | annotations
    document["metadata"]["annotations"] = annotations
    assert made["spec"] == cluster.create(document, namespace, dry_run=True)["spec"]
    assert not made["spec"]["containers"][0]["resources"]
    if labels:
        cluster.delete("Namespace", namespace)


Act = Callable[[Cluster, str], object]


def metadata(**fields: Any) -> Act:
    return lambda cluster, namespace: cluster.patch("Pod", "a", {"metadata": fields}, namespace)


def subresource(name: str, verb: str, body: Document) -> Act:
    """*verb* on a subresource of the pod."""

    def act(cluster: Cluster, namespace: str) -> None:
        of = cluster.client.resources.get(api_version="v1", kind="Pod").subresources[name]
        merge = {"content_type": "application/strategic-merge-patch+json"} if verb == "patch" else {}
        getattr(of, verb)(body, name="a", namespace=namespace, **merge)

    return act


def replaced(cluster: Cluster, namespace: str) -> None:
    cluster.replace(cluster.get("Pod", "a", namespace))


def debugged(cluster: Cluster, namespace: str) -> None:
    found = cluster.kubectl("debug", "a", "-n", namespace, "--image=a/b:1", "--profile=general", "-c", "debugger")
    assert found.returncode == 0, found.stderr


def seen(cluster: Cluster, namespace: str) -> Document:
    """What the pod says, in one map."""
    found = cluster.get("Pod", "a", namespace)
    named = {name: found["metadata"].get(name) for name in ("labels", "annotations")}
    return named | found["spec"] | {"message": found["status"].get("message")}


GIVEN = {
    "gpu-slice": "1g.5gb",
    "gpu-slice/assigned": f"1g.5gb -> main={SLICE}:1",
    "gpu-slice/pools": "a100-1g-5gb, a100-mixed",
}
LARGER = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "2"}}}]}}
NODE = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "cpu-1"}}


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        pytest.param(metadata(labels={"a": "b"}), {"labels": {"a": "b"}}, id="labels"),
        pytest.param(
            metadata(annotations={"gpu-slice": "nonsense"}),
            {"annotations": GIVEN | {"gpu-slice": "nonsense"}},
            id="what it asks for",
        ),
        pytest.param(metadata(annotations=dict.fromkeys(GIVEN)), {"annotations": None}, id="that it asks"),
        pytest.param(replaced, {}, id="nothing, by a PUT of the whole"),
        pytest.param(subresource("status", "patch", {"status": {"message": "x"}}), {"message": "x"}, id="status"),
        pytest.param(debugged, {"ephemeralContainers": [ANY]}, id="ephemeral containers, by kubectl debug"),
        pytest.param(subresource("resize", "patch", LARGER), {"containers": [ANY]}, id="its size, in place"),
        pytest.param(subresource("binding", "create", NODE), {"nodeName": "cpu-1"}, id="its node"),
    ],
)
def test_changing_a_pod_that_stands_costs_nothing_and_is_stored_as_written(
    cluster, namespace, counting, act: Act, changes: Document
) -> None:
    cluster.create(pod(ASKS, containers=[SMALL]), namespace)
    before = seen(cluster, namespace)
    with counting() as costs:
        act(cluster, namespace)
    after = seen(cluster, namespace)
    assert spent(costs) == NOTHING
    assert {name: value for name, value in after.items() if value != before.get(name)} == changes
    assert after["containers"][0]["resources"]["limits"][SLICE] == "1"


def test_evicting_a_pod_costs_nothing(cluster, namespace, counting) -> None:
    cluster.create(pod(ASKS), namespace)
    with counting() as costs:
        subresource("eviction", "create", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}})(
            cluster, namespace
        )
    assert spent(costs) == NOTHING
    wait_for("the pod is gone", lambda: cluster.get("Pod", "a", namespace) is None)


LABELS = {"app": "a"}
TEMPLATE = {
    "metadata": {"labels": LABELS, "annotations": ASKS},
    "spec": {
        "containers": [{"name": "main", "image": "a/b:1"}],
        "tolerations": [TOLERATED, {"key": "nvidia.com/gpu-shared", "operator": "Exists"}],
        "nodeSelector": {"nvidia.com/gpu": "a100"},  # a DaemonSet places by its template
    },
}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
ONCE = {"template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}


@pytest.mark.parametrize(
    ("api_version", "kind", "spec"),
    [
        pytest.param("apps/v1", "Deployment", SELECTED | {"replicas": 2}, id="Deployment"),
        pytest.param("apps/v1", "ReplicaSet", SELECTED | {"replicas": 2}, id="ReplicaSet"),
        pytest.param("apps/v1", "StatefulSet", SELECTED | {"replicas": 2, "serviceName": "a"}, id="StatefulSet"),
        pytest.param("apps/v1", "DaemonSet", SELECTED, id="DaemonSet, on the two nodes of its pools"),
        pytest.param("batch/v1", "Job", ONCE | {"parallelism": 2, "completions": 2}, id="Job"),
    ],
)
def test_a_workload_costs_nothing_itself_and_each_of_its_pods_one_call(
    cluster, namespace, counting, api_version, kind, spec
) -> None:
    document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    with counting() as costs:
        cluster.create(document, namespace, dry_run=True)
    assert spent(costs) == NOTHING
    with counting() as costs:
        cluster.create(document, namespace)
        wait_for("both pods are there", lambda: len(cluster.list("Pod", namespace)) == 2)
    assert spent(costs) == times(2)
    assert all(ASKS.items() < each["metadata"]["annotations"].items() for each in cluster.list("Pod", namespace))
    with counting() as costs:
        cluster.patch(kind, "a", {"metadata": {"annotations": {"gpu-slice": "2g.10gb"}}}, namespace, api_version)
    assert spent(costs) == NOTHING
