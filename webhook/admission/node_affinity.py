"""Which nodes a pod allows: its nodeSelector and required node affinity, compared with nodes that may not exist yet.

Not every label of a future node is known, such as its name or the labels of GPU feature discovery.  So the question is
whether a node *could* match: a label with an unknown value excludes no node.  Preferred affinity excludes none either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from webhook.admission.pod import Expression, Spec, System, Term
from webhook.budget import Budget
from webhook.errors import Denial
from webhook.fleet.labels import WELL_KNOWN, Labels
from webhook.fleet.pool import NodeShape, Pool
from webhook.slices.request import ANNOTATION

AFFINITY = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
ARCHITECTURES = ("kubernetes.io/arch", "beta.kubernetes.io/arch")

DEFAULT_ARCHITECTURE = "amd64"
"""Images are usually built for this.  A pool with another serves only pods that name the architecture, or the GPU."""

MOST_EXPRESSIONS = 1_000
"""Match expressions of a pod that asks for a slice."""

MOST_DIGITS = 19
"""Characters of a number that Gt and Lt compare: Kubernetes reads them as 64-bit integers."""


class NodeRules(Struct, frozen=True, gc=False):
    """What a pod demands of its node."""

    selector: Mapping[str, str] = {}
    terms: Sequence[Term] | None = None
    """Required node affinity: one of these terms must match.  None if the pod has none."""
    architectures: frozenset[str] = frozenset()
    """The architectures that the pod names."""
    cost: int = 0
    """Steps that it takes to check one kind of node."""
    spread: bool = False
    """Whether the scheduler must spread it.  It then counts every node that the pod selects, also one without slices,
    and leaves the pod waiting for those that it cannot use."""

    @property
    def anything(self) -> bool:
        """Whether any node will do."""
        return not self.selector and self.terms is None

    def allows(self, shape: NodeShape) -> bool:
        """Whether a node of *shape* could take the pod."""
        labels = shape.labels
        for key, value in self.selector.items():
            if labels.get(key, value) != value:
                return False
        if self.terms is None:
            return True
        for term in self.terms:  # noqa: SIM110  # any() takes twice as long
            if could_hold(term, labels):
                return True
        return False

    def allowed_shapes(self, pool: Pool, budget: Budget) -> Sequence[NodeShape]:
        """The kinds of node of *pool* that could take the pod."""
        if self.anything:
            return pool.shapes
        budget.spend(self.cost * len(pool.shapes), AFFINITY if self.terms is not None else "spec.nodeSelector")
        return [shape for shape in pool.shapes if self.allows(shape)]

    def keys(self) -> set[str]:
        """The labels that it is about."""
        return {*self.selector, *(part.key for term in self.terms or () for part in term.match_expressions or ())}

    def unheard_of(self, labels: Labels) -> list[str]:
        """The labels without which no node will do, and of which neither Karpenter nor *labels* know anything."""
        keys = sorted(key for key in self.selector if key not in labels and key not in WELL_KNOWN)
        by_term = (
            [
                part.key
                for part in term.match_expressions or ()
                if part.operator not in ("NotIn", "DoesNotExist")
                and part.key not in labels
                and part.key not in WELL_KNOWN
            ]
            for term in self.terms or ()
            if could_hold(term, labels)
        )
        return list(dict.fromkeys(keys + min(by_term, key=len, default=[])))


ANYWHERE = NodeRules()
"""The rules of a pod that has none."""


def node_rules(spec: Spec, budget: Budget) -> NodeRules:
    """What *spec* demands.  Raises `Denial` if there are too many expressions."""
    terms = _required(spec)
    selector = spec.node_selector or {}
    constraints = spec.topology_spread_constraints or ()
    budget.spend(len(constraints), "spec.topologySpreadConstraints")
    spread = any(constraint.when_unsatisfiable == "DoNotSchedule" for constraint in constraints)
    if not selector and terms is None:
        return NodeRules(spread=True) if spread else ANYWHERE
    budget.spend(len(selector), "spec.nodeSelector")
    named = {value for key, value in selector.items() if key in ARCHITECTURES}
    cost = len(selector)
    if terms is not None:
        cost += len(terms) + 2 * _count(terms, budget)
        for term in terms:
            for expression in term.match_expressions or ():
                if expression.key in ARCHITECTURES and expression.values:
                    if expression.operator == "In":
                        named.update(expression.values)
                    elif expression.operator == "NotIn" and DEFAULT_ARCHITECTURE in expression.values:
                        named.update({"arm64"}.difference(expression.values))
    return NodeRules(selector, terms, frozenset(named), cost, spread)


def refuse_other_systems(system: System) -> None:
    """Raise `Denial` for a pod of Windows: the scheduler does not compare ``spec.os`` with nodes."""
    if system.name == "windows":
        raise Denial(
            "the pod is for 'windows', and every node with slices runs 'linux'",
            field="spec.os.name",
            hint=f"Write 'linux', or remove the annotation '{ANNOTATION}'",
            reason="node-selector",
        )


def _required(spec: Spec) -> Sequence[Term] | None:
    affinity = spec.affinity or None
    node = affinity.node_affinity or None if affinity else None
    required = node.required or None if node else None
    return required.node_selector_terms or () if required else None


def _count(terms: Sequence[Term], budget: Budget) -> int:
    """How many expressions *terms* have, and one more for every 16 values, which are compared one by one."""
    budget.spend(len(terms), AFFINITY)
    count = sum(len(term.match_expressions) for term in terms if term.match_expressions)
    if count > MOST_EXPRESSIONS:
        raise Denial(
            f"there are {count} match expressions",
            field=AFFINITY,
            hint=f"A pod that asks for a slice may have at most {MOST_EXPRESSIONS}",
            reason="too-large",
        )
    values = sum(len(part.values) for term in terms for part in term.match_expressions or () if part.values)
    budget.spend(count + values, AFFINITY)
    return count + values // 16


def empty(term: Term) -> bool:
    """Whether *term* demands nothing.  To Kubernetes such a term matches no node."""
    return not term.match_expressions and not term.match_fields


def could_hold(term: Term, labels: Labels) -> bool:
    """Whether *term* could match a node with *labels*.  Its matchFields name nodes, which are not known in advance."""
    for expression in term.match_expressions or ():
        if not expression_could_hold(expression, labels):
            return False
    return not empty(term)


def expression_could_hold(expression: Expression, labels: Labels) -> bool:
    """Whether one match expression could match."""
    if expression.key not in labels:
        return True
    value, values = labels[expression.key], expression.values or ()
    match expression.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compare(value or "", expression.operator, values[0] if values else "")
    return True  # an operator that Kubernetes does not know: the API server refuses it


def _compare(value: str, operator: str, bound: str) -> bool:
    if len(value) > MOST_DIGITS or len(bound) > MOST_DIGITS + 1:
        return False
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right
