"""The file in the ConfigMap has a mistake: what needs no fleet is looked at all the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.unit.check_facts import done, facts, told
from tests.unit.fleet_text import pool_text
from webhook.cli import check as command
from webhook.cli.files import load_fleet
from webhook.cluster.check import CHECKS, Facts, Status, run
from webhook.cluster.check.facts import NO_FLEET
from webhook.cluster.objects import BINDINGS, NODES, Kind
from webhook.errors import BadFleet

WRONG = f"apiVersion: gpu-slice/v1\npools: [{pool_text(partition='{mig: {1g5gb: 7, 9g.5gb: 1}}')}]\n"


def unreadable(objects: dict[Kind[Any], Iterable[Any]] | None = None) -> Facts:
    with pytest.raises(BadFleet) as bad:
        load_fleet(WRONG.encode())
    return facts(objects, None, served=str(bad.value))  # type: ignore[arg-type]


def test_every_mistake_is_a_reason_with_what_to_do() -> None:
    line = done("fleet", unreadable())
    assert line.status is Status.FAILED
    assert [problem.reason.split(": ", 2)[1] for problem in line.problems] == [
        "pools[0].partition.mig[1g5gb]", "pools[0].partition.mig[9g.5gb]"
    ]  # fmt: skip
    (cure,) = {line.cure(problem) for problem in line.problems}
    assert "last good fleet" in cure
    assert "--fleet FILE" in cure


def test_what_needs_no_fleet_is_looked_at_and_nothing_else_is_said_to_have_failed() -> None:
    node = {"metadata": {"name": "n", "labels": {"gpu-slice/pool": "gone"}}, "spec": {}, "status": {}}
    lines = {line.check.id: line for line in run(CHECKS, unreadable({NODES: [node]}))}
    assert {id for id, line in lines.items() if line.status is Status.FAILED} == {
        "fleet", "replicas", "webhook-registered", "keeper", "leaf", "guard"
    }  # fmt: skip
    assert all(line.status is Status.UNKNOWN for line in lines.values() if line.check.karpenter)
    assert lines["karpenter"].unknown == f"could not look: {NO_FLEET}"
    assert lines["nodes"].unknown == "not looked at, because 'fleet' comes first"
    assert command.verdict(list(lines.values()))[0] == 1


def test_what_a_check_finds_before_it_needs_the_fleet_is_told() -> None:
    assert (
        told(done("guard-bound", unreadable())) == "no ValidatingAdmissionPolicyBinding names it, so it refuses nothing"
    )
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "gpu-slice", "validationActions": ["Deny"]}}
    assert done("guard-bound", unreadable({BINDINGS: [binding]})).unknown == f"could not look: {NO_FLEET}"
