"""Reads YAML and JSON documents as Kubernetes does, and writes values as YAML.

Kubernetes reads a manifest with ``sigs.k8s.io/yaml``: its own dialect of YAML 1.1, converted to JSON.  In it ``yes``
is true, ``0123`` and ``0o17`` are octal, ``1_000`` is a number, ``1:30`` and ``2001-01-01`` are strings,
``1: a`` has the key ``"1"``, and a ``<<`` after a key overwrites that key.  PyYAML's own loaders differ in
all of these, so only its parser is used.

This reader is stricter than Kubernetes where the input is most likely a mistake.  It refuses a duplicate key, of which
one would silently win; a key such as ``3.14159265`` or ``1e39``, of which Kubernetes silently drops digits; a tag
other than ``!!str``, ``!!int``, ``!!float``, ``!!bool``, ``!!null``, ``!!map`` and ``!!seq``.
"""

from __future__ import annotations

from typing import Any

from webhook.documents import json_reader
from webhook.documents.bulk import stream
from webhook.documents.document import DEEPEST, MOST_BYTES, MOST_COPIES, Document, KeyLines, Problem
from webhook.documents.edit import Edit, edit, put
from webhook.documents.lines import line_of
from webhook.documents.text import read_text
from webhook.documents.writer import write, write_commented

__all__ = [
    "DEEPEST",
    "MOST_BYTES",
    "MOST_COPIES",
    "Document",
    "Edit",
    "KeyLines",
    "edit",
    "line_of",
    "put",
    "read",
    "read_json",
    "stream",
    "write",
    "write_commented",
]


def read(text: str | bytes, *, name: str = "input", copies: int = MOST_COPIES) -> list[Document]:
    """The documents of *text*, without empty ones and ``null``, which kubectl skips too.

    *name* is for messages.  *copies*: see `MOST_COPIES`.  Raises `BadDocument`.
    """
    try:
        return list(read_text(text, MOST_BYTES, copies))
    except Problem as problem:
        raise problem.told(name) from None


def read_json(text: bytes, *, name: str = "input") -> Any:
    """The value of *text*, which is one document of JSON.  *name* is for messages.  Raises `BadDocument`."""
    try:
        return json_reader.read_one(text)
    except Problem as problem:
        raise problem.told(name) from None
