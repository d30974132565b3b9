"""From what a pod asks for to the one answer that this fleet has for it.

The first combination of choices, left to right, that one pool can serve for all containers of the pod.
Where a choice leaves several resources: the fewest compute slices, then the least memory, then no extra
engines, then fleet order.  Then every pool that serves those resources may take the pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from webhook.admission.nodes import ANYWHERE, NodeRules
from webhook.admission.pod import Container, effective
from webhook.fleet.fleet import Fleet, Policy
from webhook.fleet.pool import NodeShape, Offer, Pool
from webhook.slices.request import Choice, Request, parse

DEFAULT_ARCHITECTURE = "amd64"
"""What an image is built for if nobody says otherwise: another one serves only pods that name it, or the GPU."""

MOST_STEPS = 2_000
"""Combinations that are tried for one pool.  Far more than a pod that people write has; a bound for the others."""

Option = tuple[int, Offer]
"""A choice by its index, and an offer that satisfies it."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A container that shall get a slice."""

    container: Container
    request: Request
    given: tuple[str, int] | None = None
    """The resource and count that an earlier visit gave it, which are final."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What one container gets."""

    container: Container
    choice: Choice
    offer: Offer
    """In the first of the pools that serve the pod."""

    @property
    def resource(self) -> str:
        return self.offer.resource

    @property
    def count(self) -> int:
        return self.choice.count


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Everything about a pod that bears on the answer."""

    asked: str
    """The annotation."""
    wanted: Sequence[Wanted]
    others: Sequence[tuple[Container, str, int]]
    """Slices that other containers ask for by their resource."""
    rules: NodeRules
    policy: Policy
    containers: Sequence[Container]


@dataclass(frozen=True, slots=True, eq=False)
class Resolution:
    """The answer."""

    assignments: tuple[Assignment, ...]
    pools: tuple[Pool, ...]
    """Every pool that may take the pod, in fleet order."""
    labels: Mapping[str, str]
    """Those that all of the pools share."""
    one_of: tuple[str, ...] = ()
    """Names of the pools, where resource and labels do not single them out."""


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """A resolution without the containers of one pod."""

    options: tuple[Option, ...]
    pools: tuple[Pool, ...]
    labels: Mapping[str, str]
    one_of: tuple[str, ...]


def resolve(demand: Demand, fleet: Fleet) -> Resolution | None:
    """The answer, or None where no pool can serve the pod (`webhook.admission.explain` says why)."""
    if len(demand.wanted) == 1 and not demand.others and demand.rules == ANYWHERE:
        answer = _search_anywhere(demand.asked, demand.wanted[0].given, demand.policy, fleet)
    else:
        answer = _search(demand, fleet)
    if answer is None:
        return None
    return Resolution(
        assignments=tuple(
            Assignment(wanted.container, wanted.request.choices[index], offer)
            for wanted, (index, offer) in zip(demand.wanted, answer.options, strict=True)
        ),
        pools=answer.pools,
        labels=answer.labels,
        one_of=answer.one_of,
    )


_ANY = Container("containers", 0, "", {}, {})


@lru_cache(maxsize=1024)
def _search_anywhere(asked: str, given: tuple[str, int] | None, policy: Policy, fleet: Fleet) -> _Answer | None:
    """The answer for one container of a pod that demands nothing of its node: it hangs on nothing else."""
    (request,) = parse(asked)
    return _search(Demand(asked, [Wanted(_ANY, request, given)], [], ANYWHERE, policy, []), fleet)


def _search(demand: Demand, fleet: Fleet) -> _Answer | None:
    best: tuple[tuple[object, ...], list[Option]] | None = None
    shapes_of: list[tuple[Pool, Sequence[NodeShape]]] = []
    for pool in fleet.pools:
        shapes = allowed_shapes(pool, demand, fleet)
        if not shapes:
            continue
        shapes_of.append((pool, shapes))
        options = [list(_options(pool, each, demand)) for each in demand.wanted]
        found = first_fit(demand, options, shapes) if all(options) else None
        if found is None:
            continue
        key = (*(index for index, _ in found), *(offer.preference for _, offer in found))
        if best is None or key < best[0]:
            best = key, found
    return None if best is None else _widen(best[1], demand, shapes_of)


def allowed_shapes(pool: Pool, demand: Demand, fleet: Fleet) -> Sequence[NodeShape]:
    """The kinds of node of *pool* that the pod's nodeSelector and affinity allow."""
    if demand.rules == ANYWHERE:
        return pool.shapes
    return [shape for shape in pool.shapes if demand.rules.allow(shape, fleet.label_keys)]


