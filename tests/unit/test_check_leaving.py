"""What keeps a node that Karpenter removes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.check_facts import NOW, Document, done, facts, told
from webhook.cluster.check import Status
from webhook.cluster.objects import BUDGETS, NODE_CLAIMS, PODS

READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
STARTED = (NOW - timedelta(minutes=30)).isoformat()


def claim() -> Document:
    return {
        "metadata": {
            "name": "a100-x7k2p",
            "labels": {"karpenter.sh/nodepool": "a100"},
            "creationTimestamp": (NOW - timedelta(hours=2)).isoformat(),
            "deletionTimestamp": (NOW - timedelta(minutes=11)).isoformat(),
        },
        "status": {"nodeName": "n1"},
    }


def pod(name: str = "api-1", status: Document = READY, node: str = "n1", **metadata: Any) -> Document:
    fields = {"name": name, "namespace": "web", "labels": {"app": "api"}, "creationTimestamp": STARTED, **metadata}
    return {"metadata": fields, "spec": {"nodeName": node}, "status": status}


def budget(name: str = "api", namespace: str = "web", **more: Any) -> Document:
    spec = {"selector": {"matchLabels": {"app": "api"}}, "minAvailable": 1, **more.pop("spec", {})}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec,
            "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, **more}}  # fmt: skip


def looked(pods: list[Document], budgets: list[Document]) -> tuple[str, str]:
    """What is said of the node, and the cure."""
    line = done("node-claims", facts({NODE_CLAIMS: [claim()], PODS: pods, BUDGETS: budgets}))
    assert line.status is Status.WARNING
    return told(line).removeprefix("a100-x7k2p of a100 is being deleted for 660 s, and "), line.problems[0].cure


def test_the_budget_that_allows_no_disruption_is_named_with_its_pod() -> None:
    said, cure = looked([pod("other", labels={}), pod()], [budget("far", "elsewhere"), budget()])
    assert said == "2 pods are still there: PodDisruptionBudget web/api forbids the eviction of web/api-1"
    assert cure == (
        "kubectl describe pdb api -n web shows how many pods it wants.  "
        "A pool's terminationGracePeriod would end the wait."
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(budget(disruptionsAllowed=1), id="one that allows a disruption"),
        pytest.param(budget(namespace="elsewhere"), id="of another namespace"),
        pytest.param(budget(spec={"selector": {"matchLabels": {"app": "db"}}}), id="for other pods"),
        pytest.param(budget(spec={"selector": None}), id="for none"),
    ],
)
def test_a_budget_that_forbids_nothing_is_not_named(other: Document) -> None:
    said, cure = looked([pod()], [other])
    assert said == "1 pod is still there, such as web/api-1"
    assert cure.startswith("kubectl get pdb -A")


@pytest.mark.parametrize(
    "selector",
    [{}, {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "db"]}]}],
    ids=["all pods", "expressions"],
)
def test_a_budget_selects_as_the_api_server_selects(selector: Document) -> None:
    assert "PodDisruptionBudget web/api forbids" in looked([pod()], [budget(spec={"selector": selector})])[0]


@pytest.mark.parametrize(
    ("phase", "more", "kept"),
    [
        pytest.param("Running", {}, False, id="enough others are healthy"),
        pytest.param("Running", {"currentHealthy": 0}, True, id="too few others are healthy"),
        pytest.param("Running", {"currentHealthy": 0, "desiredHealthy": 0}, True, id="nobody knows yet how many"),
        pytest.param(
            "Running",
            {"currentHealthy": 0, "spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}},
            False,
            id="the budget lets it go",
        ),
        pytest.param("Pending", {"currentHealthy": 0}, False, id="it has not started"),
    ],
)
def test_a_pod_that_is_not_ready_is_kept_only_by_some_budgets(phase: str, more: Document, kept: bool) -> None:
    said, _ = looked([pod(status={"phase": phase})], [budget(**more)])
    assert ("PodDisruptionBudget" in said) is kept


def test_two_budgets_for_one_pod_are_named() -> None:
    said, cure = looked([pod()], [budget(disruptionsAllowed=1), budget("all", disruptionsAllowed=1)])
    assert said == (
        "1 pod is still there: PodDisruptionBudgets api and all select web/api-1, and nothing with two is evicted"
    )
    assert cure.startswith("Keep one: kubectl get pdb -n web")


@pytest.mark.parametrize(
    ("value", "named"),
    [("true", True), ("false", False), ("", False), ("1h", True), ("31m", True), ("29m30s", False), ("90s", False)],
)
def test_a_pod_that_is_not_to_be_disrupted_is_named_as_long_as_karpenter_heeds_it(value: str, named: bool) -> None:
    said, cure = looked([pod(annotations={"karpenter.sh/do-not-disrupt": value})], [])
    assert (f"web/api-1 has the annotation karpenter.sh/do-not-disrupt={value}" in said) is named
    assert ("kubectl annotate pod api-1 -n web karpenter.sh/do-not-disrupt-" in cure) is named


def test_a_pod_that_ends_already_is_kept_by_nothing() -> None:
    ending = pod(annotations={"karpenter.sh/do-not-disrupt": "true"}, deletionTimestamp=STARTED)
    assert looked([ending], [budget()])[0] == "1 pod is still there, such as web/api-1"


def test_pods_of_other_nodes_and_those_that_have_ended_keep_nothing() -> None:
    kept = {"karpenter.sh/do-not-disrupt": "true"}
    elsewhere, ended = pod(node="n2", annotations=kept), pod(status={"phase": "Succeeded"}, annotations=kept)
    line = done("node-claims", facts({NODE_CLAIMS: [claim()], PODS: [elsewhere, ended]}))
    assert told(line) == "a100-x7k2p of a100 is being deleted for 660 s"
