"""What a cluster's slices are used for, as a tree for people."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from webhook.cli.terminal import Line, line
from webhook.cluster.namespaces import amount_of, by_namespace
from webhook.cluster.usage import Amount, Held, NodeUse, PoolUse, SliceUse, Usage
from webhook.draw import blocks
from webhook.draw.node import Use
from webhook.errors import printable

MOST_PODS = 10
"""Pods that are named of one kind of slice on a node.  -o json names all."""

NARROWEST = 24
"""Characters that are left of a name on a narrow terminal."""

LEVELS = ("pool", "node", "slice", "pod")
MIB_PER_GIB = 1024


class Row(NamedTuple):
    """A line of the tree."""

    depth: int
    name: str
    cells: tuple[str, ...] = ()
    style: dict[str, Any] = {}  # noqa: RUF012  # never changed


def pools(usage: Usage, depth: str, namespace: str | None, *, draw: bool) -> Iterator[Line]:
    """The tree of pools, nodes, slices and pods, down to *depth*.  If *namespace* is given, only its pods are named."""
    head = ("USED", "FREE", "TOTAL", "USED %", "COMPUTE", "GIB", "FREE $/H")
    rows = []
    for pool in (pool for pool in usage.pools if pool.nodes):
        rows.append(Row(0, title(pool), _sums(usage, pool), {"bold": True}))
        for node in pool.nodes:
            rows.append(Row(1, f"{node.name}  {node.instance_type}".rstrip(), _sums(usage, node)))
            if draw:
                rows += [Row(3, text) for text in blocks.draw(uses(node))]
            for use in node.slices:
                free = "" if not use.unusable else f"  (node {use.unusable})"
                rows.append(Row(2, use.kind.name + free, _sums(usage, use), {"fg": "yellow"} if free else {}))
                rows += _pods(use.pods, namespace)
    rows.append(Row(0, "all", _sums(usage, usage), {"bold": True}))
    yield from _tree(("POOL, NODE, SLICE, POD", *head), rows, LEVELS.index(depth), draw=draw)


def namespaces(usage: Usage, depth: str, namespace: str | None, *, draw: bool) -> Iterator[Line]:
    """The tree of namespaces, slices and pods."""
    total = usage.total if usage.nodes_seen else None
    rows = []
    for use in by_namespace(usage):
        if namespace not in (None, use.name):
            continue
        rows.append(Row(0, use.name, (*_share(use.used, total), str(use.waiting)), {"bold": True}))
        for kind, pods in use.slices:
            name = kind.name if not kind.gpu else f"{kind.name} @ {kind.gpu}"
            rows.append(Row(2, name, (*_share(amount_of(kind, pods), total), "")))
            rows += _pods(pods, None)
    rows.append(Row(0, "all", (*_share(usage.used, total), str(sum(queue.count for queue in usage.waiting)))))
    head = ("NAMESPACE, SLICE, POD", "USED", "OF ALL", "COMPUTE", "GIB", "WAITING")
    yield from _tree(head, rows, LEVELS.index(depth))


def uses(node: NodeUse) -> list[Use]:
    """What of *node* is drawn."""
    return [Use(use.kind.name, use.held, use.count) for use in node.slices]


def title(pool: PoolUse) -> str:
    """The pool's name, and that it is retired."""
    return f"{pool.name} (retired)" if pool.retired else pool.name or "(no pool)"


