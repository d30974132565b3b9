"""What is remembered is what would be decided anew."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import MIXED, broken, cases, container, fleet_of, pod_of
from webhook.admission.excerpt import excerpt
from webhook.admission.plan import Plan, plan
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet
from webhook.server import memory
from webhook.server.memory import Memory


def decided(decide: Any, *arguments: Any) -> tuple[str, tuple[str, ...]]:
    """What came of it, for comparing."""
    try:
        made: Plan = decide(*arguments)
    except Denial as denial:
        return str(denial), ()
    return orjson.dumps(made.patch).decode() + made.why, made.warnings


@given(cases(), st.data())
def test_a_memory_that_knows_a_pod_decides_like_one_that_does_not(case: tuple[dict, str], data: st.DataObject) -> None:
    """Also for what is like the pod, with something changed, odd or taken away somewhere."""
    fleet = fleet_of(case[1])
    used = Memory(fleet)
    decided(used.plan, case[0], "team-a")
    other = data.draw(broken(case[0]))

    for pod in (case[0], other, case[0]):
        if isinstance(pod, dict):
            assert decided(used.plan, pod, "team-a") == decided(plan, pod, fleet, "team-a")


@given(cases())
def test_the_excerpt_is_all_that_is_looked_at(case: tuple[dict, str]) -> None:
    fleet = fleet_of(case[1])
    assert decided(plan, case[0], fleet) == decided(plan, excerpt(case[0]), fleet)
    assert excerpt(excerpt(case[0])) == excerpt(case[0])


def test_pods_that_differ_only_in_what_does_not_matter_are_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: Any) -> Plan:
        calls.append(arguments)
        return plan(*arguments)

    monkeypatch.setattr(memory, "plan", counted)
    used = Memory(fleet_of(MIXED))
    for index in range(5):
        pod = pod_of()
        pod["metadata"]["name"] = f"notebook-{index}"
        pod["spec"]["volumes"] = [{"name": f"kube-api-access-{index}"}]
        pod["spec"]["containers"][0]["env"] = [{"name": "INDEX", "value": str(index)}]
        used.plan(pod, "default")
    assert len(calls) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pod: pod["metadata"]["annotations"].update({"gpu-slice": "2g.10gb"}), id="the annotation"),
        pytest.param(lambda pod: pod["spec"].update(nodeName="x"), id="nodeName"),
        pytest.param(lambda pod: pod["spec"].update(nodeSelector={"gpu-slice/pool": "several"}), id="nodeSelector"),
        pytest.param(lambda pod: pod["spec"].update(tolerations=None), id="a null where nothing was"),
        pytest.param(
            lambda pod: pod["spec"]["containers"][0].update(securityContext={"privileged": True}), id="privileged"
        ),
        pytest.param(
            lambda pod: pod["spec"]["containers"][0].update(env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]),
            id="the devices",
        ),
        pytest.param(lambda pod: pod["spec"]["containers"].insert(0, container("side")), id="a sidecar before it"),
        pytest.param(
            lambda pod: pod["metadata"].update(ownerReferences=[{"kind": "DaemonSet", "controller": True}]),
            id="the owner",
        ),
    ],
)
def test_what_matters_is_never_mistaken_for_something_known(change: Any) -> None:
    fleet = fleet_of(MIXED)
    used = Memory(fleet)
    pod = pod_of()
    before = decided(used.plan, pod, "default")
    changed = deepcopy(pod)
    change(changed)

    assert decided(used.plan, changed, "default") == decided(plan, changed, fleet, "default")
    assert decided(used.plan, changed, "default") != before
    assert decided(used.plan, pod, "default") == before


def test_a_namespace_has_its_own_answers() -> None:
    fleet: Fleet = fleet_of(
        "pools: [{name: p, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, "
        "instanceTypes: [p4d.24xlarge]}]\nnamespaces: {none: {pools: []}}"
    )
    used = Memory(fleet)
    assert "may not use" not in decided(used.plan, pod_of(), "team-a")[0]
    assert "may not use" in decided(used.plan, pod_of(), "none")[0]


def test_the_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    used = Memory(fleet_of(MIXED))
    for index in range(10):
        pod = pod_of()
        pod["metadata"]["annotations"]["index"] = str(index)
        used.plan(pod, "default")
        assert len(used._plans) <= 3
    pod["metadata"]["annotations"]["index"] = "x" * 5000
    used.plan(pod, "default")
    assert all(len(key) <= memory.LONGEST for _, key in used._plans)
    assert json.loads(next(iter(used._plans))[1])["metadata"]
