"""The `defaults` of a fleet file: fields that hold for each pool that does not give them, and where they can apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from webhook.fleet.file import KARPENTER_ONLY
from webhook.fleet.karpenter import MERGED, merge

_FOR_KARPENTER = frozenset(map(to_camel, KARPENTER_ONLY))


def with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """*data*, a fleet file as written, with its `defaults` in each pool that does not say otherwise.

    A pool does not inherit what cannot apply to it.  What applies to no pool is inherited all the same, and refused.
    """
    defaults, pools = data.get("defaults"), data.get("pools")
    if not isinstance(defaults, dict) or not isinstance(pools, list):
        return data
    own = [pool for pool in pools if isinstance(pool, dict)]
    useless = set(defaults).intersection(*(_inapplicable(pool, defaults) for pool in own))

    def full(pool: dict[str, Any]) -> dict[str, Any]:
        passed_over = set(_inapplicable(pool, defaults)) - useless
        if (defaults | pool).get("nodes") == "existing":
            passed_over |= _FOR_KARPENTER
        lower = {key: value for key, value in defaults.items() if key not in passed_over}
        both = {name: merge(lower[name], pool[name]) for name in MERGED if name in lower and name in pool}
        return lower | pool | both

    return data | {"pools": [full(pool) if isinstance(pool, dict) else pool for pool in pools]}


def _inapplicable(pool: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """The fields that *pool* could not have, whatever their value is."""
    both = {**defaults, **pool}
    partition, node_class = pool.get("partition", defaults.get("partition")), pool.get("nodeClass")
    if both.get("nodes") != "existing":
        yield "nodePools"
    if isinstance(partition, Mapping) and "mig" not in partition:
        yield from ("strategy", "partitionedBy")
    elif str(both.get("ami")).startswith("bottlerocket"):
        yield "partitionedBy"
    if "reserved" not in (both.get("capacityTypes") or ()):
        yield "capacityReservations"
    if pool.get("taints"):
        yield "untainted"
    if isinstance(node_class, Mapping):  # what a pool says in Karpenter's own words
        if "instanceProfile" in node_class:
            yield "nodeRole"
        if "blockDeviceMappings" in node_class:
            yield "disk"
