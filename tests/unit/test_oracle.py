"""The second opinion has one of its own: Kubernetes' rules for tolerations, and no import from the product."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests import oracle
from tests.oracle import sliced, taints_of, tolerates, tolerates_for_good

TAINT = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
EVICTS = {"key": "dedicated", "value": "gpu", "effect": "NoExecute"}


def test_it_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert imported == {"__future__", "collections.abc", "copy", "functools", "itertools", "typing", "yaml"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param({"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}, True, id="the taint itself"),
        pytest.param({"key": "dedicated", "operator": "Equal", "value": "gpu"}, True, id="any effect"),
        pytest.param({"key": "dedicated", "operator": "Exists"}, True, id="any value"),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"key": "", "operator": "Exists", "effect": "NoSchedule"}, True, id="every key of the effect"),
        pytest.param({"key": "dedicated", "value": "cpu"}, False, id="another value"),
        pytest.param({"key": "dedicated"}, False, id="no value"),
        pytest.param({"key": "other", "operator": "Exists"}, False, id="another key"),
        pytest.param({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False, id="another effect"),
        pytest.param({"value": "gpu"}, False, id="no key, which Exists alone may lack"),
        pytest.param({"key": "dedicated", "operator": "Gt", "value": "1"}, False, id="an operator behind a gate"),
    ],
)
def test_a_toleration_matches_a_taint_as_in_kubernetes(toleration: dict[str, Any], expected: bool) -> None:
    assert tolerates(toleration, TAINT) is expected


@pytest.mark.parametrize(
    ("taint", "expected"),
    [
        pytest.param(EVICTS, False, id="it evicts when the seconds are over"),
        pytest.param(TAINT, True, id="it never evicts"),
    ],
)
def test_a_toleration_with_seconds_is_not_for_good(taint: dict[str, Any], expected: bool) -> None:
    assert tolerates_for_good({"key": "dedicated", "operator": "Exists", "tolerationSeconds": 5}, taint) is expected


def test_taints_are_those_of_the_file() -> None:
    fleet = """
      defaults: {taints: [{key: a, effect: NoSchedule}]}
      pools: [{name: one}, {name: two, taints: [{key: b, value: c, effect: NoExecute}]}, {name: three, taints: []}]
    """

    assert taints_of(fleet, ["two", "three", "one"]) == [
        {"key": "b", "value": "c", "effect": "NoExecute"},
        {"key": "a", "effect": "NoSchedule"},
    ]
    assert taints_of("pools: [{name: one}]", ["one"]) == [oracle.SHARED_TAINT]


class Given:
    """A resolution in which the container `main` gets one 1g.5gb of the pool `small`."""

    def __init__(self) -> None:
        self.container, self.section, self.index = self, "containers", 0
        self.resource, self.count, self.name = "nvidia.com/mig-1g.5gb", 1, "small"
        self.assignments, self.pools = [self], [self]
        self.labels, self.one_of = {"nvidia.com/gpu": "a100"}, ()


@pytest.mark.parametrize(
    ("existing", "added"),
    [
        pytest.param([], True, id="none"),
        pytest.param(
            [{"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoExecute"}], True, id="another"
        ),
        pytest.param([{"key": "nvidia.com/mig-1g.5gb", "operator": "Exists"}], True, id="any effect"),
        pytest.param(
            [{"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoSchedule"}], False, id="that very one"
        ),
    ],
)
def test_the_toleration_of_a_resource_is_added_unless_it_is_there(existing: list[dict[str, Any]], added: bool) -> None:
    pod = {"metadata": {"annotations": {}}, "spec": {"containers": [{"name": "main"}], "tolerations": existing}}

    meant = sliced(pod, "1g.5gb", Given(), "pools: [{name: small}]")

    toleration = {"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoSchedule"}
    assert meant["spec"]["tolerations"].count(toleration) == 1
    assert (meant["spec"]["tolerations"][-1] == toleration) is added
    assert meant["spec"]["tolerations"][len(existing)] == {"key": "nvidia.com/gpu-shared", "operator": "Exists"}
