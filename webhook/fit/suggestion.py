"""Suggestion: the fleet with better layouts, as a fleet file.

A pool is never cut in another way under its name, because its nodes and pods live.  Each new layout is a new pool, like
the old one in all else; an old one that serves the pods and that they need no longer is left out.  A retired pool stays
as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from webhook.errors import BadFleet
from webhook.fit.answer import Answer, Nodes
from webhook.fit.fit import limit_of, units
from webhook.fleet import draft
from webhook.fleet import fleet as fleets
from webhook.fleet.fleet import Fleet
from webhook.slices.catalogue import Catalogue

LONGEST = 63
"""Characters of a pool's name."""

File: TypeAlias = dict[str, Any]


def names_of(answer: Answer, fleet: Fleet) -> dict[tuple[str, tuple[tuple[str, int], ...]], str]:
    """The names of the new pools of *answer*, by the pool that each is like and its layout."""
    names: dict[tuple[str, tuple[tuple[str, int], ...]], str] = {}
    taken = {pool.name for pool in fleet.pools}
    for each in answer.pools:
        if each.new and key_of(each) not in names:
            layout = "-".join(f"{count}x{name}" for name, count in each.layout.items())
            stem = re.sub(r"[^a-z0-9]+", "-", f"{each.gpu}-{layout}".lower())[: LONGEST - 4].strip("-")
            name = next(
                name for number in range(1, len(taken) + 2)
                if (name := stem if number == 1 else f"{stem}-{number}") not in taken
            )  # fmt: skip
            names[key_of(each)] = name
            taken.add(name)
    return names


def key_of(nodes: Nodes) -> tuple[str, tuple[tuple[str, int], ...]]:
    """What makes the nodes of one new pool."""
    return nodes.pool, tuple(sorted(nodes.layout.items()))


def suggest(answer: Answer, fleet: Fleet, usable: Iterable[str], built_in: Catalogue) -> tuple[File, Fleet, list[str]]:
    """*fleet* with the pools of *answer*: as a file, checked, and with remarks.

    *usable*: the pools that serve the pods.  Raises `BadFleet`.
    """
    used = {each.pool for each in answer.pools if not each.new}
    idle = {
        pool.name for pool in fleet.pools
        if pool.name in set(usable) - used and pool.entry.partition.mig and not pool.entry.retired
    }  # fmt: skip
    try:
        return _write(answer, fleet, idle, built_in)
    except BadFleet:  # a namespace names a slice that only such a pool has
        return _write(answer, fleet, set(), built_in)


def _write(answer: Answer, fleet: Fleet, idle: set[str], built_in: Catalogue) -> tuple[File, Fleet, list[str]]:
    names = names_of(answer, fleet)
    like: dict[str, list[str]] = {}
    for (old, _), name in names.items():
        like.setdefault(old, []).append(name)
    named = {name for entry in fleet.file.namespaces.values() for name in entry.pools or ()}
    gone = {name for name in idle if name not in named or name in like}
    text = fleet.file.model_dump(mode="json", by_alias=True, exclude_unset=True)
    remarks = [f"pool {name} is left out: no pod needs it any more" for name in sorted(gone)]
    pools = []
    for pool, entry in zip(fleet.pools, text["pools"], strict=True):
        own = [each for each in answer.pools if each.pool == pool.name and not each.new]
        if pool.name not in gone:
            most, wanted = limit_of(pool), sum(each.nodes * units(pool, each.gpus // each.nodes) for each in own)
            if own and pool.entry.retired:
                remarks.append(f"pool {pool.name} is retired, and stays as it is: no node is launched for its pods")
            elif most is not None and wanted > most:
                entry = entry | {"limit": {"nodes": sum(each.nodes for each in own)}}
                remarks.append(f"pool {pool.name} gets a larger limit")
            pools.append(entry)
        for new in like.get(pool.name, ()):
            parts = [each for each in answer.pools if each.new and names[key_of(each)] == new]
            pools.append(_new_pool(entry, new, parts, fleet))
            remarks.append(f"pool {new} is new, and like {pool.name} but for its layout and its limit")
    text["pools"] = pools
    for entry in text.get("namespaces", {}).values():
        if entry.get("pools") is not None:
            entry["pools"] = [
                name for old in entry["pools"] for name in ([] if old in gone else [old]) + like.get(old, [])
            ]
    return text, fleets.build(draft.read(text), built_in).enforced(), remarks


def _new_pool(entry: Mapping[str, Any], name: str, parts: list[Nodes], fleet: Fleet) -> File:
    """The entry of a pool like that of *entry*, for *parts*."""
    kinds = fleet.catalogue.instance_types
    gpus = {kinds[each.instance_type].gpus for each in parts}
    priced = any(each.dollars is not None for each in parts)
    types = [
        kind
        for kind in entry["instanceTypes"]
        if (kind in {each.instance_type for each in parts} if priced else kinds[kind].gpus in gpus)
    ]
    new = {**entry, "name": name, "partition": {"mig": dict(parts[0].layout)}, "instanceTypes": types}
    new.pop("nodePools", None)  # a NodePool belongs to one pool
    new.pop("mode", None)  # what pods need is enforced: a pool in shadow comes after all others
    if entry.get("nodes") != "existing":
        new["limit"] = {"nodes": sum(each.nodes for each in parts)}
    return new
