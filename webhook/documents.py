"""YAML or JSON text in, documents out, as Kubernetes reads them; values out as YAML.

Kubernetes reads a manifest with ``sigs.k8s.io/yaml``: a YAML 1.1 of its own, turned into JSON.  In it ``yes``
is true, ``0123`` and ``0o17`` are octal, ``1_000`` is a number, ``1:30`` and ``2001-01-01`` are strings,
``1: a`` has the key ``"1"``, and a ``<<`` behind a key overwrites that key.  PyYAML's own loaders differ in
each of these, so we take only its events and do the rest here.

Stricter than Kubernetes, because these are mistakes more often than meant: a key that is there twice, where
one would silently win; a tag other than ``!!str``, ``!!int``, ``!!float``, ``!!bool``, ``!!null``, ``!!map``
and ``!!seq``.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NoReturn

import yaml

from webhook.errors import BadDocument, quote, sentence

MOST_BYTES = 3 * 1024 * 1024
"""What the API server takes in one request: MaxRequestBodyBytes in k8s.io/apiserver, pkg/server/config.go."""

DEEPEST = 100
"""Levels of nesting.  A pod needs about 15, a CRD about 40; Python's own stack ends at 1,000 calls."""

MOST_COPIES = 100_000
"""Values that aliases may add in one text.  They take memory that the text did not pay for: nine lines of nine
aliases stand for 387 million.  Kubernetes begins to refuse at 400,000."""

PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text; no part of it is shared with another part."""

    value: Any
    """dict, list, str, int, float or bool, all the way down; None too, but not at the top."""
    line: int
    """Where it begins, from 1."""


def read(text: str | bytes, *, name: str = "input") -> list[Document]:
    """The documents of *text*, without empty ones and ``null``, as kubectl skips them.

    *name* is what messages call the text.  Raises `BadDocument`.
    """
    try:
        characters = _decode(text)
        if characters.lstrip(" \t\r\n").startswith(("{", "[")):
            return list(_read_json(characters))
        return list(_read_yaml(characters))
    except _Problem as problem:
        raise BadDocument(sentence(f"{name}:{problem.line}", problem.problem, problem.hint)) from None


def write(value: Any) -> str:
    """*value* as YAML: block style, keys in their order, no string that some reader takes for something else.

    Raises `ValueError` for a float that JSON does not have.

    >>> print(write({"gpus": "1e3", "on": ["a b", 1]}), end="")
    gpus: "1e3"
    "on":
    - a b
    - 1
    """
    written: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=2**31 - 1
    )
    return written


class _Problem(Exception):
    """Something wrong, before it is known what the text is called.

    *column* only says which of two syntax errors came first; what is no syntax error comes after all of them.
    """

    def __init__(self, line: int, problem: str, hint: str, *, column: int = MOST_BYTES) -> None:
        super().__init__(line, problem, hint)
        self.line, self.column = line, column
        self.problem, self.hint = problem, hint


_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\0\0\xfe\xff": "UTF-32"}
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.1, section 5.1, leaves out."""


def _decode(text: str | bytes) -> str:
    try:
        if isinstance(text, bytes):
            size = len(text)
            for mark, encoding in _BYTE_ORDER_MARKS.items():
                if text.startswith(mark):
                    raise _Problem(1, f"the text is {encoding}", "Save it as UTF-8")
            text = text.decode() if size <= MOST_BYTES else ""
        else:
            size = len(text) if len(text) > MOST_BYTES else len(text.encode())
    except UnicodeDecodeError as bad:
        line = 1 + bad.object.count(b"\n", 0, bad.start)
        raise _Problem(line, f"byte 0x{bad.object[bad.start]:02x} is not UTF-8", "Save the text as UTF-8") from None
    except UnicodeEncodeError as bad:
        raise _Problem(_line(bad.object, bad.start), "half a character (a lone surrogate)", "Remove it") from None
    if size > MOST_BYTES:
        problem = f"{size:,} bytes, and the API server takes at most {MOST_BYTES:,}"
        raise _Problem(1, problem, "Split it into smaller files")
    return text.removeprefix("\ufeff")


def _line(text: str, position: int) -> int:
    return 1 + text.count("\n", 0, position)


_SPACE = re.compile(r"[ \t\r\n]*")
_CONSTANT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<constant>NaN|-?Infinity)')
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)"  # a pair, half of one, any other
)


