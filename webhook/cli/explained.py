"""What ``gpu-slice explain`` reads and prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from webhook.admission.preview import Preview, previews
from webhook.admission.review import annotated
from webhook.admission.stand_ins import stand_ins
from webhook.admission.workloads import subjects
from webhook.cli import cluster, files, show
from webhook.cli.terminal import CouldNotLook, Line, echo, line
from webhook.cluster import target
from webhook.cluster.causes import Cause
from webhook.cluster.cures import Here
from webhook.cluster.explain import Around, Explanation, explain
from webhook.cluster.objects import PODS
from webhook.cluster.reader import Reader, Unreachable
from webhook.cluster.target import WORKLOADS, NotThere, Target
from webhook.errors import BadDocument, printable
from webhook.fleet.fleet import Fleet

LONGEST = 1_024
"""Characters of a line.  An event has as many (k8s.io/api ``events/v1``)."""

MOST_ALIKE = 10
"""Rows of a table that end alike.  A cluster may have 15,000 nodes."""

YES, NO, UNREAD = 0, 1, 3
"""Exit codes.  What could not be looked at may be wrong too, so `UNREAD` wins."""


class Unexplained(NamedTuple):
    """An object of a file about which nothing is known."""

    title: str
    why: str
    asks: bool
    """Whether the annotation stands in it, so that there would be something to know."""


def run(
    reader: Reader, name: str, output: str, fleet_path: Path | None, here: Here, *, is_file: bool,
    trusted: Sequence[str] = (),
) -> int:  # fmt: skip
    """Print the explanations of *name*, and return the exit code.  *here*: how the command was called.

    *trusted*: more namespaces where only administrators write.
    """
    explanations, code = [], YES
    try:
        for each in _targets(reader, name, is_file, fleet_path, (here.own, *trusted)):
            if isinstance(each, Unexplained):
                code = UNREAD if each.asks else code
                echo(line(line("not explained", fg="yellow"), ": ", _text(f"{each.title}: {each.why}")), err=True)
            else:
                explanations.append(explain(each.title, each.asked, replace(each.around, here=here)))
    except (Unreachable, NotThere) as error:
        raise CouldNotLook(str(error)) from None
    if not explanations:
        raise CouldNotLook(f"{name}: there is no pod and no workload in it that can be explained")
    code = max(code, *map(exit_code, explanations))
    if output == "json":
        echo(json.dumps([as_json(each) for each in explanations], indent=2))
        return code
    for number, explanation in enumerate(explanations):
        for text in (*([""] if number else []), *(short(explanation) if output == "short" else table(explanation))):
            echo(text)
    return code


def exit_code(explanation: Explanation) -> int:
    """`UNREAD` if the cause may be in what could not be looked at."""
    if explanation.cause.fine:
        return YES
    return UNREAD if explanation.cause.id in ("scheduler", "karpenter", "soon") and explanation.unread else NO


def _targets(
    reader: Reader, name: str, is_file: bool, fleet_path: Path | None, trusted: Sequence[str]
) -> Iterator[Target | Unexplained]:
    own = trusted[0]
    path = Path(name)
    kind_name, slash, of_kind = name.partition("/")
    named = bool(slash) and kind_name.lower() in WORKLOADS and "/" not in of_kind
    folder = path.is_dir() and (slash or name == ".")  # a pod may be called as a folder is that happens to be here
    as_file = is_file or name == "-" or (not named and (path.is_file() or folder))
    if slash and not named and not as_file:
        kinds = ", ".join(dict.fromkeys(kind.name.lower() for kind in WORKLOADS.values()))
        raise click.UsageError(f"'{name}' is neither a file nor one of {kinds} with a name")
    fleet, unread = _fleet(reader, fleet_path, own)
    namespace = reader.namespace
    if as_file:
        yield from _of_file(reader, path, fleet, trusted, unread)
        return
    around = target.surroundings(reader, fleet, namespace, trusted, unread)
    kind = WORKLOADS[kind_name.lower()] if named else PODS
    if kind is PODS:
        yield target.of_pod(reader, of_kind if named else name, around, namespace)
    else:
        yield target.of_workload(reader, kind, of_kind, around, namespace)


def _fleet(reader: Reader, path: Path | None, own: str) -> tuple[Fleet | None, list[str]]:
    try:
        return cluster.fleet_of(reader, path, own), []
    except CouldNotLook as error:
        return None, [f"{error.message}: which pools serve the pod is not known"]


def _of_file(
    reader: Reader, path: Path, fleet: Fleet | None, trusted: Sequence[str], unread: Sequence[str]
) -> Iterator[Target | Unexplained]:
    if fleet is None:
        raise CouldNotLook(unread[0])
    found = _previews(path, fleet, reader.namespace)
    asked = any(annotated(shown.subject.pod) for shown, _ in found if shown.subject.pod is not None)
    around: dict[str, Around] = {}
    for shown, stands_in in found:
        subject = shown.subject
        notes = {note.code for note in subject.advice}
        known = shown.denial is not None or "misplaced-annotation" in notes
        if subject.pod is not None:
            known = annotated(subject.pod) or not subject.strays or "not-previewed" not in notes
        if shown.misplaced and not notes:
            continue  # its object is told that it stands where nobody reads it
        if shown.problem or not known or subject.makes_no_pods:
            if shown.problem or notes or not subject.makes_no_pods:
                why = shown.problem or "; ".join(subject.advice) or subject.why
                asks = bool(subject.strays) and not subject.makes_no_pods
                yield Unexplained(subject.title or str(path), why, asks or bool(shown.problem))
            continue
        namespace = subject.namespace or reader.namespace
        if namespace not in around:
            around[namespace] = target.surroundings(reader, fleet, namespace, trusted, unread)
        of_file = replace(around[namespace], beside=asked)
        if subject.pod is None:
            yield target.of_object(shown, of_file, namespace)
        else:
            yield target.of_document(reader, shown, of_file, namespace, stands_in=stands_in)


def _previews(path: Path, fleet: Fleet, namespace: str) -> list[tuple[Preview, bool]]:
    """What a file holds, each with whether its pod only stands for those of an object without a pod template."""
    found: list[tuple[Preview, bool]] = []
    for _, document in files.read_all((path,)):
        if isinstance(document, BadDocument):
            raise CouldNotLook(f"{path}: {document}")
        for subject in subjects(document.value):
            standing = [
                each.subject if each.asks else replace(each.subject, advice=subject.advice)
                for each in stand_ins(subject)
            ]
            for each in standing or [subject]:
                found += [(shown, bool(standing)) for shown in previews(each, fleet, namespace)]
    return found


def as_json(explanation: Explanation) -> dict[str, Any]:
    """For programs: everything."""

    def told(cause: Cause) -> dict[str, Any]:
        return {"id": cause.id, "sentence": cause.sentence, "cure": explanation.cure(cause), "docs": cause.anchor,
                "quotes": list(cause.quotes)}  # fmt: skip

    return {
        "title": explanation.title,
        "cause": told(explanation.cause),
        "also": [told(cause) for cause in explanation.also],
        "asked": explanation.asked,
        "given": explanation.given,
        "changed": list(explanation.changed),
        "pools": [{"pool": each.pool, "serves": not each.why_not, "whyNot": each.why_not, "weight": each.weight}
                  for each in explanation.pools],
        "nodes": [{"node": each.name, "pool": each.pool, "free": each.free, "coming": each.coming,
                   "causes": [told(cause) for cause in each.causes]} for each in explanation.nodes],
        "nodePools": [{"nodePool": each.node_pool, "causes": [told(cause) for cause in each.causes]}
                      for each in explanation.launches],
        "events": [{"source": each.source, "about": each.about, "reason": each.reason, "words": each.words,
                    "message": each.message, "when": each.when.isoformat(), "count": each.count}
                   for each in explanation.said],
        "quotas": list(explanation.quotas),
        "couldNotLook": list(explanation.unread),
    }  # fmt: skip


def _text(text: str) -> Line:
    """*text*, of which others wrote a part, as one line that is not too long."""
    shown = printable(text[: LONGEST + 1])
    return line(shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…")


def short(explanation: Explanation) -> Iterator[Line]:
    """The cause, the cure, and what could not be looked at."""
    cause = explanation.cause
    mark = line("×", fg="red", bold=True)
    if cause.fine or cause.waits:
        mark = line("√", fg="green") if cause.fine else line("…", fg="yellow")
    yield line(mark, " ", line(_text(explanation.title), bold=True), f" [{cause.id}]")
    yield _text(cause.sentence)
    if not cause.fine:
        yield _text(f"What to do: {explanation.cure(cause)}")
    for text in explanation.unread:
        yield line(line("not looked at", fg="yellow"), ": ", _text(text))


def table(explanation: Explanation) -> Iterator[Line]:
    """The same with everything behind it."""
    yield from short(explanation)
    yield from map(_text, _behind(explanation))


def _behind(explanation: Explanation) -> Iterator[str]:
    cause = explanation.cause
    yield from (f'  "{quote}"' for quote in cause.quotes if quote)
    if not cause.fine:
        yield f"More: {cause.anchor}"
    if explanation.asked:
        yield ""
        yield f"Asked: {explanation.asked}"
        yield f"Given: {explanation.given or 'nothing'}"
    yield from (f"Changed: {text}" for text in explanation.changed)
    yield from _section("POOL", "SERVES IT", [
        (each.pool, f"no: {each.why_not}" if each.why_not else f"yes{_weight(each.weight)}")
        for each in explanation.pools
    ])  # fmt: skip
    yield from _section("NODE", "FREE", [
        (each.name, each.free, "coming or going" if each.coming else _ids(each.causes)) for each in explanation.nodes
    ], "WHAT KEEPS THE POD OFF")  # fmt: skip
    yield from _section("NODEPOOL", "WHAT KEEPS KARPENTER FROM LAUNCHING", [
        (each.node_pool, _ids(each.causes)) for each in explanation.launches
    ])  # fmt: skip
    also = [each for each in explanation.also if each.id not in ("scheduler", "karpenter")]
    yield from (["", "Also:"] if also else [])
    for each in also:
        yield f"- [{each.id}] {each.sentence}"
        yield from (f'  "{quote}"' for quote in each.quotes if quote)
    yield from (["", "Quotas:"] if explanation.quotas else [])
    yield from (f"- {quota}" for quota in explanation.quotas)
    events = [] if cause.fine else explanation.said
    yield from (["", "Said:"] if events else [])
    for said in events:
        about = f" of {said.about}" if not said.about.startswith("Pod/") else ""
        yield f"- {said.source}{about}: {said.words or said.reason}"
        yield f'  "{said.message}"'


def _weight(weight: int) -> str:
    return f", with weight {weight}" if weight else ""


def _ids(causes: Sequence[Cause]) -> str:
    return ", ".join(dict.fromkeys(cause.id for cause in causes)) or "nothing that is known"


def _section(first: str, second: str, rows: Sequence[Sequence[str]], *more: str) -> Iterator[str]:
    if rows:
        yield ""
        yield from show.table([(first, second, *more), *(list(map(_text, row)) for row in _few(rows))])


def _few(rows: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """*rows*, of which only the first `MOST_ALIKE` that end alike are shown; the last of the others counts them."""
    all_alike, alike = Counter(row[-1] for row in rows), Counter[str]()
    for row in rows:
        end = row[-1]
        alike[end] += 1
        if alike[end] <= MOST_ALIKE:
            yield row
        elif alike[end] == all_alike[end]:
            yield (f"… and {all_alike[end] - MOST_ALIKE:,} more", *[""] * (len(row) - 2), end)
