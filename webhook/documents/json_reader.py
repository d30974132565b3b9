"""JSON documents, one after the other."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from webhook.documents.document import DEEPEST, Document, Problem, duplicate, line_of, number, too_deep

_TOKEN = re.compile(r'(?P<string>"(?:[^"\\]++|\\.)*+"?)(?P<key>\s*+:)?|(?P<open>[\[{])|[\]}]', re.DOTALL)
"""Possessive, and it also matches a string that does not end, so that it takes linear time for any text."""
_SPACE = " \t\r\n"


def _real(digits: str) -> int | float:
    if math.isinf(real := float(digits)):
        raise msgspec.DecodeError("a number is out of range")
    return number(real)


_decode = msgspec.json.Decoder(float_hook=_real).decode


def read_json(text: str) -> Iterator[Document]:
    """Raises `msgspec.DecodeError` or `RecursionError` for a text that is not JSON."""
    start, line = 0, 1
    for end in _ends(text):
        begin = end - len(text[start:end].lstrip(_SPACE))
        value = _decode(text[begin:end])
        _refuse_duplicates(text, begin, end)
        line += text.count("\n", start, begin)
        if value is not None:
            yield Document(value, line)
        start, line = end, line + text.count("\n", begin, end)


def read_one(text: bytes) -> Any:
    """The value of a text that is one document.  Raises `Problem`."""
    try:
        value = _decode(text)
        _refuse_duplicates(characters := text.decode(), 0, len(characters))
    except RecursionError:
        raise too_deep(1) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(1, f"not JSON: {error}", "Correct it") from None
    return value


def each_json(text: bytes) -> Iterator[Document | Problem]:
    """The same for a text of which only a part is JSON; nothing if it is another kind of text."""
    characters = text.decode(errors="replace")
    if not characters.lstrip(_SPACE).startswith(("{", "[")):
        return
    start = before = 0
    for end in _ends(characters):
        piece = characters[start:end]
        try:
            for document in read_json(piece):
                yield document.after(before)
        except Problem as problem:
            yield problem.after(before)
        except (msgspec.DecodeError, RecursionError) as error:
            begin = len(piece) - len(piece.lstrip(_SPACE))
            yield Problem(line_of(piece, begin) + before, f"not JSON: {error}", "Correct it")
        start, before = end, before + piece.count("\n")


def _ends(text: str) -> Iterator[int]:
    """Where documents end if this is JSON: after an outermost bracket, or at the end of the text.

    Closing brackets that nothing has opened are one piece, however many.
    """
    end = stray = depth = 0
    for token in _TOKEN.finditer(text):
        if token["open"]:
            if stray > end:
                yield (end := stray)
            depth += 1
        elif token["string"]:
            continue
        elif depth > 1:
            depth -= 1
        elif depth:
            depth = 0
            yield (end := token.end())
        else:
            stray = token.end()
    if text[end:].strip(_SPACE):
        yield len(text)


def _refuse_duplicates(text: str, begin: int, end: int) -> None:
    """Refuse a duplicate key, which msgspec does not notice, and deep nesting, in one document."""
    levels: list[dict[str, int]] = []
    for token in _TOKEN.finditer(text, begin, end):
        if token["open"]:
            levels.append({})
            if len(levels) > DEEPEST:
                raise too_deep(line_of(text, token.start()))
        elif not token["string"]:
            levels.pop()
        elif token["key"]:
            key = msgspec.json.decode(token["string"])
            if (first := levels[-1].setdefault(key, token.start())) != token.start():
                raise duplicate(line_of(text, token.start()), key, line_of(text, first))
