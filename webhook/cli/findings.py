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
from webhook.errors import inert

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
    root = _root()
    for path, finding in found:
        place = {"artifactLocation": _location(path, root), "region": {"startLine": finding.line}}
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


def _location(path: Path, root: Path) -> dict[str, str]:
    """The file, relative to the root of the repository, as code scanning wants it: GitHub, "SARIF support for code
    scanning", and SARIF 2.1.0, 3.4.4."""
    if str(path) == "-":
        return {"uri": "stdin"}
    path = _relative(path, root)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(os.fsencode(path.as_posix())), "uriBaseId": "%SRCROOT%"}


def _root() -> Path:
    """The root of the Git repository around the working directory; without one, the working directory."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _relative(path: Path, root: Path) -> Path:
    """*path* as seen from *root*; as it is where it is absolute and leads elsewhere."""
    if path.is_absolute() and not path.is_relative_to(root):
        return path
    return Path(os.path.relpath(path, root))


def github(found: Found) -> Iterator[str]:
    """Workflow commands, one a line, which become annotations in a pull request.

    Source of the escapes: actions/toolkit, packages/core/src/command.ts.
    """
    root = _root()
    for path, finding in found:
        place = "" if str(path) == "-" else f"file={_property(str(_relative(path, root)))},"
        level = LEVELS[finding.code]
        title = _property(f"gpu-slice {finding.code}")
        yield f"::{_GITHUB.get(level, level)} {place}line={finding.line},title={title}::{_data(finding.text)}\n"


def _data(text: str) -> str:
    return inert(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
