"""Where the slices of each profile can lie on a GPU: one line a placement."""

from __future__ import annotations

from textwrap import wrap

from webhook.draw.svg import WIDTH, Drawing, box, group, text
from webhook.slices.catalogue import Gpu, GpuProfile

NAMES = 134
"""Where the memory slices begin."""
LINE, GAP = 12, 14
MOST = 100
"""Most placements and memory slices that are drawn; real GPUs have some thirty, and twelve."""


def draw(gpu: Gpu) -> str:
    """The placements of every profile of *gpu* as an SVG.  Profiles that lie alike share their lines."""
    alike: dict[tuple[tuple[int, ...], int, int], list[GpuProfile]] = {}
    for profile in gpu.profiles:
        alike.setdefault((profile.starts, profile.size, profile.compute_slices), []).append(profile)
    told = "; ".join(
        f"{', '.join(map(str, profiles))}: {size} from {', '.join(map(str, starts)) or 'a place that is not known'}"
        for (starts, size, _), profiles in alike.items()
    )
    drawing = Drawing(
        f"Where slices can lie on one {gpu.product}", f"Memory slices: {told}." if told else "It has no MIG."
    )
    if not gpu.mig or not any(profile.starts for profile in gpu.profiles):
        drawing.write(
            "It has no MIG: it can only be shared." if not gpu.mig else "Nobody has published where they lie."
        )
        return drawing.svg()
    if sum(len(starts) for starts, _, _ in alike) > MOST or gpu.memory_slices > MOST:
        drawing.write("There are too many placements to draw.")
        return drawing.svg()
    step = (WIDTH - NAMES) / gpu.memory_slices
    drawing.y += 22
    drawing.add(text("memory slice", 0, drawing.y - 8, "quiet small"))
    if gpu.memory_slices <= 24:
        for number in range(gpu.memory_slices):
            drawing.add(text(str(number), NAMES + (number + 0.5) * step, drawing.y - 8, "quiet small", "middle"))
    for (starts, size, _), profiles in alike.items():
        top = drawing.y
        drawing.add(text(str(profiles[0]), 0, top + 12, "strong"))
        lines = [f"at most {profiles[0].most}{' together' if profiles[1:] else ''}"]
        if others := [profile.profile.attribute for profile in profiles[1:]]:
            lines[:0] = wrap(f"also {' '.join(others)}", 18, break_on_hyphens=False)
        for number, line in enumerate(lines):
            drawing.add(text(line, 0, top + 28 + 15 * number, "quiet small"))
        for number, start in enumerate(starts):
            place = box("slice", NAMES + start * step + 1, top + number * LINE, size * step - 2, LINE - 3)
            drawing.add(group(f"{profiles[0]}: memory slices {start} to {start + size - 1}", place))
        drawing.y = top + max(len(starts) * LINE, 14 + 15 * len(lines)) + GAP
    return drawing.svg()
