"""ResourceQuotas that enforce what the fleet file only advises: how many of each slice a namespace may have, 0 of those
that it may not use.

The webhook tells a pod's author at once, but does not see a pod that names the resource by hand.  The API server counts
that pod, too.  For extended resources a quota supports only ``requests.``.  A quota sees resources, not pools: if a
namespace may use a slice in one pool but not in another, the quota allows both.  Of a retired pool it goes on to count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import resources_of
from webhook.fleet.pool import WHOLE_GPU
from webhook.render.manifest import Commented, KeyPath, labels

NAME = "gpu-slice"


def quotas(fleet: Fleet) -> Iterator[Commented]:
    """One for each namespace of the fleet file that is limited.  "*" is skipped: it is not a namespace."""
    for namespace in fleet.policies:
        if namespace == "*":
            continue
        if most := limits(fleet, namespace):
            manifest = {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": NAME, "namespace": namespace, "labels": labels("quota")},
                "spec": {"hard": {f"requests.{resource}": str(count) for resource, count in most.items()}},
            }
            yield Commented(manifest, _notes(namespace, most))


def limits(fleet: Fleet, namespace: str) -> dict[str, int]:
    """How many of a resource all pods of *namespace* may have, in fleet order; those without a limit are left out."""
    policy, entry = fleet.policy(namespace), fleet.file.namespaces.get(namespace)
    counts = {
        resource: count
        for text, count in (entry.quota.items() if entry is not None else ())
        for resource in resources_of(text, policy, fleet.pools)
    }
    offers = (fleet.before or fleet).offers
    permitted = {offer.resource for pool, offer in offers if policy.permits(pool, offer)}
    known = dict.fromkeys(offer.resource for _, offer in offers)
    most = {name: counts.get(name) if name in permitted else 0 for name in known}
    return {name: count for name, count in most.items() if count is not None}


def _notes(namespace: str, most: Mapping[str, int]) -> dict[KeyPath, str]:
    notes: dict[KeyPath, str] = {
        (): f"How many slices {namespace} may have.  A quota has no pools: what one pool allows, all allow.",
        (
            "spec",
            "hard",
        ): "Pods of DaemonSets and waiting pods are counted too.  More counts: `quota` in the fleet file.",
    }
    if WHOLE_GPU in most:
        meant = "this forbids both" if not most[WHOLE_GPU] else "both are counted"
        notes["spec", "hard", f"requests.{WHOLE_GPU}"] = (
            f"A slice has the same name as a whole GPU elsewhere (`single`, or not renamed): {meant}."
        )
    return notes
