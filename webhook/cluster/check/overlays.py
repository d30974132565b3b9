"""A check of where each NodeOverlay applies: whether Karpenter ends up with the slices that the fleet promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.cluster.check.facts import Facts
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.nodes import node_pools
from webhook.cluster.objects import NODE_OVERLAYS, NODE_POOLS
from webhook.cluster.overlays import Given, given, labels_of, types_of
from webhook.fleet.pool import NodeShape, Pool

VENDOR = "nvidia.com/"


def _applies(facts: Facts) -> Iterator[Found]:
    overlays = facts.all(NODE_OVERLAYS)
    where: dict[str, list[str]] = {}
    for pool in facts.karpenter_pools:
        for name in node_pools(pool):
            labels = labels_of(facts.named(NODE_POOLS, name) or {"metadata": {"name": name}, "spec": {}})
            for type, shapes in types_of(pool).items():
                promised = given(overlays, shapes, labels)
                yield from _wrong(pool, name, shapes[0], promised)
                for overlay in dict.fromkeys(each.overlay for each in promised.values()):
                    where.setdefault(overlay, []).append(f"{type} of {name}")
    for overlay, places in sorted(where.items()):
        yield Note(f"{overlay}: {', '.join(dict.fromkeys(places))}")


def _wrong(pool: Pool, name: str, shape: NodeShape, given: Mapping[str, Given]) -> Iterator[Problem]:
    type = shape.instance_type.name
    promised = {"nvidia.com/gpu": 0, **shape.capacity}
    for resource, count in promised.items():
        if resource not in given:
            yield Problem(f"no NodeOverlay gives {resource} to {type} of NodePool {name}, so no pod gets a node there")
        elif given[resource].amount != count:
            told = f"NodeOverlay {given[resource].overlay} gives {type} of NodePool {name} {given[resource].amount:f}"
            yield Problem(f"{told} {resource}, and not {count}")
    for resource, (source, amount) in given.items():
        if resource not in promised and resource.startswith(VENDOR) and amount:
            yield Problem(
                f"NodeOverlay {source} gives {type} of NodePool {name} {amount:f} {resource}, which it has not"
            )


CHECKS = (
    Check(
        "node-overlay-applies", "Karpenter", "Karpenter counts the slices that the fleet promises",
        "Change the other overlay's requirements or its weight: the largest weight wins, resource by resource.",
        _applies, after=("node-pool", "node-overlay", "node-overlay-ready"), karpenter=True,
    ),
)  # fmt: skip
