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

from contextlib import suppress

import msgspec

from webhook.documents.document import DEEPEST, MOST_BYTES, MOST_COPIES, Document, Problem, line_of
from webhook.documents.json_reader import read_json
from webhook.documents.writer import write, write_commented
from webhook.documents.yaml_reader import read_yaml
from webhook.errors import BadDocument, sentence

__all__ = ["DEEPEST", "MOST_BYTES", "MOST_COPIES", "Document", "read", "write", "write_commented"]


def read(text: str | bytes, *, name: str = "input") -> list[Document]:
    """The documents of *text*, without empty ones and ``null``, which kubectl skips too.

    *name* is for messages.  Raises `BadDocument`.
    """
    try:
        characters = _decode(text)
        if characters.lstrip(" \t\r\n").startswith(("{", "[")):
            with suppress(msgspec.DecodeError, RecursionError):  # then it may be YAML, and kubectl reads it as that
                return list(read_json(characters))
        return list(read_yaml(characters))
    except Problem as problem:
        raise BadDocument(sentence(f"{name}:{problem.line}", problem.problem, problem.hint)) from None


def _decode(text: str | bytes) -> str:
    try:
        size = len(text if isinstance(text, bytes) or len(text) > MOST_BYTES else text.encode())
        if size > MOST_BYTES:
            problem = f"the text has {size:,} bytes, and the API server accepts at most {MOST_BYTES:,}"
            raise Problem(1, problem, "Split it into smaller files")
        if isinstance(text, bytes):
            if text.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise Problem(1, "the text is UTF-16", "Save it as UTF-8")
            text = text.decode()
    except UnicodeDecodeError as bad:
        line = 1 + bad.object.count(b"\n", 0, bad.start)
        raise Problem(line, f"byte 0x{bad.object[bad.start]:02x} is not UTF-8", "Save the text as UTF-8") from None
    except UnicodeEncodeError as bad:
        raise Problem(
            line_of(bad.object, bad.start), "the text contains half a character (a lone surrogate)", "Remove it"
        ) from None
    return text.removeprefix("\ufeff")