def _read_json(text: str) -> Iterator[Document]:
    """JSON documents one behind the other; or YAML that only begins like JSON, as in ``{a: 1}``."""
    try:
        yield from list(_json_documents(text))
    except json.JSONDecodeError as bad:
        try:
            yield from list(_read_yaml(text))
        except _Problem as problem:
            if (problem.line, problem.column) > (bad.lineno, bad.colno):
                raise
            raise _Problem(bad.lineno, f"no JSON: {bad.msg}", "Correct it there") from None


def _json_documents(text: str) -> Iterator[Document]:
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
    )
    start = _behind_space(text, 0)
    line = _line(text, start)
    while start < len(text):
        try:
            value, end = decoder.raw_decode(text, start)
            _refuse_depth(value, line)
        except RecursionError:
            raise _placed(_too_deep(line), text) from None
        except _Problem as problem:
            problem.line = line
            raise _placed(problem, text) from None
        for escape in _ESCAPE.finditer(text, start, end):
            if escape["lone"]:
                half = f"{quote(escape[0])} is half a character (a lone surrogate)"
                raise _Problem(_line(text, escape.start()), half, "Write the character itself")
        if value is not None:
            yield Document(value, line)
        start, before = _behind_space(text, end), start
        line += text.count("\n", before, start)


def _behind_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        key, _ = max(Counter(key for key, _ in pairs).items(), key=itemgetter(1))
        raise _duplicate(0, key)
    return mapping


def _integer(digits: str) -> int | float:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        return _float(digits)
    return number


def _float(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise _Problem(0, f"{quote(digits)} is too large for a number", "Put it in quotes")
    return number


def _constant(word: str) -> NoReturn:
    raise _Problem(0, _no_json(word), "Put it in quotes, or write a number")


def _no_json(word: str) -> str:
    return f"{word} is no JSON"


def _refuse_depth(value: Any, line: int) -> None:
    level = [value]
    for _ in range(DEEPEST):
        if not level:
            return
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
    if any(isinstance(each, dict | list) for each in level):
        raise _too_deep(line)


def _placed(problem: _Problem, text: str) -> _Problem:
    """*problem* of a JSON document with its own line, where that can be found."""
    for found in _CONSTANT.finditer(text):
        if found["constant"] and problem.problem == _no_json(found["constant"]):
            problem.line = _line(text, found.start())
            return problem
    try:
        list(_read_yaml(re.sub(r"\t|\\u[dD][89a-fA-F]..", " ", text)))
    except _Problem as other:
        if other.problem == problem.problem:
            return other
    return problem


def _duplicate(line: int, key: str, first: int | None = None) -> _Problem:
    where = f"; the first is on line {first}" if first else ""
    return _Problem(line, f"duplicate key {quote(key)}", f"Keep one of them{where}")


def _too_deep(line: int) -> _Problem:
    return _Problem(line, f"nested deeper than {DEEPEST} levels", "Write it flatter")


def _read_yaml(text: str) -> Iterator[Document]:
    if found := _NOT_YAML.search(text):
        problem = f"the control character U+{ord(found[0]):04X}"
        raise _Problem(_line(text, found.start()), problem, "Remove it, or save the text as UTF-8")
    try:
        yield from _Builder(text).documents()
    except yaml.MarkedYAMLError as bad:
        raise _explained(bad, text) from None


def _explained(bad: yaml.MarkedYAMLError, text: str) -> _Problem:
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
    return _Problem(min(line + 1, len(lines)), problem, hint, column=column + 1)


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
                    raise _Problem(_begin(event), "Kubernetes reads only YAML 1.1", "Remove the line with %YAML")
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
            raise _too_deep(_begin(event))
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
                raise _duplicate(_begin(event), key, lines[key])
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
            raise _Problem(_begin(event), "'<<' takes a mapping or a list of mappings", "Name one, or quote the '<<'")
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
                return _float_key(key)
            case None:
                raise _Problem(_begin(event), "a key is missing", "Write a name before the ':'")
        raise _Problem(_begin(event), "a key that is no string", "Put the key in quotes")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        value: Any = event.value
        if event.tag is None:
            if event.implicit[0]:
                value = resolve(event.value)
        elif event.tag in _SCALARS:
            value = resolve(event.value)
            if type(value) not in _SCALARS[event.tag]:
                tag = event.tag.removeprefix(_TAG)
                raise _Problem(_begin(event), f"{quote(event.value)} is no {tag}", f"Remove the !!{tag}")
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
            raise _Problem(_begin(event), problem, f"{hint}, or put the text in quotes")
        if self._anchors[name] is _OPEN:
            raise _Problem(_begin(event), f"the alias *{name} contains itself", "Write the value in full")
        return self._copy(self._anchors[name], event, depth)

    def _copy(self, value: Any, event: yaml.AliasEvent, depth: int) -> Any:
        self._copies += 1
        if self._copies > MOST_COPIES:
            raise _Problem(_begin(event), f"aliases stand for more than {MOST_COPIES:,} values", "Use fewer of them")
        if not isinstance(value, dict | list):
            return value
        if depth >= DEEPEST:
            raise _too_deep(_begin(event))
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


def _unknown_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> _Problem:
    tag = (event.tag or "").replace(_TAG, "!!")
    return _Problem(_begin(event), f"the tag {quote(tag)} means nothing to Kubernetes", "Remove it")


_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
}
_INTEGER = re.compile("[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))")
_SIGNED_BINARY = re.compile("0b[-+][01]+")
_BETWEEN_DIGITS = re.compile("(?<=[0-9])_(?=[0-9])")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def resolve(plain: str) -> bool | int | float | str | None:
    """What Kubernetes takes a plain scalar for: resolve.go of go.yaml.in/yaml/v2."""
    if plain in _WORDS:
        return _WORDS[plain]
    if plain[0] == ".":
        digits = _BETWEEN_DIGITS.sub("", plain)
    elif plain[0] in "+-0123456789":
        digits = plain.replace("_", "")
    else:
        return plain
    integer = _go_integer(digits)
    if integer is not None:
        return integer
    if _FLOAT.fullmatch(digits) and not math.isinf(number := float(digits)):
        return number
    return plain


