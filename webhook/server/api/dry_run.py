"""A dry run of a text: what the page shows beside its editor.

It is what ``gpu-slice preview`` says about the same text.  Everything is listed, with the places of all problems; one
entry, the one under the cursor, is shown in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from webhook import documents
from webhook.admission.correction import correction
from webhook.admission.findings import LEVELS, findings
from webhook.admission.pod import convert, needed, places
from webhook.admission.preview import Preview, difference, preview, shown, unread
from webhook.admission.review import annotated
from webhook.admission.why_not import reasons
from webhook.budget import Budget
from webhook.documents import Document, line_of
from webhook.errors import BadDocument, Denial
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer
from webhook.server.api.edits import EditView, annotation, instead, is_writable
from webhook.server.api.marks import Span, span, units
from webhook.server.api.views import PreviewView, view, weight
from webhook.slices.request import ANNOTATION, FIELD


class Check(Protocol):
    """Called again and again while a dry run is made.  It may raise."""

    def __call__(self, size: int = 0) -> None:
        """*size*: bytes that the answer will have at least."""


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Entry(_View):
    """One pod, or an object without one."""

    title: str
    template: str
    outcome: str
    shadow: bool
    line: int


class Mark(_View):
    """Where something is to be said, counted in the units of JavaScript."""

    line: int
    start: int
    end: int
    level: Literal["error", "warning", "note"]
    code: str
    message: str
    of: int
    """The entry that it is about."""


class PoolView(_View):
    """Whether a pool serves the pod."""

    name: str
    gpu: str
    serves: bool
    why: str
    """Why it does not."""
    node: str
    """The instance type of its largest node."""
    pods: int
    """How many such pods that node takes."""
    left: dict[str, int]
    """What that node has left beside one of them, by resource."""


class GivenView(_View):
    """What one container gets."""

    container: str
    slice: str
    count: int
    resource: str
    memory_mib: int | None


class Detail(PreviewView):
    """Everything about one entry."""

    sentence: str
    """What happens, in one sentence."""
    value: str | None
    """The annotation that is denied."""
    correction: str
    """The annotation with which it would not be; empty where none is known."""
    diff: list[str]
    yaml: str
    """The pod as it becomes."""
    pools: list[PoolView]
    given: list[GivenView]


class DryRun(_View):
    """What is said about a text."""

    entries: list[Entry]
    more: bool
    """Whether there are more than are listed."""
    marks: list[Mark]
    index: int
    """Which of the entries is shown."""
    shown: Detail | None
    edit: EditView | None
    """How the entry comes to ask for what is to be written; None if nothing is, or it cannot be."""
    instead: str
    """Why it cannot be written, and what to do."""


@dataclass(frozen=True, slots=True)
class _Found:
    preview: Preview
    document: Document | None
    line: int
    begins: int
    """The line from which on the cursor means it."""


def dry_run(
    text: bytes, fleet: Fleet, namespace: str, line: int, index: int | None, write: str, most: int, check: Check
) -> DryRun:
    """The dry run of *text*.

    What is shown is entry *index*, or where that is None the last that begins at *line* or before.  *write*: the
    annotation that it is to get; empty if none.  At most *most* pods are looked at.
    """
    written = text.decode(errors="replace")
    lines = written.split("\n")
    found = list(islice(_found(text, fleet, namespace, check), most + 1))
    more, found = len(found) > most, found[:most]
    marks = [mark for number, each in enumerate(found) for mark in _marks(each, number, lines, check)]
    if index is None:
        before = [number for number, each in enumerate(found) if each.begins <= line]
        index = before[-1] if before else 0
    index = min(index, len(found) - 1)
    chosen = found[index] if found else None
    edit = _edit(written, chosen, fleet, namespace, write, check) if chosen and write else None
    return DryRun(
        entries=[
            Entry(
                title=each.preview.subject.title,
                template=each.preview.subject.template,
                outcome=each.preview.outcome,
                shadow=each.preview.shadow,
                line=each.begins,
            )
            for each in found
        ],
        more=more,
        marks=marks,
        index=max(index, 0),
        shown=_detail(chosen, fleet, namespace) if chosen else None,
        edit=edit,
        instead=instead(chosen.preview.subject, chosen.document, write) if chosen and write and edit is None else "",
    )


def _edit(text: str, found: _Found, fleet: Fleet, namespace: str, value: str, check: Check) -> EditView | None:
    """How the annotation of *found* becomes *value*, and nothing else changes."""
    document, path = found.document, annotation(found.preview.subject)
    edit = documents.edit(text, document, path, value) if document is not None and path else None
    if document is None or edit is None:
        return None
    entries = enumerate(_found(edit.applied(text).encode(), fleet, namespace, check))
    index = next(
        number
        for number, each in entries
        if each.document and (each.document.line, annotation(each.preview.subject)) == (document.line, path)
    )
    return EditView(start=units(text[: edit.start]), end=units(text[: edit.end]), insert=edit.insert, index=index)


def _found(text: bytes, fleet: Fleet, namespace: str, check: Check) -> Iterator[_Found]:
    held = 0
    lines = text.splitlines(keepends=True)
    for document in documents.stream(lines, name="text"):
        check()
        if isinstance(document, BadDocument):
            begun = (number for number in range(document.line, 0, -1) if lines[number - 1].startswith(b"---"))
            yield _Found(unread(str(document)), None, document.line, next(begun, document.line))
            continue
        for number, each in enumerate(preview(document.value, fleet, namespace)):
            held += weight(each.subject)
            check(2 * held)  # a short text may stand for much, by its aliases
            template = each.subject.template
            line = line_of(document, each.subject.source, (template,) if template else ("",))
            line = line or document.line
            yield _Found(each, document, line, line if number else document.line)


def _marks(found: _Found, number: int, lines: list[str], check: Check) -> Iterator[Mark]:
    denial, value = found.preview.denial, found.preview.value
    for finding in findings(found.line, found.preview, found.document):
        check()
        exact = denial is not None and finding.code == denial.reason and denial.field.endswith(FIELD)
        position = denial.position if exact and denial is not None else None
        at = _span(found, lines, finding.line, value if exact else None, position)
        yield Mark(
            line=at.line,
            start=at.start,
            end=at.end,
            level=LEVELS[finding.code],  # type: ignore[arg-type]  # pydantic checks it
            code=finding.code,
            message=finding.text,
            of=number,
        )


def _detail(found: _Found, fleet: Fleet, namespace: str) -> Detail:
    each = found.preview
    subject, where = each.subject, each.subject.namespace or namespace
    resolution = each.plan.resolution if each.plan else None
    before, after = shown(subject.pod), shown(each.pod)
    return Detail(
        **dict(view(each)),
        sentence=_sentence(each),
        value=each.value,
        correction=correction(each, fleet, namespace) if is_writable(subject, found.document) else "",
        diff=list(difference(before, after, subject.title)) if each.outcome == "sliced" else [],
        yaml=documents.write(after) if after else "",
        pools=_pools(each, fleet, where),
        given=[
            GivenView(
                container=part.container.name,
                slice=str(part.offer),
                count=part.count,
                resource=part.resource,
                memory_mib=part.offer.profile.memory_mib if isinstance(part.offer, MigOffer) else None,
            )
            for part in (resolution.assignments if resolution else ())
        ],
    )


def _sentence(each: Preview) -> str:
    """What happens, without the object's name."""
    shadow = "in shadow, so the pod stays as it is: " if each.shadow else ""
    if each.denial is not None:
        return f"{shadow}{each.denial}"
    if each.outcome == "sliced" and each.plan is not None:
        return f"{shadow}{each.plan.given}"
    return each.why


