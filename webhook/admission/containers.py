"""Which container gets which slice, and what happens to GPU resources that containers ask for by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from webhook.admission.pod import Place
from webhook.budget import Budget
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import Policy
from webhook.fleet.pool import WHOLE_GPU
from webhook.slices.misspelt import Misspelt
from webhook.slices.request import ANNOTATION, CONTAINER_NAME, FIELD, LONGEST_HINT, SHARED, Choice, Request, text
from webhook.slices.suggest import nearest

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

BY_OTHERS = "; if you did not write it, a LimitRange or a webhook did"
"""The end of a hint about resources, which the API server itself may have written before it asks us."""

MOST_SLICED = 16
"""Containers of one pod that may have a slice.  The cost of a search grows with them, and no known pod has more."""


class Wanted(Struct, frozen=True, gc=False):
    """A container that is to get a slice."""

    place: Place
    request: Request
    given: tuple[str, int] | None = None
    """The resource and count that it got on an earlier visit, which are final."""
    guessed: bool = False
    """Whether it was chosen only because it is the first."""


class Other(Struct, frozen=True, gc=False):
    """A slice that another container asks for by its resource."""

    place: Place
    resource: str
    count: int


def refuse_many_shares(requests: Iterable[Request]) -> None:
    """Raise `Denial` if a container would get several shares of a GPU."""
    for request in requests:
        for choice in request.choices:
            if choice.count > 1 and choice.slice == SHARED:
                raise Denial(
                    f"the device plugin gives a container one share of a GPU, not {choice.count}",
                    field=FIELD,
                    hint="For more than one share ask for a slice, or for a whole GPU without the annotation",
                    reason="conflict",
                    position=choice.position,
                )


def choose(requests: Sequence[Request], places: Sequence[Place], default: object, budget: Budget) -> list[Wanted]:
    """Which container each request is for.  *default*: the value of the annotation `DEFAULT_CONTAINER`."""
    if requests[0].container is None:
        place, guessed = _only(places, default)
        return [Wanted(place, requests[0], guessed=guessed)]
    by_name = {place.name: place for place in places}
    wanted = []
    for request in requests:
        named = by_name.get(request.container or "")
        if named is None:
            free = by_name.keys() - {other.container for other in requests}
            meant = nearest(request.container or "", sorted(free), budget)
            value = text(replace(other, container=meant) if other is request else other for other in requests)
            problem = f"no container is called '{request.container}'"
            if meant and len(value) <= LONGEST_HINT:
                raise Misspelt(FIELD, problem, request.position, [(value, "")], "no-such-container").within(
                    "", "", "", ""
                )
            hint = f"The pod has {', '.join(map(quote, list(by_name)[:8]))}"
            if meant:
                hint = f"Write '{meant}' in its place"
            raise Denial(problem, field=FIELD, hint=hint, reason="no-such-container", position=request.position)
        wanted.append(Wanted(named, request))
    return wanted


def _only(places: Sequence[Place], default: object) -> tuple[Place, bool]:
    """The container that gets the slice if none is named, never an init container; and whether it is a guess."""
    if len(places) == 1:
        return places[0], False
    regular = [place for place in places if not place.init]
    for candidates in (
        regular,
        [place for place in regular if WHOLE_GPU in place.asks],
        [place for place in regular if place.name == default],
        [place for place in regular if place.asks],  # the one that names its slice; any other would be a second
    ):
        if len(candidates) == 1:
            return candidates[0], False
    return regular[0], True


def others(wanted: Sequence[Wanted], places: Iterable[Place]) -> list[Other]:
    """What the other containers ask for.  Raises `Denial` for a whole GPU, which a cut node does not have."""
    sliced = {(entry.place.init, entry.place.index) for entry in wanted}
    result = []
    for place in places:
        if not place.asks or (place.init, place.index) in sliced:
            continue
        for resource, count in place.asks.items():
            if resource == WHOLE_GPU:
                raise Denial(
                    f"{quote(place.name)} asks for a whole GPU, and a node that is cut into slices has none",
                    field=f"{place.path}.resources.limits[{WHOLE_GPU}]",
                    hint=f"Remove it, or give the container a slice too: {ANNOTATION}: 'NAME=…,{place.name}=…'"
                    + BY_OTHERS,
                    reason="whole-gpu",
                )
            result.append(Other(place, resource, count))
    if len(wanted) + len(result) > MOST_SLICED:
        places = [part.place for part in wanted] + [part.place for part in result]
        asking = len({(place.init, place.index) for place in places})
        raise Denial(
            f"{asking} containers ask for slices" + (", some for several kinds" if asking <= MOST_SLICED else ""),
            field=FIELD,
            hint=f"Ask for slices in at most {MOST_SLICED} containers",
            reason="capacity",
        )
    return result


def refuse_forbidden(
    others: Iterable[Other], policy: Policy, fleet: Fleet, namespace: str | None, budget: Budget
) -> None:
    """Raise `Denial` where another container asks by hand for a slice that the namespace may not use."""
    if not policy.limited:
        return
    for other in others:
        pools = fleet.by_resource.get(other.resource, ())
        budget.spend(4 * len(pools), FIELD)
        offers = ((pool, offer) for pool in pools for offer in pool.offers if offer.resource == other.resource)
        if pools and not any(policy.permits(pool, offer) for pool, offer in offers):
            raise Denial(
                f"{quote(other.place.name)} asks for {other.count} of '{other.resource}', which namespace "
                f"{quote(namespace or 'default')} may not use",
                field=f"{other.place.path}.resources.limits[{other.resource}]",
                hint=f"Remove it, or ask the platform team{BY_OTHERS}",
                reason="namespace",
            )


def settle(place: Place, choice: Choice, resource: str, count: int, *, visited: bool) -> bool:
    """Decide about GPU resources that a container with a slice asks for itself: kept, replaced or refused.

    Returns whether a whole GPU is replaced.  *visited*: an earlier visit may have written the resources.
    """
    replaced = False
    for requested, number in place.asks.items():
        field = f"{place.path}.resources.limits[{requested}]"
        if requested == resource and number == count and (visited or requested != WHOLE_GPU or number == 1):
            continue
        if requested == WHOLE_GPU:
            if number > 1:
                raise Denial(
                    f"{quote(place.name)} asks for {number} whole GPUs and for a slice",
                    field=field,
                    hint=f"Remove it to get the slice, or the annotation '{ANNOTATION}' to get the GPUs{BY_OTHERS}",
                    reason="whole-gpu",
                )
            replaced = True
        elif requested != resource:
            raise Denial(
                f"{quote(place.name)} asks for {number} of '{requested}', and the annotation gives it {count} of "
                f"'{resource}'; one container sees one kind of slice",
                field=field,
                hint=f"Remove one of the two{BY_OTHERS}",
                reason="conflict",
            )
        else:
            raise Denial(
                f"{quote(place.name)} asks for {number} of '{requested}', and the annotation gives it {count}",
                field=field,
                hint=f"Write the same count in both, or remove it from the container{BY_OTHERS}",
                reason="conflict",
            )
    return replaced


def refused_names(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the API server will refuse about the names of containers in *pod*, a document: the field, and why.

    The webhook leaves it to the API server, which says it better.
    """
    names: set[str] = set()
    for section in ("initContainers", "containers"):
        for index, container in enumerate(pod["spec"].get(section) or ()):
            name = container["name"]
            if not CONTAINER_NAME.match(name) or name in names:
                why = "another container has it" if name in names else "it is not a DNS label, such as 'my-app'"
                field = f"spec.{section}[{index}].name"
                yield field, f"{field}: the API server will refuse {quote(name)}: {why}"
            names.add(name)
