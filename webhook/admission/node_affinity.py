"""Which nodes a pod allows: its nodeSelector and required node affinity, compared with nodes that may not exist yet.

Not every label of a future node is known, such as its zone or the labels of GPU feature discovery.  So the question is
whether a node *could* match: a label with an unknown value excludes no node.  Preferred affinity excludes none either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from webhook.admission.pod import Expression, Spec, Term
from webhook.budget import Budget
from webhook.errors import Denial
from webhook.fleet.pool import NodeShape, Pool

AFFINITY = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
ARCHITECTURES = ("kubernetes.io/arch", "beta.kubernetes.io/arch")

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

    def allows(self, shape: NodeShape, known: frozenset[str]) -> bool:
        """Whether a node of *shape* could take the pod.  *known*: keys of labels whose values are all known."""
        labels = shape.labels
        for key, value in self.selector.items():
            if labels.get(key, value if key not in known else None) != value:
                return False
        return self.terms is None or any(could_hold(term, labels, known) for term in self.terms)

    def allowed_shapes(self, pool: Pool, known: frozenset[str], budget: Budget) -> Sequence[NodeShape]:
        """The kinds of node of *pool* that could take the pod."""
        if self.anything:
            return pool.shapes
        budget.spend(self.cost * len(pool.shapes), AFFINITY if self.terms is not None else "spec.nodeSelector")
        return [shape for shape in pool.shapes if self.allows(shape, known)]


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
                if expression.key in ARCHITECTURES and expression.operator == "In":
                    named.update(expression.values or ())
    return NodeRules(selector, terms, frozenset(named), cost, spread)


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


def could_hold(term: Term, labels: Mapping[str, str], known: frozenset[str]) -> bool:
    """Whether *term* could match a node with *labels*.  Its matchFields name nodes, which are not known in advance."""
    return not empty(term) and all(
        expression_could_hold(expression, labels, known) for expression in term.match_expressions or ()
    )


def expression_could_hold(expression: Expression, labels: Mapping[str, str], known: frozenset[str]) -> bool:
    """Whether one match expression could match."""
    value, values = labels.get(expression.key), expression.values or ()
    if value is None and expression.key not in known:
        return True
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
