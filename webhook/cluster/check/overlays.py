"""A check of where each NodeOverlay applies: whether Karpenter ends up with the slices that the fleet promises.

Karpenter takes overlays in order of weight, and of equal weights the name that is later in the alphabet.  The first
that gives a resource wins.  Source: Karpenter v1.15.0 ``pkg/controllers/nodeoverlay``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec

from webhook.admission.node_affinity import expression_could_hold
from webhook.admission.pod import Expression
from webhook.cluster.check.facts import KARPENTER_POOL, Facts, node_pools
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.objects import NODE_OVERLAYS, NODE_POOLS, Document, conditions
from webhook.fleet.labels import ZONES
from webhook.fleet.pool import NodeShape, Pool

VENDOR = "nvidia.com/"


class Known(dict[str, str | None]):
    """Labels of which nothing more is to come: a key that is not there, the node does not have."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> None:
        return None


def _applies(facts: Facts) -> Iterator[Found]:
    accepted = [overlay for overlay in facts.all(NODE_OVERLAYS) if not _dropped(overlay)]
    # As Karpenter orders them: sorted() keeps the order of equals, and the names descend.
    ordered = sorted(accepted, key=lambda overlay: overlay["metadata"]["name"], reverse=True)
    ordered = sorted(ordered, key=lambda overlay: overlay["spec"].get("weight") or 0, reverse=True)
    where: dict[str, list[str]] = {}
    for pool in facts.karpenter_pools:
        for name in node_pools(pool):
            template = ((facts.named(NODE_POOLS, name) or {}).get("spec") or {}).get("template") or {}
            labels = (template.get("metadata") or {}).get("labels") or {}
            for type, shapes in groupby(pool.shapes, key=lambda shape: shape.instance_type.name):
                taken = list(shapes)
                given = _given(ordered, taken, {**labels, KARPENTER_POOL: name})
                yield from _wrong(pool, name, taken[0], given)
                for overlay in dict.fromkeys(source for source, _ in given.values()):
                    where.setdefault(overlay, []).append(f"{type} of {name}")
    for overlay, places in sorted(where.items()):
        yield Note(f"{overlay}: {', '.join(dict.fromkeys(places))}")


def _dropped(overlay: Document) -> bool:
    return conditions(overlay).get("ValidationSucceeded", {}).get("status") == "False"


def _given(overlays: list[Document], shapes: list[NodeShape], labels: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By resource: the overlay that gives it to these nodes, and how much."""
    given: dict[str, tuple[str, str]] = {}
    for overlay in overlays:
        if any(selects(overlay, shape, labels) for shape in shapes):
            for resource, amount in (overlay["spec"].get("capacity") or {}).items():
                given.setdefault(resource, (overlay["metadata"]["name"], str(amount)))
    return given


def selects(overlay: Document, shape: NodeShape, labels: Mapping[str, str]) -> bool:
    """Whether Karpenter applies *overlay* to nodes of *shape* of a NodePool whose template has *labels*."""
    known: dict[str, Any] = Known({**shape.labels, **labels})
    for requirement in overlay["spec"].get("requirements") or []:
        if requirement["key"] in ZONES and requirement["key"] not in shape.labels:
            continue  # it has some zones, and nobody knows which
        expression = msgspec.convert(requirement, Expression)
        if expression.operator in ("Gte", "Lte"):
            continue
        if not expression_could_hold(expression, known):
            return False
    return True


def _wrong(pool: Pool, name: str, shape: NodeShape, given: Mapping[str, tuple[str, str]]) -> Iterator[Problem]:
    type = shape.instance_type.name
    promised = {"nvidia.com/gpu": 0, **shape.capacity}
    for resource, count in promised.items():
        source, amount = given.get(resource, ("", ""))
        if not source:
            yield Problem(f"no NodeOverlay gives {resource} to {type} of NodePool {name}, so no pod gets a node there")
        elif amount != str(count):
            yield Problem(f"NodeOverlay {source} gives {type} of NodePool {name} {amount} {resource}, and not {count}")
    for resource, (source, amount) in given.items():
        if resource not in promised and resource.startswith(VENDOR) and amount != "0":
            yield Problem(f"NodeOverlay {source} gives {type} of NodePool {name} {amount} {resource}, which it has not")


CHECKS = (
    Check(
        "node-overlay-applies", "Karpenter", "Karpenter counts the slices that the fleet promises",
        "Change the other overlay's requirements or its weight: the largest weight wins, resource by resource.",
        _applies, after=("node-pool", "node-overlay", "node-overlay-ready"), karpenter=True,
    ),
)  # fmt: skip
