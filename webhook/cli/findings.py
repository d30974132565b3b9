"""What a preview finds wrong, for programs that annotate files: SARIF, and the annotations of GitHub Actions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webhook import __version__
from webhook.admission.preview import Preview
from webhook.codes import DENIALS, NOTES, WARNINGS, Code
from webhook.documents import Document, KeyLines
from webhook.slices.request import FIELD

_LEVELS: dict[Code, str] = {
    **dict.fromkeys(DENIALS, "error"),
    **dict.fromkeys(WARNINGS, "warning"),
    **dict.fromkeys(NOTES, "note"),
    "unread": "error",
}
"""How bad it is, in SARIF's words."""

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_STEP = re.compile(r"\[([^]]*)\]|([^.\[\]]+)")
_GITHUB = {"note": "notice"}
"""GitHub's words, where they differ."""
_END = "]}]}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One message about one object, and where it is written."""

    code: Code
    text: str
    path: Path
    """The file; ``-`` for standard input."""
    line: int


def findings(path: Path, line: int, preview: Preview, document: Document | None) -> Iterator[Finding]:
    """What is to be said about one object of *document*, which begins at *line*; None if it cannot be read."""
    subject = preview.subject
    inside = f"{subject.template}." if subject.pod is not None and subject.template else ""

    def finding(code: Code, text: str, *fields: str) -> Finding:
        exact = _line(document, subject.source, fields) if document is not None else None
        return Finding(code, f"{subject.title}: {text}" if subject.title else text, path, exact or line)

    if preview.problem:
        field = preview.problem.partition(": ")[0]
        yield finding("unread", preview.problem, inside + field, field)
    if preview.denial is not None:
        yield finding(preview.denial.reason, str(preview.denial), inside + preview.denial.field, preview.denial.field)
    for warning in preview.plan.warnings if preview.plan is not None else ():
        yield finding(warning.code, warning.text, inside + FIELD, FIELD)
    for note in subject.advice:
        yield finding(note.code, note, note.field)


def _line(document: Document, source: Any, fields: tuple[str, ...]) -> int | None:
    """The line of the first of *fields* that *source* has, an object of *document*; else of what is around the first.

    Some controllers give the object's own annotations to its pods.  None if no line is known.
    """
    walks = [_walk(document.keys, source, field) for field in fields]
    line = next((line for line, complete in walks if complete), walks[0][0])
    return line + document.before if line is not None else None


def _walk(keys: KeyLines, source: Any, field: str) -> tuple[int | None, bool]:
    """The line of *field*, or of the last step on the way to it whose line is known; and whether it is there."""

    def lines(value: Any) -> dict[str, int]:
        return keys.get(id(value), ({}, {}))[1]

    parts = [source, *source.values()] if isinstance(source, dict) else []  # an item of a PodList was given its kind
    line = next((min(lines(part).values()) for part in parts if lines(part)), None)
    value = source
    for key, name in _STEP.findall(field):
        step = key or name
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
            line = min(lines(value).values(), default=line)
        elif isinstance(value, dict) and step in value:
            line = lines(value).get(step, line)
            value = value[step]
        else:
            return line, False
    return line, True


def sarif(found: Iterable[Finding], help_uri: str) -> Iterator[str]:
    """A log in SARIF 2.1.0, with every rule.  *help_uri*: the address of ``docs/messages.md``."""
    rules = [
        {
            "id": code,
            "shortDescription": {"text": text},
            "fullDescription": {"text": f"{text}."},
            "defaultConfiguration": {"level": _LEVELS[code]},
            "helpUri": f"{help_uri}#{code}",
            "help": {"text": f"{text}. What to do: {help_uri}#{code}"},
        }
        for code, text in (DENIALS | WARNINGS | NOTES).items()
    ]
    index = {code: place for place, code in enumerate(_LEVELS)}
    driver = {"name": "gpu-slice", "version": __version__, "rules": rules}
    head = json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": []}]})
    start = before = head[: -len(_END)] + "\n"
    for finding in found:
        place = {"artifactLocation": {"uri": _uri(finding.path)}, "region": {"startLine": finding.line}}
        result = {
            "ruleId": finding.code,
            "ruleIndex": index[finding.code],
            "level": _LEVELS[finding.code],
            "message": {"text": _message(finding.text)},
            "locations": [{"physicalLocation": place}],
        }
        yield before + json.dumps(result)
        before = ",\n"
    yield (start if before == start else "") + _END + "\n"


def _message(text: str) -> str:
    """*text* without placeholders and links, which a pod might smuggle in: SARIF 2.1.0, 3.11.5 and 3.11.6."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _uri(path: Path) -> str:
    path = _relative(path)
    if str(path) == "-":
        return "stdin"
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))


def _relative(path: Path) -> Path:
    """*path* as seen from here, which is where the repository is; where it is elsewhere, as it is."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(os.path.normpath(path))


def github(found: Iterable[Finding]) -> Iterator[str]:
    """Workflow commands, one a line, which become annotations in a pull request.

    Source of the escapes: actions/toolkit, packages/core/src/command.ts.
    """
    for finding in found:
        place = "" if str(finding.path) == "-" else f"file={_property(str(_relative(finding.path)))},"
        level = _LEVELS[finding.code]
        title = _property(f"gpu-slice {finding.code}")
        yield f"::{_GITHUB.get(level, level)} {place}line={finding.line},title={title}::{_data(finding.text)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
