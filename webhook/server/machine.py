"""What this process may use: memory, by its cgroup or the machine, and file descriptors."""

from __future__ import annotations

import os
import resource
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def memory(root: Path = CGROUPS, own: Path = OWN) -> int:
    """Bytes that this process may have: the least ``memory.max`` of its cgroup (version 2) and those above it.

    Without one, what the machine has.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        path = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return physical
    folder = root / path.lstrip("/")
    limits = [_limit(each / "memory.max") for each in (folder, *folder.parents) if each.is_relative_to(root)]
    return min([physical, *(limit for limit in limits if limit is not None)])


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": none


def files() -> int:
    """File descriptors that this process may have.  Raises its soft limit to the hard one first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1_048_576
