"""What a preview finds wrong, for programs that annotate files: SARIF, and the annotations of GitHub Actions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from webhook import __version__
from webhook.admission.findings import LEVELS, Finding
from webhook.codes import DENIALS, NOTES, WARNINGS

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_GITHUB = {"note": "notice"}
"""GitHub's words, where they differ."""
_END = "]}]}"


Found: TypeAlias = Iterable[tuple[Path, Finding]]
"""Findings with their files; ``-`` for standard input."""


def sarif(found: Found, help_uri: str) -> Iterator[str]:
    """A log in SARIF 2.1.0, with every rule.  *help_uri*: the address of ``docs/messages.md``."""
    rules = [
        {
            "id": code,
            "shortDescription": {"text": text},
            "fullDescription": {"text": f"{text}."},
            "defaultConfiguration": {"level": LEVELS[code]},
            "helpUri": f"{help_uri}#{code}",
            "help": {"text": f"{text}. What to do: {help_uri}#{code}"},
        }
        for code, text in (DENIALS | WARNINGS | NOTES).items()
    ]
    index = {code: place for place, code in enumerate(LEVELS)}
    driver = {"name": "gpu-slice", "version": __version__, "rules": rules}
    head = json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": []}]})
    start = before = head[: -len(_END)] + "\n"
    for path, finding in found:
        place = {"artifactLocation": {"uri": _uri(path)}, "region": {"startLine": finding.line}}
        result = {
            "ruleId": finding.code,
            "ruleIndex": index[finding.code],
            "level": LEVELS[finding.code],
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


def github(found: Found) -> Iterator[str]:
    """Workflow commands, one a line, which become annotations in a pull request.

    Source of the escapes: actions/toolkit, packages/core/src/command.ts.
    """
    for path, finding in found:
        place = "" if str(path) == "-" else f"file={_property(str(_relative(path)))},"
        level = LEVELS[finding.code]
        title = _property(f"gpu-slice {finding.code}")
        yield f"::{_GITHUB.get(level, level)} {place}line={finding.line},title={title}::{_data(finding.text)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
