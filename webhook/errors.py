"""The errors that this package raises on purpose.

* GpuSliceError
  + BadReview        the call is not an AdmissionReview: answered with HTTP 400, read by the cluster's operators
  + Denial           the pod is understood and refused: HTTP 200, allowed=false, read by the pod's author
  + BadFleet         the fleet file cannot be used: read by the platform team
  + BadDocument      a YAML or JSON document cannot be read: read by its author

What a module raises for its own callers alone, such as `Refusal` or `BadCertificate`, is defined there.  Any other
exception is our own bug and is allowed to crash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from webhook.codes import Reason

LONGEST_QUOTE = 80
"""Characters of a user's text that a message repeats."""

LONGEST_PART = 330
"""Characters of each part of a message.  An event shows 1,024 in all (k8s.io/api ``events/v1``)."""

COMMAND = re.compile(r"^[^!-~\n]*+:(?=[^ -~\n]*+:)|#[^ -~\n]*+#[^!-,./:-@\[-`{-~ \n]*+\[", re.MULTILINE)
"""What makes a line a command to a CI system that reads it: ``::`` at its beginning, or ``##[``, for GitHub Actions;
``##vso[`` for Azure Pipelines, ``##teamcity[`` for TeamCity, and so ``##``, any word, and ``[``.

The runner of GitHub Actions, which is written in C#, compares as people do, and so without some characters that nobody
sees (actions/runner, ``src/Runner.Common/ActionCommand.cs``); Azure's agent has the same ancestor.  What GitLab, Travis
CI, Jenkins and Buildkite act on beyond a heading has a control character, which `printable` escapes."""


class GpuSliceError(Exception):
    """Base of everything raised on purpose."""


class BadReview(GpuSliceError):
    """The request body is not a review that can be answered."""


class BadDocument(GpuSliceError):
    """The input is not YAML or JSON that Kubernetes would read, or it is too large."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True)
class FleetProblem:
    """One thing wrong in a fleet file."""

    path: str
    """Where, as in ``pools[0].partition.mig``."""
    problem: str
    hint: str

    def __str__(self) -> str:
        return sentence(self.path, self.problem, self.hint)


class BadFleet(GpuSliceError):
    """The fleet file cannot be used.  It carries every problem, not only the first."""

    def __init__(self, problems: list[FleetProblem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Denial(GpuSliceError):
    """The pod cannot be admitted as written.

    Users see the message in the output of ``kubectl``, but more often in the events of the ReplicaSet or Job that owns
    the pod: one line without context.
    """

    def __init__(self, problem: str, *, field: str, hint: str, reason: Reason, position: int | None = None) -> None:
        super().__init__(problem, field, hint)
        self.problem = problem
        self.field = field
        """Path in the pod, as in ``metadata.annotations[gpu-slice]``."""
        self.hint = hint
        """What to write instead."""
        self.reason = reason
        """Its code, for programs, metrics and logs."""
        self.position = position
        """Index of the first bad character of the annotation, where there is one."""

    def __str__(self) -> str:
        return sentence(self.field, self.problem, self.hint)


def sentence(where: str, problem: str, hint: str) -> str:
    """``where: problem. Hint.``, on one line.

    >>> sentence("spec", "no containers", "Add one")
    'spec: no containers. Add one.'
    """
    return f"{_line(where)}: {_line(problem)}. {_line(hint)}."


def _line(text: str) -> str:
    """*text* on one line, and not too long."""
    text = printable(text[: LONGEST_PART + 1])
    return text if len(text) <= LONGEST_PART else text[:LONGEST_PART] + "…"


def printable(text: str) -> str:
    """*text* with line breaks and other unprintable characters written as escapes.

    >>> printable("a\\x1b[32m\\n\\u202eb")
    'a\\\\x1b[32m\\\\n\\\\u202eb'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def inert(text: str) -> str:
    """*text* without a command to a CI system.  In YAML's and JSON's double quotes it stays the same.

    >>> inert("::error::a")
    '\\\\u003a:error::a'
    """
    return COMMAND.sub(lambda command: f"{command[0][:-1]}\\u{ord(command[0][-1]):04x}", text)


def quote(text: object) -> str:
    """A user's text made safe for one line of a message: quoted, escaped and cut.

    >>> quote("1g5gb")
    "'1g5gb'"
    """
    if isinstance(text, str):
        return repr(text) if len(text) <= LONGEST_QUOTE else repr(text[:LONGEST_QUOTE]) + "…"
    if text is None or isinstance(text, bool):
        return {None: "null", True: "true", False: "false"}[text]
    if isinstance(text, list) and all(isinstance(item, str | int) for item in text):
        return f"[{', '.join(map(quote, text[:8]))}{', …' if len(text) > 8 else ''}]"
    if isinstance(text, dict | list):
        return {dict: "{…}", list: "[…]"}[type(text)] if text else repr(text)  # it may be deeply nested
    shown = repr(text)
    return shown if len(shown) <= LONGEST_QUOTE else shown[:LONGEST_QUOTE] + "…"


def kind_of(value: object) -> str:
    """What kind of value this is, as a phrase for a message, in the words of YAML.

    >>> kind_of([])
    '[] is a list'
    >>> kind_of(None)
    'the value is null'
    """
    if value is None:
        return "the value is null"
    names = {dict: "a mapping", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return f"{quote(value)} is {names.get(type(value), type(value).__name__)}"
