"""Finds the one answer that a fleet has for what a pod asks for.

It is the first combination of choices, left to right, that one pool can serve for all containers of the pod.  If
several resources satisfy a choice, the one with the fewest compute slices is taken, then the one with the least memory,
then one without media engines, then the first in fleet order.  Every pool that serves these resources may take the pod.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from itertools import chain
from typing import TypeAlias

from msgspec import Struct

from webhook.admission.containers import Other, Wanted
from webhook.admission.node_affinity import ANYWHERE, DEFAULT_ARCHITECTURE, NodeRules
from webhook.admission.pod import Container, Place, needed
from webhook.admission.search import Option, first_fit
from webhook.admission.tolerations import Need, needs_of
from webhook.budget import UNLIMITED, Budget
from webhook.fleet.fleet import Fleet, PoolOffer
from webhook.fleet.labels import widespread
from webhook.fleet.policy import EVERYTHING, Policy
from webhook.fleet.pool import WHOLE_GPU, NodeShape, Offer, Pool
from webhook.slices.profile import MigProfile
from webhook.slices.request import FIELD, Choice, Request


class Demand(Struct, frozen=True, gc=False):
    """Everything about a pod that affects the answer."""

    wanted: Sequence[Wanted]
    others: Sequence[Other]
    rules: NodeRules
    policy: Policy


class Assignment(Struct, frozen=True, gc=False):
    """What one container gets."""

    container: Place
    choice: Choice
    offer: Offer
    """In the first of the pools that serve the pod."""

    @property
    def resource(self) -> str:
        return self.offer.resource

    @property
    def count(self) -> int:
        return self.choice.count


class Resolution(Struct, frozen=True, gc=False):
    """The answer."""

    assignments: tuple[Assignment, ...]
    pools: tuple[Pool, ...]
    """Every pool that may take the pod, in fleet order."""
    labels: Mapping[str, str]
    """The labels that all of these pools share."""
    one_of: tuple[str, ...] = ()
    """Names of the pools, if resource and labels also match other nodes, or if it matters which nodes are counted."""
    names: str = ""
    """Names of all the pools, as the annotation records them."""
    needs: tuple[Need, ...] = ()
    """The tolerations that the pod needs."""
    profile: str = ""
    """The slice that each container gets; empty if they get different ones."""

    def given_to(self, place: Place) -> Resolution:
        """The same for another pod, whose only container is at *place*."""
        (only,) = self.assignments
        assignment = Assignment(place, only.choice, only.offer)
        return Resolution((assignment,), self.pools, self.labels, self.one_of, self.names, self.needs, self.profile)


Plain: TypeAlias = Mapping[str, Resolution]
"""The answer to the simplest pod for each profile: see `prepare`."""


class Obstacle(Enum):
    """Why an offer that satisfies a choice does not serve it, apart from nodes and counts."""

    NOT_PERMITTED = auto()
    OTHER_ARCHITECTURE = auto()


def obstacle(pool: Pool, offer: Offer, choice: Choice, demand: Demand) -> Obstacle | None:
    """Why *offer* of *pool*, which satisfies *choice*, does not serve it; None if it does."""
    if not demand.policy.permits(pool, offer):
        return Obstacle.NOT_PERMITTED
    if (
        choice.gpu is None
        and pool.architecture != DEFAULT_ARCHITECTURE
        and pool.architecture not in demand.rules.architectures
    ):
        return Obstacle.OTHER_ARCHITECTURE
    return None


def prepare(fleet: Fleet) -> Plain:
    """The answers that depend only on *fleet*, computed once: for a container that asks for one slice of a profile.

    They are for pods without node selection, in a namespace that may use everything.
    """
    place = Place(Container("any"), 0, False, {})
    plain = {}
    for profile in fleet.by_profile:
        wanted = Wanted(place, Request((Choice(profile),)))
        resolution = resolve(Demand((wanted,), (), ANYWHERE, EVERYTHING), fleet, Budget(UNLIMITED))
        if resolution is not None:
            plain[str(profile)] = plain[str(profile).replace("+", ".")] = resolution
    return plain


def resolve(demand: Demand, fleet: Fleet, budget: Budget) -> Resolution | None:
    """The answer; None if no pool can serve the pod (`webhook.admission.denials` says why)."""
    best: tuple[tuple[object, ...], list[Option]] | None = None
    most: list[int] | None = None
    known_shapes: dict[object, list[int] | None] = {}
    serving = _Serving(demand, fleet, budget)
    for pool, options in _options(demand, serving, budget).items():
        capacity = serving.largest(pool)
        if capacity is None:
            continue
        if len(options) == 1 and not demand.others:
            places = first_fit(demand.wanted, demand.others, options, capacity, budget, most)
        else:
            # Many pools are cut alike: what fits on one of them also fits on the others.
            budget.spend(2 * sum(map(len, options)), FIELD)
            shape = (
                tuple(capacity.items()),
                tuple(tuple((i, offer.resource) for i, offer in part) for part in options),
            )
            if shape not in known_shapes:
                known_shapes[shape] = first_fit(demand.wanted, demand.others, options, capacity, budget, most)
            places = known_shapes[shape]
        if places is None:
            continue
        result = [part[place] for part, place in zip(options, places, strict=True)]
        key = (
            [index for index, _ in result],
            [offer.size for _, offer in result],
            [offer.order for _, offer in result],
        )
        if best is None or key < best[0]:
            best = key, result
            most = key[0]
    if best is None:
        # What a pod got before its pool was retired, it keeps.
        visited = any(wanted.given is not None for wanted in demand.wanted)
        return resolve(demand, fleet.before, budget) if visited and fleet.before is not None else None
    return _widen(best[1], demand, serving)


def largest_allowed(pool: Pool, demand: Demand, budget: Budget) -> Mapping[str, int] | None:
    """The slices of the largest node of *pool* that the pod's nodeSelector and affinity allow; None if none is."""
    if demand.rules.anything:
        return pool.largest.capacity
    shapes = demand.rules.allowed_shapes(pool, budget)
    return max(shapes, key=_gpus).capacity if shapes else None


