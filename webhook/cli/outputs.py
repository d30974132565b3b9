"""What a preview finds wrong, for programs that annotate files: SARIF, and the annotations of GitHub Actions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from webhook import __version__
from webhook.admission.preview import Preview
from webhook.codes import DENIALS, NOTES, WARNINGS, Code
from webhook.documents import Document
from webhook.slices.request import FIELD

Level: TypeAlias = Literal["error", "warning", "note"]
"""Of a denial, a warning, and advice, in SARIF's words."""

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_STEP = re.compile(r"\[([^]]*)\]|([^.\[\]]+)")
_GITHUB: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One message about one object, and where it is written."""

    level: Level
    code: Code
    text: str
    path: Path
    """The file; ``-`` for standard input."""
    line: int


def findings(path: Path, document: Document, preview: Preview) -> Iterator[Finding]:
    """What is to be said about one object of *document*."""

    def finding(level: Level, code: Code, text: str, field: str = FIELD) -> Finding:
        line = _line(document, preview.subject.pod, field)
        return Finding(level, code, f"{preview.subject.title}: {text}", path, line)

    if preview.denial is not None:
        yield finding("error", preview.denial.reason, str(preview.denial), preview.denial.field)
    for warning in preview.plan.warnings if preview.plan is not None else ():
        yield finding("warning", warning.code, warning.text)
    for advice in preview.subject.advice:
        yield finding("note", "misplaced-annotation", advice)


def _line(document: Document, pod: Any, field: str) -> int:
    """The line of *field* in *pod*, a part of *document*, or of what is around it as far as the reader can tell."""
    parts = [pod, *pod.values()] if isinstance(pod, dict) else []  # of a template, the parts alone are as written
    line = next((min(document.keys[id(part)][1].values(), default=0) for part in parts if id(part) in document.keys), 0)
    value = pod
    for key, name in _STEP.findall(field):
        step = key or name
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
            line = min(document.keys.get(id(value), ({}, {}))[1].values(), default=line)
        elif isinstance(value, dict):
            line = document.keys.get(id(value), ({}, {}))[1].get(step, line)
            value = value.get(step)
    return line or document.line


def sarif(found: Iterable[Finding], help_uri: str) -> str:
    """A log in SARIF 2.1.0, with every rule.  *help_uri*: the address of ``docs/messages.md``."""
    levels: dict[Level, dict[Any, str]] = {"error": DENIALS, "warning": WARNINGS, "note": NOTES}
    rules = [
        {
            "id": code,
            "shortDescription": {"text": text},
            "fullDescription": {"text": f"{text}."},
            "defaultConfiguration": {"level": level},
            "helpUri": f"{help_uri}#{code}",
            "help": {"text": f"{text}. What to do: {help_uri}#{code}"},
        }
        for level, codes in levels.items()
        for code, text in codes.items()
    ]
    index = {rule["id"]: place for place, rule in enumerate(rules)}
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": index[finding.code],
            "level": finding.level,
            "message": {"text": _message(finding.text)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(finding.path)},
                        "region": {"startLine": finding.line},
                    }
                }
            ],
        }
        for finding in found
    ]
    driver = {"name": "gpu-slice", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _message(text: str) -> str:
    """*text* without placeholders and links, which a pod might smuggle in: SARIF 2.1.0, 3.11.5 and 3.11.6."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _uri(path: Path) -> str:
    path = _relative(path)
    if str(path) == "-":
        return "stdin"
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _relative(path: Path) -> Path:
    """*path* as seen from here, which is where the repository is; where it is elsewhere, as it is."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(os.path.normpath(path))


def github(found: Iterable[Finding]) -> str:
    """Workflow commands, one a line, which become annotations in a pull request.

    Source of the escapes: actions/toolkit, packages/core/src/command.ts.
    """
    lines = []
    for finding in found:
        place = "" if str(finding.path) == "-" else f"file={_property(str(_relative(finding.path)))},"
        title = _property(f"gpu-slice {finding.code}")
        lines.append(f"::{_GITHUB[finding.level]} {place}line={finding.line},title={title}::{_data(finding.text)}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
