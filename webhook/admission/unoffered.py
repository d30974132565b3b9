"""Why no offer of a fleet satisfies a choice, and what to write instead: what this pod gets, and never less."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction as Rational
from math import ceil

from msgspec.structs import replace

from webhook.admission.containers import Wanted, settle
from webhook.admission.resolve import Demand, resolve, satisfying
from webhook.budget import Budget, OutOfSteps
from webhook.codes import Reason
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet, PoolOffer
from webhook.fleet.pool import MIB_PER_GIB, MigOffer, Offer, Pool, SharedOffer
from webhook.slices.catalogue import Gpu
from webhook.slices.profile import ATTRIBUTES, MigProfile
from webhook.slices.request import FIELD, SHARED, Choice, Fraction, Memory, Request, Slice
from webhook.slices.suggest import distance, nearest

MOST_LISTED = 8
"""Names in one message.  An event is truncated at 1,024 characters."""

MOST_TRIED = 8
"""Offers that are tried as a suggestion."""

UNKNOWN = "`gpu-slice profiles --fleet FILE` lists what is offered"
"""The hint where finding one takes too many steps."""

EXCLUDED = "is as large, but the pod's count, node selection or other containers exclude it"
"""The end of the hint where a slice is large enough, and the pod cannot have it."""

_ENOUGH = {
    "-me": ATTRIBUTES,
    "": ("", "+gfx", "+me", "+me.all"),
    "+gfx": ("+gfx",),
    "+me": ("+me", "+me.all"),
    "+me.all": ("+me.all",),
}
"""The attributes of profiles that have at least the engines of an attribute.  A whole GPU has all media engines."""

_ENGINES = {"+gfx": "graphics", "+me": "media engines", "+me.all": "all media engines"}


def problem(choice: Choice, fleet: Fleet, budget: Budget) -> tuple[str, Reason]:
    """Why no offer of *fleet* satisfies *choice*, and the reason in a word."""
    catalogue, wanted, gpu = fleet.catalogue, choice.slice, choice.gpu
    budget.spend(16 * len(catalogue.gpus), FIELD)
    if gpu is not None and gpu not in catalogue.families():
        meant = catalogue.meant(gpu)
        return f"no GPU is called '{gpu}'" + (f"; here it is {listed(meant, 'or')}" if meant else ""), "unknown-gpu"
    before = satisfying(choice, fleet.before, budget) if fleet.before is not None else ()
    if retired := list(dict.fromkeys(pool.name for pool, _ in before)):
        return f"'{choice}' was offered by pool {listed(retired)}, now retired", "not-offered"
    if wanted == SHARED:
        return f"no pool of this cluster has shared {f'{gpu} ' if gpu else ''}GPUs", "not-offered"
    if gpu is not None and not any(model.mig for model in catalogue.gpus.values() if model.called(gpu)):
        return f"{gpu} has no MIG, so it has no '{wanted}'", "no-mig"
    if isinstance(wanted, MigProfile):
        if wanted.compute_instance_slices:
            inside = wanted.gpu_instance
            why = f"is a compute instance inside '{inside}', which the device plugin does not advertise"
            return f"'{wanted}' {why}", "unknown-profile"
        having = [model for model in catalogue.having(wanted) if gpu is None or model.called(gpu)]
        if not having:
            return f"{gpu or 'no GPU'} has {'no' if gpu else 'a'} profile '{wanted}'", "unknown-profile"
        where = gpu or listed(sorted(model.name for model in having))
        return f"'{wanted}' ({where}) is not offered in this cluster", "not-offered"
    size = f"{wanted} of a GPU" if isinstance(wanted, Fraction) else str(wanted)
    known = "is known to have" if isinstance(wanted, Memory) and wanted.unit == "Gi" else "has"
    return f"no slice{f' of {gpu}' if gpu else ''} in this cluster {known} {size}", "not-offered"


_WRITE, _NOT_KNOWN, _EXCLUDED, _NOTHING = range(4)
"""Kinds of hints, the most useful first."""


def hint(wanted: Wanted, demand: Demand, fleet: Fleet, budget: Budget) -> str:
    """What to write instead of *wanted*: for the first of its choices that has one, the nearest offer that is at least
    as large, and that the pod gets; else what there is.  What is in shadow comes last."""
    permitted = permitted_offers(demand, fleet)
    groups = [[pair for pair in permitted if in_shadow(pair[0], demand) is shadow] for shadow in (False, True)]
    hints = []
    for offers in filter(None, groups) if permitted else [permitted]:
        for choice in wanted.request.choices:
            kind, text = _instead(choice, offers, wanted, demand, fleet, budget)
            if kind == _WRITE:
                return text
            hints.append((kind, text))
    return min(hints, key=lambda each: each[0])[1]


def in_shadow(pool: Pool, demand: Demand) -> bool:
    """Whether *pool* is of use only if no other is: it is in shadow, and the pod is not in shadow itself."""
    return pool.entry.mode == "shadow" and demand.policy.mode == "enforce"


def enforced(pools: Sequence[Pool], demand: Demand) -> Sequence[Pool]:
    """Those of *pools* that are not in shadow; all of them if all are."""
    return [pool for pool in pools if not in_shadow(pool, demand)] or pools


def _instead(
    choice: Choice, offers: Sequence[PoolOffer], wanted: Wanted, demand: Demand, fleet: Fleet, budget: Budget
) -> tuple[int, str]:
    """The kind and the text of the hint for one *choice* of *wanted*, from *offers*: all in shadow, or none."""
    if isinstance(choice.slice, MigProfile):
        choice = replace(choice, slice=choice.slice.gpu_instance)
    if not budget.afford(16 * len(fleet.offers) + 8 * len(fleet.catalogue.gpus)):
        return _NOT_KNOWN, UNKNOWN
    gpu = _gpu(choice, fleet, budget)
    named = {offer: pool for pool, offer in offers if gpu is not None and offer.gpu.called(gpu)}
    unknown = choice.gpu is not None and choice.gpu not in fleet.catalogue.families() and gpu is None
    added = "; or the platform team adds the GPU to the fleet's catalogue" if unknown else ""
    end, share = added, next((offer for offer in named if isinstance(offer, SharedOffer)), None)
    if share is not None and choice.slice != SHARED:
        end = f"; 'shared@{gpu}' is one of {share.per_gpu} shares of a GPU, without a size of its own"
    least = _memory(choice.slice, gpu, fleet)
    large = [pair for pair in offers if _at_least(pair[1], choice.slice, *least)]
    large.sort(key=lambda pair: (pair[1] not in named, *_distance(choice, pair[1])))
    tried: set[Choice] = set()
    try:
        for pool, offer in large:
            slice = offer.name if isinstance(offer, MigOffer) else SHARED
            candidate = Choice(slice, choice.count, gpu if offer in named else None)
            if candidate in tried or (choice.count > 1 and slice == SHARED):
                continue
            if len(tried) == MOST_TRIED:
                break
            tried.add(candidate)
            found = _pool(candidate, wanted, demand, fleet, budget)
            if found is not None and in_shadow(found, demand) is in_shadow(pool, demand):
                shadow = ", which is in shadow: the pod stays as it is" if in_shadow(found, demand) else ""
                near = f"the nearest {_that(demand)} (pool {found.name}, {found.gpu.name}){shadow}"
                return _WRITE, f"Write '{candidate}', {near}{end}"
    except OutOfSteps:
        return _NOT_KNOWN, UNKNOWN
    if large:
        return _EXCLUDED, f"{_where(large[0])} {EXCLUDED}"
    of_gpu: list[PoolOffer] = [(pool, offer) for offer, pool in named.items() if isinstance(offer, MigOffer)]
    if isinstance(choice.slice, MigProfile) and (engines := _ENGINES.get(choice.slice.attribute)):
        attribute = choice.slice.attribute
        having = [pair for pair in offers if isinstance(pair[1], MigOffer) and _has_engines(pair[1], attribute)]
        if not having:
            to = " to this namespace" if demand.policy.limited else ""
            text = f"No slice with {engines} is offered{to}: if the pod needs none, remove the '{attribute}'{added}"
            return _NOTHING, text
        of_gpu = [pair for pair in having if pair[1] in named]
        offers = having
    asked = f" as '{choice.slice}'" if len(wanted.request.choices) > 1 else ""
    return _NOTHING, _largest(choice, of_gpu or offers, demand, asked) + added


def _that(demand: Demand) -> str:
    return "that this namespace may use" if demand.policy.limited else "that is offered"


def _gpu(choice: Choice, fleet: Fleet, budget: Budget) -> str | None:
    """The GPU that is meant: by its name, as NVIDIA prints it, or the one of this cluster that looks most like it."""
    if choice.gpu is None or choice.gpu in fleet.catalogue.families():
        return choice.gpu
    meant = fleet.catalogue.meant(choice.gpu)
    if meant:
        return meant[0] if len(meant) == 1 else fleet.catalogue.gpus[meant[0]].family
    names = sorted({name for pool in fleet.pools for name in (pool.gpu.name, pool.gpu.family)})
    return nearest(choice.gpu.lower(), names, budget)


def _memory(wanted: Slice, called: str | None, fleet: Fleet) -> tuple[int, int]:
    """The least memory that *wanted* has on a GPU that is so *called*: by a profile's number, and in MiB.

    0 where it is not known, or where *wanted* says itself how much it is.
    """
    models = [gpu for gpu in fleet.catalogue.gpus.values() if called is None or gpu.called(called)]
    if isinstance(wanted, MigProfile):
        found = [profile for gpu in models if (profile := gpu.profile(wanted))]
        return wanted.memory_gb, min((profile.memory_mib for profile in found if profile.memory_mib), default=0)
    if not isinstance(wanted, Fraction) or called is None:
        return 0, 0
    each = [_of_fraction(wanted, gpu) for gpu in models]
    return min((gb for gb, _ in each), default=0), min((mib for _, mib in each if mib), default=0)


def _of_fraction(wanted: Fraction, gpu: Gpu) -> tuple[int, int]:
    share = Rational(wanted.numerator, wanted.denominator)
    if not gpu.mig:
        nominal = re.match(r"[0-9]{1,5}", gpu.memory)
        return ceil(share * int(nominal[0] if nominal else 0)), 0
    large = [profile for profile in gpu.profiles if profile.compute_slices >= share * gpu.compute_slices]
    real = [profile.memory_mib for profile in large if profile.memory_mib]
    return min((profile.profile.memory_gb for profile in large), default=0), min(real, default=0)


def _at_least(offer: Offer, wanted: Slice, gb: int, mib: int) -> bool:
    """Whether *offer* is certainly no less than *wanted*, which has *gb* by number and *mib*, on whatever GPU.

    A share of a GPU is no slice: its memory is not its own.  A slice of unknown memory is not known to have any.
    """
    if wanted == SHARED or isinstance(offer, SharedOffer):
        return wanted == SHARED
    if offer.name.memory_gb < gb or (offer.profile.memory_mib is not None and offer.profile.memory_mib < mib):
        return False  # the same number, or a larger one, may be less on a GPU whose driver rounds otherwise
    if not isinstance(wanted, MigProfile):
        return offer.satisfies(Choice(wanted))
    return offer.name.compute_slices >= wanted.compute_slices and _has_engines(offer, wanted.attribute)


def _has_engines(offer: MigOffer, attribute: str) -> bool:
    whole = attribute.startswith("+me") and offer.profile.compute_slices == offer.gpu.compute_slices
    return whole or offer.name.attribute in _ENOUGH[attribute]


def _distance(choice: Choice, offer: Offer) -> tuple[object, ...]:
    if isinstance(choice.slice, MigProfile) and isinstance(offer, MigOffer):
        return distance(choice.slice, offer.name), offer.order
    return offer.size, offer.order


def _pool(candidate: Choice, wanted: Wanted, demand: Demand, fleet: Fleet, budget: Budget) -> Pool | None:
    """Where the pod gets *candidate* in place of *wanted*, apart from containers that ask for nothing offered."""
    parts = [
        replace(part, request=Request((candidate,))) if part is wanted else part
        for part in demand.wanted
        if part is wanted or any(satisfying(choice, fleet, budget) for choice in part.request.choices)
    ]
    resolution = resolve(replace(demand, wanted=parts), fleet, budget)
    if resolution is None:
        return None
    try:
        for part in resolution.assignments:
            settle(part.container, part.choice, part.resource, part.count, visited=False)
    except Denial:
        return None
    return enforced(resolution.pools, demand)[0]


def _largest(choice: Choice, offers: Sequence[PoolOffer], demand: Demand, asked: str) -> str:
    """What there is, where nothing is as large as *choice*."""
    mig = [(pool, offer) for pool, offer in offers if isinstance(offer, MigOffer)]
    wanted = choice.slice
    if not mig:
        kinds = list(dict.fromkeys(f"'{offer}@{offer.gpu.name}'" for _, offer in offers))
        if not kinds:
            return "Ask the platform team: nothing is offered to this namespace"
        only = "This namespace may use only" if demand.policy.limited else "There are only"
        return f"{only} shares of GPUs, without a size of their own: {listed(kinds)}"
    known = [pair for pair in mig if pair[1].profile.memory_mib is not None]
    of_known = ""
    if isinstance(wanted, Memory) and wanted.unit == "Gi" and len(known) < len(mig):
        unknown = [pair for pair in mig if pair[1].profile.memory_mib is None]
        maybe = [pair for pair in unknown if pair[1].name.memory_gb > wanted.amount]
        if maybe:
            best = min(maybe, key=lambda pair: (pair[1].size, pair[1].order))
            return (
                f"{_where(best)} may have it, but its real memory is not known: ask for it by its name if it is enough"
            )
        if not known:
            return (
                f"The largest {_that(demand)} is {_where(max(unknown, key=_by_name))}, whose real memory is not known"
            )
        mig, of_known = known, " whose real memory is known"
    largest = max(mig, key=lambda pair: (_size(wanted, pair[1]), -pair[1].order))
    return f"Nothing {_that(demand)} has as much{asked}: the largest{of_known} is {_where(largest)}"


def _by_name(pair: tuple[object, MigOffer]) -> tuple[int, int]:
    return pair[1].name.memory_gb, -pair[1].order


def _size(wanted: object, offer: MigOffer) -> tuple[Rational | int, ...]:
    if isinstance(wanted, Fraction):
        return Rational(offer.profile.compute_slices, offer.gpu.compute_slices), offer.name.memory_gb
    if isinstance(wanted, Memory):
        return (offer.name.memory_gb if wanted.unit == "gb" else offer.profile.memory_mib or 0,)
    return offer.name.compute_slices, offer.name.memory_gb


def _where(pair: PoolOffer) -> str:
    pool, offer = pair
    real = (
        f", {offer.profile.memory_mib / MIB_PER_GIB:.4g}Gi"
        if isinstance(offer, MigOffer) and offer.profile.memory_mib
        else ""
    )
    shadow = ", in shadow" if pool.entry.mode == "shadow" else ""
    return f"'{offer}' (pool {pool.name}, {offer.gpu.name}{real}{shadow})"


def exactly(word: str, at_gpu: str, fleet: Fleet, budget: Budget) -> list[tuple[str, str]]:
    """The profiles that have the memory that *word* says, as this program prints it, in the order of preference."""
    match = re.fullmatch(r"([1-9][0-9]{0,3}x)?([0-9]{1,8}(?:\.[0-9]{1,4})?)([mg])ib?", word.lower())
    if match is None or not budget.afford(16 * len(fleet.offers)):
        return []
    mib = Rational(match[2]) * (MIB_PER_GIB if match[3] == "g" else 1)
    having = [
        offer
        for _, offer in fleet.offers
        if isinstance(offer, MigOffer)
        and offer.profile.memory_mib
        and (not at_gpu or offer.gpu.called(at_gpu.removeprefix("@")))
    ]
    found: dict[str, str] = {}
    for offer in sorted(having, key=lambda offer: (offer.size, offer.order)):
        real = offer.profile.memory_mib or 0
        if real == mib or (match[3] == "g" and f"{real / MIB_PER_GIB:.4g}" == match[2]):
            less = any(other.name == offer.name and (other.profile.memory_mib or 0) < real for other in having)
            found[f"{match[1] or ''}{offer}{f'@{offer.gpu.name}' if less else ''}"] = ", which has exactly this memory"
    return list(found.items())[:3]


def permitted_offers(demand: Demand, fleet: Fleet) -> list[PoolOffer]:
    """What the pod's namespace may use."""
    return [(pool, offer) for pool, offer in fleet.offers if demand.policy.permits(pool, offer)]


def listed(names: list[str], last: str = "and") -> str:
    """A list as in a sentence, shortened to `MOST_LISTED` names."""
    if len(names) > MOST_LISTED:
        return ", ".join(names[:MOST_LISTED]) + f" {last} {len(names) - MOST_LISTED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else ""
