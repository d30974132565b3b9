"""What a preview finds, each with the line on which it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.admission.preview import Preview
from webhook.codes import DENIALS, NOTES, WARNINGS, Code
from webhook.documents import Document, line_of
from webhook.slices.request import FIELD

LEVELS: dict[Code, str] = {
    **dict.fromkeys(DENIALS, "error"),
    **dict.fromkeys(WARNINGS, "warning"),
    **dict.fromkeys(NOTES, "note"),
    "unread": "error",
}
"""How bad it is, in SARIF's words."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One message about one object, and where it is written."""

    code: Code
    text: str
    line: int


def findings(line: int, preview: Preview, document: Document | None) -> Iterator[Finding]:
    """What is to be said about one object of *document*, which begins at *line*; None if it cannot be read."""
    subject = preview.subject
    inside = f"{subject.template}." if subject.pod is not None and subject.template else ""

    def finding(code: Code, text: str, *fields: str) -> Finding:
        exact = line_of(document, subject.source, fields) if document is not None else None
        return Finding(code, f"{subject.title}: {text}" if subject.title else text, exact or line)

    if preview.problem:
        field = preview.problem.partition(": ")[0]
        yield finding("unread", preview.problem, inside + field, field)
    if preview.denial is not None:
        yield finding(preview.denial.reason, str(preview.denial), inside + preview.denial.field, preview.denial.field)
    for warning in preview.plan.warnings if preview.plan is not None else ():
        yield finding(warning.code, warning.text, inside + FIELD, FIELD)
    for note in subject.advice:
        yield finding(note.code, note, note.field)