def _options(pool: Pool, wanted: Wanted, demand: Demand) -> Iterator[Option]:
    """The offers of *pool* for one container, best first."""
    for index, choice in enumerate(wanted.request.choices):
        if choice.gpu is None and not of_named_architecture(pool, demand.rules):
            continue
        if wanted.given is not None and wanted.given[1] != choice.count:
            continue
        offers = [
            offer
            for offer in pool.offers
            if offer.satisfies(choice)
            and (wanted.given is None or wanted.given[0] == offer.resource)
            and demand.policy.permits(pool, offer)
        ]
        if len(offers) > 1:
            offers.sort(key=lambda offer: offer.preference)
        yield from ((index, offer) for offer in offers)


def of_named_architecture(pool: Pool, rules: NodeRules) -> bool:
    """Whether pods that do not name the GPU may run on *pool*."""
    return pool.architecture == DEFAULT_ARCHITECTURE or pool.architecture in rules.architectures()


def first_fit(demand: Demand, options: Sequence[Sequence[Option]], shapes: Sequence[NodeShape]) -> list[Option] | None:
    """One option for each wanted container, the earliest possible, so that one of *shapes* holds the whole pod."""
    chosen: list[Option] = []
    tried = [0]  # for each container that was begun, the next option to try
    for _ in range(MOST_STEPS):
        depth = len(chosen)
        if depth == len(options):
            return chosen
        if tried[depth] == len(options[depth]):
            if not chosen:
                return None
            chosen.pop()
            tried.pop()
            continue
        chosen.append(options[depth][tried[depth]])
        tried[depth] += 1
        if holds(shapes, total(demand, chosen)):
            tried.append(0)
        else:
            chosen.pop()
    return None


def total(demand: Demand, chosen: Sequence[Option]) -> Mapping[str, int]:
    """What a node must have, by resource, with *chosen* for the first of the wanted containers."""
    if len(demand.wanted) == 1 and not demand.others:
        return {offer.resource: demand.wanted[0].request.choices[index].count for index, offer in chosen}
    asked = [
        (wanted.container, offer.resource, wanted.request.choices[index].count)
        for wanted, (index, offer) in zip(demand.wanted, chosen, strict=False)
    ]
    order = {id(container): place for place, container in enumerate(demand.containers)}
    return effective(sorted([*asked, *demand.others], key=lambda each: order[id(each[0])]))


def holds(shapes: Sequence[NodeShape], needed: Mapping[str, int]) -> bool:
    """Whether a node of one of *shapes* has everything *needed*."""
    return any(all(shape.capacity.get(resource, 0) >= count for resource, count in needed.items()) for shape in shapes)


def _widen(chosen: list[Option], demand: Demand, shapes_of: Sequence[tuple[Pool, Sequence[NodeShape]]]) -> _Answer:
    """Every pool that serves the *chosen* resources, and what tells them from those that do not."""
    needed = total(demand, chosen)
    serving: list[tuple[Pool, list[Offer]]] = []
    others: list[Sequence[NodeShape]] = []
    for pool, shapes in shapes_of:
        if not holds(shapes, needed):
            continue
        offers = _same_offers(pool, chosen, demand)
        if offers is None:
            others.append(shapes)
        else:
            serving.append((pool, offers))
    pools = tuple(pool for pool, _ in serving)
    first, *rest = (pool.labels for pool in pools)
    labels = {key: value for key, value in first.items() if all(each.get(key) == value for each in rest)}
    mistaken = any(labels.items() <= shape.labels.items() for shapes in others for shape in shapes)
    return _Answer(
        options=tuple((index, offer) for (index, _), offer in zip(chosen, serving[0][1], strict=True)),
        pools=pools,
        labels=labels,
        one_of=tuple(pool.name for pool in pools) if mistaken else (),
    )


def _same_offers(pool: Pool, chosen: list[Option], demand: Demand) -> list[Offer] | None:
    """The offers by which *pool* serves the very resources that were *chosen*, or None."""
    found = []
    for wanted, (index, offer) in zip(demand.wanted, chosen, strict=True):
        choice = wanted.request.choices[index]
        if choice.gpu is None and not of_named_architecture(pool, demand.rules):
            return None
        same = pool.offer(offer.resource, choice)
        if same is None or not demand.policy.permits(pool, same):
            return None
        found.append(same)
    return found
