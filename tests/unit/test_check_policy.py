"""The check of the fleet as a policy in the API server, on what `gpu-slice render` prints, changed in one place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from tests.rendering import documents_of
from tests.unit.check_facts import Document, done, facts
from webhook.cli.files import load_fleet
from webhook.cli.main import main
from webhook.cluster.check import Status
from webhook.cluster.cures import Here
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
            "--only admission-policy | kubectl apply",
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


def test_a_standby_for_another_namespace_is_rendered_for_it_and_is_good_there() -> None:
    (problem,) = line(rendered("admission-policy"), namespace="gpus").problems
    assert "--only admission-policy --webhook-namespace gpus |" in Here("gpus").told(problem.cure)

    fleet = replace(facts().fleet, webhook_namespace="gpus")
    documents = documents_of(fleet, "admission-policy")
    found = {each["kind"]: each for each in documents}
    assert line(found, namespace="gpus").status is Status.GOOD
    for each in documents:
        text = json.dumps(each["spec"])
        assert '"gpus"' in text
        assert '"namespace": "gpu-slice"' not in text


@pytest.mark.parametrize("name", ["Gpus", "a.b", "", "-a", "a\n"])
def test_a_namespace_that_cannot_be_is_refused(name: str) -> None:
    result = CliRunner().invoke(main, ["render", "--only", "admission-policy", "--webhook-namespace", name])
    assert (result.exit_code, result.stdout) == (2, "")


def test_the_option_names_the_namespace_in_what_is_printed() -> None:
    printed = CliRunner().invoke(main, ["render", "--only", "admission-policy", "--webhook-namespace", "gpus"]).stdout
    assert printed.count("namespace: gpus") == 2
    assert "kubectl -n gpus annotate deployment" in printed


def test_a_fleet_in_shadow_has_no_policy() -> None:
    (problem,) = line(rendered("admission-policy"), fleet=SHADOW).problems
    assert "none can be rendered of this fleet" in problem.reason
    assert "kubectl delete mutatingadmissionpolicybinding" in problem.cure
