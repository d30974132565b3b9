"""Checks of the guard: the policy by which no pod is stored without the slice that it asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from webhook import __version__
from webhook.cluster.check.facts import Facts
from webhook.cluster.check.install import AGAIN, KEEPER
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.objects import BINDINGS, DEPLOYMENTS, NAMESPACES, POLICIES, Document
from webhook.cluster.selectors import unmatched
from webhook.fleet.file import Mode
from webhook.fleet.shadow import in_shadow, modes, pools_in_shadow

NAME, KEEPERS_POLICY = "gpu-slice", "gpu-slice-keeper"

EXPRESSIONS = "6b6cc4eca9c2004b"
"""What `digest` gives for ``manifests/guard/policy.yaml`` of this release.  A test holds it to that."""


NAME_LABEL = "kubernetes.io/metadata.name"

KEEPERS = "b0f6dbe1d7b168c1"
"""The same for ``manifests/keeper/policy.yaml``."""


def digest(spec: Document) -> str:
    """A short name for what a policy demands: its expressions, but not its messages."""
    parts = [
        [part.get(key) for key in ("name", "expression")]
        for field in ("matchConditions", "variables", "validations")
        for part in spec.get(field) or []
        if part.get("name") not in ("missing", "printable", "undecided")  # for the messages
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _policy(facts: Facts) -> Iterator[Found]:
    live = facts.named(POLICIES, NAME)
    if live is None:
        yield Problem(f"there is no ValidatingAdmissionPolicy {NAME}")
        return
    spec = live["spec"]
    if spec.get("failurePolicy", "Fail") != "Fail":
        yield Problem(f"failurePolicy is {spec['failurePolicy']}")
    constraints = spec.get("matchConstraints") or {}
    rules = constraints.get("resourceRules") or []
    if not any(
        "pods" in rule.get("resources", ()) and {"CREATE", "*"} & {*rule.get("operations", ())} for rule in rules
    ):
        yield Problem("it is not about pods that are created")
    excluded = [facts.namespace, "kube-system"]
    for part in (constraints.get("namespaceSelector") or {}).get("matchExpressions") or []:
        named = part["key"] == "kubernetes.io/metadata.name" and sorted(part.get("values") or []) == sorted(excluded)
        if not named and part["key"] != "gpu-slice/opt-out":
            yield Problem(
                f"its namespaceSelector has {part['key']} {part['operator']} {part.get('values') or ''}".rstrip()
            )
    for field in ("objectSelector", "excludeResourceRules"):
        if any(
            (constraints[field]).values() if isinstance(constraints.get(field), dict) else constraints.get(field) or ()
        ):
            yield Problem(f"its {field} is {constraints[field]}")
    if (constraints.get("namespaceSelector") or {}).get("matchLabels"):
        yield Problem("its namespaceSelector has matchLabels")
    if digest(spec) != EXPRESSIONS:
        yield Problem(f"its expressions are not those of gpu-slice {__version__}")
    for warning in ((live.get("status") or {}).get("typeChecking") or {}).get("expressionWarnings") or []:
        yield Problem(f"{warning.get('fieldRef')}: {warning.get('warning')}"[:200])


def _bound(facts: Facts) -> Iterator[Found]:
    bindings = [binding for binding in facts.all(BINDINGS) if binding["spec"].get("policyName") == NAME]
    if not bindings:
        yield Problem("no ValidatingAdmissionPolicyBinding names it, so it refuses nothing")
        return
    shadow = in_shadow(facts.fleet.file)
    problems = []
    for binding in bindings:
        spec, name = binding["spec"], binding["metadata"]["name"]
        actions, matched = spec.get("validationActions") or [], spec.get("matchResources") or {}
        narrowed = [
            field
            for field in ("objectSelector", "resourceRules", "excludeResourceRules", "namespaceSelector")
            if matched.get(field)
        ]
        selector = matched.get("namespaceSelector") or {}
        if "Deny" not in actions:
            if not shadow:
                told = f"{name} has validationActions {', '.join(actions)}, so it refuses nothing"
                problems.append(Problem(told))
        elif wrong := _refused_in_shadow(facts, selector):
            yield Problem(f"{name} refuses pods of {wrong}, which the webhook leaves as they are (in shadow: {shadow})")
            return
        elif narrowed and (narrowed[0] != "namespaceSelector" or not _covers(facts, selector)):
            problems.append(Problem(f"{name} narrows it by matchResources.{narrowed[0]}", warning=bool(shadow)))
        else:
            yield Note(f"{name}, but for what is in shadow" if shadow else name)
            return
    yield from problems
    if not problems:
        yield Note(f"it refuses nothing, as it should: in shadow are {shadow}")


def _refused_in_shadow(facts: Facts, selector: Document) -> str:
    """Whose pods a binding with *selector* would refuse that are in shadow; empty if nobody's."""
    pools = pools_in_shadow(facts.fleet.file)
    for name, mode, selected in _namespaces(facts, selector):
        if selected and (pools or mode == "shadow"):
            return f"pool {pools[0]}" if pools else f"namespace {name}" if name else "namespaces in shadow"
    return ""


