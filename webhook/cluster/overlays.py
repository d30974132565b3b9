"""NodeOverlays: to which nodes Karpenter applies them, and what these then have.

Karpenter takes overlays in order of weight, and of equal weights the name that is later in the alphabet.  The first
that gives a resource wins.  Source: Karpenter v1.15.0 ``pkg/controllers/nodeoverlay``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

import msgspec

from webhook.admission.node_affinity import expression_could_hold
from webhook.admission.pod import Expression
from webhook.cluster.nodes import Known
from webhook.cluster.objects import Document, conditions
from webhook.cluster.requests import quantity
from webhook.fleet.labels import NODE_POOL, WELL_KNOWN
from webhook.fleet.pool import NodeShape, Pool


class Given(NamedTuple):
    """What an overlay gives to nodes."""

    overlay: str
    amount: Decimal


def labels_of(node_pool: Document) -> dict[str, str]:
    """The labels that the nodes of a NodePool have from it."""
    template = (node_pool["spec"].get("template") or {}).get("metadata") or {}
    return {**(template.get("labels") or {}), NODE_POOL: node_pool["metadata"]["name"]}


def types_of(pool: Pool) -> dict[str, list[NodeShape]]:
    """The kinds of node of *pool* by instance type."""
    shapes = groupby(pool.shapes, key=lambda shape: shape.instance_type.name)
    return {name: list(members) for name, members in shapes}


def refused(overlay: Document) -> str:
    """Why Karpenter has dropped *overlay*; empty if it has not."""
    for kind in ("ValidationSucceeded", "Ready"):
        condition = conditions(overlay).get(kind, {})
        if condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return ""


def selects(overlay: Document, shape: NodeShape, labels: Mapping[str, str]) -> bool:
    """Whether Karpenter may apply *overlay* to nodes of *shape* of a NodePool that gives them *labels*."""
    known = {**shape.labels, **labels}
    return all(
        expression_could_hold(msgspec.convert(requirement, Expression), Known(known))
        for requirement in overlay["spec"].get("requirements") or ()
        # Of such a label it has some value, and nobody knows which.
        if requirement["key"] not in WELL_KNOWN or requirement["key"] in known
    )


def given(overlays: Iterable[Document], shapes: Sequence[NodeShape], labels: Mapping[str, str]) -> dict[str, Given]:
    """By resource, what *overlays* give to nodes of *shapes*, which are of one instance type."""
    result: dict[str, Given] = {}
    accepted = [overlay for overlay in overlays if not refused(overlay)]
    for overlay in sorted(accepted, key=_rank, reverse=True):
        if any(selects(overlay, shape, labels) for shape in shapes):
            for resource, amount in (overlay["spec"].get("capacity") or {}).items():
                result.setdefault(resource, Given(overlay["metadata"]["name"], quantity(str(amount))))
    return result


def _rank(overlay: Document) -> tuple[int, str]:
    return overlay["spec"].get("weight") or 0, overlay["metadata"]["name"]
