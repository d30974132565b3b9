"""Advice on workloads: what kubectl prints when one is applied, what that costs, and that nothing depends on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Document
from tests.cluster.conftest import Ours
from tests.cluster.install import ADMISSION, ADVICE, ADVISER, MANIFESTS, manifest
from tests.cluster.test_workloads import PLACED, workload
from tests.waiting import wait_for
from webhook.admission import kinds

ASKS = {"gpu-slice": "1g.5gb"}
TYPO = {"gpu-slice": "1g5gb"}
KINDS = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"]
DENIED = (
    "Warning: gpu-slice: pods of {} would be denied: metadata.annotations[gpu-slice]: "
    "'1g5gb' is not a MIG profile: expected a dot, found '5gb'. Write '1g.5gb'."
)
WHERE = {"CronJob": "spec.jobTemplate.spec.template"}


@pytest.fixture(name="advice", scope="module", autouse=True)
def _advice(cluster: Cluster, ours: Ours) -> Iterator[None]:
    """Our second webhook, as long as these tests last."""
    ours.installation.advise_at(ours.server.port, ours.tls / "ca.crt")
    yield
    cluster.delete(ADVICE, ADVISER, api_version=ADMISSION)


def plural(kind: kinds.Kind) -> str:
    """The resource of a kind."""
    return f"{kind.name.lower()}s"


def of(kind: str, on_pod: Any = None, on_itself: Any = None, **more: Any) -> Document:
    """A workload of any of the kinds."""
    if kind != "ReplicationController":
        return workload(kind, on_pod, on_itself, **more)
    made = workload("ReplicaSet", on_pod, on_itself, **more)
    made["spec"]["selector"] = made["spec"]["selector"]["matchLabels"]
    return made | {"apiVersion": "v1", "kind": kind}


@pytest.fixture(name="apply")
def _apply(cluster: Cluster, namespace: str) -> Iterator[Callable[..., list[str]]]:
    """Apply a workload with kubectl, which must work: the lines that it says beside ``created``."""

    def apply(document: Document, *options: str) -> list[str]:
        done = cluster.kubectl("-n", namespace, "apply", *options, "-f", "-", stdin=json.dumps(document))
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()

    yield apply
    for controller in cluster.list("ReplicationController", namespace):
        cluster.delete("ReplicationController", controller["metadata"]["name"], namespace)


@pytest.fixture(name="calls")
def _calls(cluster: Cluster, ours: Ours) -> Callable[[], int]:
    """How often the API server has asked for advice, by its own count and by ours, which must agree."""

    def calls() -> int:
        def counted() -> tuple[int, int]:
            text = ours.server.get("/metrics")[1]
            mine = re.findall(r"^gpu_slice_advice_total\{.*\} (\S+)$", text, re.MULTILINE)
            name = r'name="(?:workloads|groups)\.gpu-slice\.io"'
            family = rf'^apiserver_admission_webhook_request_total\{{code="200",{name}.*\}} (\S+)$'
            others = re.findall(family, cluster.plane.metrics(), re.MULTILINE)
            return sum(map(int, map(float, mine))), sum(map(int, map(float, others)))

        return wait_for("both have counted", lambda: (found := counted())[0] == found[1] and found)[0]

    return calls


@pytest.mark.parametrize("way", [[], ["--server-side"], ["--dry-run=server"]], ids=["", "server-side", "dry run"])
@pytest.mark.parametrize("kind", KINDS)
def test_who_applies_a_workload_reads_the_sentence_that_its_pods_are_denied_with(kind, way, apply) -> None:
    assert apply(of(kind, TYPO), *way) == [DENIED.format(WHERE.get(kind, "spec.template"))]


@pytest.mark.parametrize("kind", KINDS)
def test_an_annotation_in_the_wrong_place_is_told_of(kind, apply) -> None:
    lines = apply(of(kind, on_itself=ASKS))

    said = "".join(line.removeprefix("Warning: gpu-slice: ").strip("…") for line in lines)
    assert "no effect" in said
    assert f"{WHERE.get(kind, 'spec.template')}.metadata.annotations" in said


def test_an_annotation_on_the_jobs_of_a_cron_job_is_told_of(apply) -> None:
    assert "no effect" in "".join(apply(workload("CronJob", on_job=ASKS)))


def test_a_daemon_set_is_told_what_its_template_lacks(apply) -> None:
    add = "Warning: gpu-slice: a DaemonSet is placed by its template: add the {} to it"

    assert apply(of("DaemonSet", ASKS)) == [
        add.format("toleration nvidia.com/gpu-shared"),
        add.format("nodeSelector nvidia.com/gpu: a100"),
    ]
    assert apply(of("DaemonSet", ASKS, **PLACED)) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "DaemonSet"])
def test_a_good_workload_is_applied_without_a_word_at_the_price_of_one_call(kind, apply, calls) -> None:
    before = calls()

    assert apply(of(kind, ASKS)) == []
    assert calls() - before == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_that_says_nothing_of_slices_costs_no_call(kind, apply, calls) -> None:
    """P1."""
    before = calls()

    assert apply(of(kind, {"team": "a", "gpu-slice.example.com": "x"}, {"gpu-slice-x": "y"})) == []
    bare = of(kind)
    bare["metadata"].pop("annotations")
    bare["metadata"]["name"] = "bare"
    assert apply(bare) == []
    assert calls() == before


def test_what_controllers_make_and_change_costs_no_call(cluster, namespace, apply, calls) -> None:
    before = calls()
    apply(of("Deployment", ASKS))
    apply(of("CronJob", ASKS))
    assert cluster.kubectl("-n", namespace, "create", "job", "--from=cronjob/work", "now").returncode == 0
    pods = wait_for("their pods are there", lambda: len(p := cluster.list("Pod", namespace)) >= 4 and p)

    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods} == {"ReplicaSet", "Job"}
    wait_for("the Deployment runs", lambda: _ready(cluster, namespace) == 2)
    assert calls() - before == 2


def _ready(cluster: Cluster, namespace: str) -> int:
    return cluster.get("Deployment", "work", namespace, "apps/v1")["status"].get("observedGeneration", 0) and 2


def test_a_change_is_advised_on_and_what_changes_nothing_is_not(cluster, namespace, apply, calls) -> None:
    apply(of("Deployment", ASKS))
    before = calls()

    assert apply(of("Deployment", TYPO)) == [DENIED.format("spec.template")]
    assert apply(of("Deployment", TYPO)) == []  # kubectl sends nothing
    assert calls() - before == 1
    for command in (
        ["scale", "deployment/work", "--replicas=1"],
        ["rollout", "status", "deployment/work", "--watch=false"],
    ):
        assert cluster.kubectl("-n", namespace, *command).returncode == 0
    assert calls() - before == 1
    done = cluster.kubectl("-n", namespace, "label", "deployment/work", "gpu-slice=1g.5gb")
    assert DENIED.format("spec.template") in done.stderr
    done = cluster.kubectl("-n", namespace, "rollout", "restart", "deployment/work")
    assert done.stderr.splitlines() == [DENIED.format("spec.template")]
    assert calls() - before == 3


def test_a_namespace_that_opted_out_is_not_advised(cluster, namespace, apply, calls) -> None:
    """P2."""
    cluster.patch("Namespace", namespace, {"metadata": {"labels": {"gpu-slice/opt-out": ""}}})
    before = calls()

    def silent() -> bool:
        return apply(of("Job", TYPO), "--dry-run=server") == []

    wait_for("the API server has noticed", silent)
    before = calls()
    assert apply(of("Deployment", TYPO)) == []
    assert calls() == before


def test_kube_system_is_not_advised(cluster, calls) -> None:
    """P2."""
    before = calls()
    done = cluster.kubectl(
        "-n", "kube-system", "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(of("Deployment", TYPO))
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert calls() == before


def test_a_workload_as_large_as_the_api_server_takes_is_stored(apply, calls) -> None:
    large = of("Job", TYPO)
    large["spec"]["template"]["spec"]["containers"][0]["args"] = ["x"] * 100_000
    before = calls()

    (line,) = apply(large, "--server-side")

    assert line == "Warning: gpu-slice: the workload is too large to say what will become of its pods"
    assert calls() - before == 1


@contextmanager
def pointing_at(cluster: Cluster, port: int) -> Iterator[None]:
    """Advice is asked for on another port."""
    document = cluster.get(ADVICE, ADVISER, api_version=ADMISSION)
    there = json.loads(json.dumps(document["webhooks"]))
    for webhook in document["webhooks"]:
        webhook["clientConfig"]["url"] = f"https://127.0.0.1:{port}/advise"
    cluster.patch(ADVICE, ADVISER, {"webhooks": document["webhooks"]}, api=ADMISSION)
    try:
        yield
    finally:
        cluster.patch(ADVICE, ADVISER, {"webhooks": there}, api=ADMISSION)


@pytest.mark.parametrize("kind", KINDS)
def test_while_nobody_answers_a_workload_is_applied_all_the_same(kind, cluster, apply) -> None:
    """P2."""
    with pointing_at(cluster, 1):
        wait_for("the API server has noticed", lambda: apply(of(kind, TYPO), "--dry-run=server") == [])
        assert apply(of(kind, TYPO)) == []
    wait_for(
        "the API server has noticed", lambda: apply(of(kind, TYPO), "--dry-run=server") != [] or _again(apply, kind)
    )


def _again(apply: Callable[..., list[str]], kind: str) -> bool:
    changed = of(kind, TYPO, {"a": "b"})
    return apply(changed, "--dry-run=server") != []


def test_the_manifest_as_an_api_server_stores_it_is_as_shipped(cluster) -> None:
    from certs.shipped import Shipped

    document = manifest("webhook/advice.yaml")
    document["metadata"]["name"] = "stored"

    stored = cluster.create(document, dry_run=True)

    assert Shipped(MANIFESTS / "webhook" / "advice.yaml").differences(stored) == ()


BUILT_IN = {"apps", "batch", ""}
RULES = {
    (group, resource)
    for webhook in manifest("webhook/advice.yaml")["webhooks"]
    for rule in webhook["rules"]
    for group in rule["apiGroups"]
    for resource in rule["resources"]
}
CUSTOM = [kind for kind in kinds.KINDS if kind.group not in BUILT_IN and (kind.group, plural(kind)) in RULES]


def custom(kind: kinds.Kind, path: str, annotations: Document) -> Document:
    """An object of *kind* whose template, or what else *path* names, has *annotations*."""
    made: Any = annotations
    for step in reversed(path.split(".")):
        if step.lower().endswith("template") and "metadata" in made:
            made = {"spec": {"containers": [{"name": "main"}]}, **made}
        made = {step: made} if step != "*" else ({"Worker": made} if "ReplicaSpecs" in path else [made])
    if kind.ignored:
        made["spec"] = {"template": {"spec": {"containers": [{"name": "main"}]}}}
    made.setdefault("metadata", {})["name"] = "work"
    return {"apiVersion": f"{kind.group}/v1", "kind": kind.name, **made}


@pytest.fixture(name="customs", scope="module")
def _customs(cluster: Cluster) -> Iterator[None]:
    """Custom resources of these kinds, with any fields."""
    made = []
    for kind in CUSTOM:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"kind": kind.name, "plural": plural(kind), "singular": kind.name.lower()}
        spec = {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]}
        name = f"{plural(kind)}.{kind.group}"
        definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        made.append({**definition, "metadata": {"name": name}, "spec": spec})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    assert cluster.kubectl("apply", "-f", "-", stdin=text).returncode == 0
    established = ["--for=condition=Established", "--timeout=60s"]
    assert cluster.kubectl("wait", *established, *(f"crd/{each['metadata']['name']}" for each in made)).returncode == 0
    yield
    assert cluster.kubectl("delete", "-f", "-", stdin=text).returncode == 0


def test_every_rule_is_for_a_kind_of_the_table_and_every_kind_that_can_have_one_has_one() -> None:
    left_out = {"PodTemplate", "ClusterTrainingRuntime", "TrainingRuntime", "ScaledJob"}

    assert {(kind.group, plural(kind)) for kind in kinds.KINDS} >= RULES
    templated = [kind for kind in kinds.KINDS if kind.templates and kind.complete and kind.name not in left_out]
    assert [kind for kind in templated if (kind.group, plural(kind)) not in RULES] == []


@pytest.mark.usefixtures("customs")
@pytest.mark.parametrize("kind", CUSTOM, ids=lambda kind: f"{kind.name} of {kind.group}")
def test_others_kinds_of_the_table_are_advised_on_where_a_cluster_has_them(kind, cluster, apply, calls) -> None:
    for path in kind.annotations:
        if path in kind.passed_on and not kind.ignored:
            continue  # the match conditions look at templates
        (line,) = apply(custom(kind, path, TYPO), "--dry-run=server")
        assert line.startswith("Warning: gpu-slice: pods of spec.")
        assert line.endswith(DENIED[-60:])
        before = calls()
        for each in (ASKS, {"team": "a"}):
            told = apply(custom(kind, path, each), "--dry-run=server")
            assert [line for line in told if "a DaemonSet is placed by its template" not in line] == []
        assert calls() - before == 1
    if not kind.ignored:
        misplaced = custom(kind, kind.annotations[0], {})
        misplaced["metadata"]["annotations"] = ASKS
        assert "no effect" in "".join(apply(misplaced, "--dry-run=server"))
