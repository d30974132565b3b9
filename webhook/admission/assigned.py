"""The two annotations by which a pod remembers its first visit.

    gpu-slice/assigned: 1g.5gb -> main=nvidia.com/mig-1g.5gb:1     what was asked -> container=resource:count, …
    gpu-slice/pools: a100-1g-5gb

The API server asks again after other webhooks have changed the pod (``reinvocationPolicy: IfNeeded``).  With
a sidecar inserted before it, "the first container" would be another one by then: so what was decided is
final, and read back from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from webhook.admission.pod import Container, whole
from webhook.admission.resolve import Resolution, Wanted
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION, Request

ASSIGNED = f"{ANNOTATION}/assigned"
POOLS = f"{ANNOTATION}/pools"
ARROW = " -> "

FIELD = f"metadata.annotations[{ASSIGNED}]"
_ENTRY = re.compile(r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)=([A-Za-z0-9./_-]{1,80}):([1-9][0-9]{0,5})\Z")


def record(asked: str, resolution: Resolution) -> dict[str, str]:
    """The annotations that remember *resolution* of what the pod *asked*."""
    given = ", ".join(f"{each.container.name}={each.resource}:{each.count}" for each in resolution.assignments)
    return {ASSIGNED: f"{asked}{ARROW}{given}", POOLS: ", ".join(pool.name for pool in resolution.pools)}


def recall(
    asked: str,
    annotations: Mapping[str, object],
    requests: Iterable[Request],
    containers: Sequence[Container],
) -> list[Wanted] | None:
    """What an earlier visit gave, or None on the first.

    Raises `Denial` where it was another request, or the containers do not carry what was given.
    """
    if ASSIGNED not in annotations:
        return None
    text = annotations[ASSIGNED]
    left, arrow, right = text.partition(ARROW) if isinstance(text, str) else ("", "", "")
    if not arrow:
        raise stale(f"{quote(text)} is not what gpu-slice writes there")
    if left != asked:
        raise stale(f"it answers {quote(left)}, and the pod asks for {quote(asked)}")
    by_name = {each.container: each for each in requests}
    named = {each.name: each for each in containers}
    found = []
    for entry in right.split(", "):
        parts = _ENTRY.match(entry)
        if parts is None:
            raise stale(f"{quote(entry)} is not what gpu-slice writes there")
        name, resource, count = parts[1], parts[2], int(parts[3])
        container = named.get(name)
        if container is None:
            raise stale(f"it names container {quote(name)}, which the pod does not have")
        if container.asks.get(resource) != count or _limit(container, resource) != count:
            raise stale(f"container '{name}' has no limit {quote(resource)} of {count}, which it names")
        request = by_name.pop(None if None in by_name else name, None)
        if request is None:
            raise stale(f"it names container '{name}', which the pod gives no slice")
        found.append(Wanted(container, request, (resource, count)))
    if by_name:
        raise stale(f"it leaves out {quote(', '.join(str(each) for each in by_name.values()))}")
    return found


def _limit(container: Container, resource: str) -> int:
    limits = (container.raw.get("resources") or {}).get("limits") or {}
    return whole(limits.get(resource, 0), f"{container.path}.resources.limits[{resource}]")


def outdated(remembered: Iterable[Wanted], fleet: Fleet) -> Denial:
    """A `Denial` for a memory that fits the pod, but that *fleet* does not honour."""
    here = {offer.resource for _, offer in fleet.offers()}
    for each in remembered:
        if each.given is not None and each.given[0] not in here:
            return stale(f"no pool of this cluster has {quote(each.given[0])}")
    given = ", ".join(f"{each.given[1]} of '{each.given[0]}'" for each in remembered if each.given is not None)
    return stale(f"no pool that this pod may use gives {given[:200]} for what it asks")


def stale(problem: str) -> Denial:
    """A `Denial` for a memory that does not fit the pod."""
    return Denial(
        problem,
        field=FIELD,
        hint=f"Remove {ASSIGNED} and the slices that it names; if you wrote neither, another webhook changed the pod",
        reason="stale-assigned",
    )