def _covers(facts: Facts, selector: Document) -> bool:
    """Whether *selector* leaves out nothing but what is in shadow."""
    return all(selected or mode == "shadow" for _, mode, selected in _namespaces(facts, selector))


def _namespaces(facts: Facts, selector: Document) -> Iterator[tuple[str, Mode, bool]]:
    """The namespaces that the fleet or *selector* names, the mode of each, and whether it is selected.

    One without a name stands for all others.
    """
    others, different = modes(facts.fleet.file)
    given = (value for part in selector.get("matchExpressions") or () for value in part.get("values") or ())
    for name in dict.fromkeys(("", *facts.fleet.file.namespaces, *given)):
        labels = (facts.snapshot.named(NAMESPACES, name) or {}).get("metadata", {}).get("labels") or {}
        if name != "*":
            yield name, different.get(name, others), not unmatched(selector, {**labels, NAME_LABEL: name})


def _keeper(facts: Facts) -> Iterator[Found]:
    if facts.one(DEPLOYMENTS, KEEPER) is None:
        return
    live = facts.named(POLICIES, KEEPERS_POLICY)
    actions = [
        action
        for binding in facts.all(BINDINGS)
        if binding["spec"].get("policyName") == KEEPERS_POLICY and not binding["spec"].get("matchResources")
        for action in binding["spec"].get("validationActions") or ()
    ]
    if live is None or live["spec"].get("failurePolicy", "Fail") != "Fail":
        yield Problem(f"there is no ValidatingAdmissionPolicy {KEEPERS_POLICY} that fails closed")
    elif digest(live["spec"]) != KEEPERS:
        yield Problem(f"the expressions of {KEEPERS_POLICY} are not those of gpu-slice {__version__}")
    elif "Deny" not in actions:
        yield Problem(f"no ValidatingAdmissionPolicyBinding has {KEEPERS_POLICY} refuse anything")


_BIND = (
    "Run kubectl delete validatingadmissionpolicybinding gpu-slice, because kubectl and Helm leave what the other wrote"
    " in it.  Then apply your own folder, with components: [../manifests/shadow] only while anything is in shadow"
    " (docs/shadow.md), or run helm upgrade."
)

CHECKS = (
    Check("guard", "Admission", "the guard is there", AGAIN, _policy),
    Check("guard-bound", "Admission", "the guard refuses pods without their slice", _BIND, _bound, after=("guard",)),
    Check(
        "keeper-rights",
        "Certificates",
        "the keeper may change caBundle alone",
        "Apply this file alone: kubectl apply -f manifests/keeper/policy.yaml.  Without it, the keeper's token is worth"
        " the whole cluster.",
        _keeper,
        after=("keeper",),
    ),
)
