"""Why no pool can serve a pod, and what to write instead.

`webhook.admission.resolve` returned no answer.  Here the pod's demands are checked one after the other, and the first
that leaves no pool is the reason that users read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from webhook.admission.containers import BY_OTHERS, Wanted
from webhook.admission.node_affinity import AFFINITY, ARCHITECTURES, empty, expression_could_hold
from webhook.admission.pod import Expression
from webhook.admission.resolve import Demand, Obstacle, largest_allowed, obstacle, preference, satisfying, total
from webhook.admission.search import Option
from webhook.admission.unoffered import (
    MOST_LISTED,
    UNKNOWN,
    enforced,
    hint,
    listed,
    permitted_offers,
    problem,
)
from webhook.budget import Budget
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import NodeShape, Offer, Pool
from webhook.slices.request import FIELD

_SELECTED_BY_OTHERS = "; if you did not write it, the namespace (PodNodeSelector) or a webhook did"


def explain(demand: Demand, fleet: Fleet, namespace: str | None, budget: Budget) -> Denial:
    """The reason, as a `Denial` that says what to write instead."""
    return Explanation(demand, fleet, namespace, budget).denial()


class Explanation:
    """What can be said about why pools do not serve *demand*."""

    def __init__(self, demand: Demand, fleet: Fleet, namespace: str | None, budget: Budget) -> None:
        self.demand = demand
        self.fleet = fleet
        self.namespace = namespace
        self.budget = budget

    def denial(self) -> Denial:
        demand, fleet = self.demand, self.fleet
        if fleet.offers and not permitted_offers(demand, fleet):
            return self.not_permitted(demand.wanted[0])
        for wanted in demand.wanted:
            obstacles = {cause for _, _, cause in self.offers(wanted)}
            if not obstacles:
                return self.not_offered(wanted)
            if obstacles == {Obstacle.NOT_PERMITTED}:
                return self.not_permitted(wanted)
            if None not in obstacles:
                return self.other_architecture(wanted, self.of_other_architecture(wanted)[0])
        active = [pool for pool in fleet.pools if not pool.entry.retired]
        serving = [pool for pool in active if all(self.serves(pool, wanted) for wanted in demand.wanted)]
        pools = enforced(serving, demand)
        if not pools:
            return self.not_together()
        for other in demand.others:
            if not any(offer.resource == other.resource for pool in pools for offer in pool.offers):
                names = list(dict.fromkeys(f"'{offer.resource}'" for pool in pools for offer in pool.offers))
                return Denial(
                    f"{quote(other.place.name)} asks for {other.count} of {quote(other.resource)}, which no pool that "
                    f"serves {self.asked()} has",
                    field=f"{other.place.path}.resources.limits[{other.resource}]",
                    hint=f"Remove it, or ask for {listed(names, 'or')}{BY_OTHERS}",
                    reason="conflict",
                )
        capacities = {pool: self.capacity(pool) for pool in pools}
        allowed = {pool: capacity for pool, capacity in capacities.items() if capacity is not None}
        if allowed:
            return self.too_many(allowed)
        for wanted in demand.wanted:
            for pool in self.of_other_architecture(wanted):
                if self.capacity(pool) is not None:
                    return self.other_architecture(wanted, pool)
        return self.no_node(pools)

    def offers(self, wanted: Wanted) -> Iterator[tuple[Pool, Offer, Obstacle | None]]:
        """Each offer that satisfies a choice of *wanted*, and why it does not serve it."""
        for choice in wanted.request.choices:
            for pool, offer in satisfying(choice, self.fleet, self.budget):
                yield pool, offer, obstacle(pool, offer, choice, self.demand)

    def pools_of(self, wanted: Wanted) -> Iterator[Pool]:
        """The pools that offer what is *wanted*, in fleet order, even if the namespace may not use them."""
        names = {pool.name for pool, _, _ in self.offers(wanted)}
        return (pool for pool in self.fleet.pools if pool.name in names)

    def of_other_architecture(self, wanted: Wanted) -> Sequence[Pool]:
        pools = [pool for pool, _, cause in self.offers(wanted) if cause is Obstacle.OTHER_ARCHITECTURE]
        return enforced(pools, self.demand)

    def serves(self, pool: Pool, wanted: Wanted) -> bool:
        """Whether *pool* can serve *wanted*, regardless of nodes and counts."""
        return next(self.served(pool, wanted), None) is not None

    def served(self, pool: Pool, wanted: Wanted) -> Iterator[Option]:
        """The options that *pool* has for *wanted*, regardless of nodes and counts."""
        for index, choice in enumerate(wanted.request.choices):
            self.budget.spend(2 * len(pool.offers), FIELD)
            for offer in pool.offers:
                if offer.satisfies(choice) and obstacle(pool, offer, choice, self.demand) is None:
                    yield index, offer

    def capacity(self, pool: Pool) -> Mapping[str, int] | None:
        return largest_allowed(pool, self.demand, self.budget)

    def not_offered(self, wanted: Wanted) -> Denial:
        choice = wanted.request.choices[0]
        why, reason = problem(choice, self.fleet, self.budget)
        if len(wanted.request.choices) > 1:
            why += f", and no alternative of {quote(str(wanted.request))} is offered either"
        instead = hint(wanted, self.demand, self.fleet, self.budget)
        return Denial(why, field=FIELD, hint=instead, reason=reason, position=choice.position)

    def not_permitted(self, wanted: Wanted) -> Denial:
        pools_of: dict[str, list[str]] = {}
        offers = permitted_offers(self.demand, self.fleet)
        usable = set(enforced([pool for pool, _ in offers], self.demand))
        for pool, offer in offers:
            if pool in usable:
                pools_of.setdefault(f"'{offer}'", []).append(pool.name)
        permitted = [f"{name} ({_pools(pools)})" for name, pools in pools_of.items()]
        gone, asked = self.retired(), self.retired(wanted)
        others = "nothing else" if asked else f"only {_pools(gone)}, now retired"
        instead = f"Ask the platform team: it may {f'use {others}' if gone else 'not use any slices'}"
        if permitted:
            instead = hint(wanted, self.demand, self.fleet, self.budget)
            if instead == UNKNOWN:
                instead = f"It may use only {listed(permitted)}"
            elif instead.startswith(("Nothing ", "This namespace may use only ")):
                instead = f"It may use nothing as large, only {listed(permitted)}"
        may, only = ("may", f" only from {_pools(asked)}, now retired") if asked else ("may not", "")
        return Denial(
            f"namespace {quote(self.namespace or 'default')} {may} use {quote(asked_of(wanted))}{only}",
            field=FIELD,
            hint=instead,
            reason="namespace",
            position=wanted.request.choices[0].position,
        )

    def retired(self, wanted: Wanted | None = None) -> list[str]:
        """The retired pools that the namespace could use before: all of them, or those that have what is *wanted*."""
        before = self.fleet.before
        pairs = [pair for pair in permitted_offers(self.demand, before) if pair[0].entry.retired] if before else []
        choices = wanted.request.choices if wanted is not None else ()
        if not self.budget.afford(len(pairs) * len(choices)):
            return []
        return list(
            dict.fromkeys(
                pool.name for pool, offer in pairs if wanted is None or any(offer.satisfies(each) for each in choices)
            )
        )

    def other_architecture(self, wanted: Wanted, pool: Pool) -> Denial:
        named = listed([quote(name) for name in sorted(self.demand.rules.architectures)[:MOST_LISTED]])
        return Denial(
            f"pool {pool.name}, which has {quote(asked_of(wanted))}, is {pool.architecture}, "
            f"and the pod names {named or 'no architecture'}",
            field=FIELD,
            hint=f"If the image runs on {pool.architecture}, {'write' if named else 'add'} nodeSelector "
            f"{ARCHITECTURES[0]}: {pool.architecture}",
            reason="architecture",
            position=wanted.request.choices[0].position,
        )

    def not_together(self) -> Denial:
        parts = [
            f"'{wanted.place.name}' by {listed([pool.name for pool in self.pools_of(wanted)])}"
            for wanted in self.demand.wanted[:MOST_LISTED]
        ]
        return Denial(
            f"no single pool serves all of {self.asked()}: {'; '.join(parts)}",
            field=FIELD,
            hint="A pod runs on one node: choose slices of one pool, or make two pods",
            reason="several-pools",
        )

    def no_node(self, pools: Sequence[Pool]) -> Denial:
        """A nodeSelector entry or node affinity excludes all of *pools*."""
        rules = self.demand.rules
        shapes = [shape for pool in pools for shape in pool.shapes]
        self.budget.spend(2 * rules.cost * len(shapes))
        if rules.terms is not None and all(map(empty, rules.terms)):
            return Denial(
                "a required node affinity without expressions matches no node",
                field=f"{AFFINITY}.nodeSelectorTerms",
                hint="Give it an expression, or remove it",
                reason="node-selector",
            )
        selector = [Expression(key, "In", [value]) for key, value in sorted(rules.selector.items())]
        terms = [term.match_expressions or [] for term in rules.terms or () if not empty(term)]
        for expression in chain(selector, *terms):
            if not _matching(expression, shapes):
                return self.no_match(expression, expression in selector, pools, shapes)
        # Each is possible by itself.  One of them is not, on the nodes that the others leave.
        for expression in chain(selector, *terms[:1]):
            left = _matching(expression, shapes)
            if not left:
                break
            shapes = left
        return self.no_match(
            expression, expression in selector, pools, shapes, " and agrees with the pod's other rules"
        )

    def no_match(
        self, expression: Expression, selector: bool, pools: Sequence[Pool], shapes: Iterable[NodeShape], more: str = ""
    ) -> Denial:
        """*expression*, of the nodeSelector or of node affinity, matches none of *shapes*."""
        names = _pools([pool.name for pool in pools])
        values = _values(expression.key, shapes)
        rule = quote(expression.values[0]) if selector and expression.values else _written(expression)
        return Denial(
            f"{rule} matches no node that serves {self.asked()} ({names}){more}, "
            + (f"where the label is {values}" if values else "whose nodes do not have this label"),
            field=f"spec.nodeSelector[{expression.key}]" if selector else AFFINITY,
            hint=(f"Write {values}, or remove it" if values else "Remove it") + _SELECTED_BY_OTHERS
            if selector
            else "Correct it, or remove it; if you did not write it, a webhook did",
            reason="node-selector",
        )

    def too_many(self, capacities: Mapping[Pool, Mapping[str, int]]) -> Denial:
        """The pod asks for more than any single node has."""
        most = Counter[str]()
        for capacity in capacities.values():
            for name, count in capacity.items():
                most[name] = max(most[name], count)
        # The best option of each container.  If only one is wanted: the option of which a node has the most.
        wanted = self.demand.wanted
        options = [
            sorted((option for pool in capacities for option in self.served(pool, part)), key=preference)
            for part in wanted
        ]
        best = [part[0] for part in options]
        if len(wanted) == 1:
            best = [max(options[0], key=lambda option: most[option[1].resource])]
        needed = total(self.demand, best)
        resource = max(needed, key=lambda name: needed[name] - most[name])
        if needed[resource] <= most[resource]:
            return Denial(
                f"no single node has everything that {self.asked()} need together",
                field=FIELD,
                hint="Ask for fewer slices, or make several pods",
                reason="capacity",
            )
        return Denial(
            f"the pod asks for {needed[resource]} of '{resource}', and the largest node has {most[resource]}",
            field=FIELD,
            hint=f"Make several pods, of at most {most[resource]} each",
            reason="capacity",
            position=wanted[0].request.choices[0].position,
        )

    def asked(self) -> str:
        return listed([quote(asked_of(wanted)) for wanted in self.demand.wanted])


def _matching(expression: Expression, shapes: Iterable[NodeShape]) -> list[NodeShape]:
    return [shape for shape in shapes if expression_could_hold(expression, shape.labels)]


def _written(expression: Expression) -> str:
    values = f" {quote(expression.values)}" if expression.values else ""
    return f"{quote(expression.key)[1:-1]} {expression.operator}{values}"


def _values(key: str, shapes: Iterable[NodeShape]) -> str:
    values = dict.fromkeys(shape.labels.get(key) for shape in shapes)
    return listed([f"'{value}'" for value in values if value is not None], "or")


def _pools(names: list[str]) -> str:
    return f"pool {names[0]}" if len(names) == 1 else f"pools {listed(names)}"


def asked_of(wanted: Wanted) -> str:
    """The choices of one container, as it wrote them."""
    return "|".join(map(str, wanted.request.choices))