def _span(found: _Found, lines: list[str], line: int, value: str | None, position: int | None) -> Span:
    """See `span`.  Of JSON no lines are known: there the only line with the annotation is taken."""
    if value is not None and found.document is not None and not found.document.keys:
        having = [number for number, written in enumerate(lines, 1) if f'"{ANNOTATION}"' in written]
        line = having[0] if len(having) == 1 else line
    return span(lines, line, value, position)


def _pools(each: Preview, fleet: Fleet, namespace: str) -> list[PoolView]:
    if each.subject.pod is None or not annotated(each.subject.pod):
        return []
    try:
        found = reasons(convert(each.subject.pod), fleet, namespace)
    except Denial:
        return []
    counts = _counts(each)
    views = []
    for pool, why in found:
        capacity = pool.largest.capacity
        views.append(
            PoolView(
                name=pool.name,
                gpu=pool.gpu.name,
                serves=why is None,
                why=why or "",
                node=pool.largest.instance_type.name,
                pods=min((capacity.get(name, 0) // count for name, count in counts.items()), default=0),
                left={name: number - counts.get(name, 0) for name, number in capacity.items()},
            )
        )
    return views


def _counts(each: Preview) -> dict[str, int]:
    """What a node needs for the pod that *each* results in, by resource."""
    spec = convert(each.pod).spec if each.pod is not None else None
    asking = places(spec, Budget()) if spec is not None else []
    return needed((place, name, count) for place in asking for name, count in place.asks.items() if count)
