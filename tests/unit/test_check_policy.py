"""The check of the fleet as a policy in the API server, on what `gpu-slice render` prints, changed in one place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.rendering import documents_of
from tests.unit.check_facts import Document, done, facts
from webhook.cli.files import load_fleet
from webhook.cluster.check import Status
from webhook.cluster.objects import BINDINGS, POLICIES

Found = dict[str, Document]
SHADOW = load_fleet(b"""\
apiVersion: gpu-slice/v1
mode: shadow
pools: [{name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}]
""")


def rendered(subject: str) -> Found:
    return copy.deepcopy({each["kind"]: each for each in documents_of(facts().fleet, subject)})


def line(found: Found, **more: Any) -> Any:
    given = {kind: [found[name] for name in (kind.name,) if name in found] for kind in (POLICIES, BINDINGS)}
    return done("policy", facts(given, **more))


def test_without_a_policy_there_is_nothing_to_say() -> None:
    found = line({})
    assert (found.status, found.notes) == (Status.GOOD, ("there is none",))


@pytest.mark.parametrize("subject", ["admission-policy", "policy-alone"])
def test_what_is_rendered_of_the_fleet_is_good(subject: str) -> None:
    assert line(rendered(subject)).status is Status.GOOD


def another(found: Found) -> None:
    found["ValidatingAdmissionPolicy"]["spec"]["variables"][0]["expression"] += " "


@pytest.mark.parametrize(
    ("subject", "change", "said", "cure"),
    [
        ("admission-policy", another, "the answers of another fleet", "--only admission-policy"),
        ("policy-alone", another, "the answers of another fleet", "--only policy-alone"),
        ("policy-alone", lambda found: found.pop("ValidatingAdmissionPolicyBinding"), "no Validating", "policy-a"),
        (
            "admission-policy",
            lambda found: found["ValidatingAdmissionPolicyBinding"]["spec"]["paramRef"].update(namespace="gpus"),
            "looks at the Deployment in namespace gpus, and gpu-slice is in gpu-slice",
            "both bindings",
        ),
    ],
    ids=["a standby of before", "a policy of before", "no binding", "a standby of another namespace"],
)  # fmt: skip
def test_what_is_wrong_is_said(subject: str, change: Callable[[Found], object], said: str, cure: str) -> None:
    found = rendered(subject)
    change(found)
    (problem,) = (done := line(found)).problems
    assert said in problem.reason
    assert cure in done.cure(problem)


def test_a_fleet_in_shadow_has_no_policy() -> None:
    (problem,) = line(rendered("admission-policy"), fleet=SHADOW).problems
    assert "none can be rendered of this fleet" in problem.reason
    assert "kubectl delete mutatingadmissionpolicybinding" in problem.cure
