"""YAML as Kubernetes reads it, put together from the events of PyYAML's parser."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from webhook.documents.document import Document
from webhook.documents.problem import DEEPEST, MOST_COPIES, Problem, duplicate, line_of, too_deep
from webhook.documents.scalar import float_key, resolve
from webhook.errors import quote

PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.1, section 5.1, leaves out."""


def read_yaml(text: str) -> Iterator[Document]:
    if found := _NOT_YAML.search(text):
        problem = f"the control character U+{ord(found[0]):04X}"
        raise Problem(line_of(text, found.start()), problem, "Remove it, or save the text as UTF-8")
    try:
        yield from _Builder(text).documents()
    except yaml.MarkedYAMLError as bad:
        raise _explained(bad, text) from None


def _explained(bad: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = bad.problem_mark or bad.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.rstrip("\n").split("\n")
    character = lines[line][column : column + 1] if line < len(lines) else ""
    problem = f"no YAML: {bad.problem}"
    if bad.context and bad.context_mark:
        problem += f" {bad.context} that begins on line {bad.context_mark.line + 1}"
    if character == "\t":
        hint = "Indent with spaces, not with tabs"
    elif "cannot start any token" in problem:
        hint = f"Put the value that begins with {quote(character)} in quotes"
    elif "mapping values are not allowed" in problem:
        hint = "Put a value that contains ': ' in quotes, or correct the indentation"
    elif "Unicode character escape" in problem:
        hint = "Write the character itself"
    else:
        hint = "Correct it there or in the lines before"
    return Problem(min(line + 1, len(lines)), problem, hint, column=column + 1)


_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[type, ...]] = {
    _TAG + "int": (int,),
    _TAG + "float": (int, float),
    _TAG + "bool": (bool,),
    _TAG + "null": (type(None),),
}
_OPEN = object()
"""Stands for the value of an anchor while that value is still being read."""


class _Builder:
    """Puts values together from the parser's events.

    Inside, a float stays one even if it is whole, because as a key ``1e6`` is not ``1000000``.
    """

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=PARSER)
        self._anchors: dict[str, Any] = {}
        self._copies = 0

    def documents(self) -> Iterator[Document]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.version not in (None, (1, 1)):
                    raise Problem(_begin(event), "Kubernetes reads only YAML 1.1", "Remove the line with %YAML")
                self._anchors.clear()
                first = next(self._events)
                value = self._value(first, 0)
                if value is not None:
                    yield Document(value, _begin(first))

    def _value(self, event: yaml.Event, depth: int) -> Any:
        """What begins with *event*, *depth* containers deep."""
        if isinstance(event, yaml.ScalarEvent):
            return _json_number(self._scalar(event), event)
        if isinstance(event, yaml.AliasEvent):
            return _json_number(self._alias(event, depth), event)
        assert isinstance(event, yaml.CollectionStartEvent)  # by the grammar of events
        if depth >= DEEPEST:
            raise too_deep(_begin(event))
        sequence = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, "!", _TAG + ("seq" if sequence else "map")):
            raise _unknown_tag(event)
        if event.anchor:
            self._anchors[event.anchor] = _OPEN
        value = self._sequence(depth + 1) if sequence else self._mapping(depth + 1)
        if event.anchor and self._anchors[event.anchor] is _OPEN:
            self._anchors[event.anchor] = value
        return value

    def _sequence(self, depth: int) -> list[Any]:
        sequence = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            sequence.append(self._value(event, depth))
        return sequence

    def _mapping(self, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if _is_merge(event):
                for each in self._merged(depth):
                    mapping.update(each)
                continue
            key = self._key(event, depth)
            if key in lines:
                raise duplicate(_begin(event), key, lines[key])
            lines[key] = _begin(event)
            mapping[key] = self._value(next(self._events), depth)
        return mapping

    def _merged(self, depth: int) -> list[dict[str, Any]]:
        """What ``<<`` adds, the strongest last."""
        event = next(self._events)
        value = self._value(event, depth)
        several = isinstance(event, yaml.SequenceStartEvent)
        mappings = value[::-1] if several else [value]
        if not all(isinstance(each, dict) for each in mappings):
            raise Problem(_begin(event), "'<<' takes a mapping or a list of mappings", "Name one, or quote the '<<'")
        return mappings

    def _key(self, event: yaml.Event, depth: int) -> str:
        key: Any = _OPEN
        if isinstance(event, yaml.ScalarEvent):
            key = self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            key = self._alias(event, depth)
        match key:
            case str():
                return key
            case bool():
                return "true" if key else "false"
            case int() if key < 2**63:
                return str(key)
            case float():
                return float_key(key)
            case None:
                raise Problem(_begin(event), "a key is missing", "Write a name before the ':'")
        raise Problem(_begin(event), "a key that is no string", "Put the key in quotes")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        value: Any = event.value
        if event.tag is None:
            if event.implicit[0]:
                value = resolve(event.value)
        elif event.tag in _SCALARS:
            value = resolve(event.value)
            if type(value) not in _SCALARS[event.tag]:
                tag = event.tag.removeprefix(_TAG)
                raise Problem(_begin(event), f"{quote(event.value)} is no {tag}", f"Remove the !!{tag}")
            if event.tag == _TAG + "float":
                value = float(value)
        elif event.tag not in ("!", _TAG + "str"):
            raise _unknown_tag(event)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Any:
        name = event.anchor or ""
        if name not in self._anchors:
            problem, hint = (
                f"the alias *{name} has no anchor",
                f"Write &{name} before the value that it means",
            )
            raise Problem(_begin(event), problem, f"{hint}, or put the text in quotes")
        if self._anchors[name] is _OPEN:
            raise Problem(_begin(event), f"the alias *{name} contains itself", "Write the value in full")
        return self._copy(self._anchors[name], event, depth)

    def _copy(self, value: Any, event: yaml.AliasEvent, depth: int) -> Any:
        self._copies += 1
        if self._copies > MOST_COPIES:
            raise Problem(_begin(event), f"aliases stand for more than {MOST_COPIES:,} values", "Use fewer of them")
        if not isinstance(value, dict | list):
            return value
        if depth >= DEEPEST:
            raise too_deep(_begin(event))
        if isinstance(value, dict):
            return {key: self._copy(each, event, depth + 1) for key, each in value.items()}
        return [self._copy(each, event, depth + 1) for each in value]


def _begin(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _is_merge(event: yaml.Event) -> bool:
    return (
        isinstance(event, yaml.ScalarEvent)
        and event.value == "<<"
        and (event.implicit[0] or event.tag == _TAG + "merge")
    )


def _unknown_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> Problem:
    tag = (event.tag or "").replace(_TAG, "!!")
    return Problem(_begin(event), f"the tag {quote(tag)} means nothing to Kubernetes", "Remove it")


def _json_number(value: Any, event: yaml.Event) -> Any:
    """*value* after its way through JSON, which has no infinity and writes 1.0 as 1."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise Problem(_begin(event), "JSON has no infinity and no NaN", "Put it in quotes, or write a number")
    return int(value) if value.is_integer() and -(2**63) <= value < 2**63 else value
