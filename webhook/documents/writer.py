"""Values as YAML that all readers understand in the same way, with comments for people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from webhook.errors import COMMAND

KeyPath = tuple[int | str, ...]

_MISREAD_WORDS = frozenset(
    ["", "~", "=", "<<", "null", "y", "n", "yes", "no", "on", "off", "true", "false"]
    + [sign + word for sign in ("", "+", "-") for word in (".inf", ".nan")]
)
_MISREAD = re.compile("[-+]?[.0-9_][-+0-9A-Fa-fxXoO_.,:TtZz ]*")
"""Everything that a reader takes for a number, time or date, and a few other strings, such as 1.2.3."""


def write(value: Any) -> str:
    """*value* as YAML: in block style, keys in their order, strings in quotes if any reader would misread them.

    The output contains no terminal control characters.  Raises `ValueError` for a float that JSON does not have.

    >>> print(write({"gpus": "1e3", "on": ["a b", 1]}), end="")
    gpus: "1e3"
    "on":
    - a b
    - 1
    """
    written: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=2**31 - 1
    )
    return "\n".join(map(_escaped, written.split("\n")))


def _escaped(line: str) -> str:
    """Unprintable characters are in double quotes here.  YAML takes some of them for printable: U+202E, U+00A0."""
    return line if line.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in line)


def write_commented(value: Any, notes: Mapping[KeyPath, str]) -> str:
    """*value* as YAML, each note as a comment above the key or list item at its path; () is the top.

    Raises `KeyError` for a note on a place that *value* does not have.

    >>> print(write_commented({"a": [{"b": 1}]}, {("a",): "why a", ("a", 0, "b"): "why b"}), end="")
    # why a
    a:
    # why b
    - b: 1
    """
    lines = write(value).splitlines()
    root = yaml.compose("\n".join(lines), Loader=yaml.CSafeLoader)
    places = [(*_place(root, path), path) for path in notes]
    for line, column, path in sorted(places, reverse=True):
        # An item's first key is on the line of its dash, so the comment goes above that line.
        indent = min(column, len(lines[line]) - len(lines[line].lstrip(" ")))
        lines[line:line] = [f"{' ' * indent}# {text}".rstrip() for text in notes[path].splitlines()]
    return "\n".join(lines) + "\n"


def _place(node: Any, path: KeyPath) -> tuple[int, int]:
    line, column = 0, 0
    for step in path:
        if isinstance(node, yaml.SequenceNode):
            mark, node = node.value[step].start_mark, node.value[step]
        else:
            pairs = {key.value: (key.start_mark, value) for key, value in node.value}
            if step not in pairs:
                raise KeyError(path)
            mark, node = pairs[step]
        line, column = mark.line, mark.column
    return line, column


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if text.lower() in _MISREAD_WORDS or _MISREAD.fullmatch(text) or not text.replace("\n", "").isprintable():
        style = '"'
    elif COMMAND.search(text):
        style = '"'  # in which `inert` may change it
    elif "\n" in text:
        # The emitter uses quotes if a block cannot hold the text, but it ends the document after a "|+".
        style = '"' if text.startswith("\n") or text.endswith("\n\n") else "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_float(dumper: _Dumper, number: float) -> yaml.ScalarNode:
    if not math.isfinite(number):
        raise ValueError(f"JSON has no {number}")
    return dumper.represent_float(number)


_Dumper.add_representer(str, _represent_string)
_Dumper.add_representer(float, _represent_float)
