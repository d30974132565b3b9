"""The checks of pods and workloads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.check_facts import SLICE, SLICED, Document, done, facts, printed, running, told
from webhook.admission.plan import plan
from webhook.cluster.check import (
    CHECKS,
    Probe,
    Problem,
    Status,
    run,
)
from webhook.cluster.objects import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
)
from webhook.slices.request import ASSIGNED


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param(SLICED, "", id="the same"),
        pytest.param(running("1/7", "1/7 -> main=nvidia.com/mig-1g.5gb:1", **SLICE), "", id="a fraction"),
        pytest.param(
            running("2g.10gb", "2g.10gb -> main=nvidia.com/mig-2g.10gb:1", **{"nvidia.com/mig-2g.10gb": "1"}),
            "2g.10gb",
            id="a slice that is gone",
        ),
        pytest.param(
            running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", "old", **SLICE),
            "its slice was of old, and now is of a100",
            id="a pool that is gone",
        ),
        pytest.param(
            running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", namespace="limited", **SLICE),
            "limited",
            id="a namespace that may not use it any more",
        ),
    ],
)
def test_a_pod_that_the_fleet_would_not_give_the_same(pod: Document, said: str) -> None:
    line = done("pods-stale", facts({PODS: [pod]}))
    assert (line.status is Status.GOOD) == (said == "")
    assert said in told(line)


@pytest.mark.parametrize(
    ("pod", "good"),
    [
        pytest.param(running("1g.5gb", None), False, id="in a namespace of users"),
        pytest.param(running("1g.5gb", None, namespace="kube-system"), True, id="in one that is never touched"),
        pytest.param(running("1g.5gb", None) | {"status": {"phase": "Succeeded"}}, True, id="one that has ended"),
        pytest.param(
            {"metadata": {"name": "p", "annotations": {"gpu-slice": "x", "kubernetes.io/config.mirror": "y"}}},
            True,
            id="a mirror pod",
        ),
    ],
)
def test_a_pod_without_the_slice_that_it_asks_for(pod: Document, good: bool) -> None:
    assert (done("pods-missed", facts({PODS: [pod]})).status is Status.GOOD) == good


def test_pods_of_our_own_namespace_are_not_looked_at_wherever_it_is() -> None:
    """The webhook is not called for them."""
    missed = running("1g.5gb", None, namespace="gpus")
    assert done("pods-missed", facts({PODS: [missed]})).status is Status.FAILED
    assert done("pods-missed", facts({PODS: [missed]}, namespace="gpus")).status is Status.GOOD


def workload(kind: str = "Deployment", **metadata: Any) -> Document:
    inner = metadata.pop("inner", {})
    template = {"metadata": inner, "spec": {"containers": [{"name": "main", "image": "a/b:1"}]}}
    return {"kind": kind, "metadata": {"name": "w", "namespace": "default", **metadata}, "spec": {"template": template}}


ASKED = {"annotations": {"gpu-slice": "1g.5gb"}}


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        pytest.param({DEPLOYMENTS: [workload(inner=ASKED)]}, "", id="in the template"),
        pytest.param({DEPLOYMENTS: [workload(**ASKED)]}, "is on the Deployment itself", id="on the workload"),
        pytest.param({DEPLOYMENTS: [workload(inner={"labels": {"gpu-slice": "1g.5gb"}})]}, "is a label", id="a label"),
        pytest.param(
            {DEPLOYMENTS: [workload(inner={"annotations": {"gpu_slice": "1g.5gb"}})]}, "is not read", id="misspelt"
        ),
        pytest.param(
            {DAEMON_SETS: [workload("DaemonSet", **ASKED)]}, "is on the DaemonSet itself", id="of a DaemonSet"
        ),
        pytest.param(
            {PODS: [running("1g.5gb", None) | {"metadata": {"name": "p", "labels": {"gpu-slice": "x"}}}]},
            "is a label",
            id="a label of a pod",
        ),
        pytest.param({PODS: [SLICED]}, "", id="a pod as it should be"),
        pytest.param({DEPLOYMENTS: [workload(labels={"app.kubernetes.io/name": "gpu-slice"})]}, "", id="our own"),
    ],
)
def test_an_annotation_where_nobody_reads_it(objects: Any, said: str) -> None:
    line = done("annotation-place", facts(objects))
    assert (line.status is Status.GOOD) == (said == "")
    assert said in told(line)


def test_a_pod_that_is_tried_where_the_webhook_is_not_called_tells_nothing() -> None:
    opted_out = [{"metadata": {"name": "team", "labels": {"gpu-slice/opt-out": ""}}}]
    for namespace in ("team", "kube-system"):
        about = facts({NAMESPACES: opted_out}, probe=Probe(namespace=namespace))
        assert done("webhook-answers", about).status is Status.UNKNOWN
    assert (
        done("webhook-answers", facts({NAMESPACES: opted_out}, probe=Probe(namespace="other"))).status is Status.FAILED
    )


def test_of_many_pods_five_are_named() -> None:
    pods = [running("1g.5gb", None) for _ in range(40)]
    line = done("pods-missed", facts({PODS: pods}))
    assert (len(line.problems), line.total) == (40, 40)
    text = printed(line)
    assert sum("has no slice" in each for each in text) == 5
    assert "    and 35 more (-o json has them)" in text


@pytest.mark.parametrize("number", [8, 3_000])
def test_many_pods_of_one_namespace_hide_none_of_another(number: int) -> None:
    pods = [running("1g.5gb", None, namespace="evil") for _ in range(number)]
    line = done("pods-missed", facts({PODS: [*pods, running("1g.5gb", None, namespace="victim")]}))
    assert line.total == number + 1
    assert len(line.problems) == min(number + 1, 1_000)
    assert line.problems[1].namespace == "victim"
    text = printed(line)
    assert any("victim/p has no slice" in each for each in text)
    assert f"    and {number - 4} more (-o json has them)" in text


def test_of_six_pods_none_is_left_out_for_a_line_that_says_so() -> None:
    text = printed(done("pods-missed", facts({PODS: [running("1g.5gb", None)] * 6})))
    assert sum("has no slice" in each for each in text) == 6


def test_warnings_do_not_push_failures_out() -> None:
    found = [Problem(str(number), warning=True, namespace="evil") for number in range(3_000)]
    check = replace(CHECKS[0], look=lambda _: [*found, Problem("real")])
    (line,) = run([check], facts())
    assert (line.status, line.problems[0].reason) == (Status.FAILED, "real")


def test_what_a_tenant_writes_stays_on_its_line_and_is_cut() -> None:
    pools = "old\n√ all checks passed\x1b[2J" + "x" * 200_000
    (problem,) = done(
        "pods-stale", facts({PODS: [running("1g.5gb", SLICED["metadata"]["annotations"][ASSIGNED], pools, **SLICE)]})
    ).problems
    assert problem.reason.isprintable()
    assert len(problem.reason) < 600


def test_pods_that_are_alike_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("webhook.cluster.check.pods.plan", lambda *about: asked.append(about) or plan(*about))
    old = running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", "old", **SLICE)
    limited = running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", namespace="limited", **SLICE)
    line = done("pods-stale", facts({PODS: [SLICED, old, limited] * 50}))
    assert (line.total, len(asked)) == (100, 3)
