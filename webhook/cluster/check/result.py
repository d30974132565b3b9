"""What a check is, and what becomes of one: a line with a verdict, and under it the reasons with their cures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any, TypeAlias

from webhook.cluster.check.facts import NO_FLEET, CannotLook, Facts
from webhook.cluster.cures import USUAL, Here
from webhook.cluster.karpenter import namespace_of
from webhook.cluster.objects import Kind

MOST = 1_000
"""Problems that a line keeps.  One namespace can have any number of pods that something is wrong with."""


class Status(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The user may not look, or a check that has to hold first has failed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.  *cure* is what to do about it."""

    reason: str
    cure: str = ""
    """Empty: what the check itself says."""
    warning: bool = False
    """It works all the same, or will by itself."""
    namespace: str = ""
    """Whose it is, where any namespace may have some: then those of many are told, before many of one."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing about what is as it should be."""

    text: str


Found: TypeAlias = Problem | Note


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report, as data."""

    id: str
    """Never changes its meaning.  It is the anchor in ``docs/checks.md`` too."""
    category: str
    words: str
    """What is true where the check succeeds."""
    cure: str
    """What to do where it fails."""
    look: Callable[[Facts], Iterable[Found]]
    after: tuple[str, ...] = ()
    """Checks without which this one would only repeat what they say."""
    partial: Kind[Any] | None = None
    """A kind of object of which those of one namespace are worth a look."""
    before: bool = False
    """Whether it is also done before an installation."""
    only_before: bool = False
    karpenter: bool = False
    """Whether it is about nodes that Karpenter launches, and left out if a fleet has none."""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one check."""

    check: Check
    status: Status
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: str = ""
    """Why nothing is known."""
    total: int = 0
    """Of the problems, of which `MOST` are kept."""
    here: Here = USUAL

    def cure(self, problem: Problem) -> str:
        """What to do about one of `problems` in this cluster."""
        return self.here.told(problem.cure or self.check.cure)


def run(checks: Sequence[Check], facts: Facts, *, before: bool = False, here: Here = USUAL) -> Iterator[Line]:
    """Do those of *checks* that are about this fleet and this moment, in order.

    *here*: how the command was called.
    """
    failed: set[str] = set()
    here = replace(here, own=facts.namespace, karpenter=namespace_of(facts.snapshot))
    for check in checks:
        wanted = check.before if before else not check.only_before
        if not wanted or (check.karpenter and facts.given is not None and not facts.karpenter_pools):
            continue
        first = next((name for name in check.after if name in failed), None)
        if first is not None:
            line = Line(check, Status.UNKNOWN, unknown=f"not looked at, because '{first}' comes first")
        else:
            line = replace(_done(check, facts), here=here)
        if first is not None or line.status is Status.FAILED:
            failed.add(check.id)
        yield line


def _done(check: Check, facts: Facts) -> Line:
    listing = facts.snapshot.listings.get(check.partial) if check.partial is not None else None
    part = listing if listing is not None and listing.namespace is not None else None
    found: list[Found] = []
    unknown = ""
    try:
        if check.karpenter and facts.given is None:
            raise CannotLook(NO_FLEET)
        found.extend(check.look(facts))  # what is found before it cannot look any further stays
    except CannotLook as error:
        unknown = f"could not look: {error}"
    every = [each for each in found if isinstance(each, Problem)]
    problems = tuple(islice(_in_turns(every), MOST))
    notes = tuple(each.text for each in found if isinstance(each, Note))
    if any(not problem.warning for problem in every):
        return Line(check, Status.FAILED, problems, notes, unknown, len(every))
    if unknown:
        return Line(check, Status.UNKNOWN, problems, notes, unknown, len(every))
    if part is not None:
        unknown = f"looked only at namespace {part.namespace}: {part.problem}"
        return Line(check, Status.UNKNOWN, problems, notes, unknown, len(every))
    return Line(check, Status.WARNING if problems else Status.GOOD, problems, notes, total=len(every))


def _in_turns(problems: Iterable[Problem]) -> Iterator[Problem]:
    """One of each namespace after the other, failures first, so that none hides those of the others."""
    seen: Counter[tuple[bool, str]] = Counter()
    turns = []
    for problem in problems:
        key = problem.warning, problem.namespace
        turns.append((problem.warning, seen[key] if problem.namespace else 0, problem))
        seen[key] += 1
    turns.sort(key=lambda turn: turn[:2])
    return (problem for *_, problem in turns)
