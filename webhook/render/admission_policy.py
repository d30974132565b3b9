"""The fleet as a policy in the API server itself: a MutatingAdmissionPolicy, and a ValidatingAdmissionPolicy beside it.

It looks answers up in `webhook.render.admission_table`, and writes what the webhook would write.  What it cannot decide
it leaves as it is, and the validating policy refuses it with a sentence.  Each pod that it has seen carries the
annotation `DECIDED`, with which the webhook is not called.  As a standby it acts only while no replica of the webhook
is ready, and takes the annotation away from other pods.

The language is CEL, as Kubernetes 1.36 and later have it.  Source: k8s.io/apiserver ``pkg/cel/environment/base.go`` for
its libraries, and ``pkg/apis/cel/config.go`` for what an expression may cost, which is 1,000,000.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from webhook.admission.plan import MIRROR, UNTOUCHED_NAMESPACES
from webhook.admission.resolve import Resolution
from webhook.errors import BadFleet, FleetProblem
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU
from webhook.fleet.shadow import in_shadow
from webhook.render.admission_table import Table
from webhook.render.cel import CHOSEN, DECIDED, PATCH, POD, PRINTABLE, READ, REFUSALS, SETTLED, grammar
from webhook.render.manifest import Commented, KeyPath, Manifest, labels

NAME = "gpu-slice-policy"
API_VERSION = "admissionregistration.k8s.io/v1"
DEPLOYMENT = "webhook"
LONGEST = 100_000
"""Characters of an expression that the API server reads.  Source: cel-go ``parser/parser.go``."""
MOST_LISTED = 12

STANDBY = "gpu-slice/standby"
"""An annotation of the webhook's Deployment: ``on`` or ``off``, whatever the number of ready replicas."""

_ACTS = (
    f"params.metadata.?annotations[?'{STANDBY}'].orValue('') == 'on' || "
    f"params.metadata.?annotations[?'{STANDBY}'].orValue('') != 'off' && params.?status.?readyReplicas.orValue(0) == 0"
)
_ASKS = "has(object.metadata.annotations) && 'gpu-slice' in object.metadata.annotations"
_MARKED = f"object.metadata.?annotations[?'{DECIDED}'].hasValue()"
_UNMARK = "JSONPatch{op: 'remove', path: '/metadata/annotations/gpu-slice~1decided-by'}"
_WHOLE = " || ".join(
    f"object.spec.?{section}.orValue([]).exists(c, '{WHOLE_GPU}' in c.?resources.?limits.orValue({{}}))"
    for section in ("containers", "initContainers")
)
_NO_MIRROR = {
    "name": "is-no-mirror-pod",
    "expression": f"!has(object.metadata.annotations) || !('{MIRROR}' in object.metadata.annotations)",
}
_STANDBY_NOTE = f"""\
The policy acts while no replica of this Deployment is ready.  By hand, with on, off, or {STANDBY}- to end that:
  kubectl -n {{}} annotate deployment {DEPLOYMENT} {STANDBY}=on --overwrite"""
_ALONE_NOTE = "Instead of the webhook: the policy always acts."


ABOUT = """\
docs/admission-policy.md says what these policies decide.  The first refuses what the other cannot decide, and
what is marked as decided and is not."""


def standby(fleet: Fleet) -> Iterator[Commented]:
    """The policies for a cluster with the webhook: they act while no replica of it is ready."""
    where = fleet.webhook_namespace
    yield from _documents(fleet, {"name": DEPLOYMENT, "namespace": where, "parameterNotFoundAction": "Allow"})


def alone(fleet: Fleet) -> Iterator[Commented]:
    """The policies for a cluster without the webhook."""
    yield from _documents(fleet, None)


def _documents(fleet: Fleet, params: Manifest | None) -> Iterator[Commented]:
    reference = {} if params is None else {"paramRef": params}
    note: dict[KeyPath, str] = {
        ("spec",): _ALONE_NOTE if params is None else _STANDBY_NOTE.format(fleet.webhook_namespace)
    }
    shared: Manifest = {"failurePolicy": "Fail", "matchConstraints": _pods(fleet.webhook_namespace)}
    if params is not None:
        shared["paramKind"] = {"apiVersion": "apps/v1", "kind": "Deployment"}
    variables = [{"name": name, "expression": text} for name, text in variables_of(fleet).items()]
    asks = f"{_ASKS} || {_WHOLE}" if defaults_of(fleet) else _ASKS
    mutation = f"!({_ASKS}) && (!variables.byDefault || variables.problem != '') ? [] : {PATCH}"
    seen, acts = [], []
    if params is not None:
        mutation = f"!({_ACTS}) ? [{_UNMARK}] : {mutation}"
        seen = [{"name": "is-decided-here", "expression": _MARKED}]
        acts = [{"name": "acts-or-has-acted", "expression": f"{_MARKED} || {_ACTS}"}]
    yield Commented(
        _document(
            "ValidatingAdmissionPolicy",
            shared
            | {
                "matchConditions": [{"name": "asks-for-a-slice", "expression": _ASKS}, _NO_MIRROR, *seen],
                "variables": variables,
                "validations": list(_validations()),
            },
        ),
        {(): ABOUT},
    )
    yield Commented(
        _document("ValidatingAdmissionPolicyBinding", {"policyName": NAME, "validationActions": ["Deny"]} | reference)
    )
    yield Commented(
        _document(
            "MutatingAdmissionPolicy",
            shared
            | {
                "reinvocationPolicy": "IfNeeded",
                "matchConditions": [{"name": "asks-for-a-slice", "expression": asks}, _NO_MIRROR, *acts],
                "variables": variables,
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}}],
            },
        ),
    )
    yield Commented(_document("MutatingAdmissionPolicyBinding", {"policyName": NAME} | reference), note)


