"""From what a pod asks for to the one answer that this fleet has for it.

The first combination of choices, left to right, that one pool can serve for all containers of the pod.
Where a choice leaves several resources: the fewest compute slices, then the least memory, then no extra
engines, then fleet order.  Then every pool that serves those resources may take the pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from webhook.admission.node_affinity import ANYWHERE, NodeRules
from webhook.admission.pod import Container, effective
from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import Policy
from webhook.fleet.pool import WHOLE_GPU, NodeShape, Offer, Pool
from webhook.slices.request import LONGEST_REMEMBERED, Choice, Request, parse

DEFAULT_ARCHITECTURE = "amd64"
"""What an image is built for if nobody says otherwise: another one serves only pods that name it, or the GPU."""

MOST_STEPS = 2_000
"""Combinations that are tried for one pool.  Far more than a pod that people write has; a bound for the others."""

MOST_CONTAINERS = 16
"""Containers of one pod that may have a slice: the cost of a search grows with them, and no pod is known that has
more."""

Option = tuple[int, Offer]
"""A choice by its index, and an offer that satisfies it."""

Options = dict[int, list[Offer]]
"""The offers for each choice that has any, best first."""


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
    """The answer, or None where no pool can serve the pod (`webhook.admission.denials` says why)."""
    remembered = len(demand.asked) <= LONGEST_REMEMBERED
    if remembered and len(demand.wanted) == 1 and not demand.others and demand.rules == ANYWHERE:
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
    return _search(Demand(asked, [Wanted(_ANY, request, given)], [], ANYWHERE, policy), fleet)


def _search(demand: Demand, fleet: Fleet) -> _Answer | None:
    best: tuple[tuple[object, object, object], list[Option]] | None = None
    shapes_of: list[tuple[Pool, Sequence[NodeShape]]] = []
    for pool in fleet.pools:
        shapes = allowed_shapes(pool, demand, fleet)
        if not shapes:
            continue
        shapes_of.append((pool, shapes))
        options = [_options(pool, each, demand, shapes) for each in demand.wanted]
        found = first_fit(demand, options, shapes) if all(options) else None
        if found is None:
            continue
        key = (
            [index for index, _ in found],
            [offer.size for _, offer in found],
            [offer.order for _, offer in found],
        )
        if best is None or key < best[0]:
            best = key, found
    return None if best is None else _widen(best[1], demand, shapes_of)


def allowed_shapes(pool: Pool, demand: Demand, fleet: Fleet) -> Sequence[NodeShape]:
    """The kinds of node of *pool* that the pod's nodeSelector and affinity allow."""
    if demand.rules == ANYWHERE:
        return pool.shapes
    return [shape for shape in pool.shapes if demand.rules.allow(shape, fleet.label_keys)]


def _options(pool: Pool, wanted: Wanted, demand: Demand, shapes: Sequence[NodeShape]) -> Options:
    """The offers of *pool* for one container, by choice, best first; those that fit on a node by themselves."""
    found: Options = {}
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
            and holds(shapes, {offer.resource: choice.count})
        ]
        if offers:
            found[index] = sorted(offers, key=lambda offer: (offer.size, offer.order))
    return found


def of_named_architecture(pool: Pool, rules: NodeRules) -> bool:
    """Whether pods that do not name the GPU may run on *pool*."""
    return pool.architecture == DEFAULT_ARCHITECTURE or pool.architecture in rules.architectures


def first_fit(demand: Demand, options: Sequence[Options], shapes: Sequence[NodeShape]) -> list[Option] | None:
    """One option for each wanted container, so that one of *shapes* holds the whole pod.

    The first combination of choices that fits; of its offers the best that fit.
    """
    steps = MOST_STEPS

    def with_offers(indices: list[int], chosen: list[Option], dead: set[object]) -> list[Option] | None:
        """*chosen*, and offers for the rest of the choices at *indices*.  *dead*: what was tried and led nowhere."""
        nonlocal steps
        if len(chosen) == len(indices):
            return chosen
        index = indices[len(chosen)]
        for offer in options[len(chosen)][index]:
            attempt = [*chosen, (index, offer)]
            state = (len(attempt), frozenset(Counter(map(_spent, demand.wanted, attempt)).items()))
            if steps == 0 or state in dead:
                continue
            steps -= 1
            if holds(shapes, total(demand, attempt)) and (found := with_offers(indices, attempt, dead)):
                return found
            dead.add(state)
        return None

    def with_choices(indices: list[int], fitting: list[Option], dead: set[object]) -> list[Option] | None:
        """*fitting*, which is for the choices at *indices*, and the rest of the containers."""
        if len(indices) == len(options):
            return fitting
        for index in options[len(indices)]:
            wider, here = [*indices, index], set(dead)
            wider_fitting = with_offers(wider, fitting, here) or with_offers(wider, [], here)
            if wider_fitting and (found := with_choices(wider, wider_fitting, here)):
                return found
        return None

    return with_choices([], [], set())


def _spent(wanted: Wanted, option: Option) -> tuple[object, str, int]:
    """What an option takes: the same from every container that runs beside the others."""
    index, offer = option
    alone = wanted.container.index if wanted.container.initial else None
    return alone, offer.resource, wanted.request.choices[index].count


def total(demand: Demand, chosen: Sequence[Option]) -> Mapping[str, int]:
    """What a node must have, by resource, with *chosen* for the first of the wanted containers."""
    if len(demand.wanted) == 1 and not demand.others:
        return {offer.resource: demand.wanted[0].request.choices[index].count for index, offer in chosen}
    asked = [
        (wanted.container, offer.resource, wanted.request.choices[index].count)
        for wanted, (index, offer) in zip(demand.wanted, chosen, strict=False)
    ]
    return effective(sorted([*asked, *demand.others], key=lambda each: (not each[0].initial, each[0].index)))


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
    if not labels and any(offer.resource == WHOLE_GPU for _, offer in chosen):
        mistaken = True  # without a label, a whole GPU of any node would do
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
