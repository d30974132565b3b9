"""Workloads: the annotation counts in the pod template alone, and what a controller was told is there to be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Document
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("ours")

SLICE = "nvidia.com/mig-1g.5gb"
ASKS = {"gpu-slice": "1g.5gb"}
A100 = {"a100-1g-5gb-1", "a100-mixed-1"}
"""The nodes that have it."""
PLACED = {
    "nodeSelector": {"nvidia.com/gpu": "a100"},
    "tolerations": [{"key": "nvidia.com/gpu-shared", "operator": "Exists"}],
}
"""What a DaemonSet's template needs of its own."""
PODS = 2
KINDS = ["Deployment", "StatefulSet", "Job", "CronJob"]

REFUSED = (
    'admission webhook "pods.gpu-slice.io" denied the request: metadata.annotations[gpu-slice]: '
    "'1g5gb' is not a MIG profile: expected a dot, found '5gb'. Write '1g.5gb'."
)


def workload(kind: str, on_pod: Any = None, on_itself: Any = None, on_job: Any = None, **spec: Any) -> Document:
    """A workload called ``work`` for two pods, with annotations where they are wanted."""
    labels = {"app": "work"}
    template = {
        "metadata": {"labels": labels, "annotations": on_pod or {}},
        "spec": {"containers": [{"name": "main", "image": "example/main:1"}], **spec},
    }
    made = {"kind": kind, "metadata": {"name": "work", "annotations": on_itself or {}}}
    if kind in ("Job", "CronJob"):
        template["spec"]["restartPolicy"] = "Never"
        job = {"completions": PODS, "parallelism": PODS, "template": template}
        if kind == "Job":
            return made | {"apiVersion": "batch/v1", "spec": job}
        each = {"metadata": {"annotations": on_job or {}}, "spec": job}
        # Suspended, as the tests say when it is time.
        return made | {"apiVersion": "batch/v1", "spec": {"schedule": "@yearly", "suspend": True, "jobTemplate": each}}
    found = {"selector": {"matchLabels": labels}, "template": template}
    found |= {} if kind == "DaemonSet" else {"replicas": PODS}
    found |= {"serviceName": "work"} if kind == "StatefulSet" else {}
    return made | {"apiVersion": "apps/v1", "spec": found}


def run(cluster: Cluster, namespace: str, document: Document) -> None:
    """Create a workload, and have a CronJob make its Job."""
    cluster.create(document, namespace)
    if document["kind"] == "CronJob":
        done = cluster.kubectl("-n", namespace, "create", "job", "--from=cronjob/work", "now")
        assert done.returncode == 0, done.stderr


def bound(cluster: Cluster, namespace: str, count: int = PODS) -> list[Document]:
    """The pods of a namespace, once that many are bound."""

    def found() -> list[Document]:
        pods = [each for each in cluster.list("Pod", namespace) if each["spec"].get("nodeName")]
        return pods if len(pods) >= count else []

    return wait_for(f"{count} pods are bound", found)


def nodes_of(pods: list[Document]) -> list[str]:
    return sorted(each["spec"]["nodeName"] for each in pods)


def limits_of(pod: Document) -> Document:
    return pod["spec"]["containers"][0].get("resources", {}).get("limits", {})


@pytest.mark.parametrize("kind", KINDS)
def test_the_pods_of_an_annotated_template_get_slices_and_nodes_that_have_them(kind, cluster, namespace) -> None:
    run(cluster, namespace, workload(kind, on_pod=ASKS))

    pods = bound(cluster, namespace)

    assert [limits_of(each) for each in pods] == [{SLICE: "1"}] * PODS
    assert set(nodes_of(pods)) <= A100


@pytest.mark.parametrize(
    "document",
    [
        *(pytest.param(workload(kind, on_itself=ASKS), id=f"on the {kind} itself") for kind in KINDS),
        pytest.param(workload("CronJob", on_job=ASKS), id="on the Jobs of a CronJob"),
    ],
)
def test_an_annotation_elsewhere_gives_no_slice(document, cluster, namespace) -> None:
    run(cluster, namespace, document)

    pods = bound(cluster, namespace)

    assert [limits_of(each) for each in pods] == [{}] * PODS
    assert nodes_of(pods) == ["cpu-1"] * PODS


