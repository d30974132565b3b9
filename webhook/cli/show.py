"""How a preview looks on a terminal: a diff, what each container gets, or why the pod is denied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.admission.preview import Preview, difference
from webhook.admission.workloads import Document
from webhook.cli.terminal import Line, line
from webhook.errors import printable
from webhook.slices.request import ANNOTATION

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def diff(before: Document, after: Document, title: str) -> Iterator[Line]:
    """The pod before and after as a unified diff of its YAML; colours are for a terminal."""
    for number, text in enumerate(difference(before, after, title)):
        yield line(text, bold=True) if number < 2 else line(text, fg=_COLOURS.get(text[:1]))


def remarks(preview: Preview) -> Iterator[Line]:
    """What happens to one object, and why: a line for it, then its warnings and advice."""
    title = preview.subject.title
    shadow = " in shadow, so the pod stays as it is" if preview.shadow else ""
    if preview.denial is not None:
        what = "wrong value" if preview.misplaced else "denied"
        yield line(f"{title}: ", line(what, fg="red", bold=True), f"{shadow}: {preview.denial}")
        yield from pointer(preview)
    elif preview.problem and not title:
        yield line(line("not read", fg="red", bold=True), f": {preview.problem}")
    elif preview.problem:
        yield line(f"{title}: ", line("not read", fg="red", bold=True), f": {preview.problem}")
    elif preview.plan is None:
        yield line(f"{title}: {preview.why.removeprefix('it ')}")
    elif preview.plan.resolution is None or not preview.plan.patch:
        yield line(f"{title}: nothing changes: {preview.plan.why}")
    else:
        yield line(f"{title}: ", line("sliced", fg="green", bold=True), f"{shadow}: {preview.plan.given}")
    for warning in preview.plan.warnings if preview.plan else ():
        yield line("  ", line("warning", fg="yellow"), f": {warning}")
    for advice in preview.subject.advice:
        yield line("  ", line("note", fg="yellow"), f": {advice}")


def pointer(preview: Preview) -> Iterator[Line]:
    """The annotation with a caret under the character that does not fit."""
    denial, value = preview.denial, preview.value
    if denial is None or denial.position is None or value is None:
        return
    if value.isprintable() and len(value) <= 100:
        yield line(f"  {ANNOTATION}: {value}")
        yield line(" " * (len(ANNOTATION) + 4 + denial.position), line("^", fg="red", bold=True))


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """*rows* with aligned columns.  The first row is the header."""
    printed = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*printed, strict=True)]
    for row in printed:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