def _gpus(shape: NodeShape) -> int:
    return shape.instance_type.gpus


class _Serving:
    """The offers that serve a choice of one pod, computed once for equal choices."""

    def __init__(self, demand: Demand, fleet: Fleet, budget: Budget) -> None:
        self.demand = demand
        self.fleet = fleet
        self.budget = budget
        self._offers: dict[object, list[PoolOffer]] = {}
        self._largest: dict[Pool, Mapping[str, int] | None] = {}

    def largest(self, pool: Pool) -> Mapping[str, int] | None:
        """See `largest_allowed`."""
        if self.demand.rules.anything:
            return pool.largest.capacity
        if pool not in self._largest:
            self._largest[pool] = largest_allowed(pool, self.demand, self.budget)
        return self._largest[pool]

    def offers(self, choice: Choice) -> list[PoolOffer]:
        """The offers in fleet order, regardless of nodes and counts."""
        kind = (choice.slice, choice.gpu)
        if kind not in self._offers:
            self._offers[kind] = [
                (pool, offer)
                for pool, offer in satisfying(choice, self.fleet, self.budget)
                if obstacle(pool, offer, choice, self.demand) is None
            ]
        self.budget.spend(2 + len(self._offers[kind]), FIELD)
        return self._offers[kind]


def _options(demand: Demand, serving: _Serving, budget: Budget) -> dict[Pool, list[list[Option]]]:
    """The pools that can serve every wanted container, with the options of each: by choice, the best offer first."""
    result: dict[Pool, list[list[Option]]] = {}
    for number, wanted in enumerate(demand.wanted):
        for index, choice in enumerate(wanted.request.choices):
            if wanted.given is not None and wanted.given[1] != choice.count:
                continue
            for pool, offer in serving.offers(choice):
                if wanted.given is None or wanted.given[0] == offer.resource:
                    options = result.setdefault(pool, [])
                    if len(options) == number:
                        options.append([])
                    if len(options) > number:  # else it cannot serve an earlier container
                        options[number].append((index, offer))
    complete = {pool: options for pool, options in result.items() if len(options) == len(demand.wanted)}
    for alternatives in chain.from_iterable(complete.values()):
        if len(alternatives) > 1:
            alternatives.sort(key=preference)
    return complete