def daemon_set_status(cluster: Cluster, namespace: str) -> Document:
    """Of a DaemonSet whose controller has looked at it, and made every pod that it wants."""

    def settled() -> Document | None:
        found = cluster.get("DaemonSet", "work", namespace, "apps/v1")["status"]
        wanted = found.get("desiredNumberScheduled")
        return found if wanted and found["currentNumberScheduled"] == wanted else None

    return wait_for("the DaemonSet has its pods", settled)


def test_a_daemon_set_whose_template_says_where_runs_on_exactly_these_nodes(cluster, namespace) -> None:
    cluster.create(workload("DaemonSet", on_pod=ASKS, **PLACED), namespace)

    pods = bound(cluster, namespace, len(A100))

    assert daemon_set_status(cluster, namespace)["desiredNumberScheduled"] == len(A100)
    assert nodes_of(pods) == sorted(A100)
    assert [limits_of(each) for each in pods] == [{SLICE: "1"}] * len(A100)


def test_a_daemon_set_whose_template_does_not_waits_on_nodes_without_gpus(cluster, namespace) -> None:
    cluster.create(workload("DaemonSet", on_pod=ASKS), namespace)

    assert daemon_set_status(cluster, namespace)["desiredNumberScheduled"] == 1
    (pod,) = cluster.list("Pod", namespace)
    (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["cpu-1"]}]
    assert "didn't match Pod's node affinity/selector" in cluster.unschedulable(pod["metadata"]["name"], namespace)


@pytest.mark.parametrize(
    ("spec", "warnings"),
    [
        pytest.param(
            {},
            [
                "Warning: gpu-slice: a DaemonSet is placed by its template: "
                "add the toleration nvidia.com/gpu-shared to it",
                "Warning: gpu-slice: a DaemonSet is placed by its template: "
                "add the nodeSelector nvidia.com/gpu: a100 to it",
            ],
            id="it has neither",
        ),
        pytest.param(PLACED, [], id="it has both"),
    ],
)
def test_creating_a_pod_of_a_daemon_set_warns_of_what_its_template_lacks(spec, warnings, cluster, namespace) -> None:
    """The controller, which is told this, tells nobody; so kubectl creates what it creates."""
    owner = cluster.create(workload("DaemonSet", on_pod=ASKS, **spec), namespace)
    template = owner["spec"]["template"]
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "work", "uid": owner["metadata"]["uid"]}
    metadata = template["metadata"] | {"name": "mine", "ownerReferences": [reference | {"controller": True}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    made = cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))

    assert made.returncode == 0
    assert made.stderr.splitlines() == warnings


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        pytest.param("Deployment", "ReplicaSet", id="a Deployment makes a ReplicaSet that makes pods"),
        *(pytest.param(each, each, id=each) for each in ("StatefulSet", "DaemonSet", "Job")),
        pytest.param("CronJob", "Job", id="a CronJob makes a Job that makes pods"),
    ],
)
def test_a_denial_stands_in_an_event_of_what_makes_the_pods(kind, owner, cluster, namespace) -> None:
    run(cluster, namespace, workload(kind, on_pod={"gpu-slice": "1g5gb"}))

    def failures() -> list[Document]:
        return [each for each in cluster.list("Event", namespace) if each["reason"] == "FailedCreate"]

    failure, *_ = wait_for("the creation fails", failures)

    assert failure["type"] == "Warning"
    assert failure["involvedObject"]["kind"] == owner
    assert failure["message"].endswith(REFUSED)
    assert cluster.list("Pod", namespace) == []


def test_a_denial_stands_in_the_status_of_a_deployment(cluster, namespace) -> None:
    cluster.create(workload("Deployment", on_pod={"gpu-slice": "1g5gb"}), namespace)

    def failure() -> str | None:
        conditions = cluster.get("Deployment", "work", namespace, "apps/v1")["status"].get("conditions", ())
        return next((each["message"] for each in conditions if each["type"] == "ReplicaFailure"), None)

    assert wait_for("the Deployment says so", failure) == REFUSED
