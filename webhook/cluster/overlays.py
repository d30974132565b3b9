"""NodeOverlays: whether Karpenter knows that new nodes of a pool will have slices.

Source: Karpenter v1.15.0 ``pkg/controllers/nodeoverlay``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from webhook.admission.node_affinity import expression_could_hold
from webhook.admission.pod import Expression
from webhook.cluster.asked import Asked, moment
from webhook.cluster.causes import Cause
from webhook.cluster.events import Said
from webhook.cluster.objects import DEPLOYMENTS, NODE_OVERLAYS, Document, conditions
from webhook.cluster.requests import quantity
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.labels import WELL_KNOWN
from webhook.fleet.pool import Pool

GATE = "NodeOverlay"
_TYPE = "node.kubernetes.io/instance-type"


def obstacles(
    asked: Asked, pool: Pool, node_pool: Document, snapshot: Snapshot, said: Sequence[Said]
) -> Iterator[Cause]:
    """Why Karpenter does not expect the slices that the pod asks for on new nodes of *node_pool*."""
    listing, name = snapshot.of(NODE_OVERLAYS), node_pool["metadata"]["name"]
    if not listing.installed:
        text = f"Karpenter does not know that new nodes of NodePool {name} will have slices"
        yield Cause(
            "overlay-missing", f"{text}: this cluster has no NodeOverlays (their CRD is in the chart karpenter-crd)."
        )
        return
    if listing.problem:
        return
    fitting = [each for each in listing.items if any(map(_selects(each, node_pool), pool.entry.instance_types))]
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
        if off := _gate(listing.items, snapshot, said):
            yield Cause("gate-off", f"{unknown}: {off}.")
            return
        good = [each for each in promising if not _refused(each)]
        winner = max(good, key=lambda each: (each["spec"].get("weight") or 0, _name(each)), default=None)
        promised = quantity(winner["spec"]["capacity"][resource]) if winner is not None else Decimal()
        if promised >= need:
            continue
        refused = [each for each in promising if _refused(each)]
        if refused:
            conflicts = "onflict" in _refused(refused[0])
            why = "it conflicts with another of the same weight" if conflicts else "it is not valid"
            text = f"{unknown}: it refuses NodeOverlay {_name(refused[0])}, because {why}"
            yield Cause("overlay-refused", f"{text}.", (_refused(refused[0]),))
        elif winner is not None:
            text = f"NodeOverlay {_name(winner)} tells Karpenter that new nodes of NodePool {name} have {promised:f}"
            fleets = pool.largest.capacity.get(resource, 0)
            yield Cause("overlay-differs", f"{text} {resource}, and the fleet says {fleets}.")
        return


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _selects(overlay: Document, node_pool: Document) -> Callable[[str], bool]:
    template = node_pool["spec"]["template"].get("metadata") or {}
    labels = {**(template.get("labels") or {}), "karpenter.sh/nodepool": node_pool["metadata"]["name"]}

    def selects(instance_type: str) -> bool:
        known = labels | {_TYPE: instance_type}
        return all(
            expression_could_hold(Expression(each["key"], each["operator"], each.get("values")), known)
            and (each["key"] in known or each["key"] in WELL_KNOWN or each["operator"] in ("NotIn", "DoesNotExist"))
            for each in overlay["spec"].get("requirements") or ()
        )

    return selects


def _refused(overlay: Document) -> str:
    for kind in ("ValidationSucceeded", "Ready"):
        condition = conditions(overlay).get(kind, {})
        if condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return ""


def _gate(overlays: Sequence[Document], snapshot: Snapshot, said: Sequence[Said]) -> str:
    """Why Karpenter seems not to read overlays; empty if it seems to."""
    for deployment in deployments(snapshot):
        given = gates(deployment)
        if GATE not in given or given[GATE] != "true":
            return f"its feature gate {GATE} is off"
    created = [moment(each["metadata"].get("creationTimestamp")) for each in overlays]
    settled = any(when is not None and snapshot.when - when > timedelta(seconds=30) for when in created)
    settled = settled or any("no instance type has enough resources" in each.message for each in said)
    if settled and not any(map(conditions, overlays)):
        return f"it does not read NodeOverlays (none has a condition; most likely its feature gate {GATE} is off)"
    return ""


def gates(deployment: Document) -> Mapping[str, str]:
    """The feature gates that Karpenter's Deployment sets."""
    texts = []
    for container in deployment["spec"]["template"]["spec"].get("containers") or ():
        texts += [each.get("value") or "" for each in container.get("env") or () if each["name"] == "FEATURE_GATES"]
        arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
        texts += [each.partition("=")[2] for each in arguments if each.startswith("--feature-gates=")]
    pairs = (part.partition("=") for text in texts for part in text.split(","))
    return {key.strip(): value.strip().lower() for key, _, value in pairs}


def deployments(snapshot: Snapshot) -> list[Document]:
    """Karpenter's own Deployments."""
    return [
        each
        for each in snapshot.items(DEPLOYMENTS)
        if (each["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == "karpenter"
        or each["metadata"]["name"] == "karpenter"
    ]
