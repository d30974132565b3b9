"""``gpu-slice check``: whether a cluster is as its fleet says."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import click

from certs.situation import names_of, vouching
from certs.stored import certificates
from webhook import documents
from webhook.cli import cluster, render
from webhook.cli import shadow as of_shadow
from webhook.cli.terminal import CouldNotLook, Line, echo, line
from webhook.cluster import check as checks
from webhook.cluster.check import Facts, Leaf, Status
from webhook.cluster.check.facts import CannotLook
from webhook.cluster.check.look import leaf_secret, look
from webhook.cluster.check.registration import ENTRY, entries_of
from webhook.cluster.cures import Here
from webhook.cluster.objects import CONFIG_MAPS
from webhook.cluster.reader import Reader, Unreachable
from webhook.errors import BadFleet
from webhook.fleet.fleet import Fleet

PAGE = "docs/checks.md"
MOST_NAMED = 5
"""Problems of namespaces that a line tells people.  Of the rest the number is said."""
AGAIN = 2.0
"""Seconds between two looks of ``--wait``."""

SYMBOLS = {Status.GOOD: "√", Status.WARNING: "‼", Status.FAILED: "×", Status.UNKNOWN: "?"}
_COLOURS = {Status.GOOD: "green", Status.WARNING: "yellow", Status.FAILED: "red", Status.UNKNOWN: "cyan"}

Lines = Sequence[checks.Line]


class Duration(click.ParamType[timedelta]):
    """A span of time such as 90s, 5m or 1h."""

    name = "duration"
    UNITS = {"s": 1, "m": 60, "h": 3600}  # noqa: RUF012

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        number, unit = value[:-1], value[-1:]
        if not number.isdecimal() or unit not in self.UNITS:
            self.fail(f"'{value}' is no duration. Write a number and a unit, such as 90s, 5m or 1h", param, ctx)
        try:
            return timedelta(seconds=int(number) * self.UNITS[unit])
        except (OverflowError, ValueError):
            self.fail(f"'{value}' is too long. Write a shorter time, such as 1h", param, ctx)


@click.command()
@cluster.options
@cluster.OUTPUT
@cluster.TRUST
@click.option("--pre", "before", is_flag=True, help="Check what must be so before an installation.")
@click.option(
    "--wait", type=Duration(), metavar="TIME", help="Look again until nothing has failed, at most so long: 5m."
)
@click.option(
    "--patience",
    type=Duration(),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How long a node may take to join before that is a failure.",
)
@click.option("--shadow", is_flag=True, help="Sum up what the replicas counted in shadow, and check nothing else.")
@click.option(
    "--metrics",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="With --shadow: a file or URL with the metrics of a replica, instead of the cluster.  May be repeated.",
)
@click.option("--help-uri", default=PAGE, show_default=True, metavar="URI", help=f"Where you publish {PAGE}.")
def check(
    fleet_path: Path | None,
    webhook_namespace: str,
    namespace: str | None,
    context: str | None,
    output: str,
    trusted: tuple[str, ...],
    before: bool,
    wait: timedelta | None,
    patience: timedelta,
    shadow: bool,
    sources: tuple[str, ...],
    help_uri: str,
) -> None:
    """Hold a cluster against its fleet: the webhook, Karpenter, the device plugin, nodes and pods.

    It changes nothing.  Of each check it says √ (good), ‼ (a warning), × (failed) or ? (you may not look), and under
    a failure the reason, what to do, and where that is explained.

    With --shadow it only sums up what would have been done (docs/shadow.md), and 1 means that pods would be denied.

    Exit codes, the same for every output: 1, something has failed; 2, called wrongly; 3, nothing has failed, and
    something could not be looked at.
    """  # fmt: skip
    if sources and not shadow:
        raise click.UsageError("--metrics needs --shadow")
    if shadow:
        _shadow(context, webhook_namespace, output, sources, help_uri)
    reader = cluster.reader(context, namespace)
    end = time.monotonic() + (wait.total_seconds() if wait else 0)
    while True:
        try:
            fleet = cluster.fleet_of(reader, fleet_path, webhook_namespace)
        except cluster.BadServed:  # of which the checks tell more
            if before:
                raise
            fleet = None
        lines = _look(reader, fleet, cluster.here(), patience, before, trusted)
        if verdict(lines)[0] != 1 or time.monotonic() + AGAIN > end:
            break
        time.sleep(AGAIN)
    code, summary = verdict(lines)
    if output == "json":
        echo(json.dumps(_report(lines, summary, help_uri), indent=2))
    else:
        for text in table(lines, summary, help_uri, short=output == "short"):
            echo(text)
    raise click.exceptions.Exit(code)


def _shadow(context: str | None, namespace: str, output: str, sources: Sequence[str], help_uri: str) -> NoReturn:
    if sources:
        found = of_shadow.from_sources(sources)
    else:
        found = of_shadow.from_cluster(cluster.reader(context, namespace), namespace)
    messages = f"{help_uri.rpartition('/')[0]}/messages.md".removeprefix("/")
    if output == "json":
        echo(of_shadow.as_json(found, messages))
    else:
        for text in of_shadow.report(found, messages, cluster.here(), short=output == "short"):
            echo(text)
    raise click.exceptions.Exit(of_shadow.verdict(found)[0])


def _look(
    reader: Reader, fleet: Fleet | None, here: Here, patience: timedelta, before: bool, trusted: Iterable[str]
) -> Lines:
    printed = render.text(render.rendered(fleet, ())) if fleet is not None else ""
    documents_of = tuple(each.value for each in documents.read(printed, name="render"))
    try:
        facts = look(reader, fleet, documents_of, here.own, patience, before=before, trusted=trusted)
        if not before:
            facts = replace(facts, served=_served(facts), leaf=_leaf(reader, facts))
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None
    return tuple(checks.run(checks.CHECKS, facts, before=before, here=here))


def _served(facts: Facts) -> Fleet | str | None:
    try:
        found = facts.one(CONFIG_MAPS, cluster.FLEET)
    except CannotLook:
        return None
    if found is None:
        return None
    try:
        return cluster.fleet_in(found)
    except BadFleet as error:
        return str(error)


def _leaf(reader: Reader, facts: Facts) -> Leaf | str | None:
    """What there is to say about the certificate; its key is not looked at."""
    secret = leaf_secret(reader, facts.namespace)
    if secret is None or isinstance(secret, str):
        return secret
    chain = certificates(base64.b64decode((secret.get("data") or {}).get("tls.crt") or ""))
    if not chain:
        return None
    try:
        client = entries_of(facts).get(ENTRY, {}).get("clientConfig") or {}
    except CannotLook:
        client = {}
    bundle = certificates(base64.b64decode(client.get("caBundle") or ""))
    service = client.get("service") or {}
    name = f"{service.get('name')}.{service.get('namespace')}.svc" if service else None
    flaw = f"it is not for {name}" if name is not None and name not in names_of(chain[0]) else None
    return Leaf(chain[0].not_valid_after_utc, flaw, vouching(chain, bundle) is not None)


def verdict(lines: Lines) -> tuple[int, str]:
    """The exit code, and the sentence that closes the report."""
    counts = {status: sum(each.status is status for each in lines) for status in Status}
    failed, unknown, warned = counts[Status.FAILED], counts[Status.UNKNOWN], counts[Status.WARNING]
    if failed:
        return 1, f"{failed} of {len(lines)} checks failed"
    beside = f", {warned} with a warning" if warned else ""
    if unknown:
        return 3, f"nothing failed{beside}, and {unknown} of {len(lines)} checks could not look"
    return 0, f"all {len(lines)} checks passed{beside}"


def table(lines: Lines, summary: str, help_uri: str, *, short: bool) -> Iterator[Line]:
    """The report for people; if it is *short*, without what is as it should be."""
    category = ""
    for each in lines:
        if short and each.status is Status.GOOD:
            continue
        if each.check.category != category:
            if category:
                yield line("")
            category = each.check.category
            yield line(line(category, bold=True))
            yield line("-" * len(category))
        notes = f" ({'; '.join(each.notes)})" if each.notes and each.status is Status.GOOD else ""
        symbol = line(SYMBOLS[each.status], fg=_COLOURS[each.status])
        yield line(symbol, f" {each.check.words}", line(notes, dim=True))
        yield from _below(each, help_uri)
    if category:
        yield line("")
    worst = max((each.status for each in lines), key=tuple(_COLOURS).index, default=Status.GOOD)
    shown = Status.FAILED if any(each.status is Status.FAILED for each in lines) else worst
    yield line(line(SYMBOLS[shown], fg=_COLOURS[shown]), f" {summary}")


def _below(each: checks.Line, help_uri: str) -> Iterator[Line]:
    # Those of one namespace may be any number, and come after those of others.
    shown = [problem for problem in each.problems if not problem.namespace]
    named = [problem for problem in each.problems if problem.namespace]
    left = each.total - len(shown) - MOST_NAMED
    shown += named[:MOST_NAMED] if left > 1 else named
    cures = dict.fromkeys(each.cure(problem) for problem in shown)
    for problem in shown:
        yield line(f"    {problem.reason}")
    if named and left > 1:
        yield line(f"    and {left} more (-o json has them)")
    if each.unknown:
        yield line(f"    {each.unknown}")
    for cure in cures:
        yield line(f"    {cure}")
    if each.problems:
        yield line(f"    see {help_uri}#{each.check.id}")


def _report(lines: Lines, summary: str, help_uri: str) -> dict[str, Any]:
    return {
        "verdict": summary,
        "failed": any(each.status is Status.FAILED for each in lines),
        "checks": [
            {
                "id": each.check.id,
                "category": each.check.category,
                "words": each.check.words,
                "status": each.status.value,
                "problems": [
                    {
                        "reason": problem.reason,
                        "cure": each.cure(problem),
                        "severity": "warning" if problem.warning else "error",
                        "namespace": problem.namespace or None,
                    }
                    for problem in each.problems
                ],
                "total": each.total,
                "notes": list(each.notes),
                "unknown": each.unknown or None,
                "help": f"{help_uri}#{each.check.id}",
            }
            for each in lines
        ],
    }
