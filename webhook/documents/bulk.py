"""Texts of any size, read one document after the other.  One that cannot be read does not hide the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from webhook.documents.document import MOST_BYTES, Document, Problem
from webhook.documents.json_reader import each_json
from webhook.documents.text import read_text
from webhook.errors import BadDocument

MOST_AT_ONCE = 256 * 1024 * 1024
"""Bytes of one document, which may be a List.  Its values take about ten times that."""

_TEMPLATE = re.compile(rb"\{\{|\{%")
_NO_CONTENT = re.compile(rb"\s*(?:[#%]|$)")


def stream(pieces: Iterable[bytes], *, name: str = "input") -> Iterator[Document | BadDocument]:
    """The documents of a text that comes in *pieces*: lines, or parts of long lines.

    The limit of the API server holds for each object of it: each document, and each item of a List.
    """
    for text, before in _split(pieces):
        for found in _each(text):
            if isinstance(found, Problem):
                yield found.after(before).told(name)
            elif len(text) <= MOST_BYTES:
                yield found.after(before)
            else:
                yield from _weigh(found.after(before), name)


def _split(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """The texts between lines that begin with ``---``, and the number of lines before each.

    Such a line begins a document of YAML wherever it stands, even in a block of text: YAML 1.1, section 4.3.
    Directives belong to the document after them.
    """
    parts: list[bytes] = []
    before = lines = size = 0
    content, begins = False, True
    for piece in pieces:
        if begins and piece.startswith(b"---") and (len(piece) == 3 or piece[3:4].isspace()):
            if content:
                yield b"".join(parts), before
                parts, before, size = [], lines, 0
            content = True
        elif begins and not content:
            content = not _NO_CONTENT.match(piece)
        size += len(piece)
        if size <= MOST_AT_ONCE + len(piece):  # one piece more, to see that it is too large
            parts.append(piece)
        begins = piece.endswith(b"\n")
        lines += begins
    if parts:
        yield b"".join(parts), before


def _each(text: bytes) -> list[Document | Problem]:
    """What is in *text*, and what is wrong with it."""
    found: list[Document | Problem] = []
    try:
        if len(text) > MOST_AT_ONCE:
            too_much = f"the document has more than {MOST_AT_ONCE:,} bytes, which are read at once"
            raise Problem(1, too_much, "Split it into smaller documents")
        found.extend(read_text(text, MOST_AT_ONCE))
    except Problem as problem:
        separate = list(each_json(text))
        if any(isinstance(each, Document) for each in separate):
            return separate
        if _TEMPLATE.search(text):
            what = f"{problem.problem}; with '{{{{' it is a template, and no manifest yet"
            hint = "Preview the result, such as with: helm template … | gpu-slice preview -"
            problem = Problem(problem.line, what, hint, problem.other)
        found.append(problem)
    return found


def _weigh(document: Document, name: str) -> Iterator[Document | BadDocument]:
    """*document* without the items that are too large, and a problem for each of those."""
    value = document.value
    items: Any = value.get("items") if isinstance(value, dict) else None
    if not isinstance(items, list):
        yield document if (size := _size(value)) <= MOST_BYTES else _heavy(size, "the object", document.line, name)
        return
    sizes = list(map(_size, items))
    light = [item for item, size in zip(items, sizes, strict=True) if size <= MOST_BYTES]
    yield replace(document, value={**value, "items": light})
    for index, size in enumerate(sizes):
        if size > MOST_BYTES:
            yield _heavy(size, f"items[{index}]", document.line, name)


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))


def _heavy(size: int, what: str, line: int, name: str) -> BadDocument:
    problem = f"{what} has {size:,} bytes, and the API server accepts at most {MOST_BYTES:,}"
    return Problem(line, problem, "Make it smaller").told(name)
