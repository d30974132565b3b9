"""`fit`: how many pods an object counts for."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import yaml

from tests.unit.fit_needs import answer, job, object_of, owned, pod, run, template
from webhook.admission.workloads import subjects
from webhook.fit.replicas import running


def labelled(document: dict[str, Any], field: str, values: dict[str, str]) -> dict[str, Any]:
    return document | {"metadata": {**document["metadata"], field: values}}


RUNS_NOTHING = "it runs nothing until another object uses it: counted as {}"
SUSPENDED = "it is suspended, so it is counted as 0"
NOT_KNOWN = "it does not say how many pods it runs at once: counted as 1"


@pytest.mark.parametrize(
    ("document", "counts", "remark"),
    [
        pytest.param(pod("1g.5gb"), [1], "", id="a pod"),
        pytest.param(pod("1g.5gb") | {"status": {"phase": "Succeeded"}}, [0], "", id="a pod that has ended"),
        pytest.param(pod("1g.5gb") | {"status": {"phase": "Running"}}, [1], "", id="a pod that runs"),
        pytest.param(object_of("Deployment", {"template": template()}), [1], "", id="a Deployment without replicas"),
        pytest.param(object_of("Deployment", {"replicas": 30, "template": template()}), [30], "", id="a Deployment"),
        pytest.param(object_of("Deployment", {"replicas": 1e20, "template": template()}), [10**20], "", id="very many"),
        pytest.param(object_of("Deployment", {"replicas": 2.5, "template": template()}), [1],
                     "it is not known how many pods it runs at once: counted as 1", id="half a replica"),
        pytest.param(object_of("Deployment", {"replicas": 0, "template": template()}), [0], "", id="scaled to none"),
        pytest.param(object_of("Deployment", {"replicas": None, "template": template()}), [1], "", id="null replicas"),
        pytest.param(object_of("Deployment", {"replicas": "{n}", "template": template()}), [1],
                     "it is not known how many pods it runs at once: counted as 1", id="replicas that are no number"),
        pytest.param(object_of("StatefulSet", {"replicas": 3, "template": template()}), [3], "", id="a StatefulSet"),
        pytest.param(object_of("Job", job(parallelism=8), "batch/v1"), [8], "", id="a Job"),
        pytest.param(object_of("Job", job(parallelism=8, completions=5), "batch/v1"), [5], "",
                     id="a Job with fewer completions"),
        pytest.param(object_of("Job", job(parallelism=8, completions=50), "batch/v1"), [8], "",
                     id="a Job with more completions"),
        pytest.param(object_of("Job", job(completions=50), "batch/v1"), [1], "", id="a Job, one pod after the other"),
        pytest.param(object_of("CronJob", {"jobTemplate": {"spec": job(parallelism=4)}}, "batch/v1"), [4], "",
                     id="a CronJob"),
        pytest.param(object_of("JobSet", {"replicatedJobs": [
            {"name": "a", "replicas": 3, "template": {"spec": job(parallelism=4)}}, {"name": "b", "template": {
                "spec": job()}}]}, "jobset.x-k8s.io/v1alpha2"), [12, 1], "", id="a JobSet"),
        pytest.param(object_of("RayCluster", {"headGroupSpec": {"template": template()}, "workerGroupSpecs": [
            {"replicas": 5, "numOfHosts": 2, "template": template()}, {"minReplicas": 2, "template": template()}]},
            "ray.io/v1"), [1, 10, 2], "", id="a RayCluster"),
        pytest.param(object_of("PyTorchJob", {"pytorchReplicaSpecs": {
            "Master": {"template": template()}, "Worker": {"replicas": 7, "template": template()}}},
            "kubeflow.org/v1"), [1, 7], "", id="a PyTorchJob"),
        pytest.param(object_of("Job", {"tasks": [{"replicas": 6, "template": template()}]},
                               "batch.volcano.sh/v1alpha1"), [6], "", id="a Job of Volcano"),
        pytest.param(object_of("LeaderWorkerSet", {"replicas": 3, "leaderWorkerTemplate": {
            "size": 4, "leaderTemplate": template(), "workerTemplate": template()}},
            "leaderworkerset.x-k8s.io/v1"), [3, 9], "", id="a LeaderWorkerSet with a leader of its own"),
        pytest.param(object_of("LeaderWorkerSet", {"replicas": 3, "leaderWorkerTemplate": {
            "size": 4, "workerTemplate": template()}}, "leaderworkerset.x-k8s.io/v1"), [12], "",
            id="a LeaderWorkerSet"),
        pytest.param(object_of("DaemonSet", {"template": template()}), [0],
                     "it runs on each node, and is not counted: take its slices off every node", id="a DaemonSet"),
        pytest.param({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "test"}, "template": template()},
                     [1], RUNS_NOTHING.format(1), id="a PodTemplate"),
        pytest.param(object_of("JobTemplate", {"tasks": [{"replicas": 6, "template": template()}]},
                               "flow.volcano.sh/v1alpha1"), [6], RUNS_NOTHING.format(6), id="a JobTemplate of Volcano"),
        pytest.param(object_of("ClusterTrainingRuntime", {"template": {"spec": {"replicatedJobs": [
            {"name": "node", "template": {"spec": job()}}]}}}, "trainer.kubeflow.org/v1alpha1"), [1],
            RUNS_NOTHING.format(1), id="a ClusterTrainingRuntime"),
        pytest.param(object_of("RayCluster", {"workerGroupSpecs": [
            {"replicas": 5, "suspend": True, "template": template()}]}, "ray.io/v1"), [0], SUSPENDED,
            id="a group of a RayCluster that is suspended"),
        pytest.param(object_of("RayCluster", {"suspend": True, "headGroupSpec": {"template": template()}}, "ray.io/v1"),
                     [0], SUSPENDED, id="a RayCluster that is suspended"),
        pytest.param(object_of("Job", job(parallelism=8, suspend=True), "batch/v1"), [0], SUSPENDED,
                     id="a Job that is suspended"),
        pytest.param(labelled(object_of("Job", job(parallelism=8, suspend=True), "batch/v1"), "labels",
                              {"kueue.x-k8s.io/queue-name": "gpus"}), [8], "", id="a Job that waits for Kueue"),
        pytest.param(object_of("CronJob", {"suspend": True, "jobTemplate": {"spec": job(parallelism=4)}}, "batch/v1"),
                     [0], SUSPENDED, id="a CronJob that is suspended"),
        pytest.param(object_of("PyTorchJob", {"runPolicy": {"suspend": True}, "pytorchReplicaSpecs": {
            "Worker": {"replicas": 7, "template": template()}}}, "kubeflow.org/v1"), [0], SUSPENDED,
            id="a PyTorchJob that is suspended"),
        pytest.param(object_of("Job", job(parallelism=8, suspend=False), "batch/v1"), [8], "",
                     id="a Job that is not suspended"),
        pytest.param(object_of("Job", job(parallelism=8), "batch/v1") | {"status": {"conditions": [
            {"type": "Complete", "status": "True"}]}}, [0], "", id="a Job that has ended"),
        pytest.param(object_of("Job", job(parallelism=8), "batch/v1") | {"status": {"conditions": [
            {"type": "Failed", "status": "False"}, None]}}, [8], "", id="a Job that has not ended"),
        pytest.param(labelled(object_of("Notebook", {"template": template()}, "kubeflow.org/v1"), "annotations",
                              {"gpu-slice": "1g.5gb", "kubeflow-resource-stopped": "2026-01-01T00:00:00Z"}), [0],
                     SUSPENDED, id="a Notebook that is stopped"),
        pytest.param(object_of("Service", {"template": template()}, "serving.knative.dev/v1"), [1], NOT_KNOWN,
                     id="a Service of Knative"),
        pytest.param(object_of("Trainer", {"template": template()}, "example.com/v1"), [1], NOT_KNOWN,
                     id="a kind of somebody's own"),
        pytest.param(object_of("Trainer", {"replicas": 4, "template": template()}, "example.com/v1"), [4], "",
                     id="a kind of somebody's own with replicas"),
        pytest.param(object_of("AppWrapper", {"components": [{"template": object_of("Deployment", {
            "replicas": 6, "template": template()})}]}, "workload.codeflare.dev/v1beta2"), [6], "",
            id="a Deployment inside an object"),
        pytest.param({"apiVersion": "v1", "kind": "List", "items": [
            object_of("Deployment", {"replicas": 2, "template": template()}), pod("1g.5gb")]}, [2, 1], "", id="a List"),
    ],
)  # fmt: skip
def test_an_object_counts_for_the_pods_that_it_runs_at_once(
    document: dict[str, Any], counts: list[int], remark: str
) -> None:
    found = [running(subject) for subject in subjects(document)]

    assert [number for number, _ in found] == counts
    assert {text for _, text in found} == {remark}


THREE = object_of("Deployment", {"replicas": 3, "template": template()})
SET = THREE | {"kind": "ReplicaSet"}
JOB = object_of("Job", job(parallelism=3), "batch/v1")
CRON = object_of("CronJob", {"jobTemplate": {"spec": job(parallelism=3)}}, "batch/v1")
RAY = object_of("RayCluster", {"workerGroupSpecs": [{"replicas": 3, "template": template()}]}, "ray.io/v1")
OWN = object_of("Trainer", {"template": template()}, "example.com/v1")
GROUPS = object_of("LeaderWorkerSet", {"replicas": 1, "leaderWorkerTemplate": {
    "size": 3, "workerTemplate": template()}}, "leaderworkerset.x-k8s.io/v1")  # fmt: skip
STATEFUL = THREE | {"kind": "StatefulSet"}
HASH = {"labels": {"pod-template-hash": "5d4f"}}


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param([owned(THREE, "web"), owned(SET, "web-5d4f", "apps/v1", "Deployment", "web"),
                      owned(pod("1g.5gb"), "web-5d4f-a", "apps/v1", "ReplicaSet", "web-5d4f")], id="all of them"),
        pytest.param([owned(SET, "web-5d4f", "apps/v1", "Deployment", "web"),
                      owned(pod("1g.5gb"), "web-5d4f-a", "apps/v1", "ReplicaSet", "web-5d4f")], id="a ReplicaSet"),
        pytest.param([owned(THREE, "web"), owned(pod("1g.5gb"), "web-5d4f-a", "apps/v1", "ReplicaSet", "web-5d4f",
                                                 **HASH)], id="a Deployment, and pods of its ReplicaSet"),
        pytest.param([owned(pod("1g.5gb"), f"web-5d4f-{n}", "apps/v1", "ReplicaSet", "web-5d4f") for n in "abc"],
                     id="pods alone"),
        pytest.param([owned(THREE, "web"), owned(pod("1g.5gb"), "web-x", "apps/v1", "ReplicaSet", "web-5d4f",
                                                 namespace="default", **HASH)], id="with a namespace and without"),
        pytest.param([owned(CRON, "night"), owned(JOB, "night-29400000", "batch/v1", "CronJob", "night"),
                      owned(pod("1g.5gb"), "night-29400000-a", "batch/v1", "Job", "night-29400000")], id="a CronJob"),
        pytest.param([owned(CRON, "night"), owned(pod("1g.5gb"), "night-29400000-a", "batch/v1", "Job",
                                                  "night-29400000")], id="a CronJob, and pods of its Job"),
        pytest.param([owned(RAY, "ray"), owned(pod("1g.5gb"), "ray-a", "ray.io/v1", "RayCluster", "ray")], id="Ray"),
        pytest.param([owned(GROUPS, "lws"), owned(STATEFUL, "lws", "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet",
                                                  "lws"),
                      owned(pod("1g.5gb"), "lws-0", "apps/v1", "StatefulSet", "lws"),
                      owned(STATEFUL, "lws-0", "v1", "Pod", "lws-0"),
                      owned(pod("1g.5gb"), "lws-0-1", "apps/v1", "StatefulSet", "lws-0")],
                     id="what a pod of the object owns"),
        pytest.param([owned(OWN, "own"), owned(STATEFUL, "own", "example.com/v1", "Trainer", "own")],
                     id="an owner that does not say how many pods it runs"),
        pytest.param([object_of("InferenceService", {}, "serving.kserve.io/v1beta1") | {"metadata": {
            "name": "llm", "annotations": {"gpu-slice": "1g.5gb"}}},
            owned(THREE, "llm-predictor", "serving.kserve.io/v1beta1", "InferenceService", "llm")],
            id="an owner of which no pod is known"),
    ],
)  # fmt: skip
def test_what_another_object_runs_is_counted_once_in_any_order(documents: list[dict[str, Any]]) -> None:
    for each in (documents, documents[::-1]):
        found = answer("-", text=yaml.safe_dump_all(each))
        assert (found["pods"], found["notCounted"]) == (3, [])
        listed = {"apiVersion": "v1", "kind": "List", "items": each}
        assert answer("-", text=yaml.safe_dump(listed))["pods"] == 3


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(owned(pod("1g.5gb"), "a", "apps/v1", "ReplicaSet", "web-5d4f"), id="without the hash"),
        pytest.param(owned(pod("1g.5gb"), "a", "apps/v1", "Deployment", "web", namespace="b"), id="elsewhere"),
        pytest.param(owned(pod("1g.5gb"), "a", "example.com/v1", "Deployment", "web"), id="of another group"),
        pytest.param(owned(pod("1g.5gb"), "a", "apps/v1", "Deployment", "web2"), id="with another name"),
        pytest.param(owned(pod("1g.5gb"), "a", ownerReferences=[
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": False}]), id="no controller"),
        pytest.param(owned(pod("1g.5gb"), "a", ownerReferences=[]), id="no reference"),
    ],
)  # fmt: skip
def test_what_no_other_object_runs_is_counted_too(other: dict[str, Any]) -> None:
    assert answer("-", text=yaml.safe_dump_all([owned(THREE, "web"), other]))["pods"] == 4


@pytest.mark.parametrize(
    ("document", "title"),
    [
        pytest.param(labelled(object_of("TaskRun", {"taskSpec": {}}, "tekton.dev/v1"), "annotations",
                              {"gpu-slice": "1g.5gb"}), "TaskRun test", id="a TaskRun"),
        pytest.param(labelled(object_of("InferenceService", {"predictor": {"minReplicas": "3"}},
                                        "serving.kserve.io/v1beta1"), "annotations", {"gpu-slice": "1g.5gb"}),
                     "InferenceService test", id="a number that is none"),
        pytest.param(object_of("DaemonSet", {"template": template()}), "DaemonSet test, spec.template",
                     id="a DaemonSet"),
        pytest.param(object_of("Whatever", {"podAnnotations": {"gpu-slice": "1g.5gb"}}, "example.com/v1"),
                     "Whatever test", id="a kind of which nothing is known"),
    ],
)  # fmt: skip
def test_objects_that_are_not_counted_are_named_in_every_output(document: dict[str, Any], title: str) -> None:
    text = yaml.safe_dump_all([document, pod("1g.5gb")])
    found = answer("-", text=text)

    assert (found["pods"], found["notCounted"]) == (1, [title])
    assert f"1 pod fits on 8 GPUs, 1 node; not counted: {title}.\n" in run("-", text=text).stdout
    assert f"; not counted: {title}" in run("-", "-o", "short", text=text).stdout
    assert f"not counted: {title}\n" in run("-", "-o", "fleet", text=text).stderr
    assert run("-", text=yaml.safe_dump(document)).stdout == f"No pod is counted; not counted: {title}.\n"


def test_of_many_objects_that_are_not_counted_the_first_are_named() -> None:
    documents = [owned(object_of("DaemonSet", {"template": template()}), f"d{n}") for n in range(7)]

    assert run("-", text=yaml.safe_dump_all(documents)).stdout.endswith(" d4, spec.template, and 2 more.\n")


@pytest.mark.parametrize("document", [
    object_of("DaemonSet", {"template": {"spec": pod("1g.5gb")["spec"]}}),
    object_of("ConfigMap", {}, "v1"),
    object_of("InferenceService", {"predictor": {}}, "serving.kserve.io/v1beta1"),
])  # fmt: skip
def test_objects_that_ask_for_no_slice_are_not_named(document: dict[str, Any]) -> None:
    assert run("-", text=yaml.safe_dump(document)).stdout == "No pod asks for a slice.\n"


@pytest.mark.parametrize(
    "document",
    [
        object_of("Deployment", {"replicas": 10**9, "template": template()}),
        object_of("Deployment", {"replicas": 1e18, "template": template()}),
        object_of("Job", job(parallelism=2**63 - 1), "batch/v1"),
        object_of("RayCluster", {"workerGroupSpecs": [{"replicas": 2**62, "numOfHosts": 2**62,
                                                       "template": template()}]}, "ray.io/v1"),
    ],
)  # fmt: skip
def test_an_object_with_more_pods_than_can_be_packed_is_named(document: dict[str, Any]) -> None:
    result = run("-", text=yaml.safe_dump(document))

    assert result.exit_code == 2
    assert f"Error: {document['kind']} test, spec." in result.stderr
    assert ": there are more than 10,000,000 pods in all." in result.stderr


@pytest.mark.parametrize("count", [-5, -(2**63), -1e300, 0.5, "8", "1e9999", True, [], {}, "9" * 5000])
@pytest.mark.parametrize(
    ("kind", "field"), [("Deployment", "replicas"), ("Job", "parallelism"), ("Job", "completions")]
)
def test_what_is_no_number_of_pods_is_one_pod_with_a_remark(kind: str, field: str, count: Any) -> None:
    document = object_of(kind, {field: count, "template": template()}, "batch/v1" if kind == "Job" else "apps/v1")
    result = run("-", "-o", "short", text=yaml.safe_dump(document))

    assert result.stdout.startswith("1 pod fits on ")
    assert (
        result.stderr
        == f"{kind} test, spec.template: note: it is not known how many pods it runs at once: counted as 1\n"
    )


@pytest.mark.parametrize("value", ["1g.5gb", "2x1g.5gb", "3g.20gb|2g.10gb"])
def test_as_many_pods_as_there_may_be_take_no_more_memory_than_a_few(value: str) -> None:
    tracemalloc.start()
    try:
        found = answer("--need", f"{value}=9000000", "--need", "7g.80gb=1000000", "--price", "p4d.24xlarge=21.96")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found["pods"] == 9_000_000
    assert peak < 100e6
