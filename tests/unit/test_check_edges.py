"""Edges of checks: versions, counts, what was shipped, and whose pods tell why a rollout is stuck."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.unit.check_facts import FLEET, RENDERED, ROOT, Document, deployment, done, facts, told
from webhook.cli import files
from webhook.cluster.check import Check, Problem, Status, run
from webhook.cluster.check.look import _try
from webhook.cluster.objects import BUDGETS, DAEMON_SETS, PODS, VALIDATORS
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.fleet import Fleet

PLUGIN = next(document for document in RENDERED if document["kind"] == "DaemonSet")
ADVICE = (ROOT / "manifests" / "webhook" / "advice.yaml").read_text()


def with_image(image: str) -> Document:
    live = copy.deepcopy(PLUGIN)
    live["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return live


@pytest.mark.parametrize(
    ("image", "old"),
    [
        ("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", False),
        ("nvcr.io/nvidia/k8s-device-plugin:v0.19.9", True),
        ("nvcr.io/nvidia/k8s-device-plugin:v1.0.0", False),
        ("registry.example:5000/nvidia/k8s-device-plugin:v0.17.0", True),
        ("registry.example:5000/nvidia/k8s-device-plugin:v0.17.0@sha256:" + "0" * 64, True),
        ("registry.example:5000/nvidia/k8s-device-plugin", False),
        ("registry.example/nvidia/k8s-device-plugin@sha256:" + "0" * 64, False),
    ],
)
def test_an_old_plugin_is_told_by_its_tag(image: str, old: bool) -> None:
    name = PLUGIN["metadata"]["name"]
    reasons = [problem.reason for problem in done("plugin-version", facts({DAEMON_SETS: [with_image(image)]})).problems]
    assert (f"{name} runs {image}" in reasons) is old
    assert all(old or "and the fleet gives" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("version", "status"),
    [("v1.30.0", Status.GOOD), ("v1.29.15", Status.FAILED), ("v2.0.0", Status.GOOD), ("", Status.UNKNOWN)],
)
def test_an_old_kubernetes_is_told(version: str, status: Status) -> None:
    about = facts()
    snapshot = Snapshot(about.snapshot.when, version, about.snapshot.listings)
    assert done("kubernetes-version", type(about)(snapshot, about.fleet)).status is status


def fleet_of(**changed: Any) -> Fleet:
    document = FLEET.file.model_dump(by_alias=True, exclude_unset=True, mode="json")
    document["pools"][0] |= changed
    return files.load_fleet(yaml.safe_dump(document).encode())


@pytest.mark.parametrize(
    ("changed", "more"),
    [({"weight": 9}, ""), ({"weight": 9, "emptyFor": "7s"}, ", and 1 more"),
     ({"weight": 9, "emptyFor": "7s", "expireAfter": "3h"}, ", and 2 more")],
)  # fmt: skip
def test_of_several_changes_the_first_is_told_and_the_others_are_counted(changed: Document, more: str) -> None:
    reason = told(done("fleet", facts(served=fleet_of(**changed))))
    assert reason.startswith("in the cluster pools[")
    assert reason.endswith(more)
    assert (", and " in reason.removesuffix(more)) is (reason.count(", and ") > 1 or not more)


class TestAdvice:
    @staticmethod
    def looked(shipped: Document | None, live: list[Document]) -> Any:
        single = {("ConfigMap", "gpu-slice", "webhook-configuration"): shipped}
        return done("advice", facts({VALIDATORS: live}, single=single))

    def test_what_was_shipped_and_is_gone_fails(self) -> None:
        line = self.looked({"data": {"advice.yaml": ADVICE}}, [])
        assert line.status is Status.FAILED

    def test_what_was_left_out_is_not_missed(self) -> None:
        line = self.looked({"data": {}}, [])
        assert (line.status, line.notes) == (Status.GOOD, ("left out",))

    def test_where_nobody_knows_whether_it_was_shipped_it_is_a_warning(self) -> None:
        assert self.looked(None, []).status is Status.WARNING

    def test_a_manifest_that_cannot_be_read_is_as_good_as_none(self) -> None:
        assert self.looked({"data": {"advice.yaml": "a: ["}}, []).status is Status.WARNING


def unscheduled(owner: str, namespace: str = "gpu-slice") -> Document:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    metadata = {"name": "p", "namespace": namespace, "ownerReferences": [{"kind": "ReplicaSet", "name": owner}]}
    return {"metadata": metadata, "status": {"phase": "Pending", "conditions": [condition]}}


@pytest.mark.parametrize(
    ("pod", "quoted"),
    [
        pytest.param(unscheduled("webhook-5d4f"), True, id="its own"),
        pytest.param(unscheduled("keeper-5d4f"), False, id="of another Deployment"),
        pytest.param(unscheduled("webhook-5d4f-x"), False, id="of a Deployment with a longer name"),
        pytest.param(unscheduled("webhook-5d4f", "elsewhere"), False, id="of another namespace"),
    ],
)
def test_a_stuck_rollout_quotes_a_pod_of_its_own(pod: Document, quoted: bool) -> None:
    live = deployment("webhook", "gpu-slice")
    live["spec"]["replicas"] = 3
    live["status"] = {"availableReplicas": 3, "updatedReplicas": 1, "replicas": 4, "unavailableReplicas": 1}
    line = done("replicas", facts({PODS: [pod]}, single={("Deployment", "gpu-slice", "webhook"): live}))
    assert ("Pod p is not scheduled: 0/2 nodes are available" in told(line)) is quoted


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"maxUnavailable": 1}, "", id="one at a time"),
        pytest.param({"minAvailable": 2}, "", id="all but some"),
        pytest.param({"maxUnavailable": 0}, "lets no replica go", id="none"),
        pytest.param({"maxUnavailable": "0%"}, "lets no replica go", id="none in a hundred"),
        pytest.param({"maxUnavailable": "100%"}, "lets all replicas go at once", id="all"),
        pytest.param({"minAvailable": 0}, "lets all replicas go at once", id="at least none"),
        pytest.param({"minAvailable": "0%"}, "lets all replicas go at once", id="at least none in a hundred"),
        pytest.param({"maxUnavailable": 2}, "", id="all but one"),
        pytest.param({"maxUnavailable": 3}, "lets all replicas go at once", id="as many as there are"),
        pytest.param({"maxUnavailable": "34%"}, "", id="a share, rounded up to two"),
        pytest.param({"maxUnavailable": "67%"}, "lets all replicas go at once", id="a share, rounded up to all"),
        pytest.param({"minAvailable": 3}, "lets no replica go", id="at least as many as there are"),
        pytest.param({"minAvailable": 5}, "lets no replica go", id="at least more than there are"),
        pytest.param({"minAvailable": "100%"}, "lets no replica go", id="at least all in a hundred"),
        pytest.param({"minAvailable": "67%"}, "lets no replica go", id="at least a share, rounded up to all"),
        pytest.param({"minAvailable": "66%"}, "", id="at least a share, rounded up to two"),
        pytest.param({}, "lets no replica go", id="neither, which Kubernetes takes as none"),
    ],
)
@pytest.mark.parametrize(
    "selector",
    [{"matchLabels": {"app": "w"}}, {"matchExpressions": [{"key": "app", "operator": "In", "values": ["w"]}]}],
    ids=["labels", "expressions"],
)
def test_a_budget_of_the_replicas_leaves_some_and_lets_some_go(spec: Document, said: str, selector: Document) -> None:
    live = deployment("webhook", "gpu-slice", 3)
    live["spec"]["template"]["metadata"] = {"labels": {"app": "w", "more": "x"}}
    budget = {"metadata": {"name": "b", "namespace": "gpu-slice"}, "spec": {"selector": selector, **spec}}
    line = done("disruption-budget", facts({BUDGETS: [budget]}, single={("Deployment", "gpu-slice", "webhook"): live}))
    assert [said in problem.reason for problem in line.problems] == ([True] if said else [])


def test_two_budgets_of_the_same_replicas_let_none_go() -> None:
    live = deployment("webhook", "gpu-slice", 3)
    live["spec"]["template"]["metadata"] = {"labels": {"app": "w"}}
    budgets = [
        {"metadata": {"name": name, "namespace": "gpu-slice"},
         "spec": {"selector": {"matchLabels": {"app": "w"}}, "maxUnavailable": 1}}
        for name in ("webhook", "ours")
    ]  # fmt: skip
    line = done("disruption-budget", facts({BUDGETS: budgets}, single={("Deployment", "gpu-slice", "webhook"): live}))
    assert told(line).startswith("PodDisruptionBudgets webhook and ours select the same replicas")


class Nobody:
    """A cluster in which no pod can be tried."""

    namespace = "closed"

    def try_create(self, *_: object) -> Document:
        raise AssertionError("no pod is tried")


def test_where_a_namespace_may_use_no_slice_none_is_tried() -> None:
    document = FLEET.file.model_dump(by_alias=True, exclude_unset=True, mode="json")
    document["namespaces"] = {"closed": {"pools": []}}
    closed = files.load_fleet(yaml.safe_dump(document).encode())
    assert _try(Nobody(), closed) == "namespace closed may use no slice; name another with -n"  # type: ignore[arg-type]


def test_what_follows_from_what_follows_is_not_looked_at_either() -> None:
    def check(id: str, *after: str) -> Check:
        return Check(id, "", "", "", lambda _: [Problem("wrong")], after=after)

    lines = list(run([check("a"), check("b", "a"), check("c", "b"), check("d")], facts()))
    assert [line.status for line in lines] == [Status.FAILED, Status.UNKNOWN, Status.UNKNOWN, Status.FAILED]
    assert lines[2].unknown == "not looked at, because 'b' comes first"
