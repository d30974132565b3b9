"""The check of the fleet as a policy in the API server, where somebody has applied one."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.cluster.check.facts import Facts
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.cures import render
from webhook.cluster.objects import BINDINGS, POLICIES
from webhook.errors import BadFleet
from webhook.render.admission_policy import NAME, variables_of


def _policy(facts: Facts) -> Iterator[Found]:
    live = facts.named(POLICIES, NAME)
    if live is None:
        yield Note("there is none")
        return
    standby = bool(live["spec"].get("paramKind"))
    cure = f"Run {render('admission-policy' if standby else 'policy-alone')}."
    try:
        rendered = variables_of(facts.fleet)
    except BadFleet as error:
        yield Problem(f"there is one, and none can be rendered of this fleet: {error}", _REMOVE)
        return
    if {each["name"]: each["expression"] for each in live["spec"].get("variables") or ()} != rendered:
        yield Problem("it has the answers of another fleet, or of another release of gpu-slice", cure)
    bindings = [each["spec"] for each in facts.all(BINDINGS) if each["spec"].get("policyName") == NAME]
    if not bindings:
        yield Problem(
            f"no ValidatingAdmissionPolicyBinding names {NAME}, so what it cannot decide is passed over", cure
        )
    for spec in bindings if standby else ():
        where = (spec.get("paramRef") or {}).get("namespace")
        if where != facts.namespace:
            told = f"it looks at the Deployment in namespace {where}, and gpu-slice is in {facts.namespace}"
            yield Problem(f"{told}: it never acts", cure)
    if standby:
        yield Note("a standby, which acts while no replica is ready")


_REMOVE = (
    "Remove it: kubectl delete mutatingadmissionpolicybinding,mutatingadmissionpolicy,"
    "validatingadmissionpolicybinding,validatingadmissionpolicy gpu-slice-policy."
)

CHECKS = (
    Check(
        "policy",
        "Admission",
        "a policy in the API server decides by this fleet, if there is one",
        f"Run {render('admission-policy')}.",
        _policy,
    ),
)
