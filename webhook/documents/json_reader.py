"""JSON documents, one behind the other."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NoReturn

from webhook.documents.document import Document
from webhook.documents.problem import DEEPEST, Problem, duplicate, line_of, too_deep
from webhook.documents.yaml_reader import read_yaml
from webhook.errors import quote

_SPACE = re.compile(r"[ \t\r\n]*")
_CONSTANT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<constant>NaN|-?Infinity)')
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)"  # a pair, half of one, any other
)


def read_json(text: str) -> Iterator[Document]:
    """JSON documents one behind the other; or YAML that only begins like JSON, as in ``{a: 1}``."""
    try:
        yield from list(_json_documents(text))
    except json.JSONDecodeError as bad:
        try:
            yield from list(read_yaml(text))
        except Problem as problem:
            if (problem.line, problem.column) > (bad.lineno, bad.colno):
                raise
            raise Problem(bad.lineno, f"no JSON: {bad.msg}", "Correct it there") from None


def _json_documents(text: str) -> Iterator[Document]:
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
    )
    start = _behind_space(text, 0)
    line = line_of(text, start)
    while start < len(text):
        try:
            value, end = decoder.raw_decode(text, start)
            _refuse_depth(value, line)
        except RecursionError:
            raise _placed(too_deep(line), text) from None
        except Problem as problem:
            problem.line = line
            raise _placed(problem, text) from None
        for escape in _ESCAPE.finditer(text, start, end):
            if escape["lone"]:
                half = f"{quote(escape[0])} is half a character (a lone surrogate)"
                raise Problem(line_of(text, escape.start()), half, "Write the character itself")
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
        raise duplicate(0, key)
    return mapping


def _integer(digits: str) -> int | float:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        return _float(digits)
    return number


def _float(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise Problem(0, f"{quote(digits)} is too large for a number", "Put it in quotes")
    return number


def _constant(word: str) -> NoReturn:
    raise Problem(0, _no_json(word), "Put it in quotes, or write a number")


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
        raise too_deep(line)


def _placed(problem: Problem, text: str) -> Problem:
    """*problem* of a JSON document with its own line, where that can be found."""
    for found in _CONSTANT.finditer(text):
        if found["constant"] and problem.problem == _no_json(found["constant"]):
            problem.line = line_of(text, found.start())
            return problem
    try:
        list(read_yaml(re.sub(r"\t|\\u[dD][89a-fA-F]..", " ", text)))
    except Problem as other:
        if other.problem == problem.problem:
            return other
    return problem
