"""Fit: on how many GPUs and nodes workloads fit, and which layouts would fit better."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_packing import least
from tests.waiting import wait_for
from webhook.admission.pod import convert
from webhook.admission.workloads import subjects
from webhook.cli import files
from webhook.cli.main import main
from webhook.cli.progress import Progress
from webhook.cluster.demand import Demand, demand_of, key_of, kind_of
from webhook.cluster.fit import fit
from webhook.cluster.problem import Bin, Item
from webhook.cluster.reader import Reader, Refused
from webhook.cluster.replicas import running
from webhook.fleet.fleet import Fleet

ROOT = Path(__file__).parents[2]


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["fit", *arguments], input=text)


def answer(*arguments: str, text: str | None = None) -> dict[str, Any]:
    """The answer as a program reads it."""
    return json.loads(run(*arguments, "-o", "json", text=text).stdout)


def pools_of(found: dict[str, Any]) -> dict[str, int]:
    """Nodes by pool."""
    return {pool["name"]: pool["nodes"] for pool in found["pools"]}


def fleet_of(*pools: str, more: str = "") -> Fleet:
    return files.load_fleet(text_of(*pools, more=more).encode())


def text_of(*pools: str, more: str = "") -> str:
    lines = "".join(f"- {{{pool}}}\n" for pool in pools)
    return f"apiVersion: gpu-slice/v1\ncluster: test\n{more}pools:\n{lines}"


def demand(fleet: Fleet, counts: dict[str, int]) -> Demand:
    """The demand of pods with one container, by annotation."""
    return demand_of((kind, n) for value, n in counts.items() if (kind := kind_of(convert(pod(value)), fleet, None)))


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


def labelled(document: dict[str, Any], field: str, values: dict[str, str]) -> dict[str, Any]:
    return document | {"metadata": {**document["metadata"], field: values}}


def owned(document: dict[str, Any], name: str, *owner: str, **metadata: Any) -> dict[str, Any]:
    """*document* with another name, and with an owner: its apiVersion, its kind and its name."""
    reference = dict(zip(("apiVersion", "kind", "name"), owner, strict=False)) | {"controller": True}
    more = {"ownerReferences": [reference]} if owner else {}
    return document | {"metadata": {**document["metadata"], "name": name, **more, **metadata}}


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
        pytest.param(labelled(object_of("InferenceService", {"predictor": {"minReplicas": 3}},
                                        "serving.kserve.io/v1beta1"), "annotations", {"gpu-slice": "1g.5gb"}),
                     "InferenceService test", id="an InferenceService"),
        pytest.param(object_of("SparkApplication", {"executor": {"instances": 4, "annotations": {
            "gpu-slice": "1g.5gb"}}}, "sparkoperator.k8s.io/v1beta2"), "SparkApplication test", id="Spark"),
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


A30 = "gpu: a30, taints: [], untainted: true, labels: {gpu: a30}"
TYPES = """catalogue:
  instanceTypes:
    one: {gpu: a30, gpus: 1, architecture: amd64}
    three: {gpu: a30, gpus: 3, architecture: amd64}