def _pods(own: str) -> Manifest:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    untouched = sorted({*UNTOUCHED_NAMESPACES, own})
    return {
        "matchPolicy": "Equivalent",
        "resourceRules": [rule | {"scope": "Namespaced"}],
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": untouched},
                {"key": "gpu-slice/opt-out", "operator": "DoesNotExist"},
            ]
        },
    }


def _document(kind: str, spec: Manifest) -> Manifest:
    metadata = {"name": NAME, "labels": labels("policy")}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _validations() -> Iterator[Manifest]:
    where = "metadata.annotations[gpu-slice]: "
    yield {
        "expression": _MARKED,
        "reason": "Forbidden",
        "message": f"{where}the policy in the cluster has not seen what this pod asks for. If a webhook adds the "
        "annotation, write it into the pod or its workload's template instead.",
    }
    yield {
        "expression": "variables.problem == ''",
        "reason": "Forbidden",
        "message": f"{where}the policy in the cluster cannot decide about this pod. Use one slice such as '1g.5gb' for "
        "one container.",
        "messageExpression": f"variables.problem.matches('{PRINTABLE}') ? variables.problem : ''",
    }
    yield {
        "expression": "variables.problem != '' || variables.assigned == variables.record",
        "reason": "Forbidden",
        "message": "metadata.annotations[gpu-slice/assigned]: it is not what the policy in the cluster decides. Remove "
        f"the annotations gpu-slice/assigned and {DECIDED}; if you wrote neither, another webhook changed the pod.",
    }


def variables_of(fleet: Fleet) -> dict[str, str]:
    """The variables of both policies, each with its expression.  They may name those before them.

    Raises `BadFleet` for a fleet that is too large, or in shadow.
    """
    if shadow := in_shadow(fleet.file):
        problem = f"the fleet has {shadow} in shadow, and a policy in the API server enforces what it decides"
        raise BadFleet([FleetProblem("mode", problem, "Use the webhook until nothing is in shadow")])
    table = Table(fleet)
    needs = list({need.toleration: need for answer in table.answers for need in answer.needs}.values())
    places = {need.toleration: place for place, need in enumerate(needs)}

    def column(value: Any) -> str:
        return _literal([value(answer) for answer in table.answers])

    def needed(answer: Resolution) -> list[int]:
        return [places[need.toleration] for need in answer.needs]

    data = {
        "keys": _literal(table.keys),
        "rows": _literal([[list(row) for row in rows] for rows in table.rows]),
        "namespaces": _literal(table.policies),
        "defaults": _literal(defaults_of(fleet)),
        "slices": _literal([", ".join(names[:MOST_LISTED]) for names in table.slices]),
        "labels": _literal(table.labels()),
        "resources": column(lambda answer: answer.assignments[0].resource),
        "poolNames": column(lambda answer: answer.names),
        "pools": column(lambda answer: [pool.name for pool in answer.pools]),
        "byPool": column(lambda answer: bool(answer.one_of)),
        "selectors": column(lambda answer: dict(answer.labels)),
        "needs": column(needed),
        "tolerations": _literal([need.written for need in needs]),
        "taints": _literal([[taint._asdict() for taint in need.taints] for need in needs]),
    }
    read = {
        "asked": "variables.byDefault ? (variables.inits.exists(c, c.name == variables.whole[0][0]) ? "
        "variables.whole[0][0] + '=' : '') + variables.default : variables.annotations[?'gpu-slice'].orValue('')",
        "readable": f"size(variables.asked) <= 1024 && variables.asked.matches({_literal(grammar(table.gpus))})",
    }
    problem = " : ".join(f"{condition} ? {message}" for condition, message in REFUSALS)
    result = data | POD | read | READ | CHOSEN | {"problem": f"{problem} : ''"} | SETTLED
    for name, text in result.items():
        if len(text) > LONGEST:
            problem = f"make {name} of the policy {len(text)} characters long, and the API server reads {LONGEST}"
            raise BadFleet([FleetProblem("pools and namespaces", problem, "Use the webhook alone")])
    return result


def defaults_of(fleet: Fleet) -> dict[str, str]:
    """The default of each namespace that has one."""
    return {name: policy.default for name, policy in fleet.policies.items() if policy.default is not None}


def _literal(value: Any) -> str:
    """*value* as CEL.  What JSON calls an object, CEL calls a map."""
    return json.dumps(value)
