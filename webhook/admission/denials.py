"""Why no pool can serve a pod, and what to write instead.

`webhook.admission.resolve` found nothing.  Here one demand after the other is added, in the order in which
people can do something about them, and the first that leaves no pool is the reason that they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from webhook.admission.node_affinity import AFFINITY, ARCHITECTURES, empty, expression_could_hold, expressions
from webhook.admission.resolve import Demand, Option, Wanted, allowed_shapes, of_named_architecture, total
from webhook.admission.unoffered import MOST_LISTED, listed, permitted_offers, unknown
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import NodeShape, Offer, Pool
from webhook.slices.request import FIELD


def explain(demand: Demand, fleet: Fleet, namespace: str | None) -> Denial:
    """The reason, as a `Denial` that says what to write instead."""
    if not permitted_offers(demand, fleet):
        return _not_permitted(demand.wanted[0], fleet, demand, namespace)
    for wanted in demand.wanted:
        serving = list(_serving(wanted, fleet))
        if not serving:
            return _not_offered(wanted, fleet, demand)
        if not any(demand.policy.permits(pool, offer) for pool, offer in serving):
            return _not_permitted(wanted, fleet, demand, namespace)
        if not any(_named(pool, wanted, demand) for pool, _ in serving):
            return _other_architecture(wanted, serving[0][0])
    pools = [pool for pool in fleet.pools if _serves(pool, demand)]
    if not pools:
        return _not_together(demand, fleet)
    for container, resource, count in demand.others:
        if not any(offer.resource == resource for pool in pools for offer in pool.offers):
            names = list(dict.fromkeys(f"'{offer.resource}'" for pool in pools for offer in pool.offers))
            return Denial(
                f"{quote(container.name)} asks for {count} of {quote(resource)}, which no pool that serves "
                f"{_asked(demand)} has",
                field=f"{container.path}.resources.limits[{resource}]",
                hint=f"Remove it, or ask for {listed(names, 'or')}",
                reason="conflict",
            )
    shapes = {pool.name: allowed_shapes(pool, demand, fleet) for pool in pools}
    if not any(shapes.values()):
        for wanted in demand.wanted:
            for pool, _ in _serving(wanted, fleet):
                if not _named(pool, wanted, demand) and allowed_shapes(pool, demand, fleet):
                    return _other_architecture(wanted, pool)
        return _no_node(demand, pools, fleet)
    return _too_many(demand, [pool for pool in pools if shapes[pool.name]], shapes)


def _serving(wanted: Wanted, fleet: Fleet) -> Iterator[tuple[Pool, Offer]]:
    for pool, offer in fleet.offers():
        if any(offer.satisfies(choice) for choice in wanted.request.choices):
            yield pool, offer


def _named(pool: Pool, wanted: Wanted, demand: Demand) -> bool:
    return of_named_architecture(pool, demand.rules) or any(
        choice.gpu is not None and pool.gpu.called(choice.gpu) for choice in wanted.request.choices
    )


def _serves(pool: Pool, demand: Demand) -> bool:
    """Whether *pool* offers each wanted container something, nodes and numbers aside."""
    return all(
        any(
            offer.satisfies(choice)
            and demand.policy.permits(pool, offer)
            and (choice.gpu is not None or of_named_architecture(pool, demand.rules))
            for choice in wanted.request.choices
            for offer in pool.offers
        )
        for wanted in demand.wanted
    )


def _not_offered(wanted: Wanted, fleet: Fleet, demand: Demand) -> Denial:
    choice = wanted.request.choices[0]
    problem, hint, reason = unknown(choice, fleet, demand)
    if len(wanted.request.choices) > 1:
        problem += f", and no alternative of {quote(str(wanted.request))} is offered either"
    return Denial(problem, field=FIELD, hint=hint, reason=reason, position=choice.position)


def _not_permitted(wanted: Wanted, fleet: Fleet, demand: Demand, namespace: str | None) -> Denial:
    pools_of: dict[str, list[str]] = {}
    for pool, offer in permitted_offers(demand, fleet):
        pools_of.setdefault(f"'{offer}'", []).append(pool.name)
    may = [f"{name} ({_pools(pools)})" for name, pools in pools_of.items()]
    return Denial(
        f"namespace {quote(namespace or 'default')} may not use {quote(_choices(wanted))}",
        field=FIELD,
        hint=f"It may use {listed(may)}" if may else "Ask the platform team: it may use no slices",
        reason="namespace",
        position=wanted.request.choices[0].position,
    )


def _other_architecture(wanted: Wanted, pool: Pool) -> Denial:
    return Denial(
        f"pool {pool.name}, which has {quote(_choices(wanted))}, is {pool.architecture}, "
        "and the pod names no architecture",
        field=FIELD,
        hint=f"If the image runs there, add nodeSelector {ARCHITECTURES[0]}: {pool.architecture}",
        reason="architecture",
        position=wanted.request.choices[0].position,
    )


def _not_together(demand: Demand, fleet: Fleet) -> Denial:
    parts = [
        f"'{wanted.container.name}' by {listed(list(dict.fromkeys(pool.name for pool, _ in _serving(wanted, fleet))))}"
        for wanted in demand.wanted[:MOST_LISTED]
    ]
    return Denial(
        f"no single pool serves all of {_asked(demand)}: {'; '.join(parts)}",
        field=FIELD,
        hint="A pod runs on one node: choose slices of one pool, or make two pods",
        reason="several-pools",
    )


def _no_node(demand: Demand, pools: list[Pool], fleet: Fleet) -> Denial:
    """Some nodeSelector entry or affinity leaves none of *pools*."""
    shapes = [shape for pool in pools for shape in pool.shapes]
    names = _pools([pool.name for pool in pools])
    known = fleet.label_keys
    for key, value in demand.rules.selector.items():
        if not any(shape.labels.get(key, None if key in known else value) == value for shape in shapes):
            has = _values(key, shapes)
            return Denial(
                f"{quote(value)} matches no node that serves {_asked(demand)} ({names}), "
                + (f"where it is {has}" if has else "which lack this label"),
                field=f"spec.nodeSelector[{key}]",
                hint=f"Write {has}, or remove it" if has else "Remove it",
                reason="node-selector",
            )
    if demand.rules.terms is not None and all(map(empty, demand.rules.terms)):
        return Denial(
            "a required node affinity without expressions matches no node",
            field=f"{AFFINITY}.nodeSelectorTerms",
            hint="Give it an expression, or remove it",
            reason="node-selector",
        )
    for term in demand.rules.terms or ():
        for each in expressions(term):
            if not any(expression_could_hold(each, shape.labels, known) for shape in shapes):
                has = _values(str(each.get("key")), shapes)
                return Denial(
                    f"{each.get('key')} {each.get('operator')} {quote(each.get('values') or [])} matches no node "
                    f"that serves {_asked(demand)} ({names})" + (f", where it is {has}" if has else ""),
                    field=AFFINITY,
                    hint="Correct it, or remove it",
                    reason="node-selector",
                )
    return Denial(
        f"nodeSelector and required node affinity together match no node that serves {_asked(demand)} ({names})",
        field="spec",
        hint="Remove one of them",
        reason="node-selector",
    )


def _values(key: str, shapes: Iterable[NodeShape]) -> str:
    return listed(list(dict.fromkeys(f"'{shape.labels[key]}'" for shape in shapes if key in shape.labels)), "or")


def _too_many(demand: Demand, pools: list[Pool], shapes: Mapping[str, Sequence[NodeShape]]) -> Denial:
    """The pod asks for more than any one node has: say how many that is."""

    def most(resource: str) -> int:
        return max(shape.capacity.get(resource, 0) for pool in pools for shape in shapes[pool.name])

    # The best that each container could get; of one container alone, that of which there is the most.
    served = [sorted(_served(each, pools, demand), key=_order) for each in demand.wanted]
    best = max(served[0], key=lambda option: most(option[1].resource))
    needed = total(demand, [best] if len(served) == 1 else [each[0] for each in served])
    resource = max(needed, key=lambda name: needed[name] - most(name))
    if needed[resource] <= most(resource):
        return Denial(
            f"no one node has everything that {_asked(demand)} need together",
            field=FIELD,
            hint="Ask for fewer slices, or make several pods",
            reason="capacity",
        )
    return Denial(
        f"the pod asks for {needed[resource]} of '{resource}', and the largest node has {most(resource)}",
        field=FIELD,
        hint=f"Ask for at most {most(resource)}, or make several pods",
        reason="capacity",
        position=demand.wanted[0].request.choices[0].position,
    )


def _served(wanted: Wanted, pools: list[Pool], demand: Demand) -> Iterator[Option]:
    for index, choice in enumerate(wanted.request.choices):
        for pool in pools:
            for offer in pool.offers:
                if offer.satisfies(choice) and demand.policy.permits(pool, offer):
                    yield index, offer


def _order(option: Option) -> tuple[int, tuple[int, int, bool], int]:
    index, offer = option
    return index, offer.size, offer.order


def _pools(names: list[str]) -> str:
    return f"pool {names[0]}" if len(names) == 1 else f"pools {listed(names)}"


def _choices(wanted: Wanted) -> str:
    return "|".join(map(str, wanted.request.choices))


def _asked(demand: Demand) -> str:
    return listed([quote(_choices(each)) for each in demand.wanted])