"""
SIZES = {"1g.6gb": 1, "2g.12gb": 2, "4g.24gb": 4}
"""Memory slices of an A30, which has four.  An instance of two starts at an even one."""


def layouts() -> list[dict[str, int]]:
    """Every way to cut an A30 with these three."""
    several = (each for n in range(1, 5) for each in combinations_with_replacement(SIZES, n))
    return [dict(Counter(each)) for each in several if sum(map(SIZES.__getitem__, each)) <= 4]


@given(
    st.dictionaries(st.sampled_from(["1g.6gb", "2x1g.6gb", "3x1g.6gb", "2g.12gb", "4g.24gb"]), st.integers(1, 3)),
    st.sampled_from(["one", "three"]),
)
def test_a_fit_is_as_good_as_the_best_of_all(counts: dict[str, int], kind: str) -> None:
    gpus = {"one": 1, "three": 3}[kind]
    if gpus == 1:
        counts = {value: n for value, n in counts.items() if "x" not in value}
    cut = [{"1g.6gb": 4}, {"2g.12gb": 2}, {"4g.24gb": 1}]
    fleet = fleet_of(
        *(f"name: p{n}, {A30}, partition: {{mig: {json.dumps(each)}}}, instanceTypes: [{kind}], limit: {{nodes: 99}}"
          for n, each in enumerate(cut)), more=TYPES,
    )  # fmt: skip
    items = []
    for value, n in counts.items():
        number, _, profile = value.rpartition("x")
        items.append(Item({profile: int(number or 1)}, n, frozenset({0})))

    def fewest(ways: list[dict[str, int]], nodes: int) -> int:
        bins = [Bin(0, "any", {name: n * nodes for name, n in way.items()}, nodes) for way in ways]
        return least(bins, items, {})[1]

    found = fit(demand(fleet, counts), fleet)

    assert found.current.gpus == fewest(cut, gpus)
    assert found.best.gpus == fewest(layouts(), gpus)
    assert found.current.exact
    assert found.best.exact
    assert found.ideal <= found.best.gpus
    if not any("x" in value for value in counts):
        assert found.ideal == fewest(layouts(), 1), "GPU by GPU, where every pod fits on one"


def test_pods_go_where_the_fewest_gpus_are_needed() -> None:
    found = answer("--need", "1g.5gb=120", "--need", "2g.10gb=30")

    assert pools_of(found) == {"a100-1g-5gb": 1, "a100-mixed": 4}
    assert (found["gpus"], found["nodes"], found["exact"], found["bound"]) == (40, 5, True, 40)
    assert pools_of(found["best"]) == {"a100-40gb-1x2g-10gb-5x1g-5gb": 4}
    assert found["saves"] == {"gpus": 8, "nodes": 1, "dollarsPerHour": None}
    assert found["leastOfAll"] == 26, "the 180 compute slices of 26 GPUs"
    assert [pool["exact"] for pool in found["pools"]] == [True, True]


def test_with_prices_dollars_are_saved() -> None:
    types = [f"name: {name}, gpu: a100-40gb, partition: {{mig: {{1g.5gb: 7}}}}, instanceTypes: [{kind}]"
             for name, kind in (("large", "p4d.24xlarge"), ("small", "one.large"))]  # fmt: skip
    more = "catalogue: {instanceTypes: {one.large: {gpu: a100-40gb, gpus: 1, architecture: amd64}}}\n"
    fleet = fleet_of(*types, more=more)
    wanted = demand(fleet, {"1g.5gb": 28})

    assert {each.pool for each in fit(wanted, fleet).current.pools} == {"small"}
    cheap = fit(wanted, fleet, {"p4d.24xlarge": 32.7726, "one.large": 9.0}).current
    assert [(each.pool, each.nodes, each.dollars) for each in cheap.pools] == [("large", 1, 32.7726)]
    assert cheap.dollars == cheap.bound == 32.7726


@pytest.mark.parametrize(
    ("prices", "problem"),
    [
        pytest.param(["p4d.24xlarge"], "Write it as in 'p4d.24xlarge=21.96'", id="no price"),
        pytest.param(["p4d.24xlarge=dear"], "Write it as in 'p4d.24xlarge=21.96'", id="no number"),
        pytest.param(["p4d.24xlarge=0"], "'p4d.24xlarge=0' is not a price", id="nothing"),
        pytest.param(["p4d.24xlarge=nan"], "'p4d.24xlarge=nan' is not a price", id="no number at all"),
        pytest.param(["p4d.24xlarge=1e7"], "'p4d.24xlarge=1e7' is not a price", id="more than anything costs"),
        pytest.param(["p4d.large=1"], "'p4d.large' is no instance type of the catalogue", id="no instance type"),
        pytest.param(["g5.xlarge=1"], "the pods may use p4d.24xlarge, too. Give its price", id="one is missing"),
    ],
)
def test_a_wrong_price_is_refused(prices: list[str], problem: str) -> None:
    result = run("--need", "1g.5gb=1", *(f"--price={price}" for price in prices))

    assert result.exit_code == 2
    assert problem in result.stderr


PRICED = """\
apiVersion: gpu-slice/v1
pools:
- {name: large, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {slices: 560}}
- {name: other, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.48xlarge], limit: {slices: 560}}
prices: {p4d.24xlarge: 20}
"""


@pytest.mark.parametrize(
    ("arguments", "dollars", "remark"),
    [
        pytest.param(["--need=1g.5gb=1"], 20, "", id="of all types that the pods may use"),
        pytest.param(["--need=1g.5gb=1", "--price=p4d.24xlarge=9"], 9, "", id="an option wins"),
        pytest.param(
            ["--need=1g.5gb=1", "--need=1g.10gb=1"],
            None,
            "GPUs are saved, and not dollars: the fleet has no price of p5.48xlarge\n",
            id="not of all",
        ),
        pytest.param(
            ["--need=1g.5gb=1", "--need=1g.10gb=1", "--price=p5.48xlarge=30"], 50, "", id="an option for the rest"
        ),
    ],
)
def test_the_fleets_prices_are_taken_where_they_suffice(
    arguments: list[str], dollars: float | None, remark: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(PRICED)
    result = run(*arguments, "--fleet", str(tmp_path / "fleet.yaml"), "-o", "json")
    assert (json.loads(result.stdout)["dollarsPerHour"], result.stderr) == (dollars, remark)


def test_pods_beyond_the_limits_are_named_with_the_pools_that_are_too_small() -> None:
    result = run("--need", "1g.10gb=100", "--need", "3g.20gb=100", "--need", "1g.5gb=10")
    found = answer("--need", "1g.10gb=100", "--need", "3g.20gb=100", "--need", "1g.5gb=10")

    assert result.exit_code == 1
    assert result.stdout.startswith("20 of 210 pods do not fit: ")
    assert "No room for 20 pods with 1 x 3g.20gb, because of the limit of a100-mixed.\n" in result.stdout
    assert found["left"] == [{"pods": 20, "slices": {"3g.20gb": 1}, "pools": ["a100-mixed"]}]
    assert not found["fits"]
    assert pools_of(found["unlimited"])["a100-mixed"] == 13


def test_a_limit_is_one_for_all_instance_types_of_a_pool() -> None:
    fleet = fleet_of(
        f"name: a, {A30}, partition: {{mig: {{1g.6gb: 4}}}}, instanceTypes: [one, three], limit: {{nodes: 1}}",
        more=TYPES,
    )
    kinds = [
        kind_of(convert(pod("1g.6gb", nodeSelector={"node.kubernetes.io/instance-type": name})), fleet, None)
        for name in ("one", "three")
    ]

    found = fit(dict.fromkeys(kinds, 1), fleet)

    assert (found.current.nodes, sum(found.current.left.values())) == (1, 1)
    assert (found.unlimited.nodes, found.fits) == (2, False)


def test_a_limit_in_slices_counts_all_slices_of_a_node() -> None:
    assert answer("--need", "1g.5gb=720")["fits"], "ten nodes with 56, by the limit of 560, and ten with 16"
    assert answer("--need", "1g.5gb=721")["left"][0]["pods"] == 1


def test_nodes_that_karpenter_does_not_launch_have_no_limit() -> None:
    pool = "name: own, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], nodes: existing"
    fleet = fleet_of(pool)

    assert fit(demand(fleet, {"1g.5gb": 5600}), fleet).current.nodes == 100


def test_a_pod_is_on_one_node_and_so_are_all_its_containers() -> None:
    fleet = fleet_of(
        "name: a, gpu: a100-40gb, partition: {mig: {3g.20gb: 1, 1g.5gb: 4}}, instanceTypes: [p4d.24xlarge]"
    )
    two = pod("main=9x1g.5gb, other=3g.20gb")
    two["spec"]["containers"].append({"name": "other", "image": "example/other:1"})
    kind = kind_of(convert(two), fleet, None)

    found = fit({kind: 6}, fleet).current

    assert found.nodes == 2, "32 slices of a node have room for three of nine"
    assert kind.size == 10


def test_pods_that_must_run_apart_do_not_share_nodes() -> None:
    pool = "name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], zones: [z-1a, z-1b]"
    fleet = fleet_of(pool.replace("z-", "us-east-"))
    kinds = [
        kind_of(convert(pod("1g.5gb", nodeSelector={"topology.kubernetes.io/zone": zone})), fleet, None)
        for zone in ("us-east-1a", "us-east-1b")
    ]

    assert fit(dict.fromkeys(kinds, 1), fleet).current.nodes == 2
    assert fit({kinds[0]: 2}, fleet).current.nodes == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"metadata": {"labels": {"a": "b"}}}, True, id="another label"),
        pytest.param({"spec": {"nodeName": "somewhere"}}, True, id="on a node"),
        pytest.param({"spec": {"tolerations": [{"operator": "Exists"}]}}, True, id="another toleration"),
        pytest.param({"spec": {"containers": [{"name": "main", "env": [{"name": "RANK", "value": "7"}]}]}}, True,
                     id="another variable"),
        pytest.param({"spec": {"nodeSelector": {"team": "ml"}}}, False, id="another node"),
        pytest.param({"spec": {"containers": [{"name": "main"}, {"name": "sidecar"}]}}, False, id="another container"),
    ],
)  # fmt: skip
def test_pods_that_differ_in_nothing_that_matters_are_decided_once(change: dict[str, Any], same: bool) -> None:
    first, second = pod("1g.5gb"), pod("1g.5gb")
    for field, value in change.items():
        second[field] |= value

    assert (key_of(convert(first), None) == key_of(convert(second), None)) is same


def test_a_default_of_the_namespace_is_counted_too() -> None:
    fleet = files.load_fleet(files.default_fleet_text() + b"namespaces: {team-a: {default: 1g.5gb}}\n")
    whole = pod("") | {"metadata": {"name": "whole"}}
    whole["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}

    assert kind_of(convert(whole), fleet, "team-a") == kind_of(convert(pod("1g.5gb")), fleet, "team-a")
    assert kind_of(convert(whole), fleet, "team-b") is None


def test_a_default_is_counted_with_a_remark_on_the_label_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(files.default_fleet_text() + b"namespaces: {team-a: {default: 1g.5gb}}\n")
    plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain", "namespace": "team-a"},
             "spec": {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}}  # fmt: skip
    cluster_of(monkeypatch, plain, owned(plain, "again", namespace="team-a"))

    for arguments, text in (["-"], yaml.safe_dump(plain)), (["--cluster"], None):
        result = run(*arguments, "--fleet", str(path), text=text)
        assert result.stdout.startswith(("1 pod fits", "2 pods fit"))
        assert result.stderr.count("this holds if namespace 'team-a' has the label gpu-slice/default") == 1
        assert "by hand" not in result.stderr


def test_a_pod_that_names_its_pool_is_in_no_new_one() -> None:
    fleet = files.fleet_at(None)
    counts = {"1g.5gb": 8, "2g.10gb": 9}
    pinned = [kind_of(convert(pod(value, nodeSelector={"gpu-slice/pool": "a100-mixed"})), fleet, None) for value in
              counts]  # fmt: skip

    assert fit(dict(zip(pinned, counts.values(), strict=True)), fleet).best.nodes == 2
    assert fit(demand(fleet, counts), fleet).best.nodes == 1


def test_a_namespace_keeps_to_its_pools() -> None:
    more = "namespaces: {default: {pools: [b]}}\n"
    fleet = fleet_of(
        *(f"name: {name}, gpu: a100-40gb, partition: {{mig: {{{layout}}}}}, instanceTypes: [p4d.24xlarge]"
          for name, layout in (("a", "1g.5gb: 7"), ("b", "1g.5gb: 4"))), more=more,
    )  # fmt: skip

    found = fit(demand(fleet, {"1g.5gb": 40}), fleet)

    assert [(each.pool, each.nodes) for each in found.current.pools] == [("b", 2)]
    assert [(each.pool, each.nodes, dict(each.layout)) for each in found.best.pools] == [("b", 1, {"1g.5gb": 7})]


@pytest.mark.parametrize(
    ("pool", "need", "expected"),
    [
        pytest.param("strategy: single, partition: {mig: {1g.5gb: 4}}", "1g.5gb=50", {"1g.5gb": 7},
                     id="single: one profile"),
        pytest.param("strategy: single, ami: bottlerocket@v1.52.0, partition: {mig: {1g.5gb: 7}}", "1g.5gb=57", None,
                     id="Bottlerocket: as many as fit"),
        pytest.param("partition: {mig: {4g.20gb: 1, 1g.5gb: 1}}", "1g.5gb=50", {"1g.5gb": 7}, id="mixed"),
        pytest.param("partition: {timeSlicing: {replicas: 4}}", "shared=100", None, id="time slices are not cut"),
    ],
)  # fmt: skip
def test_only_layouts_that_the_pool_may_have_are_proposed(
    pool: str, need: str, expected: dict[str, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text_of(f"name: a, gpu: a100-40gb, instanceTypes: [p4d.24xlarge], {pool}"))

    best = answer("--need", need, "--fleet", str(path))["best"]

    assert [each["perGpu"] for each in best["pools"] if "like" in each] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("needs", "more"),
    [
        pytest.param(["1g.5gb=120", "2g.10gb=30"], "", id="one new pool"),
        pytest.param(["1g.5gb=700", "2g.10gb=300", "3g.20gb=99"], "", id="several"),
        pytest.param(["2x1g.5gb=30", "5x2g.10gb=8", "main=3g.20gb=17"], "", id="several slices"),
        pytest.param(["1/7=120", "2/7=20", "9Gi=10"], "", id="fractions and memory"),
        pytest.param(["1g.5gb=120", "2g.10gb=30"], "namespaces: {default: {pools: [a100-mixed, a100-1g-5gb]}}\n",
                     id="a namespace with its pools"),
        pytest.param(["1g.5gb=120", "2g.10gb=30"], "namespaces: {other: {slices: [3g.20gb]}}\n",
                     id="a namespace that names a slice nobody else needs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prices", [False, True], ids=["GPUs", "dollars"])
def test_the_suggested_fleet_is_valid_and_does_what_was_said(
    needs: list[str], more: str, prices: bool, tmp_path: Path
) -> None:
    fleet, better = tmp_path / "fleet.yaml", tmp_path / "better.yaml"
    fleet.write_text(files.default_fleet_text().decode() + more)
    arguments = [*(f"--need={need}" for need in needs)]
    if prices:
        arguments += ["--price=p4d.24xlarge=32.77", "--price=p4de.24xlarge=40.97", "--price=p5.48xlarge=55.04"]
        arguments += ["--price=p5e.48xlarge=63.3", "--price=p5en.48xlarge=63.3"]
    said = answer(*arguments, "--fleet", str(fleet))

    result = run(*arguments, "--fleet", str(fleet), "-o", "fleet")
    better.write_text(result.stdout)
    again = answer(*arguments, "--fleet", str(better))

    assert "warning" not in result.stderr
    assert CliRunner().invoke(main, ["fleet", "check", str(better)]).exit_code == 0
    assert again["fits"]
    key = "dollarsPerHour" if prices else "gpus"
    assert again[key] == said["best"][key] < said["unlimited"][key]
    assert again["saves"]["gpus"] == 0


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "fleets").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_suggestion_for_any_fleet_is_valid_and_no_worse(path: Path, tmp_path: Path) -> None:
    fleet = files.fleet_at(path)
    needs = [f"--need={slice}=97" for slice in dict.fromkeys(str(offer) for _, offer in fleet.offers)]
    better = tmp_path / "better.yaml"

    said, result = answer(*needs, "--fleet", str(path)), run(*needs, "--fleet", str(path), "-o", "fleet")
    better.write_text(result.stdout)

    assert CliRunner().invoke(main, ["fleet", "check", str(better)]).exit_code == 0
    assert answer(*needs, "--fleet", str(better))["gpus"] == said["best"]["gpus"] <= said["unlimited"]["gpus"]


def test_a_suggestion_says_what_it_saves_and_what_it_changes() -> None:
    result = run("--need", "1g.5gb=120", "--need", "2g.10gb=30", "-o", "fleet")

    assert result.stderr.splitlines() == [
        "That saves 8 GPUs and 1 node.",
        "pool a100-1g-5gb is left out: no pod needs it any more",
        "pool a100-mixed is left out: no pod needs it any more",
        "pool a100-40gb-1x2g-10gb-5x1g-5gb is new, and like a100-1g-5gb but for its layout and its limit",
    ]
    new = yaml.safe_load(result.stdout)["pools"][0]
    assert new["partition"] == {"mig": {"1g.5gb": 5, "2g.10gb": 1}}
    assert new["limit"] == {"nodes": 4}
    assert new["weight"] == 20


def test_where_nothing_is_better_the_fleet_stays_as_it_is() -> None:
    result = run("--need", "1g.5gb=56", "-o", "fleet")

    assert "Other layouts save nothing.\n" in result.stderr
    assert [pool["name"] for pool in yaml.safe_load(result.stdout)["pools"]] == [
        pool.name for pool in files.fleet_at(None).pools
    ]


def test_a_gap_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.cluster.patterns.ROUNDS", 0)
    monkeypatch.setattr("webhook.cluster.patterns.MOST_NODES", 0)
    needs = ["--need", "19x1g.5gb=10", "--need", "30x1g.5gb=3"]

    result = run(*needs)

    assert "  no\n" in result.stdout
    assert "Not proved: with these layouts it is at least 40 GPUs, so 16 GPUs may be too many.\n" in result.stdout
    assert answer(*needs)["exact"] is False
    assert "(at least 40)" in run(*needs, "-o", "short").stdout


def test_it_is_said_what_nodes_that_are_cut_alike_cost() -> None:
    stdout = run("--need", "1g.5gb=120", "--need", "2g.10gb=30").stdout

    assert "If each GPU could be cut on its own, it would be at least 26 GPUs.\n" in stdout


def test_one_line_is_enough_for_a_script() -> None:
    assert run("--need", "1g.5gb=120", "-o", "short").stdout == "120 pods fit on 24 GPUs, 3 nodes (proved)\n"


def test_pods_are_read_as_a_preview_reads_them() -> None:
    documents = [
        object_of("Deployment", {"replicas": 50, "template": template()}),
        object_of("Job", job(parallelism=7), "batch/v1"),
        pod("1g.5gb") | {"kind": "Pod"},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}},
    ]
    result = run("-", "-o", "json", text=yaml.safe_dump_all(documents))

    assert result.exit_code == 0
    assert json.loads(result.stdout)["pods"] == 58
    assert pools_of(json.loads(result.stdout)) == {"a100-1g-5gb": 2}


def test_a_denied_pod_is_named_and_the_others_are_counted() -> None:
    result = run("-", text=yaml.safe_dump_all([pod("1g5gb"), pod("1g.5gb"), pod("7g.80gb@h200")]))

    assert result.exit_code == 1
    assert result.stdout.startswith("1 pod fits on 8 GPUs, 1 node; 2 pods denied.\n")
    assert result.stderr.count("Pod test: denied: ") == 2


@pytest.mark.parametrize("need", ["1g5gb=3", "9g.5gb=3"])
def test_a_need_that_no_pool_serves_is_denied_like_a_pod(need: str) -> None:
    result = run("--need", need)

    assert result.exit_code == 1
    assert f"--need {need}: denied: " in result.stderr


@pytest.mark.parametrize("need", ["1g.5gb", "1g.5gb=", "=3", "1g.5gb=-1", "1g.5gb=1.5", "1g.5gb=9999999999999"])
def test_a_need_without_a_number_is_a_usage_error(need: str) -> None:
    assert run("--need", need).exit_code == 2


@pytest.mark.parametrize(
    "needs", [["1g.5gb=10000001"], [f"1g.5gb={'9' * 5000}"], ["1g.5gb=9000000", "2g.10gb=1000001"], ["9g.5gb=99999999"]]
)
def test_more_pods_than_can_be_packed_are_refused_with_a_cure(needs: list[str]) -> None:
    result = run(*(part for need in needs for part in ("--need", need)))

    assert result.exit_code == 2
    assert "more than 10,000,000 pods in all. Give fewer, such as a thousandth of each, and multiply" in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 300


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


@pytest.mark.parametrize("count", [-5, -(2**63), 1e300, -1e300, 0.5, "8", "1e9999", True, [], {}, "9" * 5000])
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


def test_several_containers_can_be_needed() -> None:
    assert answer("--need", "trainer=3g.20gb, sidecar=1g.5gb=8")["best"]["nodes"] == 1


def test_what_cannot_be_read_is_exit_3() -> None:
    assert run("-", text="{{ x }}: [\n---\n" + yaml.safe_dump(pod("1g.5gb"))).exit_code == 3


def test_nothing_asked_is_a_usage_error() -> None:
    assert run().exit_code == 2


def test_pods_that_name_a_resource_by_hand_are_not_passed_over_in_silence() -> None:
    by_hand = pod("1g.5gb")
    del by_hand["metadata"]["annotations"]
    by_hand["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/mig-1g.5gb": 1}}

    result = run("-", text=yaml.safe_dump(by_hand))

    assert result.stderr == "pods that ask for GPUs by hand, without the annotation, are not counted: 1\n"
    assert result.stdout == "No pod asks for a slice.\n"


@pytest.mark.parametrize(
    ("annotation", "section", "counted"),
    [
        pytest.param(None, "initContainers", True, id="an init container"),
        pytest.param("1g.7gb", "containers", False, id="one that is denied and has the annotation"),
    ],
)
def test_pods_by_hand_are_counted_as_the_webhook_reads_them(
    annotation: str | None, section: str, counted: bool
) -> None:
    asked = pod(annotation or "1g.5gb")
    if annotation is None:
        del asked["metadata"]["annotations"]
    asked["spec"].setdefault(section, [{"name": "first"}])[0]["resources"] = {"limits": {"nvidia.com/mig-1g.5gb": 1}}

    assert ("without the annotation" in run("-", text=yaml.safe_dump(asked)).stderr) == counted


def test_an_annotation_in_the_wrong_place_is_not_passed_over_in_silence() -> None:
    deployment = object_of("Deployment", {"replicas": 5, "template": template() | {"metadata": {}}})
    deployment["metadata"]["annotations"] = {"gpu-slice": "1g.5gb"}

    result = run("-", text=yaml.safe_dump(deployment))

    assert result.stdout == "No pod asks for a slice.\n"
    assert "note: the annotation 'gpu-slice' is on the Deployment itself, where it has no effect" in result.stderr


def test_many_remarks_are_counted() -> None:
    documents = [object_of("DaemonSet", {"template": template()}) for _ in range(25)]

    lines = run("-", text=yaml.safe_dump_all(documents)).stderr.splitlines()

    assert len(lines) == 21
    assert lines[-1] == "more remarks like these: 5"


def test_the_solver_prints_nothing() -> None:
    command = [sys.executable, "-m", "webhook", "fit", "--need", "19x1g.5gb=10", "--need", "2x2g.10gb=7", "-o", "json"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)

    assert json.loads(result.stdout)["fits"]
    assert result.stderr == ""


def test_a_million_pods_are_one_kind() -> None:
    found = answer("--need", "1g.5gb=999000", "--need", "2g.10gb=1000")["unlimited"]

    assert found["exact"]
    assert found["gpus"] == found["bound"]


class Cluster(Reader):
    """A cluster with these objects, by path."""

    def __init__(self, objects: dict[str, Any], forbidden: tuple[str, ...] = ()) -> None:
        self.objects, self.forbidden, self.namespace = objects, forbidden, "team-a"

    def _ask(self, method: str, path: str, query: Any = None, body: Any = None) -> bytes:
        if path in self.forbidden:
            raise Refused(403, "forbidden")
        return json.dumps(self.objects.get(path) or {"items": [], "metadata": {}}).encode()


def admitted(name: str, value: str, phase: str = "Running") -> dict[str, Any]:
    """A pod as the webhook left it."""
    (document,) = yaml.safe_load_all(CliRunner().invoke(main, ["preview", "-", "-o", "yaml"],
                                                        input=yaml.safe_dump(pod(value))).stdout)  # fmt: skip
    document["metadata"] |= {"name": name, "namespace": "team-a", "uid": name}
    return document | {"status": {"phase": phase}}


def cluster_of(monkeypatch: pytest.MonkeyPatch, *pods: dict[str, Any], forbidden: tuple[str, ...] = ()) -> None:
    objects = {
        f"/api/v1{where}/pods": {"items": list(pods), "metadata": {}} for where in ("", "/namespaces/team-a")
    } | {"/api/v1/namespaces/gpu-slice/configmaps/fleet": {"data": {"fleet.yaml": files.default_fleet_text().decode()}}}
    monkeypatch.setattr("webhook.cluster.reader.connect", lambda *_: Cluster(objects, forbidden))


def test_what_runs_and_waits_in_a_cluster_is_counted_with_what_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [admitted(f"p{n}", "1g.5gb", phase) for n, phase in enumerate(["Running", "Pending", "Succeeded"])]
    plain = pod("1g.5gb") | {"metadata": {"name": "plain", "namespace": "team-a"}}
    cluster_of(monkeypatch, *pods, admitted("large", "2x2g.10gb"), plain)

    assert answer("--cluster")["pods"] == 3
    found = answer("--cluster", "--need", "1g.5gb=54")
    assert found["pods"] == 57
    assert pools_of(found) == {"a100-1g-5gb": 1, "a100-mixed": 1}


def test_pods_that_may_not_be_listed_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_of(monkeypatch, admitted("p", "1g.5gb"), forbidden=("/api/v1/pods",))

    result = run("--cluster")

    assert result.exit_code == 3
    assert result.stdout.startswith("1 pod fits on 8 GPUs, 1 node.\n")
    assert result.stderr == "not all pods are counted: you may not list pods in all namespaces\n"


def test_a_pod_that_would_be_denied_today_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = admitted("old", "1g.5gb")
    old["metadata"]["annotations"] |= {"gpu-slice": "9g.5gb", "gpu-slice/assigned": "9g.5gb -> main=x:1"}
    cluster_of(monkeypatch, old)

    result = run("--cluster")

    assert result.exit_code == 1
    assert "Pod team-a/old: it would be denied now, so it is not counted: " in result.stderr


def test_what_takes_long_says_on_a_terminal_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("webhook.cli.progress.SECONDS", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    printed: list[str] = []

    def shown() -> bool:
        printed.append(capsys.readouterr().err)
        return "packing\\x1b the pods …" in "".join(printed)

    with Progress() as progress:
        progress("packing\x1b the pods")
        wait_for("a line of progress", shown)

    assert capsys.readouterr().err.endswith("\r\x1b[K"), "and it is gone when it is done"
