"""Every regular expression of a folder, and texts on which one would take quadratic time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from time import thread_time
from typing import Any

from tests.linear import TooMuchWork, ending

ANCHORED = {"match", "fullmatch"}
METHODS = {*ANCHORED, "search", "sub", "subn", "split", "findall", "finditer"}

LONG = 5_000
"""Characters of a text.  One that takes linear time is looked through in less than a millisecond."""

SLOW = 0.0008
"""Seconds of processor time that are worth a second look."""

LONGEST = 1
"""Seconds after which it is called steep without an end."""

STEEP = 9
"""How many times as long a text of four times the length takes: 4 if the time is linear, 16 if it is quadratic."""

ENDS = ("", "\0", "\n")


@dataclass(frozen=True)
class Pattern:
    place: str
    compiled: re.Pattern[Any]
    methods: frozenset[str]
    """How it is used."""


class _Word(str):
    """What a name of a function's own may stand for."""

    def __rmul__(self, text: Any) -> Any:
        return text * 2


class _Names(dict[str, Any]):
    """Names of a module; of functions' own, any word."""

    def __missing__(self, name: str) -> str:
        return _Word("word")


def patterns(folder: Path) -> list[Pattern]:
    """Those of the modules in *folder*, which is a package: in calls of `re`, in ``pattern=``, and in constants."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))}
    uses: dict[str, set[str]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in METHODS and isinstance(node.value, ast.Name):
                uses.setdefault(node.value.id, set()).add(node.attr)
    found = {
        (each.compiled.pattern, each.compiled.flags, each.methods): each
        for path, tree in trees.items()
        for each in _of_module(".".join(path.relative_to(folder.parent).with_suffix("").parts), tree, uses)
    }
    return list(found.values())


def _of_module(name: str, tree: ast.Module, uses: dict[str, set[str]]) -> Iterator[Pattern]:
    names = _Names(vars(import_module(name.removesuffix(".__init__"))), __builtins__=__builtins__)
    assigned = {
        each.value: each.targets[0].id
        for each in ast.walk(tree)
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
    }
    for key, value in list(names.items()):
        if isinstance(value, list | tuple):
            for each in _compiled(value):
                yield Pattern(f"{name}:{key}", each, frozenset(METHODS))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        place = f"{name}:{node.lineno}"
        for keyword in node.keywords:
            if keyword.arg == "pattern":  # pydantic's own engine is linear, but the same text is used elsewhere, too
                yield Pattern(place, re.compile(_value(keyword.value, names)), frozenset(ANCHORED))
        function = node.func
        if not isinstance(function, ast.Attribute) or ast.unparse(function.value) != "re":
            continue
        if function.attr in METHODS | {"compile"}:
            used = {function.attr} if function.attr in METHODS else uses.get(assigned.get(node, ""), METHODS)
            given = [*node.args[1:], *(each.value for each in node.keywords)]
            flags = [_value(each, names) for each in given if re.search(r"\bre\.[A-Z]", ast.unparse(each))]
            yield Pattern(place, re.compile(_value(node.args[0], names), *flags), frozenset(used))


def _compiled(values: Any) -> Iterator[re.Pattern[Any]]:
    for value in values:
        if isinstance(value, re.Pattern):
            yield value
        elif isinstance(value, list | tuple):
            yield from _compiled(value)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "pattern", "eval"), names)


def attack(pattern: Pattern) -> str | None:
    """A text of which *pattern* takes more than linear time to look through, as an expression; None if none is known.

    A text is a beginning of what matches, something again and again, and an end with which nothing matches.
    """
    tree = _parser.parse(pattern.compiled.pattern, pattern.compiled.flags & ~re.DEBUG)
    begins, pumps = {""}, set(_characters(tree))
    for before, body in _walk(list(tree), ""):
        begins.add(before)
        pumps |= {before, body} - {""}
    for method in ["search" if pattern.methods - ANCHORED else "match", *({"fullmatch"} & pattern.methods)]:
        for begin, pump, end in product(sorted(begins), sorted(pumps), ENDS):
            if _is_steep(pattern, method, begin, pump, end):
                return f"re.{method}({pattern.compiled.pattern!r}, {begin!r} + {pump!r} * n + {end!r})"
    return None


def _is_steep(pattern: Pattern, method: str, begin: str, pump: str, end: str) -> bool:
    """Whether a text of four times the length takes far more than four times as long, if it takes long at all."""
    with suppress(TooMuchWork), ending(LONGEST):
        for _ in range(3):
            short = _took(pattern, method, begin, pump, end, LONG)
            if short < SLOW or _took(pattern, method, begin, pump, end, 4 * LONG) < STEEP * short:
                return False
    return True


def _took(pattern: Pattern, method: str, begin: str, pump: str, end: str, length: int) -> float:
    text: Any = begin + pump * (length // len(pump)) + end
    nothing: Any = ""
    if isinstance(pattern.compiled.pattern, bytes):
        text, nothing = text.encode("latin-1", "replace"), b""
    before = thread_time()
    if method == "search":
        pattern.compiled.sub(nothing, text)  # it looks everywhere
    else:
        getattr(pattern.compiled, method)(text)
    return thread_time() - before


def _walk(nodes: list[Any], before: str) -> Iterator[tuple[str, str]]:
    """Each place where something repeats or a part begins: what matches *before* it, and what matches there."""
    for kind, argument in nodes:
        own = _sample([(kind, argument)])
        yield before, own
        for inner in _parts(kind, argument):
            yield from _walk(list(inner), before)
            yield from ((each, _sample(inner)) for each in {before, before + _sample(inner)})
        before += own
    yield before, ""


def _parts(kind: Any, argument: Any) -> list[Any]:
    match str(kind):
        case "SUBPATTERN" | "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [argument[-1]]
        case "ATOMIC_GROUP":
            return [argument]
        case "BRANCH":
            return list(argument[1])
        case "ASSERT":
            return [argument[1]]
    return []


def _sample(nodes: Any) -> str:
    """A short text that *nodes* match."""
    text = ""
    for kind, argument in nodes:
        match str(kind):
            case "LITERAL":
                text += chr(argument)
            case "IN":
                text += next(iter(_members(argument)))
            case "NOT_LITERAL" | "ANY":
                text += "a" if argument != ord("a") else "b"
            case "BRANCH":
                text += _sample(argument[1][0])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                text += _sample(argument[2]) * max(1, argument[0])
            case "SUBPATTERN":
                text += _sample(argument[-1])
            case "ATOMIC_GROUP":
                text += _sample(argument)
    return text


def _members(set_: Any) -> list[str]:
    """Some characters of a set, without those that mean much elsewhere."""
    one = re.compile("[" + "".join(_written(each) for each in set_) + "]", re.DOTALL)
    return [each for each in map(chr, (*range(97, 123), *range(256), 0xD7)) if one.match(each)] or ["a"]


def _written(part: Any) -> str:
    kind, argument = part
    match str(kind):
        case "NEGATE":
            return "^"
        case "LITERAL":
            return re.escape(chr(argument))
        case "RANGE":
            return "-".join(re.escape(chr(each)) for each in argument)
    return {
        _constants.CATEGORY_DIGIT: r"\d", _constants.CATEGORY_NOT_DIGIT: r"\D",
        _constants.CATEGORY_SPACE: r"\s", _constants.CATEGORY_NOT_SPACE: r"\S",
        _constants.CATEGORY_WORD: r"\w", _constants.CATEGORY_NOT_WORD: r"\W",
    }[argument]  # fmt: skip


def _characters(nodes: Any) -> set[str]:
    """A few characters of each kind that *nodes* tell apart."""
    found = {" ", "\n", "a", "0"}
    for kind, argument in nodes:
        if str(kind) == "IN":
            found |= {*_members(argument)[:1], *_members(argument)[-1:]}
        elif str(kind) in ("LITERAL", "NOT_LITERAL"):
            found.add(chr(argument))
        for inner in _parts(kind, argument):
            found |= _characters(inner)
    return found
