"""YAML as Kubernetes reads it, built from the events of libyaml's parser.

It uses events and not PyYAML's nodes: nodes take five times the time and memory of the values, and do not
distinguish ``! 1`` from ``1``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from webhook.documents.document import (
    DEEPEST,
    MOST_BYTES,
    OTHER,
    Document,
    KeyLines,
    Problem,
    duplicate,
    line_of,
    number,
    too_deep,
)
from webhook.errors import quote

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that YAML 1.1, section 5.1, does not allow."""

_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, list[type]] = {"!!int": [int], "!!float": [int, float], "!!bool": [bool], "!!null": [type(None)]}
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
}
_NUMBER = re.compile("[-+.0-9][-+.0-9A-Za-z]*")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_HINTS = {
    "cannot start any token": "Put the value that begins with {} in quotes",
    "mapping values are not allowed": "Put a value that contains ': ' in quotes, or correct the indentation",
    "Unicode character escape": "Write the character itself",
    "expected <document start>": "Correct the JSON, or begin each document of YAML with ---",
}


def read_yaml(text: str, copies: int) -> Iterator[Document]:
    """*copies*: see `MOST_COPIES`."""
    if control := _NOT_YAML.search(text):
        problem = f"the text contains the control character U+{ord(control[0]):04X}"
        raise Problem(line_of(text, control.start()), problem, "Remove it, or save the text as UTF-8")
    try:
        yield from _Builder(text, copies).documents()
    except yaml.MarkedYAMLError as bad:
        index = mark.index if (mark := bad.problem_mark or bad.context_mark) else 0
        problem = f"not YAML: {bad.problem}"
        begins = bad.context_mark.line + 1 if bad.context and bad.context_mark else 0
        if begins:
            problem += f" {bad.context} that begins on line {OTHER}"
        hints = ["Indent with spaces, not with tabs"] if text[index : index + 1] == "\t" else []
        hints += [hint for part, hint in _HINTS.items() if part in problem]
        hint = [*hints, "Correct it there or in the lines before"][0].format(quote(text[index : index + 1]))
        raise Problem(line_of(text.rstrip("\n"), index), problem, hint, begins) from None


class _Builder:
    """Outside of lists and mappings a float stays a float even if integral: the key ``1e6`` is not ``1000000``."""

    def __init__(self, text: str, copies: int) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._anchors: dict[str | None, Any] = {}
        self._most_copies = copies
        self._copies = self._bytes = 0
        self._keys: KeyLines = {}
        self._reread: list[tuple[int, str, str]] = []
        self._open: list[Any] = []
        """The lists and mappings that are still being read, the outermost first."""

    def documents(self) -> Iterator[Document]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.version not in (None, (1, 1)):
                    raise Problem(_line(event), "Kubernetes reads only YAML 1.1", "Remove the line with %YAML")
                self._anchors.clear()
                self._keys, self._reread = {}, []
                event = next(self._events)
                if (value := _in_json(self._value(event), event)) is not None:
                    yield Document(value, _line(event), self._keys, self._reread)

    def _value(self, event: Any) -> Any:
        """The value that begins with *event*."""
        if isinstance(event, yaml.AliasEvent):
            return self._copy(self._anchored(event), event, len(self._open))
        if isinstance(event, yaml.ScalarEvent):
            value = self._anchors[event.anchor] = _scalar(event)
            return value
        value = self._anchors[event.anchor] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        if event.tag not in (None, "!", _TAG + ("seq" if isinstance(value, list) else "map")):
            raise _unknown_tag(event)
        if len(self._open) == DEEPEST:
            raise too_deep(_line(event))
        self._open.append(value)
        if isinstance(value, list):
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                value.append(_in_json(self._value(item), item))
        else:
            self._fill(value)
        return self._open.pop()

    def _fill(self, mapping: dict[str, Any]) -> None:
        lines: dict[str, int] = {}
        self._keys[id(mapping)] = mapping, lines
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if _is_merge(event):
                for source in self._merged(next(self._events)):
                    mapping.update(source)
                continue
            key = _key(self._value(event), event)
            if key in lines:
                raise duplicate(_line(event), key, lines[key])
            lines[key] = _line(event)
            if isinstance(event, yaml.ScalarEvent) and event.value != key:
                self._reread.append((_line(event), event.value, key))
            item = next(self._events)
            mapping[key] = _in_json(self._value(item), item)

    def _merged(self, event: Any) -> list[dict[str, Any]]:
        """What ``<<`` adds, the strongest last."""
        value = self._value(event)
        sources = value[::-1] if isinstance(event, yaml.SequenceStartEvent) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise Problem(_line(event), "'<<' takes a mapping or a list of mappings", "Name one, or quote the '<<'")
        return sources

    def _anchored(self, event: yaml.AliasEvent) -> Any:
        name = event.anchor
        if name not in self._anchors:
            hint = f"Write &{name} before the value that it means, or put the text in quotes"
            raise Problem(_line(event), f"the alias *{name} has no anchor", hint)
        if any(value is self._anchors[name] for value in self._open):
            raise Problem(_line(event), f"the alias *{name} contains itself", "Write the value in full")
        return self._anchors[name]

    def _copy(self, value: Any, event: yaml.AliasEvent, depth: int) -> Any:
        self._copies += 1
        self._bytes += len(value) if isinstance(value, str) else sum(map(len, value)) if isinstance(value, dict) else 0
        if self._copies > self._most_copies or self._bytes > MOST_BYTES:
            most = f"{MOST_BYTES:,} characters" if self._bytes > MOST_BYTES else f"{self._most_copies:,} values"
            raise Problem(_line(event), f"aliases stand for more than {most}", "Use fewer of them")
        if isinstance(value, dict | list) and depth == DEEPEST:
            raise too_deep(_line(event))
        if isinstance(value, dict):
            return {key: self._copy(item, event, depth + 1) for key, item in value.items()}
        return [self._copy(item, event, depth + 1) for item in value] if isinstance(value, list) else value


