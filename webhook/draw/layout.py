"""One GPU of a pool: a row of compute slices and a row of memory slices, with the pool's slices on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from webhook.draw.svg import WIDTH, Drawing, Markup, box, centred, group, text
from webhook.fleet.pool import MIB_PER_GIB, MigOffer, Offer, Pool
from webhook.slices.catalogue import Gpu
from webhook.slices.layout import Placement, place

MOST = 16
"""Most slices that are drawn one by one; more would be too narrow to see."""
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
    gpu = pool.gpu
    drawing = Drawing(f"One GPU of pool {pool.name}", _described(pool, highlight, count))
    drawing.write(f"{gpu.product}: {_counted(pool)}")
    total = sum(offer.per_gpu for offer in pool.offers)
    cut, mps = pool.entry.partition.mig is not None, pool.entry.partition.mps is not None
    if total > MOST:
        drawing.write(f"{total} slices are too many to draw.")
        return drawing.svg()
    blocks = list(_mig(pool) if cut else _shared(pool))
    own = [block for block in blocks if block.offer.resource == highlight][:count]
    drawing.y += 8
    drawing.write(f"{gpu.compute_slices} compute slices" if cut else "compute")
    top = drawing.y + 3
    low = top + ROW + 30
    if cut:
        edge = gpu.compute_slices * _unit(gpu) / gpu.memory_slices
        drawing.add(*_unused(drawing, [block.compute for block in blocks], edge, top))
        drawing.add(*_unused(drawing, [block.memory for block in blocks], 1, low))
    elif not mps:
        drawing.add(box("free", 1, low, WIDTH - 2, ROW), centred(_memory(pool.offers[0]), 0, low, WIDTH, ROW, "small"))
    for block in blocks:
        drawing.add(_slice(block, top, low, _memory(block.offer, mps), mine=block in own))
    drawing.y = top + ROW + 8
    drawing.write(f"{gpu.memory_slices} memory slices" if cut else "memory")
    drawing.y = low + ROW
    for number, block in enumerate(own):
        left, right = block.memory if cut or mps else block.compute
        where = min(max((left + right) / 2 * WIDTH, 40), WIDTH - 40)
        drawing.add(text("▲" if number else "▲ this pod", where, low + ROW + 16, "strong small", "middle"))
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


def _slice(block: _Block, top: float, low: float, memory: str, *, mine: bool) -> Markup:
    kind, ink = ("slice marked", "on-marked") if mine else ("slice", "")
    name = str(block.offer)
    parts: list[Markup] = []
    for (left, right), y, label in ((block.compute, top, name), (block.memory, low, memory)):
        if right > left:
            x, width = left * WIDTH + 1, (right - left) * WIDTH - 2
            weight = "strong" if label == name else "small"
            parts.append(box(kind, x, y, width, ROW, stroke_width=2 if mine else 1))
            parts.append(centred(label, x, y, width, ROW, f"{weight} {ink}".strip(), 14 if label == name else 13))
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


def _memory(offer: Offer, mps: bool = False) -> str:
    if isinstance(offer, MigOffer):
        mib = offer.profile.memory_mib
        return f"{mib / MIB_PER_GIB:.2f} GiB" if mib else "not measured"
    return f"1/{offer.per_gpu} of {offer.gpu.memory}" if mps else f"{offer.gpu.memory} for all"


def _counted(pool: Pool) -> str:
    return ", ".join(f"{offer.per_gpu} × {offer}" for offer in pool.offers)


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
    kinds = [f"{offer.per_gpu} × {offer} ({_memory(offer, partition.mps is not None)})" for offer in pool.offers]
    own = [
        f" The pod has {min(count, offer.per_gpu)} of the {offer.per_gpu} × {offer}."
        for offer in pool.offers
        if offer.resource == highlight
    ]
    return f"{pool.gpu.product}, {'cut into' if partition.mig else 'shared as'} {', '.join(kinds)}.{''.join(own)}"
