"""Why a pool does not serve a pod: one sentence for each pool of the fleet, for previews and tables.

`webhook.admission.denials` has one sentence for the whole pod, which its author reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from webhook.admission import assigned
from webhook.admission.containers import DEFAULT_CONTAINER, Wanted, choose, others
from webhook.admission.denials import Explanation, asked_of
from webhook.admission.node_affinity import node_rules
from webhook.admission.pod import EMPTY_SPEC, Pod, places
from webhook.admission.resolve import Demand, Obstacle, Resolution, largest_allowed, obstacle, resolve
from webhook.admission.unoffered import listed
from webhook.budget import Budget
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet, PoolOffer
from webhook.fleet.pool import Pool
from webhook.slices import request
from webhook.slices.profile import MigProfile
from webhook.slices.request import ANNOTATION


def reasons(pod: Pod, fleet: Fleet, namespace: str | None = None) -> list[tuple[Pool, str | None]]:
    """Each pool of *fleet* with the reason why *pod* is not for it; None where it is.

    Empty if the pod asks for nothing, or for nothing that can be read: then no pool was looked at.
    """
    value = pod.annotations.get(ANNOTATION)
    if not isinstance(value, str):
        return []
    budget, spec = Budget(), pod.spec or EMPTY_SPEC
    try:
        containers, requests = places(spec, budget), request.parse(value, budget)
        wanted = assigned.recall(value, pod.annotations, requests, containers) or choose(
            requests, containers, pod.annotations.get(DEFAULT_CONTAINER), budget
        )
        demand = Demand(wanted, others(wanted, containers), node_rules(spec, budget), fleet.policy(namespace))
        best = resolve(demand, fleet, budget)
    except Denial:
        return []
    return [
        (pool, None if best is not None and pool in best.pools else _reason(pool, alone, best, demand, namespace))
        for pool, alone in _alone(fleet)
    ]


def _alone(fleet: Fleet) -> Iterator[tuple[Pool, Fleet]]:
    """Each pool, and *fleet* without the others."""
    by_profile: dict[Pool, dict[MigProfile, tuple[PoolOffer, ...]]] = {pool: {} for pool in fleet.pools}
    for profile, offers in fleet.by_profile.items():
        for pool, offer in offers:
            by_profile[pool][profile] = (*by_profile[pool].get(profile, ()), (pool, offer))
    for pool in fleet.pools:
        by_resource: Mapping[str, tuple[Pool, ...]] = dict.fromkeys(pool.largest.capacity, (pool,))
        offers = tuple((pool, offer) for offer in pool.offers)
        yield (
            pool,
            replace(
                fleet, pools=(pool,), offers=offers, by_profile=by_profile[pool], by_resource=by_resource, before=None
            ),
        )


def _reason(pool: Pool, alone: Fleet, best: Resolution | None, demand: Demand, namespace: str | None) -> str:
    if pool.entry.retired:
        return "it is retired: new pods are not for it"
    budget = Budget()
    try:
        own = resolve(demand, alone, budget)
        if own is not None and best is not None:
            return f"it would give {_given(own)}, and {_given(best)} comes first"
        for wanted in demand.wanted:
            if reason := _of_container(pool, wanted, alone, demand, namespace, budget):
                return reason
        explanation = Explanation(demand, alone, namespace, budget)
        for other in demand.others:
            if other.resource not in pool.largest.capacity:
                return f"{quote(other.place.name)} asks for {quote(other.resource)}, which it does not have"
        capacity = largest_allowed(pool, demand, budget)
        return (explanation.no_node([pool]) if capacity is None else explanation.too_many({pool: capacity})).problem
    except Denial as denial:  # out of steps
        return denial.problem


def _of_container(
    pool: Pool, wanted: Wanted, alone: Fleet, demand: Demand, namespace: str | None, budget: Budget
) -> str:
    """Why *pool* cannot serve *wanted*, whatever its nodes; empty if it can."""
    offers = [(choice, offer) for choice in wanted.request.choices for offer in pool.offers if offer.satisfies(choice)]
    if not offers:
        gpus = [choice.gpu for choice in wanted.request.choices]
        if not any(gpu is None or pool.gpu.called(gpu) for gpu in gpus):
            return f"its GPU is {pool.gpu.name}, not {listed([str(gpu) for gpu in dict.fromkeys(gpus)], 'or')}"
        has = listed([f"'{offer}'" for offer in pool.offers])
        return f"it has {has}, and {quote(wanted.place.name)} asks for {quote(asked_of(wanted))}"
    causes = {obstacle(pool, offer, choice, demand) for choice, offer in offers}
    if causes == {Obstacle.NOT_PERMITTED}:
        return f"namespace {quote(namespace or 'default')} may not use it"
    if None not in causes:
        return Explanation(demand, alone, namespace, budget).other_architecture(wanted, pool).problem
    if wanted.given is not None and wanted.given[0] not in {offer.resource for _, offer in offers}:
        return f"the pod already has {quote(wanted.given[0])}, which it does not have"
    return ""


def _given(resolution: Resolution) -> str:
    return listed(list(dict.fromkeys(f"'{part.choice.count} {part.resource}'" for part in resolution.assignments)))
