"""The checks of the guard, on what manifests/guard and manifests/keeper say, changed in one place each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.unit.check_facts import ROOT, Document, done, facts
from webhook.cluster.check import Status
from webhook.cluster.objects import BINDINGS, POLICIES

GUARD = ROOT / "manifests" / "guard"
POLICY = next(yaml.safe_load_all((GUARD / "policy.yaml").read_text()))
BINDING = next(yaml.safe_load_all((GUARD / "binding.yaml").read_text()))
OF_KEEPER = list(yaml.safe_load_all((ROOT / "manifests" / "keeper" / "policy.yaml").read_text()))
KEEPER = {("Deployment", "gpu-slice", "keeper"): {"metadata": {"name": "keeper"}, "spec": {}}}


def changed(document: Document, change: Callable[[Document], object]) -> Document:
    copied = copy.deepcopy(document)
    change(copied["spec"])
    return copied


def reasons(id: str, policies: list[Document], bindings: list[Document], **more: Any) -> list[str]:
    line = done(id, facts({POLICIES: policies, BINDINGS: bindings}, **more))
    assert (line.status is Status.FAILED) is bool(line.problems)
    return [problem.reason for problem in line.problems]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda spec: None, None, id="as shipped"),
        pytest.param(lambda spec: spec.pop("failurePolicy", None), None, id="by default it fails closed"),
        pytest.param(lambda spec: spec.update(failurePolicy="Ignore"), "failurePolicy is Ignore", id="open"),
        pytest.param(
            lambda spec: spec["matchConstraints"].pop("namespaceSelector"),
            None,
            id="in more namespaces",
        ),
        pytest.param(lambda spec: spec.pop("matchConstraints"), "it is not about pods that are created", id="nothing"),
        pytest.param(
            lambda spec: spec["matchConstraints"]["resourceRules"][0].update(operations=["UPDATE"]),
            "it is not about pods that are created",
            id="changes alone",
        ),
        pytest.param(
            lambda spec: spec["matchConstraints"]["resourceRules"][0].update(operations=["*"]), None, id="any operation"
        ),
        pytest.param(
            lambda spec: spec["matchConstraints"]["resourceRules"][0].update(resources=["jobs"]),
            "it is not about pods that are created",
            id="other objects",
        ),
        pytest.param(
            lambda spec: spec["matchConstraints"]["namespaceSelector"]["matchExpressions"].append(
                {"key": "team", "operator": "Exists"}
            ),
            "its namespaceSelector has team Exists",
            id="some namespaces",
        ),
        pytest.param(
            lambda spec: spec["matchConstraints"]["namespaceSelector"].update(matchLabels={"a": "b"}),
            "its namespaceSelector has matchLabels",
            id="some namespaces, by label",
        ),
        pytest.param(
            lambda spec: spec["matchConstraints"].update(objectSelector={"matchLabels": {"a": "b"}}),
            "its objectSelector is {'matchLabels': {'a': 'b'}}",
            id="some pods",
        ),
        pytest.param(lambda spec: spec["matchConstraints"].update(objectSelector={}), None, id="all pods"),
        pytest.param(
            lambda spec: spec["validations"][0].update(expression="true"), "its expressions are not those", id="weaker"
        ),
    ],
)
def test_the_guard_is_as_it_was_shipped(change: Callable[[Document], object], said: str | None) -> None:
    found = reasons("guard", [changed(POLICY, change)], [BINDING])
    assert [text.startswith(said or "?") for text in found] == ([True] if said else [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param([lambda spec: None], [], id="as shipped"),
        pytest.param([], ["no ValidatingAdmissionPolicyBinding names it, so it refuses nothing"], id="none"),
        pytest.param(
            [lambda spec: spec.update(policyName="other")],
            ["no ValidatingAdmissionPolicyBinding names it, so it refuses nothing"],
            id="of another policy",
        ),
        pytest.param(
            [lambda spec: spec.update(validationActions=["Warn", "Audit"])],
            ["gpu-slice has validationActions Warn, Audit, so it refuses nothing"],
            id="it only warns",
        ),
        pytest.param(
            [lambda spec: spec.update(matchResources={"objectSelector": {"matchLabels": {"a": "b"}}})],
            ["gpu-slice narrows it by matchResources.objectSelector"],
            id="for some pods",
        ),
        pytest.param(
            [lambda spec: spec.update(validationActions=["Audit"]), lambda spec: None], [], id="one of two suffices"
        ),
    ],
)
def test_the_guard_is_bound(changes: list[Callable[[Document], object]], said: list[str]) -> None:
    assert reasons("guard-bound", [POLICY], [changed(BINDING, change) for change in changes]) == said


def keepers(change: Callable[[Document, Document], object]) -> tuple[list[Document], list[Document]]:
    policy, binding = copy.deepcopy(OF_KEEPER)
    change(policy["spec"], binding["spec"])
    return [policy], [binding]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda policy, binding: None, None, id="as shipped"),
        pytest.param(lambda policy, binding: policy.update(failurePolicy="Ignore"), "there is no", id="it fails open"),
        pytest.param(
            lambda policy, binding: policy["validations"][0].update(expression="true"),
            "the expressions of",
            id="weaker",
        ),
        pytest.param(
            lambda policy, binding: binding.update(validationActions=["Warn"]), "no ValidatingAdmission", id="it warns"
        ),
        pytest.param(
            lambda policy, binding: binding.update(matchResources={"objectSelector": {"matchLabels": {"a": "b"}}}),
            "no ValidatingAdmission",
            id="for some objects",
        ),
        pytest.param(
            lambda policy, binding: binding.update(policyName="other"), "no ValidatingAdmission", id="of another policy"
        ),
    ],
)
def test_the_keepers_policy_is_as_it_was_shipped(change: Callable[..., object], said: str | None) -> None:
    found = reasons("keeper-rights", *keepers(change), single=KEEPER)
    assert [text.startswith(said or "?") for text in found] == ([True] if said else [])


def test_where_there_is_no_keeper_its_policy_is_not_missed() -> None:
    assert reasons("keeper-rights", [], []) == []
    assert reasons("keeper-rights", [], [], single=KEEPER) == [
        "there is no ValidatingAdmissionPolicy gpu-slice-keeper that fails closed"
    ]
