"""Which nodes a pod allows: its nodeSelector and required node affinity, held against nodes to come.

A pool's nodes need not exist yet, and not every label is known beforehand (a zone, what GPU feature
discovery finds).  So the question is whether a node *could* match: a label that nobody can know rules
nothing out.  Preferred affinity rules nothing out either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webhook.admission.pod import Pod, malformed, mapping, sequence
from webhook.fleet.pool import NodeShape

AFFINITY = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
ARCHITECTURES = ("kubernetes.io/arch", "beta.kubernetes.io/arch")


@dataclass(frozen=True, slots=True)
class NodeRules:
    """What a pod demands of its node."""

    selector: Mapping[str, Any]
    terms: Sequence[Mapping[str, Any]] | None
    """Required node affinity: one of them must hold.  None: no such demand."""
    architectures: frozenset[str] = frozenset()
    """Those that the pod names."""

    @classmethod
    def of(cls, pod: Pod) -> NodeRules:
        """Read them.  Raises `Denial` where they are malformed."""
        spec = mapping(pod, "spec", "spec")
        selector = mapping(spec, "nodeSelector", "spec.nodeSelector")
        for key, value in selector.items():
            if not isinstance(value, str):
                raise malformed(f"spec.nodeSelector[{key}]", value, "a text: put it in quotes")
        named = {value for key, value in selector.items() if key in ARCHITECTURES}
        if not spec.get("affinity"):
            return cls(selector, None, frozenset(named))
        affinity = mapping(spec, "affinity", "spec.affinity")
        node = mapping(affinity, "nodeAffinity", "spec.affinity.nodeAffinity")
        key = AFFINITY.rpartition(".")[2]
        if node.get(key) is None:
            return cls(selector, None, frozenset(named))
        terms = sequence(mapping(node, key, AFFINITY), "nodeSelectorTerms", f"{AFFINITY}.nodeSelectorTerms")
        for term in terms:
            for each in expressions(term):
                key, values = _read(each)
                if key in ARCHITECTURES and each.get("operator") == "In":
                    named.update(value for value in values if isinstance(value, str))
        return cls(selector, terms, frozenset(named))

    def allow(self, shape: NodeShape, known: frozenset[str]) -> bool:
        """Whether a node of *shape* could take the pod.  *known*: label keys that it lacks if it has no value."""
        labels = shape.labels
        for key, value in self.selector.items():
            if labels.get(key, value if key not in known else None) != value:
                return False
        return self.terms is None or any(could_hold(term, labels, known) for term in self.terms)


ANYWHERE = NodeRules({}, None)
"""The rules of a pod that has none."""


def expressions(term: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The match expressions of a node selector term."""
    return sequence(term, "matchExpressions", f"{AFFINITY}.nodeSelectorTerms.matchExpressions")


def empty(term: Mapping[str, Any]) -> bool:
    """Whether *term* demands nothing, which to Kubernetes means that it matches no node at all."""
    return not term.get("matchExpressions") and not term.get("matchFields")


def could_hold(term: Mapping[str, Any], labels: Mapping[str, str], known: frozenset[str]) -> bool:
    """Whether *term* could hold on a node with *labels*; its matchFields name nodes, which nobody can know."""
    return not empty(term) and all(expression_could_hold(each, labels, known) for each in expressions(term))


def expression_could_hold(each: Mapping[str, Any], labels: Mapping[str, str], known: frozenset[str]) -> bool:
    """Whether one match expression could hold."""
    key, values = _read(each)
    value = labels.get(key)
    if value is None and key not in known:
        return True
    match each.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compare(value, each["operator"], values)
    return True  # an operator that Kubernetes does not know either: the API server will say so


def _read(each: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The key and the values of a match expression."""
    key, values = each.get("key"), each.get("values") or []
    if not isinstance(key, str) or not isinstance(values, list):
        raise malformed(f"{AFFINITY}.nodeSelectorTerms.matchExpressions", each, "a match expression")
    return key, values


def _compare(value: str | None, operator: str, values: list[Any]) -> bool:
    try:
        left, right = int(value or ""), int(values[0])
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return left > right if operator == "Gt" else left < right
