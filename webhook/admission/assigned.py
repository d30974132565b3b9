"""The two annotations that record a pod's first visit.

    gpu-slice/assigned: 1g.5gb -> main=nvidia.com/mig-1g.5gb:1     what was asked -> container=resource:count, …
    gpu-slice/pools: a100-1g-5gb

The API server calls again after other webhooks have changed the pod (``reinvocationPolicy: IfNeeded``).  With a sidecar
inserted before it, "the first container" would then be another container.  So the decision is final, and is read from
these annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from webhook.admission.containers import Wanted
from webhook.admission.pod import Place, whole_number
from webhook.admission.resolve import Resolution
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ASSIGNED, Request

ARROW = " -> "

FIELD = f"metadata.annotations[{ASSIGNED}]"
DECIDED = "gpu-slice/decided-by"
"""The annotation of a pod that a policy in the API server has seen: see `webhook.render.admission_policy`."""

LONGEST = 65_536
"""Characters of a record that is read: the annotation, and 16 containers with their slices."""

_ENTRY = re.compile(r"(.*)=([A-Za-z0-9./_-]{1,80}):([1-9][0-9]{0,5})\Z", re.DOTALL)
"""The name is any text: one that is no container's name is left for the API server to refuse, in its own words."""


def record(asked: str, resolution: Resolution) -> str:
    """The record of *resolution* of what the pod *asked*."""
    given = [f"{part.container.name}={part.offer.resource}:{part.choice.count}" for part in resolution.assignments]
    return f"{asked}{ARROW}{given[0] if len(given) == 1 else ', '.join(given)}"


def recall(
    value: str, annotations: Mapping[str, object], requests: Iterable[Request], places: Sequence[Place]
) -> list[Wanted] | None:
    """What an earlier visit gave; None on the first visit.

    Raises `Denial` if that was for another request, or if the containers do not have what was given.
    """
    if ASSIGNED not in annotations:
        return None
    text = annotations[ASSIGNED]
    readable = isinstance(text, str) and len(text) <= LONGEST
    left, arrow, right = text.partition(ARROW) if isinstance(text, str) and readable else ("", "", "")
    if not arrow:
        raise stale(f"{quote(text)} was not written by gpu-slice")
    if left != value:
        raise stale(f"it was written for {quote(left)}, and the pod asks for {quote(value)}")
    remaining = {request.container: request for request in requests}
    by_name: dict[str, list[Place]] = {}
    for place in places:
        by_name.setdefault(place.name, []).append(place)
    wanted = []
    for entry in right.split(", ") if None not in remaining else [right]:
        parts = _ENTRY.match(entry)
        if parts is None:
            raise stale(f"{quote(entry)} was not written by gpu-slice")
        name, resource, count = parts[1], parts[2], int(parts[3])
        named = by_name.get(name, ())
        if not named:
            raise stale(f"it names container {quote(name)}, which the pod does not have")
        # Of two with one name, which the API server refuses, it is the one that has the slice.
        given = next((place for place in named if place.asks.get(resource) == count == _limit(place, resource)), None)
        if given is None:
            raise stale(
                f"it gives container {quote(name)} {count} of {quote(resource)}, but the container has no such limit"
            )
        request = remaining.pop(None if None in remaining else name, None)
        if request is None:
            raise stale(f"it names container '{name}', for which the pod asks for no slice")
        wanted.append(Wanted(given, request, (resource, count)))
    if remaining:
        raise stale(f"it lacks a slice for {quote(', '.join(map(str, remaining.values())))}")
    return wanted


def _limit(place: Place, resource: str) -> int:
    limits = place.container.resources.limits if place.container.resources else None
    return whole_number((limits or {}).get(resource, 0), f"{place.path}.resources.limits[{resource}]")


def outdated(wanted: Iterable[Wanted], fleet: Fleet) -> Denial:
    """A `Denial` for a record that matches the pod, but that *fleet* cannot serve."""
    given = [entry.given for entry in wanted if entry.given is not None]
    for resource, _ in given:
        if resource not in fleet.by_resource:
            return stale(f"no pool of this cluster has {quote(resource)}", _BY_FLEET)
    text = ", ".join(f"{count} of '{resource}'" for resource, count in given)
    return stale(f"no pool that this pod may use gives {text[:200]} for its request", _BY_FLEET)


_BY_WEBHOOK = "another webhook changed the pod"
_BY_FLEET = f"the fleet has just changed, so create the pod again, or {_BY_WEBHOOK}"


def stale(problem: str, otherwise: str = _BY_WEBHOOK) -> Denial:
    """A `Denial` for a record that does not match the pod.  *otherwise*: what happened if nobody copied the record."""
    return Denial(
        problem,
        field=FIELD,
        hint=f"Remove {ASSIGNED}, the slices that it names and the nodeSelector that came with them; "
        f"if you wrote none of them, {otherwise}",
        reason="stale-assigned",
    )
