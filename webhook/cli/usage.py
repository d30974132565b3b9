"""``gpu-slice usage``: what the slices of a cluster are used for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook.cli import cluster
from webhook.cli.prices import PRICE, prices_of
from webhook.cli.terminal import CouldNotLook, Line, echo

if TYPE_CHECKING:
    from webhook.cluster.reader import Reader
    from webhook.cluster.usage import Usage
    from webhook.fleet.fleet import Fleet

RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have not ended, as a field selector: in some clusters most have."""


def _svg(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Any word after ``--draw`` is its value, such as the name of a file that is not to be lost."""
    if path is not None and path != Path("-") and path.suffix != ".svg":
        raise click.BadParameter(f"'{path}' is not the name of an SVG file. Write FILE.svg, or nothing for blocks")
    return path


@click.command()
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "csv", "short"]), default="table", show_default=True,
    help="A tree for people, JSON with every pod, CSV with a row for each node and slice, or only the sums.",
)  # fmt: skip
@click.option(
    "--by", type=click.Choice(["pool", "namespace"]), default="pool", show_default=True, help="What to add up."
)
@click.option(
    "--depth", type=click.Choice(["pool", "node", "slice", "pod"]), default="pod", show_default=True,
    help="How far down the tree goes.",
)  # fmt: skip
@click.option(
    "--draw", "drawing", is_flag=False, flag_value="-", metavar="[FILE.svg]",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), callback=_svg,
    help="Draw the slices of each node: as blocks, or into a file as SVG.",
)  # fmt: skip
@click.option(
    "--watch", is_flag=False, flag_value=10, type=click.IntRange(1, 86_400), metavar="[SECONDS]",
    help="Look again every 10 seconds, or as often as you say, until Ctrl-C.",
)  # fmt: skip
@PRICE
@cluster.options
def usage(
    output: str, by: str, depth: str, drawing: Path | None, watch: int | None, prices: Mapping[str, float],
    fleet_path: Path | None, webhook_namespace: str, namespace: str | None, context: str | None,
) -> None:  # fmt: skip
    """Show which slices are used, by which pods, which are free, and what waits.

    A pod holds its slices until it has ended.  Stranded are free slices that no pod can fill, because of their node, or
    that nobody waits for while pods wait for others.  With --namespace, only pods of this namespace are named; the
    numbers are those of all.

    Exit code 3: there is no cluster, or something could not be looked at, which is then said.
    """
    from webhook.cli import usage_table

    if drawing == Path("-") and output != "table":
        raise click.UsageError(f"-o {output} has no drawing. Write --draw FILE.svg, or leave -o out")
    reader = cluster.reader(context, namespace)

    def show() -> bool:
        found = _look(reader, cluster.fleet_of(reader, fleet_path, webhook_namespace), prices)
        if watch is not None and sys.stdout.isatty():
            click.clear()
        for problem in found.problems:
            echo(f"could not look: {problem}", err=True)
        for remark in usage_table.not_counted(found, namespace):
            echo(remark, err=True)
        for text in _shown(found, output, by, depth, namespace, draw=drawing == Path("-")):
            echo(text)
        if drawing is not None and drawing != Path("-"):
            _draw(found, drawing)
        return not found.problems

    complete = show()
    with suppress(KeyboardInterrupt):
        while watch is not None:
            time.sleep(watch)
            try:
                show()
            except CouldNotLook as error:  # which may pass
                echo(f"could not look: {error.message}", err=True)
    if watch is None and not complete:
        raise click.exceptions.Exit(3)


def _look(reader: Reader, fleet: Fleet, prices: Mapping[str, float]) -> Usage:
    from webhook.cluster.accounting import usage
    from webhook.cluster.objects import NODES, PODS, Kind
    from webhook.cluster.reader import Unreachable
    from webhook.cluster.snapshot import Listing, Snapshot

    try:
        listings: dict[Kind[Any], Listing[Any]] = {
            NODES: reader.list(NODES),
            PODS: reader.list(PODS, fieldSelector=RUNNING),
        }
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None
    if all(listing.problem and not listing.items and listing.namespace is None for listing in listings.values()):
        raise CouldNotLook("; ".join(listing.problem for listing in listings.values()))
    return usage(Snapshot(reader.now(), listings=listings), fleet, prices_of(fleet, prices))


def _draw(found: Usage, path: Path) -> None:
    """Write the nodes as SVG."""
    from webhook.cli.usage_table import title, uses
    from webhook.draw import nodes

    pools = [
        nodes.Pool(
            title(pool), [nodes.Node(f"{node.name}  {node.instance_type}".rstrip(), uses(node)) for node in pool.nodes]
        )
        for pool in found.pools
        if pool.nodes
    ]
    try:
        path.write_text(nodes.draw(pools), "utf-8")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    echo(f"{path}: written", err=True)


def _shown(
    found: Usage, output: str, by: str, depth: str, namespace: str | None, *, draw: bool
) -> list[str] | list[Line]:
    from webhook.cli import usage_data, usage_table

    if output == "json":
        return [json.dumps(usage_data.document(found, namespace), indent=2)]
    if output == "csv":
        return list(usage_data.by_namespace(found, namespace) if by == "namespace" else usage_data.by_node(found))
    if output == "short":
        return list(usage_table.summary(found))
    tree = usage_table.namespaces if by == "namespace" else usage_table.pools
    return [*tree(found, depth, namespace, draw=draw), *usage_table.summary(found)]
