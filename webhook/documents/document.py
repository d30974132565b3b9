"""One document of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text; no part of it is shared with another part."""

    value: Any
    """dict, list, str, int, float or bool, all the way down; None too, but not at the top."""
    line: int
    """Where it begins, from 1."""
