"""Edits: where a string is written into a text, so that a field of one of its documents has it.

All else stays as it is, comments and style too.  Each edit is tried and read again before anybody gets it, because YAML
has more ways to write a thing than are thought of here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from webhook.documents.bulk import stream
from webhook.documents.document import Document

_STEP = 2
"""Spaces of indentation, where the text does not show how many its author uses."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Half a character, in JSON.  YAML does not allow it, and here only places matter."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What takes the place of a part of a text."""

    start: int
    """In characters."""
    end: int
    insert: str

    def applied(self, text: str) -> str:
        """*text* with it."""
        return text[: self.start] + self.insert + text[self.end :]


class _Node(NamedTuple):
    event: Any
    end: int
    children: list[_Node]
    """The items of a list; the keys and values of a mapping by turns; nothing for an alias."""

    @property
    def start(self) -> int:
        start: int = self.event.start_mark.index
        return start

    @property
    def quote(self) -> str:
        """In which quotes it is written."""
        style: str | None = getattr(self.event, "style", None)
        return style if style in ("'", '"') else ""


class _Place(NamedTuple):
    node: _Node
    """As far as the text goes on the way."""
    key: _Node | None
    """The key whose value that is."""
    flow: bool
    """Whether the mapping of that key is one in braces; *node* itself, where it is a mapping."""
    column: int
    """Of the keys of that mapping."""
    step: int
    """Spaces of indentation."""
    rest: list[str]
    """The keys that are missing."""


def edit(text: str, document: Document, path: Sequence[str | int], value: str) -> Edit | None:
    """The edit of *text* after which *document*, one of its documents, has *value* at *path*.

    Mappings that are missing on the way are written too.  None where nothing can be written there, as in a text inside
    the document, or not without a change elsewhere, as of what an alias repeats.
    """
    try:
        values = _values(text)
        number = values.index((document.line, document.value))
        wanted = [each for _, each in values]
        wanted[number] = put(document.value, path, value)
        before = sum(len(line) + 1 for line in text.split("\n")[: document.line - 1])
        place = _find(text[before:], path)
        for quote in dict.fromkeys((_quote(place), '"')):
            scalar = json.dumps(value, ensure_ascii=False) if quote == '"' else f"{quote}{value}{quote}"
            make = _added if place.rest else _replaced
            made = make(text[before:], place, scalar)
            found = Edit(made.start + before, made.end + before, made.insert)
            if [each for _, each in _values(found.applied(text))] == wanted:
                return found
    except (LookupError, ValueError, RecursionError, StopIteration, yaml.YAMLError):
        pass  # it is not where the lines of YAML say
    return None


def put(value: Any, path: Sequence[str | int], text: str) -> Any:
    """A copy of *value* with *text* at *path*.  Raises `LookupError` where that leads into something that is neither a
    mapping nor a list."""
    if not path:
        return text
    if isinstance(value, list) and path[0] in range(len(value)):
        return [put(item, path[1:], text) if index == path[0] else item for index, item in enumerate(value)]
    if not isinstance(value, dict | None):
        raise LookupError(path[0])
    return {**(value or {}), path[0]: put((value or {}).get(path[0]), path[1:], text)}


def _values(text: str) -> list[tuple[int, Any]]:
    """The line and value of each document; no value where it cannot be read."""
    pieces = text.encode().splitlines(keepends=True)
    return [(each.line, each.value if isinstance(each, Document) else None) for each in stream(pieces)]


def _find(text: str, path: Sequence[str | int]) -> _Place:
    """The place of *path* in the first document of *text*."""
    events: Iterator[Any] = yaml.parse(_SURROGATE.sub(r"\\u0020", text), Loader=yaml.CSafeLoader)
    node = next(_node(event, events) for event in events if isinstance(event, yaml.NodeEvent))
    key: _Node | None = None
    flow, column, step, nested = False, 0, _STEP, False
    for number, name in enumerate(path):
        if isinstance(name, int):
            node, key, nested = node.children[name], None, False
            continue
        if isinstance(node.event, yaml.MappingStartEvent):
            flow = bool(node.event.flow_style)
            first = node.children[0].event.start_mark.column if node.children else 0
            step = first - column if nested and not flow else step
            column, nested = first, True
        pairs = zip(node.children[::2], node.children[1::2], strict=True)
        pair = next((pair for pair in pairs if getattr(pair[0].event, "value", None) == name), None)
        if pair is None:
            return _Place(node, key, flow, column, step, [str(each) for each in path[number:]])
        key, node = pair
    return _Place(node, key, flow, column, step, [])


def _node(event: Any, events: Iterator[Any]) -> _Node:
    """The node that begins with *event*."""
    children, end = [], event
    if isinstance(event, yaml.CollectionStartEvent):
        while not isinstance(end := next(events), yaml.CollectionEndEvent):
            children.append(_node(end, events))
    return _Node(event, end.end_mark.index, children)


def _quote(place: _Place) -> str:
    """As the value was written, or else as keys are there: JSON has all in quotes."""
    if not place.rest and place.node.quote:
        return place.node.quote
    beside = place.node.children[0] if place.rest and place.node.children else place.key
    return '"' if beside is not None and beside.quote == '"' else ""


def _replaced(text: str, place: _Place, scalar: str) -> Edit:
    """The edit of what is there."""
    if not isinstance(place.node.event, yaml.ScalarEvent | yaml.AliasEvent):
        raise LookupError("a collection")
    start, end = place.node.start, place.node.end
    if start == end:
        blank = text[end : end + 1] == " " and text[end + 1 : end + 2] != "#"
        return Edit(start, end + blank, f" {scalar}")
    written = text[start:end]
    return Edit(start, end, scalar + written[len(written.rstrip()) :])  # a block of text ends with its line


def _added(text: str, place: _Place, scalar: str) -> Edit:
    """The edit that adds keys: to a mapping, or where nothing is."""
    node, key, flow, column, step, rest = place
    quote, line_end = _quote(place), "\r\n" if "\r\n" in text else "\n"
    inside = isinstance(node.event, yaml.MappingStartEvent)
    if not inside and (key is None or not isinstance(node.event, yaml.ScalarEvent)):
        raise LookupError("an alias")
    if flow or (not inside and node.event.value):
        braces = scalar
        for name in reversed(rest):
            braces = f"{{{quote}{name}{quote}: {braces}}}"
        if not inside:
            return Edit(node.start, node.end, braces if node.event.value else f" {braces}")
        if not node.children:
            return Edit(node.end - 1, node.end - 1, braces[1:-1])
        first = node.children[0].start
        gap = text[node.start : first].partition("{")[2]
        return Edit(first, first, f"{braces[1:-1]},{gap if gap.isspace() and line_end in gap else ' '}")
    column += 0 if inside else step
    lines = [f"{' ' * (column + number * step)}{name}:" for number, name in enumerate(rest)]
    written = f"{line_end.join(lines)} {scalar}"
    if inside and (key is None or key.event.end_mark.line == node.children[0].event.start_mark.line):
        first = node.children[0].start
        return Edit(first, first, written[column:] + line_end + " " * column)
    end = text.find("\n", key.end) + 1 if key is not None else 0
    return Edit(end, end, written + line_end) if end else Edit(len(text), len(text), line_end + written)
