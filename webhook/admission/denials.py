"""Why no pool can serve a pod, and what to write instead.

`webhook.admission.resolve` returned no answer.  Here the pod's demands are checked one after the other, and the first
that leaves no pool is the reason that users read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from webhook.admission.containers import Wanted
from webhook.admission.node_affinity import AFFINITY, ARCHITECTURES, empty, expression_could_hold
from webhook.admission.resolve import Demand, Obstacle, largest_allowed, obstacle, preference, satisfying, total
from webhook.admission.search import Option
from webhook.admission.unoffered import MOST_LISTED, listed, permitted_offers, unknown
from webhook.budget import Budget
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import NodeShape, Offer, Pool
from webhook.slices.request import FIELD


def explain(demand: Demand, fleet: Fleet, namespace: str | None, budget: Budget) -> Denial:
    """The reason, as a `Denial` that says what to write instead."""
    return _Explanation(demand, fleet, namespace, budget).denial()


class _Explanation:
    def __init__(self, demand: Demand, fleet: Fleet, namespace: str | None, budget: Budget) -> None:
        self.demand = demand
        self.fleet = fleet
        self.namespace = namespace
        self.budget = budget

    def denial(self) -> Denial:
        demand, fleet = self.demand, self.fleet
        if not permitted_offers(demand, fleet):
            return self.not_permitted(demand.wanted[0])
        for wanted in demand.wanted:
            obstacles = {cause for _, _, cause in self.offers(wanted)}
            if not obstacles:
                return self.not_offered(wanted)
            if obstacles == {Obstacle.NOT_PERMITTED}:
                return self.not_permitted(wanted)
            if None not in obstacles:
                return self.other_architecture(wanted, self.of_other_architecture(wanted)[0])
        pools = [pool for pool in fleet.pools if all(self.serves(pool, wanted) for wanted in demand.wanted)]
        if not pools:
            return self.not_together()
        for other in demand.others:
            if not any(offer.resource == other.resource for pool in pools for offer in pool.offers):
                names = list(dict.fromkeys(f"'{offer.resource}'" for pool in pools for offer in pool.offers))
                return Denial(
                    f"{quote(other.place.name)} asks for {other.count} of {quote(other.resource)}, which no pool that "
                    f"serves {self.asked()} has",
                    field=f"{other.place.path}.resources.limits[{other.resource}]",
                    hint=f"Remove it, or ask for {listed(names, 'or')}",
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

    def of_other_architecture(self, wanted: Wanted) -> list[Pool]:
        return [pool for pool, _, cause in self.offers(wanted) if cause is Obstacle.OTHER_ARCHITECTURE]

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
        return largest_allowed(pool, self.demand, self.fleet, self.budget)

    def not_offered(self, wanted: Wanted) -> Denial:
        choice = wanted.request.choices[0]
        problem, hint, reason = unknown(choice, self.fleet, self.demand, self.budget)
        if len(wanted.request.choices) > 1:
            problem += f", and no alternative of {quote(str(wanted.request))} is offered either"
        return Denial(problem, field=FIELD, hint=hint, reason=reason, position=choice.position)

    def not_permitted(self, wanted: Wanted) -> Denial:
        pools_of: dict[str, list[str]] = {}
        for pool, offer in permitted_offers(self.demand, self.fleet):
            pools_of.setdefault(f"'{offer}'", []).append(pool.name)
        permitted = [f"{name} ({_pools(pools)})" for name, pools in pools_of.items()]
        return Denial(
            f"namespace {quote(self.namespace or 'default')} may not use {quote(_choices(wanted))}",
            field=FIELD,
            hint=f"It may use {listed(permitted)}" if permitted else "Ask the platform team: it may not use any slices",
            reason="namespace",
            position=wanted.request.choices[0].position,
        )

    def other_architecture(self, wanted: Wanted, pool: Pool) -> Denial:
        return Denial(
            f"pool {pool.name}, which has {quote(_choices(wanted))}, is {pool.architecture}, "
            "and the pod names no architecture",
            field=FIELD,
            hint=f"If the image runs on {pool.architecture}, add nodeSelector {ARCHITECTURES[0]}: {pool.architecture}",
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
        rules, known = self.demand.rules, self.fleet.label_keys
        shapes = [shape for pool in pools for shape in pool.shapes]
        names = _pools([pool.name for pool in pools])
        self.budget.spend(rules.cost * len(shapes))
        for key, value in sorted(rules.selector.items()):
            if not any(shape.labels.get(key, None if key in known else value) == value for shape in shapes):
                values = _values(key, shapes)
                return Denial(
                    f"{quote(value)} matches no node that serves {self.asked()} ({names}), "
                    + (f"where the label is {values}" if values else "whose nodes do not have this label"),
                    field=f"spec.nodeSelector[{key}]",
                    hint=f"Write {values}, or remove it" if values else "Remove it",
                    reason="node-selector",
                )
        if rules.terms is not None and all(map(empty, rules.terms)):
            return Denial(
                "a required node affinity without expressions matches no node",
                field=f"{AFFINITY}.nodeSelectorTerms",
                hint="Give it an expression, or remove it",
                reason="node-selector",
            )
        for term in rules.terms or ():
            for expression in term.match_expressions or ():
                if not any(expression_could_hold(expression, shape.labels, known) for shape in shapes):
                    values = _values(expression.key, shapes)
                    return Denial(
                        f"{expression.key} {expression.operator} {quote(expression.values or [])} matches no node "
                        f"that serves {self.asked()} ({names})" + (f", where the label is {values}" if values else ""),
                        field=AFFINITY,
                        hint="Correct it, or remove it",
                        reason="node-selector",
                    )
        return Denial(
            f"nodeSelector and required node affinity together match no node that serves {self.asked()} ({names})",
            field="spec",
            hint="Remove one of them",
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
            hint=f"Ask for at most {most[resource]}, or make several pods",
            reason="capacity",
            position=wanted[0].request.choices[0].position,
        )

    def asked(self) -> str:
        return listed([quote(_choices(wanted)) for wanted in self.demand.wanted])


def _values(key: str, shapes: Iterable[NodeShape]) -> str:
    return listed(list(dict.fromkeys(f"'{shape.labels[key]}'" for shape in shapes if key in shape.labels)), "or")


def _pools(names: list[str]) -> str:
    return f"pool {names[0]}" if len(names) == 1 else f"pools {listed(names)}"


def _choices(wanted: Wanted) -> str:
    return "|".join(map(str, wanted.request.choices))
