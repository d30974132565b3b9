"""One GPU of a pool: a row of compute slices and a row of memory slices, with the pool's slices on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from webhook.draw.svg import WIDTH, Drawing, Markup, box, centred, group, text
from webhook.fleet.pool import MIB_PER_GIB, MigOffer, Offer, Pool
from webhook.slices.catalogue import Gpu
from webhook.slices.layout import Placement, place

MOST, FINEST = 16, 48
"""Most slices that are drawn one by one, and most memory or compute slices of a GPU: more would be too narrow."""
ROW = 46


class _Block(NamedTuple):
    """One slice: where its compute and its memory lie, each as a part of the row's width."""

    offer: Offer
    compute: tuple[float, float]
    memory: tuple[float, float]


def draw(pool: Pool, *, highlight: str | None = None, count: int = 1) -> str:
    """One GPU of *pool* as an SVG.

    *highlight* is the resource that a pod got, such as ``nvidia.com/mig-1g.5gb``: *count* of its slices are marked,
    as an example: the device plugin says which ones.  A resource that the pool does not have marks nothing.
    """
    gpu, partition = pool.gpu, pool.entry.partition
    cut, turns = partition.mig is not None, partition.time_slicing is not None
    drawing = Drawing(f"One GPU of pool {pool.name}", _described(pool, highlight, count))
    drawing.write(f"{gpu.product}: {', '.join(f'{offer.per_gpu} × {offer}' for offer in pool.offers)}")
    total = sum(offer.per_gpu for offer in pool.offers)
    if total > MOST or max(gpu.compute_slices, gpu.memory_slices) > FINEST:
        drawing.write(f"That is too fine to draw: {total} slices." if cut else f"{total} shares are too many to draw.")
        return drawing.svg()
    blocks = list(_mig(pool) if cut else _shared(pool))
    own = [block for block in blocks if block.offer.resource == highlight][:count]
    rows = [f"{gpu.compute_slices} compute slices", f"{gpu.memory_slices} memory slices"]
    tops = []
    for row in rows if cut else ["memory", "compute"] if turns else ["compute", "memory"]:
        drawing.y += 8
        drawing.write(row)
        tops.append(drawing.y + 3)
        drawing.y += 3 + ROW
    compute, memory = reversed(tops) if turns else tops
    if cut:
        edge = gpu.compute_slices * _unit(gpu) / gpu.memory_slices
        drawing.add(*_unused(drawing, [block.compute for block in blocks], edge, compute))
        drawing.add(*_unused(drawing, [block.memory for block in blocks], 1, memory))
    elif turns:
        label = centred(_memory(pool.offers[0]), 0, memory, WIDTH, ROW)
        drawing.add(box("free", 1, memory, WIDTH - 2, ROW), label)
    for block in blocks:
        drawing.add(_slice(block, compute, memory, _memory(block.offer, mps=not turns), mine=block in own))
    for number, block in enumerate(own):
        left, right = block.compute if turns else block.memory
        where = min(max((left + right) / 2 * WIDTH, 40), WIDTH - 40)
        drawing.add(text("▲" if number else "▲ this pod", where, drawing.y + 16, "strong small", "middle"))
    drawing.y += 20 if own else 4
    drawing.write(_remark(pool, blocks))
    return drawing.svg()


