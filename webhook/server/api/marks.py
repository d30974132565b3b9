"""Where in a text something is underlined: a line, and columns in the units of JavaScript's strings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel

from webhook.slices.request import ANNOTATION

_KEY = re.compile(rf"""(["']?){re.escape(ANNOTATION)}\1[ \t]*:[ \t]*(?:[!&][^ \t]{{0,99}}[ \t]+)*(["']?)""")
_WORD = re.compile(r"[^\s,|=@]+")


class Span(BaseModel):
    """A part of one line."""

    line: int
    """From 1."""
    start: int
    end: int


def span(lines: Sequence[str], line: int, value: str | None, position: int | None) -> Span:
    """What is underlined on *line* of *lines*: the word of *value* that begins at *position*, all of it where that is
    None, and the whole line where the value does not stand there as it is."""
    line = min(max(line, 1), len(lines))
    written = lines[line - 1]
    if value is not None:
        for key in _KEY.finditer(written):
            if written.startswith(value, key.end()):
                start = key.end() + (position or 0)
                word = _WORD.match(value, position) if position is not None else None
                end = key.end() + (word.end() if word else len(value) if position is None else position + 1)
                return Span(line=line, start=units(written[:start]), end=units(written[:end]))
    content = written.rstrip()
    start = len(content) - len(content.lstrip())
    return Span(line=line, start=units(content[:start]), end=units(content))


def units(text: str) -> int:
    """The length of *text* in JavaScript, which counts UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
