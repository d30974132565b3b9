"""Why no offer of a fleet satisfies a choice, and the nearest offer that does."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction as Rational

from webhook.admission.resolve import Demand
from webhook.budget import Budget
from webhook.codes import Reason
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MIB_PER_GIB, MigOffer, Offer, Pool
from webhook.slices.profile import MigProfile
from webhook.slices.request import FIELD, SHARED, Choice, Fraction, Memory, Slice
from webhook.slices.suggest import distance, nearest

MOST_LISTED = 8
"""Names in one message.  An event is truncated at 1,024 characters."""


def unknown(choice: Choice, fleet: Fleet, demand: Demand, budget: Budget) -> tuple[str, str, Reason]:
    """Why no offer of *fleet* satisfies *choice*: the problem, the hint, and the reason."""
    catalogue, wanted = fleet.catalogue, choice.slice
    budget.spend(8 * len(fleet.offers) + 8 * len(catalogue.gpus), FIELD)
    permitted = permitted_offers(demand, fleet)
    if choice.gpu is not None and choice.gpu not in catalogue.families():
        names = sorted({name for pool in fleet.pools for name in (pool.gpu.name, pool.gpu.family)})
        suggestion = nearest(choice.gpu, names, budget)
        return (
            f"no GPU is called '{choice.gpu}'",
            f"Write '{wanted}@{suggestion}'" if suggestion else f"This cluster has {listed(names)}",
            "unknown-gpu",
        )
    if wanted == SHARED:
        model = f"{choice.gpu} " if choice.gpu else ""
        shared = [offer for _, offer in permitted if not isinstance(offer, MigOffer)]
        shares = list(dict.fromkeys(f"'shared@{offer.gpu.name}'" for offer in shared))
        hint = f"Write {listed(shares, 'or')}" if shares else _offered(permitted)
        return f"no pool of this cluster has shared {model}GPUs", hint, "not-offered"
    called = [gpu for gpu in catalogue.gpus.values() if choice.gpu is None or gpu.called(choice.gpu)]
    if not any(gpu.mig for gpu in called):
        return f"{choice.gpu} has no MIG, so it has no '{wanted}'", f"Write 'shared@{choice.gpu}'", "no-mig"
    if isinstance(wanted, MigProfile):
        return _unknown_profile(wanted, choice.gpu, fleet, permitted)
    mig = [(pool, offer) for pool, offer in permitted if isinstance(offer, MigOffer)]
    of_gpu = [(pool, offer) for pool, offer in mig if offer.gpu in called]
    of_model = f" of {choice.gpu}" if choice.gpu else ""
    if isinstance(wanted, Memory) and wanted.unit == "Gi" and of_gpu:
        unknown_memory = [offer for _, offer in of_gpu if offer.profile.memory_mib is None]
        if len(unknown_memory) == len(of_gpu):
            return (
                f"the real memory of the slices{of_model} is not known, so they do not satisfy {wanted}",
                f"Write '{unknown_memory[0].name.memory_gb}gb{of_model.replace(' of ', '@')}' for the profile's number",
                "not-offered",
            )
    size = f"{wanted} of a GPU" if isinstance(wanted, Fraction) else str(wanted)
    return f"no slice{of_model} in this cluster has {size}", _largest(wanted, of_gpu or mig, permitted), "not-offered"


def _unknown_profile(
    wanted: MigProfile, gpu: str | None, fleet: Fleet, permitted: list[tuple[Pool, Offer]]
) -> tuple[str, str, Reason]:
    hint = _nearest_profile(wanted, permitted, gpu)
    if wanted.compute_instance_slices:
        gpu_instance = MigProfile(wanted.compute_slices, wanted.memory_gb, wanted.attribute)
        return (
            f"'{wanted}' is a compute instance inside '{gpu_instance}', which the device plugin does not advertise",
            f"Write '{gpu_instance}'",
            "unknown-profile",
        )
    having = list(fleet.catalogue.having(wanted))
    if not having:
        return f"no GPU has a profile '{wanted}'", hint, "unknown-profile"
    if gpu is not None and not any(model.called(gpu) for model in having):
        return f"{gpu} has no profile '{wanted}'", hint, "unknown-profile"
    where = gpu or listed([model.name for model in having])
    return f"'{wanted}' ({where}) is not offered in this cluster", hint, "not-offered"


def _nearest_profile(wanted: MigProfile, offers: Iterable[tuple[Pool, Offer]], gpu: str | None) -> str:
    """A hint with the nearest profile that is offered, and where."""
    mig = [(pool, offer) for pool, offer in offers if isinstance(offer, MigOffer)]
    of_gpu = [(pool, offer) for pool, offer in mig if gpu is None or offer.gpu.called(gpu)]
    pool, offer = min(
        of_gpu or mig, key=lambda pair: (distance(wanted, pair[1].name), pair[1].order), default=(None, None)
    )
    if pool is None or offer is None:
        return _offered(offers)
    suffix = f"@{gpu}" if gpu is not None and offer.gpu.called(gpu) else ""
    return f"Write '{offer}{suffix}', the nearest that is offered (pool {pool.name}, {offer.gpu.name})"


def _largest(wanted: Slice, offers: Iterable[tuple[Pool, MigOffer]], permitted: Iterable[tuple[Pool, Offer]]) -> str:
    """A hint with the largest slice that is offered, in the unit of the request."""

    def size(offer: MigOffer) -> Rational:
        if isinstance(wanted, Fraction):
            return Rational(offer.profile.compute_slices, offer.gpu.compute_slices)
        if isinstance(wanted, Memory) and wanted.unit == "gb":
            return Rational(offer.name.memory_gb)
        return Rational((offer.profile.memory_mib or 0) // MIB_PER_GIB)

    pool, offer = max(offers, key=lambda pair: (size(pair[1]), -pair[1].order), default=(None, None))
    if pool is None or offer is None or not size(offer):
        return _offered(permitted)
    unit = wanted.unit if isinstance(wanted, Memory) else ""
    amount = "1/1" if not unit and size(offer) == 1 else f"{size(offer)}{unit}"
    return f"Write '{amount}' or less: '{offer}' is the largest that is offered (pool {pool.name}, {offer.gpu.name})"


def _offered(offers: Iterable[tuple[Pool, Offer]]) -> str:
    names = list(dict.fromkeys(f"'{offer}'" for _, offer in offers))
    return f"Write {listed(names, 'or')}" if names else "Ask the platform team: nothing is offered to this namespace"


def permitted_offers(demand: Demand, fleet: Fleet) -> list[tuple[Pool, Offer]]:
    """What the pod's namespace may use."""
    return [(pool, offer) for pool, offer in fleet.offers if demand.policy.permits(pool, offer)]


def listed(names: list[str], last: str = "and") -> str:
    """A list as in a sentence, shortened to `MOST_LISTED` names."""
    if len(names) > MOST_LISTED:
        return ", ".join(names[:MOST_LISTED]) + f" {last} {len(names) - MOST_LISTED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else ""
