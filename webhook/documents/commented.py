"""YAML with comments, for files that people read at night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from webhook.documents.writer import write

Path = tuple[int | str, ...]


def write_commented(value: Any, notes: Mapping[Path, str]) -> str:
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
        # An item's first key stands on the line of its dash, so the comment goes above that.
        indent = min(column, len(lines[line]) - len(lines[line].lstrip(" ")))
        lines[line:line] = [f"{' ' * indent}# {text}".rstrip() for text in notes[path].splitlines()]
    return "\n".join(lines) + "\n"


def _place(node: Any, path: Path) -> tuple[int, int]:
    line, column = 0, 0
    for step in path:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[step]
            mark = node.start_mark
        else:
            found = [(key, value) for key, value in node.value if key.value == step]
            if not found:
                raise KeyError(path)
            mark, node = found[0][0].start_mark, found[0][1]
        line, column = mark.line, mark.column
    return line, column
