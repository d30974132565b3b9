"""What a click on the page writes: an annotation for one entry of the text; or why it writes nothing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from webhook import documents
from webhook.admission.contents import steps, write_path
from webhook.admission.kinds import find
from webhook.admission.workloads import Subject
from webhook.documents import Document
from webhook.slices.request import ANNOTATION


class EditView(BaseModel):
    """What takes the place of a part of the text, counted in the units of JavaScript."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    start: int
    end: int
    insert: str
    index: int
    """The entry of the text as it becomes that asks for what was to be written."""


def annotation(subject: Subject) -> tuple[str | int, ...]:
    """The path of its annotation in the document; empty if there is no pod."""
    items = [step for index in subject.items for step in ("items", index)]
    return (*items, *steps(subject.annotations), ANNOTATION) if subject.annotations else ()


def is_writable(subject: Subject, document: Document | None) -> bool:
    """Whether its annotation is one of the document itself, and not of a text in it."""
    try:
        return document is not None and documents.put(document.value, annotation(subject), "") != ""
    except LookupError:
        return False


def instead(subject: Subject, document: Document | None, value: str) -> str:
    """Why *value* is not written, and what to do."""
    if document is None:
        return "Nothing is written: the text cannot be read yet"
    write = f"Write '{ANNOTATION}: {value}' in "
    if subject.annotations:
        why = (
            "something else would change too"
            if is_writable(subject, document)
            else "it stands in a text inside the document"
        )
        return f"Nothing is written: {why}. {write}{write_path(subject.annotations)}"
    source = subject.source if isinstance(subject.source, dict) else {}
    known = find(source.get("apiVersion"), source.get("kind"))
    hint = write + known.annotations[0].replace(".*", "[*]") if known and known.annotations else ""
    return f"Nothing is written for {subject.title}: {subject.why}. {hint or 'Put the cursor into a pod or a workload'}"
