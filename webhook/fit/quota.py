"""Quotas: which pods of a namespace the ResourceQuota that is rendered for it keeps out.

The API server refuses them, whatever room there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from webhook.fit.demand import PodKind
from webhook.fit.solver import Program
from webhook.fleet.fleet import Fleet
from webhook.render.quota import limits

Over: TypeAlias = Mapping[tuple[str, PodKind], int]
"""How many pods of each kind are kept out of a namespace."""


def over_quota(demand: Mapping[tuple[str, PodKind], int], fleet: Fleet) -> Over:
    """The fewest of the pods of *demand*, by namespace and kind, that quotas keep out."""
    over = {}
    namespaces: dict[str, list[PodKind]] = defaultdict(list)
    for namespace, kind in demand:
        namespaces[namespace].append(kind)
    for namespace, kinds in namespaces.items():
        program = Program()
        pods = [program.variable(-1, most=demand[namespace, kind]) for kind in kinds]
        short = False
        for resource, most in limits(fleet, namespace).items():
            need = {
                pod: count
                for pod, kind in zip(pods, kinds, strict=True)
                for slice, count in kind.slices
                if slice.resource == resource
            }
            short |= sum(program.uppers[pod] * count for pod, count in need.items()) > most
            if need:
                program.row(need, most=most)
        solution = program.solve() if short else None
        for pod, kind in zip(pods, kinds, strict=True):
            if solution is not None and (more := demand[namespace, kind] - solution.whole(pod)):
                over[namespace, kind] = more
    return over


def quota_of(namespace: str, kind: PodKind, fleet: Fleet) -> dict[str, int]:
    """How many slices of those that a pod of *kind* needs all pods of *namespace* may have, where there is a quota."""
    most = limits(fleet, namespace)
    return {slice.name: most[slice.resource] for slice, _ in kind.slices if slice.resource in most}
