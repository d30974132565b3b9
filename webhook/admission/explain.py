"""Why no pool can serve a pod, and what to write instead.

`webhook.admission.resolve` found nothing.  Here one demand after the other is added, in the order in which
people can do something about them, and the first that leaves no pool is the reason that they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from webhook.admission.nodes import AFFINITY, ARCHITECTURES, expression_could_hold, expressions
from webhook.admission.resolve import Demand, Option, Wanted, allowed_shapes, of_named_architecture, total
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.nearest import distance, nearest
from webhook.fleet.pool import NodeShape, Offer, Pool
from webhook.slices.profile import MigProfile
from webhook.slices.request import FIELD, Choice, Fraction, Memory, Shared

MOST_LISTED = 8
"""Names in one message; an event is cut at 1,024 characters."""


def explain(demand: Demand, fleet: Fleet, namespace: str | None) -> Denial:
    """The reason, as a `Denial` that says what to write instead."""
    for wanted in demand.wanted:
        if not any(_serving(wanted, fleet)):
            return _not_offered(wanted, fleet, demand)
        if not any(demand.policy.permits(pool, offer) for pool, offer in _serving(wanted, fleet)):
            return _not_permitted(wanted, fleet, demand, namespace)
        if not any(_named(pool, wanted, demand) for pool, _ in _serving(wanted, fleet)):
            return _other_architecture(wanted, fleet)
    pools = [pool for pool in fleet.pools if _serves(pool, demand)]
    if not pools:
        return _not_together(demand, fleet)
    for container, resource, count in demand.others:
        if not any(offer.resource == resource for pool in pools for offer in pool.offers):
            names = ", ".join(sorted({f"'{offer.resource}'" for pool in pools for offer in pool.offers}))
            return Denial(
                f"'{container.name}' asks for {count} of '{resource}', which no pool that serves {_asked(demand)} has",
                field=f"{container.path}.resources.limits[{resource}]",
                hint=f"Remove it, or ask for {names}",
                reason="conflict",
            )
    shapes = {pool.name: allowed_shapes(pool, demand, fleet) for pool in pools}
    if not any(shapes.values()):
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


def unknown(choice: Choice, fleet: Fleet, demand: Demand) -> tuple[str, str, str]:
    """Why nothing in *fleet* satisfies *choice*: the problem, the hint, and the reason."""
    catalogue, wanted = fleet.catalogue, choice.slice
    permitted = [(pool, offer) for pool, offer in fleet.offers() if demand.policy.permits(pool, offer)]
    if choice.gpu is not None and choice.gpu not in catalogue.families():
        here = sorted({name for pool in fleet.pools for name in (pool.gpu.name, pool.gpu.family)})
        like = nearest(choice.gpu, here)
        return (
            f"no GPU is called '{choice.gpu}'",
            f"Write '{wanted}@{like}'" if like else f"This cluster has {_some(here)}",
            "unknown-gpu",
        )
    if isinstance(wanted, MigProfile):
        near = _nearest_profile(wanted, permitted, choice.gpu)
        if wanted.compute_instance_slices:
            whole = MigProfile(wanted.compute_slices, wanted.memory_gb, wanted.attribute)
            return (
                f"'{wanted}' is a compute instance inside '{whole}', and the device plugin advertises none",
                f"Write '{whole}'",
                "unknown-profile",
            )
        gpus = list(catalogue.having(wanted))
        if not gpus:
            return f"no GPU has a profile '{wanted}'", near, "unknown-profile"
        if choice.gpu is not None and not any(gpu.called(choice.gpu) for gpu in gpus):
            without = not any(gpu.mig for gpu in catalogue.gpus.values() if gpu.called(choice.gpu))
            if without:
                return f"{choice.gpu} has no MIG, so no '{wanted}'", f"Write 'shared@{choice.gpu}'", "no-mig"
            return f"{choice.gpu} has no profile '{wanted}'", near, "unknown-profile"
        where = choice.gpu or _some([gpu.name for gpu in gpus])
        return f"'{wanted}' ({where}) is not offered in this cluster", near, "not-offered"
    if isinstance(wanted, Shared):
        at = f" of {choice.gpu}" if choice.gpu else ""
        shares = [f"'shared@{offer.gpu.name}'" for _, offer in permitted if offer.name is None]
        hint = f"Write {_some(list(dict.fromkeys(shares)), 'or')}" if shares else _offered(permitted)
        return f"no pool of this cluster shares a GPU{at}", hint, "not-offered"
    size = f"{wanted} of a GPU" if isinstance(wanted, Fraction) else str(wanted)
    at = f" on {choice.gpu}" if choice.gpu else ""
    return f"no slice{at} in this cluster has {size}", _largest(wanted, permitted), "not-offered"


def _nearest_profile(wanted: MigProfile, offers: Iterable[tuple[Pool, Offer]], gpu: str | None) -> str:
    """A hint with the nearest profile that is offered, and where."""
    mig = [(pool, offer) for pool, offer in offers if offer.name is not None]
    of_gpu = [(pool, offer) for pool, offer in mig if gpu is None or offer.gpu.called(gpu)]
    pool, offer = min(
        of_gpu or mig,
        key=lambda each: (distance(wanted, each[1].name) if each[1].name else (99, 0, True), each[1].order),
        default=(None, None),
    )
    if pool is None or offer is None:
        return _offered(offers)
    at = f"@{gpu}" if gpu is not None and offer.gpu.called(gpu) else ""
    return f"Write '{offer}{at}', the nearest that is offered (pool {pool.name}, {offer.gpu.name})"


def _largest(wanted: Fraction | Memory, offers: Iterable[tuple[Pool, Offer]]) -> str:
    def size(each: tuple[Pool, Offer]) -> tuple[float, int]:
        offer = each[1]
        if offer.profile is None or offer.name is None:
            return (0, 0)
        if isinstance(wanted, Fraction):
            return (offer.profile.compute_slices / offer.gpu.compute_slices, -offer.order)
        if wanted.unit == "gb":
            return (offer.name.memory_gb, -offer.order)
        return (offer.profile.memory_mib or 0, -offer.order)

    pool, offer = max(offers, key=size, default=(None, None))
    if pool is None or offer is None or offer.name is None:
        return _offered(offers)
    return f"Write '{offer}', the largest that is offered (pool {pool.name}, {offer.gpu.name}), or less"


def _offered(offers: Iterable[tuple[Pool, Offer]]) -> str:
    names = list(dict.fromkeys(f"'{offer}'" for _, offer in offers))
    return f"Write {_some(names, 'or')}" if names else "Ask the platform team: nothing is offered to this namespace"


def _not_permitted(wanted: Wanted, fleet: Fleet, demand: Demand, namespace: str | None) -> Denial:
    permitted = [(pool, offer) for pool, offer in fleet.offers() if demand.policy.permits(pool, offer)]
    may = list(dict.fromkeys(f"'{offer}' (pool {pool.name})" for pool, offer in permitted))
    return Denial(
        f"namespace '{namespace or 'default'}' may not use {quote(_choices(wanted))}",
        field=FIELD,
        hint=f"It may use {_some(may)}" if may else "Ask the platform team: it may use no slices",
        reason="namespace",
        position=wanted.request.choices[0].position,
    )


def _other_architecture(wanted: Wanted, fleet: Fleet) -> Denial:
    pool, _ = next(_serving(wanted, fleet))
    return Denial(
        f"{quote(_choices(wanted))} is offered on {pool.architecture} nodes alone (pool {pool.name}), "
        "and the pod names no architecture",
        field=FIELD,
        hint=f"If the image runs there, add nodeSelector {ARCHITECTURES[0]}: {pool.architecture}",
        reason="architecture",
        position=wanted.request.choices[0].position,
    )


def _not_together(demand: Demand, fleet: Fleet) -> Denial:
    parts = [
        f"'{wanted.container.name}' by {_some(list(dict.fromkeys(pool.name for pool, _ in _serving(wanted, fleet))))}"
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
    names = _some([pool.name for pool in pools])
    known = fleet.label_keys
    for key, value in demand.rules.selector.items():
        if not any(shape.labels.get(key, None if key in known else value) == value for shape in shapes):
            has = _values(key, shapes)
            return Denial(
                f"{quote(value)} matches no node that serves {_asked(demand)} (pools {names}), "
                + (f"where it is {has}" if has else "which lack this label"),
                field=f"spec.nodeSelector[{key}]",
                hint=f"Write {has}, or remove it" if has else "Remove it",
                reason="node-selector",
            )
    for term in demand.rules.terms or ():
        for each in expressions(term):
            if not any(expression_could_hold(each, shape.labels, known) for shape in shapes):
                has = _values(str(each.get("key")), shapes)
                return Denial(
                    f"{each.get('key')} {each.get('operator')} {quote(each.get('values') or [])} matches no node "
                    f"that serves {_asked(demand)} (pools {names})" + (f", where it is {has}" if has else ""),
                    field=AFFINITY,
                    hint="Correct it, or remove it",
                    reason="node-selector",
                )
    return Denial(
        f"nodeSelector and required node affinity together match no node that serves {_asked(demand)} (pools {names})",
        field="spec",
        hint="Remove one of them",
        reason="node-selector",
    )


def _values(key: str, shapes: Iterable[NodeShape]) -> str:
    return _some(list(dict.fromkeys(f"'{shape.labels[key]}'" for shape in shapes if key in shape.labels)), "or")


def _too_many(demand: Demand, pools: list[Pool], shapes: Mapping[str, Sequence[NodeShape]]) -> Denial:
    """The pod asks for more than any one node has: say how many that is."""
    first = [next(_served(each, pools)) for each in demand.wanted]
    needed = total(demand, first)
    most = {
        resource: max((shape.capacity.get(resource, 0) for pool in pools for shape in shapes[pool.name]), default=0)
        for resource in needed
    }
    resource = max(needed, key=lambda name: needed[name] - most[name])
    if needed[resource] <= most[resource]:
        return Denial(
            f"no one node has everything that {_asked(demand)} ask for together",
            field=FIELD,
            hint="Ask for fewer slices, or make several pods",
            reason="capacity",
        )
    return Denial(
        f"the pod asks for {needed[resource]} of '{resource}', and the largest node has {most[resource]}",
        field=FIELD,
        hint=f"Ask for at most {most[resource]}, or make several pods",
        reason="capacity",
        position=demand.wanted[0].request.choices[0].position,
    )


def _served(wanted: Wanted, pools: list[Pool]) -> Iterator[Option]:
    for index, choice in enumerate(wanted.request.choices):
        yield from ((index, offer) for pool in pools for offer in pool.offers if offer.satisfies(choice))


def _choices(wanted: Wanted) -> str:
    return "|".join(map(str, wanted.request.choices))


def _asked(demand: Demand) -> str:
    return _some([quote(_choices(each)) for each in demand.wanted])


def _some(names: list[str], last: str = "and") -> str:
    """A list as a sentence has it, cut where it would fill the screen."""
    if len(names) > MOST_LISTED:
        return ", ".join(names[:MOST_LISTED]) + f" {last} {len(names) - MOST_LISTED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else ""
