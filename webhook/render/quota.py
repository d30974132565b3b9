"""ResourceQuotas that enforce what the fleet file only advises: a namespace gets 0 of each slice that it may not use.

The webhook tells a pod's author at once, but does not see a pod that names the resource by hand.  The API server counts
that pod, too.  For extended resources a quota supports only ``requests.``.  A quota sees resources, not pools: if a
namespace may use a slice in one pool but not in another, the quota allows both.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU
from webhook.render.manifest import Commented, KeyPath, labels

NAME = "gpu-slice"


def quotas(fleet: Fleet) -> Iterator[Commented]:
    """One for each namespace of the fleet file that may not use every slice.  "*" is skipped: it is not a namespace."""
    for namespace in fleet.policies:
        if namespace == "*":
            continue
        allowed, forbidden = _resources(fleet, namespace)
        if forbidden:
            manifest = {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": NAME, "namespace": namespace, "labels": labels("quota")},
                "spec": {"hard": {f"requests.{resource}": "0" for resource in forbidden}},
            }
            yield Commented(manifest, _notes(namespace, allowed, forbidden))


def _resources(fleet: Fleet, namespace: str) -> tuple[list[str], list[str]]:
    """The resources of the fleet that pods of *namespace* may ask for, and the others."""
    policy = fleet.policy(namespace)
    known = dict.fromkeys(offer.resource for _, offer in fleet.offers)
    permitted = {offer.resource for pool, offer in fleet.offers if policy.permits(pool, offer)}
    return [name for name in known if name in permitted], [name for name in known if name not in permitted]


def _notes(namespace: str, allowed: list[str], forbidden: list[str]) -> dict[KeyPath, str]:
    example = (allowed or forbidden)[0]
    comment = (
        f'To allow some, and no more:  requests.{example}: "4"\nPods of DaemonSets and waiting pods are counted too.'
    )
    notes: dict[KeyPath, str] = {
        (): f"Slices that {namespace} may not use.  A quota has no pools: what one pool allows, all allow.",
        ("spec", "hard"): comment,
    }
    if WHOLE_GPU in forbidden:
        notes["spec", "hard", f"requests.{WHOLE_GPU}"] = (
            "A slice has the same name as a whole GPU elsewhere (`single`, or not renamed): this forbids both."
        )
    return notes