def satisfying(choice: Choice, fleet: Fleet, budget: Budget) -> Sequence[PoolOffer]:
    """Like `Fleet.satisfying`, but spends steps of *budget*."""
    wanted = choice.slice
    candidates = fleet.by_profile.get(wanted, ()) if isinstance(wanted, MigProfile) else fleet.offers
    budget.spend(4 + 3 * len(candidates), FIELD)
    return fleet.satisfying(choice)


def preference(option: Option) -> tuple[object, ...]:
    """Sorts options of one container: the best comes first."""
    index, offer = option
    return index, offer.size, offer.order


def total(demand: Demand, chosen: Sequence[Option]) -> Mapping[str, int]:
    """What a node must have, by resource, with *chosen* for the wanted containers."""
    if len(demand.wanted) == 1 and not demand.others:
        index, offer = chosen[0]
        return {offer.resource: demand.wanted[0].request.choices[index].count}
    asks = [
        (wanted.place, offer.resource, wanted.request.choices[index].count)
        for wanted, (index, offer) in zip(demand.wanted, chosen, strict=True)
    ]
    asks += [(other.place, other.resource, other.count) for other in demand.others]
    return needed(sorted(asks, key=lambda ask: (not ask[0].init, ask[0].index)))


def _widen(chosen: list[Option], demand: Demand, serving: _Serving) -> Resolution:
    """Every pool that serves the *chosen* resources, and what distinguishes these pools from others."""
    fleet, budget = serving.fleet, serving.budget
    counts = total(demand, chosen)
    parts = list(zip(demand.wanted, chosen, strict=True))
    by_pool = [
        {
            pool: other
            for pool, other in serving.offers(wanted.request.choices[index])
            if (other.resource, other.size) == (offer.resource, offer.size)
        }
        for wanted, (index, offer) in parts
    ]
    pools: list[Pool] = []
    mistakable: list[Pool] = []
    candidates = fleet.by_resource[chosen[0][1].resource]
    budget.spend(4 * len(candidates) * len(chosen))
    for pool in candidates:
        capacity = serving.largest(pool)
        if capacity is None or any(capacity.get(resource, 0) < count for resource, count in counts.items()):
            continue
        (pools if all(pool in offers for offers in by_pool) else mistakable).append(pool)
    labels = pools[0].labels
    if len(pools) > 1:
        shared = set(labels.items()).intersection(*(pool.labels.items() for pool in pools[1:]))
        labels = {key: value for key, value in labels.items() if (key, value) in shared}
    # Without a label of its own, the pod could be scheduled to any node with a whole GPU.
    mistaken = (any(offer.resource == WHOLE_GPU for _, offer in chosen) and all(map(widespread, labels))) or any(
        NodeRules(labels).allows(shape) for pool in mistakable for shape in demand.rules.allowed_shapes(pool, budget)
    )
    return Resolution(
        assignments=tuple(
            Assignment(wanted.place, wanted.request.choices[index], offers[pools[0]])
            for (wanted, (index, _)), offers in zip(parts, by_pool, strict=True)
        ),
        pools=tuple(pools),
        labels=labels,
        one_of=tuple(pool.name for pool in pools) if mistaken or demand.rules.spread else (),
        names=", ".join(pool.name for pool in pools),
        needs=needs_of(pools, (offer.resource for _, offer in chosen)),
        profile=str(chosen[0][1]) if len({str(offer) for _, offer in chosen}) == 1 else "",
    )
