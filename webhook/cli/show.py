"""How a preview looks on a terminal: a diff, who gets what, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import unified_diff

from webhook import documents
from webhook.admission.plan import Plan
from webhook.admission.preview import Preview
from webhook.admission.workloads import Document
from webhook.cli.terminal import Line, line
from webhook.errors import printable
from webhook.slices.request import ANNOTATION

CONTEXT = 2
"""Lines around a change."""

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def diff(before: Document, after: Document, title: str) -> Iterator[Line]:
    """The pod before and after as a unified diff of its YAML; colours are for a terminal."""
    old, new = (documents.write(pod).splitlines() for pod in (before, after))
    for number, text in enumerate(unified_diff(old, new, title, f"{title}, as admitted", n=CONTEXT, lineterm="")):
        yield line(text, bold=True) if number < 2 else line(text, fg=_COLOURS.get(text[:1]))


def remarks(each: Preview) -> Iterator[Line]:
    """What happened to one object, and why: the line for it, and those that belong to it."""
    title = each.subject.title
    if each.denial is not None:
        yield line(f"{title}: ", line("denied", fg="red", bold=True), f": {each.denial}")
        yield from pointer(each)
    elif each.plan is None:
        yield line(f"{title}: makes no pods")
    elif each.plan.resolution is None or not each.plan.patch:
        yield line(f"{title}: nothing changes: {each.plan.why}")
    else:
        yield line(f"{title}: ", line("sliced", fg="green", bold=True), f": {given(each.plan)}")
    for warning in each.plan.warnings if each.plan else ():
        yield line("  ", line("warning", fg="yellow"), f": {warning}")
    for advice in each.subject.advice:
        yield line("  ", line("note", fg="yellow"), f": {advice}")


def given(plan: Plan) -> str:
    """As in ``main gets 1 nvidia.com/mig-1g.5gb (pool a100-1g-5gb)``."""
    if plan.resolution is None:
        return ""
    parts = [f"{each.container.name} gets {each.count} {each.resource}" for each in plan.resolution.assignments]
    pools = [pool.name for pool in plan.resolution.pools]
    return f"{', '.join(parts)} ({'pool' if len(pools) == 1 else 'pools'} {', '.join(pools)})"


def pointer(each: Preview) -> Iterator[Line]:
    """The annotation with a caret under the character that does not fit."""
    denial = each.denial
    if denial is None or denial.position is None or each.subject.pod is None:
        return
    value = each.subject.pod["metadata"]["annotations"][ANNOTATION]
    if value.isprintable() and len(value) <= 100:
        yield line(f"  {ANNOTATION}: {value}")
        yield line(" " * (len(ANNOTATION) + 4 + denial.position), line("^", fg="red", bold=True))


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need to be; the first row is the head."""
    printed = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*printed, strict=True)]
    for row in printed:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