def summary(usage: Usage) -> Iterator[Line]:
    """The sums, and what is stranded or waits: a line each."""
    used, total = usage.used, usage.total
    if usage.complete:
        whole = f" (with {usage.whole_gpus} whole GPUs)" if usage.whole_gpus else ""
        text = (
            f"{used.slices} of {total.slices} slices{whole} are used ({_percent(used.slices, total.slices)}), "
            f"{used.compute} of {total.compute} compute slices, {_gib(used)} of {_gib(total)} GiB"
        )
    else:
        text = f"at least {used.slices} slices are used, {used.compute} compute slices, {_gib(used)} GiB"
    cost = usage.free_cost
    money = f"; the free ones cost ${cost:,.2f} an hour" if cost is not None and usage.pods_seen else ""
    yield line(text, money)
    for lost in usage.stranded:
        nodes = lost.nodes[0] if len(lost.nodes) == 1 else f"{len(lost.nodes)} nodes"
        yield line(
            line("stranded", fg="yellow"), f": {lost.count} x {lost.slice} free in {lost.pool or '(no pool)'}, on "
            f"{nodes}: {lost.why}",
        )  # fmt: skip
    for queue in usage.waiting:
        pods = f"{len(queue.pods)} pod" + ("s" if len(queue.pods) > 1 else "")
        yield line(
            line("waiting", fg="yellow"), f": {pods} for {queue.count} x {queue.slice}"
            + (f" ({', '.join(queue.pools)})" if queue.pools else "")
            + f", the first for {age(queue.longest)}"
            + (f"; {queue.free} are free" if usage.complete else ""),
        )  # fmt: skip


def not_counted(usage: Usage, namespace: str | None) -> Iterator[Line]:
    """The pods that are set apart, a line each, and the others counted.  *namespace*: only its pods are named."""
    named = [pod for pod in usage.apart if namespace in (None, pod.namespace)][:MOST_PODS]
    for pod in named:
        yield line("not counted: Pod ", f"{pod.namespace}/{pod.pod} {pod.why}")
    if more := len(usage.apart) - len(named):
        yield line(f"not counted: {more} {'more ' if named else ''}pod{'s' if more > 1 else ''}")


def age(time: timedelta) -> str:
    """As kubectl prints ages: ``45s``, ``12m``, ``5h``, ``3d``."""
    seconds = max(int(time.total_seconds()), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _pods(pods: Sequence[Held], namespace: str | None) -> Iterator[Row]:
    named = [pod for pod in pods if namespace in (None, pod.namespace)]
    for pod in named[:MOST_PODS]:
        yield Row(3, f"{pod.namespace}/{pod.pod}", (str(pod.count),))
    if len(named) > MOST_PODS:
        yield Row(3, f"… and {len(named) - MOST_PODS} more", (str(sum(pod.count for pod in named[MOST_PODS:])),))


def _sums(usage: Usage, use: Usage | PoolUse | NodeUse | SliceUse) -> tuple[str, ...]:
    used, total = use.used, use.total
    cost = use.free_cost if not isinstance(use, SliceUse) and usage.pods_seen else None
    if not usage.complete:
        count = str(total.slices) if usage.nodes_seen else "?"
        return f"≥{used.slices}", "?", count, "?", f"≥{used.compute}", f"≥{_gib(used)}", ""
    return (
        str(used.slices),
        str(use.free),
        str(total.slices),
        _percent(used.slices, total.slices),
        f"{used.compute}/{total.compute}" if total.compute else "-",
        f"{_gib(used)}/{_gib(total)}" if total.memory_mib else "-",
        "" if cost is None else f"{cost:,.2f}",
    )


def _share(used: Amount, total: Amount | None) -> tuple[str, ...]:
    share = _percent(used.slices, total.slices) if total is not None else "?"
    return str(used.slices), share, str(used.compute), _gib(used)


def _gib(amount: Amount) -> str:
    return f"{amount.memory_mib / MIB_PER_GIB:,.1f}".removesuffix(".0")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "-"


def _tree(head: Sequence[str], rows: Iterable[Row], depth: int, *, draw: bool = False) -> Iterator[Line]:
    shown = [row for row in rows if row.depth <= depth or (draw and not row.cells)]
    printed = [(Row(0, head[0], tuple(head[1:])), head[0])]
    printed += [(row, "  " * row.depth + printable(row.name)) for row in shown]
    cells = [row.cells for row, _ in printed if row.cells]
    widths = [max(len(row[column]) for row in cells if column < len(row)) for column in range(len(head) - 1)]
    room = max(len(name) for row, name in printed if row.cells)
    if sys.stdout.isatty():
        room = max(min(room, shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths)), NARROWEST)
    for row, name in printed:
        if not row.cells:
            yield line(name)
            continue
        short = name if len(name) <= room else f"{name[: room - 1]}…"
        text = short.ljust(room) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row.cells, widths, strict=False)
        )
        yield line(text.rstrip(), **row.style)
