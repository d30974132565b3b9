"""What is wrong with a text, and the limits on it."""

from __future__ import annotations

from webhook.errors import quote

MOST_BYTES = 3 * 1024 * 1024
"""What the API server takes in one request: MaxRequestBodyBytes in k8s.io/apiserver, pkg/server/config.go."""

DEEPEST = 100
"""Levels of nesting.  A pod needs about 15, a CRD about 40; Python's own stack ends at 1,000 calls."""

MOST_COPIES = 100_000
"""Values that aliases may add in one text.  They take memory that the text did not pay for: nine lines of nine
aliases stand for 387 million.  Kubernetes begins to refuse at 400,000."""


class Problem(Exception):
    """Something wrong, before it is known what the text is called.

    *column* only says which of two syntax errors came first; what is no syntax error comes after all of them.
    """

    def __init__(self, line: int, problem: str, hint: str, *, column: int = MOST_BYTES) -> None:
        super().__init__(line, problem, hint)
        self.line, self.column = line, column
        self.problem, self.hint = problem, hint


def duplicate(line: int, key: str, first: int | None = None) -> Problem:
    where = f"; the first is on line {first}" if first else ""
    return Problem(line, f"duplicate key {quote(key)}", f"Keep one of them{where}")


def too_deep(line: int) -> Problem:
    return Problem(line, f"nested deeper than {DEEPEST} levels", "Write it flatter")


def line_of(text: str, position: int) -> int:
    return 1 + text.count("\n", 0, position)
