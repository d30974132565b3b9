"""The result of reading a text: documents, or a problem; and the limits on a text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from webhook.errors import BadDocument, quote, sentence

MOST_BYTES = 3 * 1024 * 1024
"""What the API server accepts in one request: MaxRequestBodyBytes in k8s.io/apiserver, pkg/server/config.go."""

DEEPEST = 100
"""Levels of nesting.  A pod needs about 15, a CRD about 40; Python's own stack ends at 1,000 calls."""

MOST_COPIES = 100_000
"""Values that aliases may add in one text.  A short text may expand to a lot of memory: nine lines of nine aliases
stand for 387 million values.  Kubernetes begins to refuse at 400,000.  Their strings and keys may add as many
characters as the API server accepts bytes."""


OTHER = "\0"
"""In the text of a problem, the number of another line."""


KeyLines: TypeAlias = dict[int, tuple[dict[str, Any], dict[str, int]]]
"""Each mapping as it was written, by its `id`, which nothing else has while it is kept here, and its keys' lines."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text; no part of it is shared with another part."""

    value: Any
    """dict, list, str, int, float or bool at every level; None only below the top."""
    line: int
    """The line on which it begins, from 1."""
    keys: KeyLines = field(default_factory=dict, repr=False, compare=False)
    """The lines of its keys, in YAML."""
    reread: list[tuple[int, str, str]] = field(default_factory=list, repr=False, compare=False)
    """The keys that YAML 1.1 reads as something else, such as ``no`` and ``0123``: line, as written, as read."""
    before: int = field(default=0, repr=False, compare=False)
    """How many lines of the text `keys` do not count."""

    def after(self, lines: int) -> Document:
        """This document in a text that has *lines* more lines before it."""
        return replace(self, line=self.line + lines, before=self.before + lines)


class Problem(Exception):
    """Something wrong with a text.  The text's name is added later."""

    def __init__(self, line: int, problem: str, hint: str, other: int = 0) -> None:
        """*other*: one more line, which `OTHER` stands for in *problem* and *hint*."""
        super().__init__(line, problem, hint, other)
        self.line, self.problem, self.hint, self.other = line, problem, hint, other

    def after(self, lines: int) -> Problem:
        """This problem in a text that has *lines* more lines before it."""
        return Problem(self.line + lines, self.problem, self.hint, self.other + lines if self.other else 0)

    def told(self, name: str) -> BadDocument:
        """This problem in the text *name*."""
        problem, hint = (text.replace(OTHER, str(self.other)) for text in (self.problem, self.hint))
        return BadDocument(sentence(f"{name}:{self.line}", problem, hint), self.line)


def duplicate(line: int, key: str, first: int) -> Problem:
    return Problem(line, f"duplicate key {quote(key)}", f"Keep one of them; the first is on line {OTHER}", first)


def too_deep(line: int) -> Problem:
    return Problem(line, f"nested deeper than {DEEPEST} levels", "Write it flatter")


def number(real: float) -> int | float:
    """*real* as Kubernetes writes it in JSON: 1.0 is 1."""
    return int(real) if real.is_integer() and -(2**63) <= real < 2**63 else real


def line_of(text: str, index: int) -> int:
    return 1 + text.count("\n", 0, index)
