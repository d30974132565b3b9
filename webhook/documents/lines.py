"""On which line of a text a field of one of its objects is written."""

from __future__ import annotations

import re
from typing import Any

from webhook.documents.document import Document, KeyLines

_STEP = re.compile(r"\[([^]]*+)(?:\]|\Z)|([^.\[\]]+)")


def line_of(document: Document, source: Any, fields: tuple[str, ...]) -> int | None:
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