def _go_integer(digits: str) -> int | None:
    if found := _INTEGER.fullmatch(digits):
        if found["decimal"] and len(found["decimal"]) > 20:
            return None
        number = int(digits, 8 if found["octal"] else 0)
        unsigned = digits[0] not in "+-"
        return number if -(2**63) <= number < (2**64 if unsigned else 2**63) else None
    if _SIGNED_BINARY.fullmatch(digits) and -(2**63) <= (number := int(digits[2:], 2)) < 2**63:
        return number
    return None


def _json_number(value: Any, event: yaml.Event) -> Any:
    """*value* after its way through JSON, which has no infinity and writes 1.0 as 1."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise _Problem(_begin(event), "JSON has no infinity and no NaN", "Put it in quotes, or write a number")
    return int(value) if value.is_integer() and -(2**63) <= value < 2**63 else value


def _float_key(number: float) -> str:
    """Go's ``strconv.FormatFloat(number, 'g', -1, 32)``, which is how a number becomes a key."""
    if math.isnan(number):
        return ".nan"
    try:
        (single,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        single = math.copysign(math.inf, number)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    shown = next(s for n in range(9) if struct.pack("f", float(s := f"{single:.{n}e}")) == struct.pack("f", single))
    digits, exponent = shown.split("e")
    if -4 <= int(exponent) < 6:
        places = max(0, len(digits.lstrip("-").replace(".", "")) - 1 - int(exponent))
        return f"{float(shown):.{places}f}"
    return shown


_MISREAD_WORDS = frozenset(
    ["", "~", "=", "<<", "null", "y", "n", "yes", "no", "on", "off", "true", "false"]
    + [sign + word for sign in ("", "+", "-") for word in (".inf", ".nan")]
)
_MISREAD = re.compile("[-+]?[.0-9_][-+0-9A-Fa-fxXoO_.,:TtZz ]*")
"""Numbers, times and dates of all readers, and a few strings beside them, such as 1.2.3."""
_SEPARATOR = re.compile("[\\u2028\\u2029]")
"""Line breaks in YAML 1.1, letters in YAML 1.2."""


class _Dumper(DUMPER):  # type: ignore[misc, valid-type]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if text.lower() in _MISREAD_WORDS or _MISREAD.fullmatch(text) or _SEPARATOR.search(text):
        style = '"'
    elif "\n" in text:
        # The emitter falls back to quotes where a block cannot hold the text, but ends the document behind a "|+".
        style = '"' if text.startswith("\n") or text.endswith("\n\n") else "|"
    node: yaml.ScalarNode = dumper.represent_scalar(_TAG + "str", text, style=style)
    return node


def _represent_float(dumper: _Dumper, number: float) -> yaml.ScalarNode:
    if not math.isfinite(number):
        raise ValueError(f"JSON has no {number}")
    node: yaml.ScalarNode = dumper.represent_float(number)
    return node


_Dumper.add_representer(str, _represent_string)
_Dumper.add_representer(float, _represent_float)
