"""kubectl apply, by hand and again and again as a GitOps tool does it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Document
from tests.cluster.conftest import WORKLOADS, Ours
from tests.pods import container, expression, pod_of, required
from tests.waiting import wait_for
from webhook import documents

EXAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "examples").glob("*.yaml"))
WRONG = "10-wrong-on-purpose"
SLICES = {
    "01-one-slice": ["1g.5gb"],
    "02-notebook-deployment": ["1g.5gb"],
    "03-job": ["1g.5gb"],
    "04-shared": ["shared"],
    "05-fraction": ["1g.5gb"],
    "06-memory": ["2g.20gb"],
    "07-alternatives": ["1g.10gb"],
    "08-two-containers": ["3g.20gb", "1g.5gb"],
    "09-rescued-chart": ["2g.10gb"],
}
"""What the containers of each example's pods get."""


class Applier:
    """kubectl with files, in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def __call__(self, verb: str, what: Path | Document, *options: str) -> subprocess.CompletedProcess[str]:
        """Apply or diff a file, or a document that has none."""
        source, stdin = (str(what), None) if isinstance(what, Path) else ("-", json.dumps(what))
        return self.cluster.kubectl("-n", self.namespace, verb, *options, "-f", source, stdin=stdin)

    def pods(self) -> list[Document]:
        """The pods that are bound."""
        return [each for each in self.cluster.list("Pod", self.namespace) if each["spec"].get("nodeName")]


@pytest.fixture(name="kubectl")
def _kubectl(cluster: Cluster, namespace: str, ours: Ours) -> Applier:
    return Applier(cluster, namespace)


def created(example: Path) -> str:
    """What kubectl prints about an example."""
    (found,) = documents.read(example.read_bytes(), name=example.name)
    kind, name = found.value["kind"].lower(), found.value["metadata"]["name"]
    group = found.value["apiVersion"].rpartition("/")[0]
    return f"{kind}{group and '.' + group}/{name} created"


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.stem != WRONG], ids=lambda each: each.stem)
def test_an_example_is_created_without_a_word_and_its_pods_are_bound_with_what_it_says(example, kubectl) -> None:
    done = kubectl("apply", example)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{created(example)}\n", "")
    pod, *_ = wait_for("a pod is bound", kubectl.pods)
    limits = [name for each in pod["spec"]["containers"] for name in each["resources"]["limits"] if "nvidia" in name]
    assert limits == [f"nvidia.com/{'gpu.' if each == 'shared' else 'mig-'}{each}" for each in SLICES[example.stem]]


def test_the_wrong_example_is_refused_with_what_to_write(kubectl) -> None:
    (example,) = [each for each in EXAMPLES if each.stem == WRONG]

    done = kubectl("apply", example)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f'The request is invalid: error when creating "{example}": admission webhook "pods.gpu-slice.io" denied '
        "the request: metadata.annotations[gpu-slice]: '1g5gb' is not a MIG profile: expected a dot, found '5gb'. "
        "Write '1g.5gb'.\n"
    )
    assert kubectl.cluster.list("Pod", kubectl.namespace) == []


def bare(asked: str = "1g.5gb", limits: Any = None, **spec: Any) -> Document:
    """A pod that nothing owns."""
    return pod_of(asked, container(limits=limits, image="example/main:1"), **spec)


def template(kind: str, **spec: Any) -> Document:
    """A workload that asks for a whole GPU in its template, and for a slice in its place."""
    pod = bare(limits={"nvidia.com/gpu": "1"}, **spec)
    labels = {"app": "work"}
    made = {"metadata": {"labels": labels, "annotations": pod["metadata"]["annotations"]}, "spec": pod["spec"]}
    if kind in ("Job", "CronJob"):
        made["spec"]["restartPolicy"] = "Never"
        inner: Document = {"template": made}
        inner = inner if kind == "Job" else {"schedule": "@yearly", "jobTemplate": {"spec": inner}}
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": "work"}, "spec": inner}
    found = {"selector": {"matchLabels": labels}, "template": made}
    found |= {"serviceName": "work"} if kind == "StatefulSet" else {}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "work"}, "spec": found}


MINE = [{"key": "mine", "operator": "Exists"}]
AMD64 = required({"matchExpressions": [expression("kubernetes.io/arch", "In", "amd64")]})


def test_a_warning_is_shown_to_who_applies(kubectl) -> None:
    done = kubectl("apply", bare(limits={"nvidia.com/gpu": "1"}))

    assert (done.returncode, done.stdout) == (0, "pod/notebook created\n")
    assert done.stderr == ("Warning: gpu-slice: 'main': nvidia.com/gpu: 1 was replaced by nvidia.com/mig-1g.5gb: 1\n")


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.stem != WRONG], ids=lambda each: each.stem)
def test_a_dry_run_shows_the_slice_and_leaves_nothing(example, kubectl) -> None:
    """P9, P15."""
    shown = kubectl("apply", example, "--dry-run=server", "-o", "yaml")

    assert shown.returncode == 0
    # Of a workload only itself: its pods are made by controllers, which never see it.
    assert ("nvidia.com/mig-" in shown.stdout or "nvidia.com/gpu.shared" in shown.stdout) == (
        "kind: Pod" in shown.stdout
    )
    assert left(kubectl) == []


def left(kubectl: Applier) -> list[Document]:
    return [each for api, kind in WORKLOADS for each in kubectl.cluster.list(kind, kubectl.namespace, api)]


UNCHANGED = [
    *(
        pytest.param(template(kind, tolerations=MINE, affinity=AMD64), id=f"a {kind}, whatever is in its template")
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    ),
    pytest.param(bare(), id="a bare pod that writes nothing of what we write"),
    pytest.param(bare(limits={"cpu": "1"}), id="limits of another resource are merged"),
    pytest.param(bare(limits={"nvidia.com/mig-1g.5gb": "1"}), id="the slice itself by hand"),
    pytest.param(bare(nodeSelector={"kubernetes.io/arch": "amd64"}), id="a nodeSelector is merged"),
    pytest.param(bare(affinity=AMD64), id="node affinity, to which nothing was added"),
]


@pytest.mark.parametrize("document", UNCHANGED)
def test_applying_again_changes_nothing_and_a_diff_is_empty(document, kubectl) -> None:
    assert_unchanged(document, kubectl)


def assert_unchanged(document: Document, kubectl: Applier) -> None:
    first = kubectl("apply", document)
    assert first.returncode == 0, first.stderr

    second = kubectl("apply", document)
    difference = kubectl("diff", document)

    assert second.returncode == 0, second.stderr
    assert second.stdout.endswith(" unchanged\n")
    assert (difference.returncode, difference.stdout, difference.stderr) == (0, "", "")


@pytest.fixture(name="siblings")
def _siblings(ours: Ours) -> Iterator[None]:
    """The webhook serves ``tests/fleets/siblings.yaml``, of whose pools only gpu-slice/pool singles one out."""
    ours.serve("siblings")
    yield
    ours.serve()


IMMUTABLE = "spec: Forbidden: pod updates may not change fields other than "


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(
            bare(tolerations=MINE),
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds\n",
            id="tolerations of its own, which are a list as a whole",
        ),
        pytest.param(bare(limits={"nvidia.com/gpu": "1"}), IMMUTABLE, id="the whole GPU that a slice replaced"),
    ],
)
def test_applying_a_bare_pod_again_fails_where_it_would_take_back_what_was_written(document, reason, kubectl) -> None:
    assert_refused(document, reason, kubectl)


def assert_refused(document: Document, reason: str, kubectl: Applier) -> None:
    first = kubectl("apply", document)
    assert first.returncode == 0, first.stderr

    for verb in ("apply", "diff"):
        again = kubectl(verb, document)
        assert again.returncode > (verb == "diff"), again.stdout  # for diff 1 is a difference, and more is an error
        assert again.stderr.startswith('The Pod "notebook" is invalid: ' + reason)


def test_applying_a_pod_with_own_affinity_again_fails_where_a_pool_was_added(kubectl, siblings) -> None:
    assert_refused(bare("1g.10gb@a100-40gb", affinity=AMD64), IMMUTABLE, kubectl)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(bare("1g.10gb@a100-40gb"), id="affinity of ours alone"),
        pytest.param(
            bare("1g.10gb@a100-40gb", affinity=AMD64, nodeSelector={"gpu-slice/pool": "a100-40"}),
            id="own affinity, and the pool named by hand",
        ),
    ],
)
def test_applying_a_pod_to_which_a_pool_was_added_again_changes_nothing(document, kubectl, siblings) -> None:
    assert_unchanged(document, kubectl)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(bare(tolerations=MINE) | {"metadata": {"name": "notebook"}}, id="it asks for no slice"),
        pytest.param(
            bare(tolerations=[*MINE, {"key": "nvidia.com/gpu-shared", "operator": "Exists"}]),
            id="the toleration of the pool is among them",
        ),
    ],
)
def test_a_bare_pod_with_own_tolerations_that_needs_no_other_can_be_applied_again(document, kubectl) -> None:
    """kubectl says ``configured``: it sends a list without what the API server tolerates for each pod, and gets it."""
    for _ in range(2):
        done = kubectl("apply", document)
        assert done.returncode == 0, done.stderr

    assert kubectl("diff", document).returncode == 0


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(bare(), None, id="a pod that writes nothing of what we write"),
        pytest.param(bare(nodeSelector={"kubernetes.io/arch": "amd64"}), IMMUTABLE, id="a nodeSelector is replaced"),
    ],
)
def test_the_server_side_apply_of_a_bare_pod_replaces_more_than_that_of_the_client(document, reason, kubectl) -> None:
    assert kubectl("apply", document, "--server-side").returncode == 0

    again = kubectl("apply", document, "--server-side")

    assert again.returncode == (0 if reason is None else 1)
    assert reason is None or again.stderr.startswith(f'The Pod "notebook" is invalid: {reason}')
