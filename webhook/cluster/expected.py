"""Whether Karpenter knows that new nodes of a pool will have slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from webhook.cluster.asked import Asked, moment
from webhook.cluster.causes import Cause
from webhook.cluster.cures import render
from webhook.cluster.events import Said
from webhook.cluster.karpenter import GATE, gate
from webhook.cluster.made import OURS
from webhook.cluster.objects import CONFIG_MAPS, NODE_OVERLAYS, Document, conditions
from webhook.cluster.overlays import Given, given, labels_of, refused, selects, types_of
from webhook.cluster.requests import ZERO
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.pool import Pool

_NO_CRD = (
    "The platform team: install or upgrade the chart karpenter-crd (docs/eks.md#switch-nodeoverlay-on), and then: "
    f"{render('node-overlays')}."
)


def obstacles(
    asked: Asked, pool: Pool, node_pool: Document, snapshot: Snapshot, said: Sequence[Said]
) -> Iterator[Cause]:
    """Why Karpenter does not expect the slices that the pod asks for on new nodes of *node_pool*."""
    listing, name = snapshot.of(NODE_OVERLAYS), node_pool["metadata"]["name"]
    if not listing.installed:
        text = f"Karpenter does not know that new nodes of NodePool {name} will have slices"
        why = "this cluster has no NodeOverlays (their CRD is in the chart karpenter-crd)"
        yield Cause("overlay-missing", f"{text}: {why}.", (), _NO_CRD)
        return
    if listing.problem:
        return
    labels = labels_of(node_pool)
    fitting = [each for each in listing.items if any(selects(each, shape, labels) for shape in pool.shapes)]
    by_type = [given(fitting, shapes, labels) for shapes in types_of(pool).values()]
    for resource, need in asked.slices.items():
        promising = [each for each in fitting if resource in (each["spec"].get("capacity") or {})]
        unknown = f"Karpenter does not know that new nodes of NodePool {name} will have {resource}"
        if not promising:
            ours = [each for each in listing.items if _name(each).startswith(f"{pool.name}-") and each not in fitting]
            if fitting or ours:
                wrong = "does not say so" if fitting else "selects other nodes"
                yield Cause("overlay-differs", f"{unknown}: NodeOverlay {_name((fitting or ours)[0])} {wrong}.")
            else:
                yield Cause("overlay-missing", f"{unknown}: there is no NodeOverlay that says so.")
            return
        if found := _unread(listing.items, snapshot, said):
            id, why = found
            yield Cause(id, f"{unknown}: {why}.")
            return
        promises = [promise[resource] for promise in by_type if resource in promise]
        most = max(promises, key=lambda promise: promise.amount, default=Given("", ZERO))
        if most.amount >= need:
            continue
        dropped = [each for each in promising if refused(each)]
        if dropped:
            conflicts = "onflict" in refused(dropped[0])
            why = "it conflicts with another of the same weight" if conflicts else "it is not valid"
            text = f"{unknown}: it refuses NodeOverlay {_name(dropped[0])}, because {why}"
            yield Cause("overlay-refused", f"{text}.", (refused(dropped[0]),))
        else:
            text = f"NodeOverlay {most.overlay} tells Karpenter that new nodes of NodePool {name} have {most.amount:f}"
            fleets = pool.largest.capacity.get(resource, 0)
            mine = any(_name(each) == most.overlay and _of_render(each) for each in promising)
            cure = f"The platform team: lower the weight of NodeOverlay {most.overlay}, or delete it."
            cause = Cause("overlay-differs", f"{text} {resource}, and the fleet says {fleets}.")
            yield cause if mine else replace(cause, instead=cure)
        return


def _of_render(overlay: Document) -> bool:
    return OURS.items() <= (overlay["metadata"].get("labels") or {}).items()


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _unread(overlays: Sequence[Document], snapshot: Snapshot, said: Sequence[Said]) -> tuple[str, str] | None:
    """Why Karpenter seems not to read overlays, as a cause's id and the end of its sentence; None if it seems to."""
    on, _ = gate(snapshot, lambda *address: _data(snapshot, *address))
    if on is False:
        return "gate-off", f"its feature gate {GATE} is off"
    created = [moment(each["metadata"].get("creationTimestamp")) for each in overlays]
    settled = any(when is not None and snapshot.when - when > timedelta(seconds=30) for when in created)
    settled = settled or any("no instance type has enough resources" in each.message for each in said)
    if not settled or any(map(conditions, overlays)):
        return None
    if on:
        return (
            "overlay-unread",
            f"it has looked at no NodeOverlay (none has a condition), and its feature gate {GATE} is on",
        )
    return (
        "gate-off",
        f"it does not read NodeOverlays (none has a condition; most likely its feature gate {GATE} is off)",
    )


def _data(snapshot: Snapshot, namespace: str, name: str) -> Mapping[str, str] | None:
    found = snapshot.named(CONFIG_MAPS, name, namespace)
    return None if found is None else found.get("data") or {}
