"""``gpu-slice explain``: why a pod waits, was refused or has no slice; or where it runs."""

from __future__ import annotations

from pathlib import Path

import click

from webhook.cli import cluster


@click.command()
@click.argument("target", metavar="POD|KIND/NAME|FILE")
@click.option("-f", "--filename", "is_file", is_flag=True, help="It is a file, or - for stdin.")
@cluster.OUTPUT
@cluster.TRUST
@cluster.options
def explain(
    target: str, is_file: bool, output: str, trusted: tuple[str, ...], fleet_path: Path | None,
    webhook_namespace: str, namespace: str | None, context: str | None,
) -> None:  # fmt: skip
    """Say why a pod has no slice, or waits for one, and what to do.  The first sentence is the cause.

    Name a pod (NAME or pod/NAME), or a workload (deployment/NAME, job/NAME, sts/NAME and so on), of which the oldest
    waiting pod is explained.  Of a FILE, a pod that exists is explained; of others the API server is asked what it
    would do, and nothing is created.

    Exit codes: 0, it has its slice, or would get it; 1, it has not; 2, called wrongly; 3, could not look.
    """
    from webhook.cli.explained import run

    reader = cluster.reader(context, namespace)
    raise click.exceptions.Exit(
        run(reader, target, output, fleet_path, cluster.here(), is_file=is_file, trusted=trusted)
    )