def _mig(pool: Pool) -> Iterator[_Block]:
    """The slices of a GPU that is cut.

    NVIDIA documents where the memory of an instance begins.  Its compute slices are drawn above their memory as far as
    they do not overlap.
    """
    offers = {offer.profile: offer for offer in pool.offers if isinstance(offer, MigOffer)}
    gpu = pool.gpu
    placements: list[Placement] = place(gpu, {profile: offer.per_gpu for profile, offer in offers.items()}) or []
    left = sum(profile.compute_slices for _, profile in placements)
    end = 0
    for start, profile in placements:
        first = min(max(end, int(start // _unit(gpu))), gpu.compute_slices - left)
        end = first + profile.compute_slices
        left -= profile.compute_slices
        step = _unit(gpu) / gpu.memory_slices
        memory = start / gpu.memory_slices, (start + profile.size) / gpu.memory_slices
        yield _Block(offers[profile], (first * step, end * step), memory)


def _shared(pool: Pool) -> Iterator[_Block]:
    offer = pool.offers[0]
    for number in range(offer.per_gpu):
        part = number / offer.per_gpu, (number + 1) / offer.per_gpu
        yield _Block(offer, part, part if pool.entry.partition.mps else (0, 0))


def _unit(gpu: Gpu) -> float:
    """The memory slices under one compute slice: one of the eight under each of seven, three of twelve under four."""
    return gpu.memory_slices // gpu.compute_slices or gpu.memory_slices / gpu.compute_slices


def _slice(block: _Block, compute: float, low: float, memory: str, *, mine: bool) -> Markup:
    kind, ink = ("slice marked", " on-marked") if mine else ("slice", "")
    name = str(block.offer)
    parts: list[Markup] = []
    for (left, right), y, label in ((block.compute, compute, name), (block.memory, low, memory)):
        if right > left:
            x, width = left * WIDTH + 1, (right - left) * WIDTH - 2
            parts.append(box(kind, x, y, width, ROW, stroke_width=2 if mine else 1))
            parts.append(centred(label, x, y, width, ROW, f"small{' strong' if label == name else ''}{ink}"))
    return group(f"{name}, {memory}{', this pod' if mine else ''}", *parts)


def _unused(drawing: Drawing, used: list[tuple[float, float]], end: float, y: float) -> Iterator[Markup]:
    """The gaps between *used* in one row."""
    at = 0.0
    for left, right in [*sorted(used), (end, end)]:
        if left - at > 1e-9:
            shape = box("free unused", at * WIDTH + 1, y, (left - at) * WIDTH - 2, ROW)
            hatch = box("", at * WIDTH + 1, y, (left - at) * WIDTH - 2, ROW, fill=drawing.hatched)
            yield group("unused", shape, hatch)
        at = right


def _memory(offer: Offer, *, mps: bool = False) -> str:
    if isinstance(offer, MigOffer):
        mib = offer.profile.memory_mib
        return f"{mib / MIB_PER_GIB:.2f} GiB" if mib else "not measured"
    return f"1/{offer.per_gpu} of {offer.gpu.memory}" if mps else f"{offer.gpu.memory} for all"


def _remark(pool: Pool, blocks: list[_Block]) -> str:
    if pool.entry.partition.mps is not None:
        return "MPS: each pod has its part of the memory; faults are not isolated."
    if pool.entry.partition.mig is None:
        return "Time-slicing: pods take turns; memory and faults are not isolated."
    profiles = [block.offer.profile for block in blocks if isinstance(block.offer, MigOffer)]
    parts = [
        (pool.gpu.compute_slices - sum(profile.compute_slices for profile in profiles), "compute"),
        (pool.gpu.memory_slices - sum(profile.size for profile in profiles), "memory"),
    ]
    unused = " and ".join(f"{number} {kind} slice{'s' * (number > 1)}" for number, kind in parts if number)
    return f"Hatched: {unused}, not used by this layout." if unused else "Nothing is left unused."


def _described(pool: Pool, highlight: str | None, count: int) -> str:
    partition = pool.entry.partition
    kinds = [f"{offer.per_gpu} × {offer} ({_memory(offer, mps=partition.mps is not None)})" for offer in pool.offers]
    own = [
        f" The pod has {min(count, offer.per_gpu)} of the {offer.per_gpu} × {offer}."
        for offer in pool.offers
        if offer.resource == highlight
    ]
    return f"{pool.gpu.product}, {'cut into' if partition.mig else 'shared as'} {', '.join(kinds)}.{''.join(own)}"
