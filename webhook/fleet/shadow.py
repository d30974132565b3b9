"""What of a fleet is in shadow: decided, counted and warned about, and not done."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.errors import FleetProblem
from webhook.fleet.file import FleetFile, Mode


def modes(file: FleetFile) -> tuple[Mode, dict[str, Mode]]:
    """The mode of namespaces without an entry of their own, and that of each other one that differs from it."""
    named = {name: entry.mode or file.mode for name, entry in file.namespaces.items()}
    others = named.pop("*", file.mode)
    return others, {name: mode for name, mode in sorted(named.items()) if mode != others}


def pools_in_shadow(file: FleetFile) -> list[str]:
    """The names of the pools that are in shadow for every namespace.  A retired one gives no pod anything."""
    return [pool.name for pool in file.pools if pool.mode == "shadow" and not pool.retired]


def in_shadow(file: FleetFile) -> str:
    """What is in shadow, as in ``all namespaces but team-a, and pool a100-1g-5gb``; empty if nothing is."""
    others, different = modes(file)
    names, parts = ", ".join(different), []
    if others == "shadow":
        parts.append(f"all namespaces but {names}" if names else "all namespaces")
    elif names:
        parts.append(f"namespace{'s' if len(different) > 1 else ''} {names}")
    if pools := pools_in_shadow(file):
        parts.append(f"pool{'s' if len(pools) > 1 else ''} {', '.join(pools)}")
    return ", and ".join(parts)


def check_modes(file: FleetFile) -> Iterator[tuple[int, FleetProblem]]:
    """Pools, by index, that say that they enforce in a fleet that does not."""
    for index, pool in enumerate(file.pools):
        if file.mode == "shadow" and pool.mode == "enforce" and "mode" in pool.model_fields_set:
            yield (
                index,
                FleetProblem(
                    f"pools[{index}].mode",
                    "'enforce' has no effect, because 'mode' of the fleet is 'shadow'",
                    "Remove it; to enforce this pool alone, write 'mode: shadow' into 'defaults', not beside 'pools'",
                ),
            )
