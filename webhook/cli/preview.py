"""``gpu-slice preview``: previews of all documents, one after the other, in one of several outputs.

An output is a function from results to the texts that go to stdout.  It must be written so that it holds one result at
a time: a file may have any size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import NamedTuple, TypeAlias

import click

from webhook import documents
from webhook.admission.findings import findings
from webhook.admission.preview import Preview, preview, shown, unread
from webhook.cli import files, show
from webhook.cli.findings import Found, github, sarif
from webhook.cli.terminal import Line, echo
from webhook.errors import BadDocument, printable
from webhook.fleet.fleet import Fleet
from webhook.server.api.views import view

YES, NO, UNREAD = 0, 1, 3
"""Exit codes.  What could not be looked at may be wrong too, so `UNREAD` wins."""


class Result(NamedTuple):
    """A preview, and where its document stands."""

    path: Path
    line: int
    preview: Preview
    document: documents.Document | None = None
    """None if it cannot be read."""


@dataclass(slots=True)
class Run:
    """The results on their way to an output."""

    remarks: bool
    """Whether what is to be said about a result goes to stderr, after it."""
    strict: bool = False
    """Whether an annotation in the wrong place is a no."""
    code: int = YES
    documents: int = 0

    def results(self, paths: tuple[Path, ...], fleet: Fleet, namespace: str) -> Iterator[Result]:
        """The results for all documents in *paths*, in their order."""
        for path, found in files.read_all(paths):
            self.documents += 1
            if isinstance(found, BadDocument):
                document, previews = None, iter([unread(str(found))])
            else:
                document, previews = found, preview(found.value, fleet, namespace)
            for each in previews:
                no = each.denial or (self.strict and any(n.code == "misplaced-annotation" for n in each.subject.advice))
                self.code = max(self.code, UNREAD if each.problem else NO if no else YES)
                yield Result(path, found.line, each, document)
                for line in show.remarks(each) if self.remarks else ():
                    echo(line, err=True)
        if not self.documents:
            nothing = f"{', '.join(map(str, paths))}: contains no objects"
            if Path("-") in paths:  # the program before it most likely failed
                raise click.UsageError(nothing)
            echo(nothing, err=True)


def as_diff(results: Iterator[Result]) -> Iterator[str]:
    for _, _, result, _ in results:
        if result.outcome == "sliced":
            for line in show.diff(shown(result.subject.pod), shown(result.pod), result.subject.title):
                yield line
                yield "\n"


def as_patch(results: Iterator[Result]) -> Iterator[str]:
    for _, _, result, _ in results:
        if result.plan is not None:
            yield json.dumps(result.plan.patch, indent=2) + "\n"


def as_yaml(results: Iterator[Result]) -> Iterator[str]:
    separator = ""
    for _, _, result, _ in results:
        if result.pod is not None:
            yield separator + documents.write(shown(result.pod))
            separator = "---\n"


def as_json(results: Iterator[Result]) -> Iterator[str]:
    separator = "["
    for path, line, result, _ in results:
        value = {"file": str(path), "line": line, **view(result).model_dump()}
        yield f"{separator}\n{indent(json.dumps(value, indent=2), '  ')}"
        separator = ","
    yield "\n]\n" if separator == "," else "[]\n"


def _found(results: Iterator[Result]) -> Found:
    return ((path, each) for path, line, result, document in results for each in findings(line, result, document))


def as_sarif(results: Iterator[Result], help_uri: str) -> Iterator[str]:
    return sarif(_found(results), help_uri)


def as_github(results: Iterator[Result]) -> Iterator[str]:
    for command in github(_found(results)):
        yield Line(printable(command.removesuffix("\n")) + "\n")


Output: TypeAlias = Callable[[Iterator[Result]], Iterator[str]]

OUTPUTS: dict[str, Output] = {
    "diff": as_diff,
    "patch": as_patch,
    "yaml": as_yaml,
    "json": as_json,
    "github": as_github,
}
COMPLETE = ("json", "sarif", "github")
"""Outputs that say everything, so that there are no remarks on stderr."""


def run(
    paths: tuple[Path, ...], output: str, fleet: Fleet, namespace: str, help_uri: str, *, strict: bool = False
) -> int:
    """Print the previews of everything in *paths*, and return the exit code.  *help_uri*: where docs/messages.md is."""
    outputs: dict[str, Output] = {**OUTPUTS, "sarif": partial(as_sarif, help_uri=help_uri)}
    run = Run(remarks=output not in COMPLETE, strict=strict)
    for text in outputs[output](run.results(paths, fleet, namespace)):
        echo(text, nl=False)
    return run.code
