"""Which sets of profiles fit on one GPU together.

Sizes do not add up: an instance must start at one of its profile's *placements*, counted in memory slices,
so ``4g + 4g`` is impossible on a GPU where two would have room.  The search below places one instance after
the other on the GPU's memory slices, within its compute slices and media engines, and tries every start.

Source: NVIDIA MIG User Guide; the placements themselves are the catalogue's (see ``gpus.yaml``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from webhook.slices.catalogue import Gpu, GpuProfile

_ENGINES = {"decoders": "decoders", "encoders": "encoders", "jpeg": "JPEG engines", "ofa": "optical flow accelerators"}


Placement: TypeAlias = tuple[int, GpuProfile]
"""The first memory slice of an instance, and its profile."""


def fits(gpu: Gpu, layout: Mapping[GpuProfile, int]) -> bool:
    """Whether *gpu* can be cut into *layout*, a count for each profile of that GPU."""
    return place(gpu, layout) is not None


def place(gpu: Gpu, layout: Mapping[GpuProfile, int]) -> list[Placement] | None:
    """One way to cut *gpu* into *layout*, by memory slice; None if there is none."""
    if any(count > profile.most for profile, count in layout.items()):
        return None
    if engines_missing(gpu, layout):
        return None
    if sum(profile.compute_slices * count for profile, count in layout.items()) > gpu.compute_slices:
        return None
    # Large ones first: they have the fewest placements, so a dead end shows early.
    wanted = sorted((profile for profile, count in layout.items() for _ in range(count)), key=lambda p: -p.size)
    starts = _place(wanted, 0, 0)
    return None if starts is None else sorted(zip(starts, wanted, strict=True), key=lambda placement: placement[0])


def largest(gpu: Gpu, profiles: Sequence[GpuProfile]) -> list[dict[GpuProfile, int]]:
    """The layouts of *profiles* on *gpu* that have no room for one more; some dozens at most."""
    return [
        {profile: count for profile, count in layout.items() if count}
        for layout in _layouts(gpu, profiles, {})
        if not any(fits(gpu, layout | {profile: layout[profile] + 1}) for profile in profiles) and any(layout.values())
    ]


def _layouts(
    gpu: Gpu, profiles: Sequence[GpuProfile], layout: dict[GpuProfile, int]
) -> Iterator[dict[GpuProfile, int]]:
    """All that fit, with *layout* for the profiles before those that are left."""
    if len(layout) == len(profiles):
        yield layout
        return
    profile = profiles[len(layout)]
    for count in range(profile.most + 1):
        if not fits(gpu, more := layout | {profile: count}):
            return
        yield from _layouts(gpu, profiles, more)


def has_room(gpu: Gpu, layout: Mapping[GpuProfile, int]) -> bool:
    """Whether *gpu* has as many compute and memory slices as *layout*, wherever they lie, and whatever its engines."""
    compute = sum(profile.compute_slices * count for profile, count in layout.items())
    memory = sum(profile.size * count for profile, count in layout.items())
    return compute <= gpu.compute_slices and memory <= gpu.memory_slices


def engines_missing(gpu: Gpu, layout: Mapping[GpuProfile, int]) -> str:
    """Which media engines *layout* takes more of than *gpu* has, in words; empty if there are enough of each."""
    for kind, words in _ENGINES.items():
        taken = sum(getattr(profile.engines, kind) * count for profile, count in layout.items())
        if taken > (most := getattr(gpu.engines, kind)):
            return f"{taken} {words}, of which it has {most}"
    return ""


def _place(wanted: list[GpuProfile], index: int, taken: int) -> tuple[int, ...] | None:
    """Where *wanted* from *index* on can start; *taken* has a bit for each used memory slice."""
    if index == len(wanted):
        return ()
    profile = wanted[index]
    for start in profile.starts:
        mask = ((1 << profile.size) - 1) << start
        if not taken & mask and (rest := _place(wanted, index + 1, taken | mask)) is not None:
            return (start, *rest)
    return None
