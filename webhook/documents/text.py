"""One text: decoded, then read as JSON or as YAML."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from webhook.documents.document import MOST_COPIES, Document, Problem, line_of
from webhook.documents.json_reader import read_json
from webhook.documents.yaml_reader import read_yaml


def read_text(text: str | bytes, most: int, copies: int = MOST_COPIES) -> Iterator[Document]:
    """The documents of *text*, which has at most *most* bytes.  Raises `Problem`, after the documents before it."""
    characters = _decode(text, most)
    if characters.lstrip(" \t\r\n").startswith(("{", "[")):
        with suppress(msgspec.DecodeError, RecursionError):  # then it may be YAML, and kubectl reads it as that
            yield from list(read_json(characters))
            return
    yield from read_yaml(characters, copies)


def _decode(text: str | bytes, most: int) -> str:
    try:
        size = len(text if isinstance(text, bytes) or len(text) > most else text.encode())
        if size > most:
            problem = f"the text has {size:,} bytes, and the API server accepts at most {most:,}"
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