def _scalar(event: yaml.ScalarEvent) -> Any:
    tag = (event.tag or "").replace(_TAG, "!!")
    if tag in ("!", "!!str") or not (tag or event.implicit[0]):
        return event.value
    value: Any = _resolve(event.value)
    if not tag:
        return value
    if tag not in _TYPES:
        raise _unknown_tag(event)
    if type(value) not in _TYPES[tag]:
        raise Problem(_line(event), f"{quote(event.value)} is not a value of {tag}", f"Remove the {tag}")
    return float(value) if tag == "!!float" else value


def _resolve(plain: str) -> bool | int | float | str | None:
    """What a plain scalar means to Kubernetes: resolve.go of go.yaml.in/yaml/v2."""
    if plain in _WORDS:
        return _WORDS[plain]
    digits = re.sub("(?<=[0-9])_(?=[0-9])", "", plain) if plain[0] == "." else plain.replace("_", "")
    if plain[0] == "_" or not _NUMBER.fullmatch(digits):
        return plain
    for text, base in ((digits, 0), (digits, 8), (digits.removeprefix("0b"), 2)):  # 5, 0x1F and 0o17; 0123; 0b+1
        with suppress(ValueError):
            if -(2**63) <= (integer := int(text, base)) < (2**63 if digits[0] in "+-" else 2**64):
                return integer
            break
    return real if _FLOAT.fullmatch(digits) and not math.isinf(real := float(digits)) else plain


def _key(value: Any, event: yaml.Event) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value < 2**63:
        return str(value)
    if isinstance(value, float) and (value == 0 or 1e-37 < abs(value) < 1e38) and float(f"{value:g}") == value:
        return f"{value:g}"  # Kubernetes writes a float32: its digits are exact up to the sixth
    if value is None:
        raise Problem(_line(event), "a key is missing", "Write a name before the ':'")
    raise Problem(_line(event), "the key is not a string", "Put the key in quotes")


def _in_json(value: Any, event: yaml.Event) -> Any:
    """*value* as it is after conversion to JSON, which has no infinity."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise Problem(_line(event), "JSON has no infinity and no NaN", "Put it in quotes, or write a number")
    return number(value)


def _is_merge(event: Any) -> bool:
    """``<<``, not in quotes."""
    merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<"
    return merge and (event.implicit[0] or event.tag == _TAG + "merge")


def _unknown_tag(event: Any) -> Problem:
    tag = event.tag.replace(_TAG, "!!")
    return Problem(_line(event), f"the tag {quote(tag)} is not supported here", "Remove it")


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1
