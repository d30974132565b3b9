"""``gpu-slice fleet discover``: a fleet file for what stands in a cluster."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from webhook.cli import cluster, files
from webhook.cli.terminal import CouldNotLook, echo


@click.command()
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True,
              help="YAML with comments, or JSON, which is a fleet file too.")  # fmt: skip
@click.option(
    "--cluster", "name", default="", metavar="NAME", help="Name of the EKS cluster, if its nodes do not tell."
)
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.  Default: the current one.")
def discover(output: str, name: str, context: str | None) -> None:
    """Print a fleet file for the GPU nodes of a cluster, as they are cut now.

    Nodes of a NodePool, a node group or an instance type that are cut alike become a pool.  A comment says what was
    concluded, and which nodes are in no pool.  `gpu-slice fleet check` accepts the file.

    Exit codes: 1, there is no node from which a pool could be made; 3, there is no cluster, or you may not list its
    nodes.
    """
    from webhook.cluster.discover import discover
    from webhook.cluster.objects import CLUSTER_POLICIES, NODE_CLASSES, NODE_OVERLAYS, NODE_POOLS, NODES
    from webhook.cluster.reader import Unreachable

    others = (NODE_POOLS, NODE_CLASSES, NODE_OVERLAYS, CLUSTER_POLICIES)
    reader = cluster.reader(context, None)
    try:
        snapshot = reader.read((NODES, *others))
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None
    if snapshot.of(NODES).problem:
        raise CouldNotLook(snapshot.of(NODES).problem)
    for kind in others:
        if problem := snapshot.of(kind).problem:
            echo(f"could not look: {problem}", err=True)
    found = discover(snapshot, files.catalogue(), name)
    if not found.fleet["pools"]:
        for text in found.left:
            echo(text, err=True)
        echo("no pool: " + ("none of its GPU nodes can be in one" if found.nodes else "it has no GPU nodes"), err=True)
        raise click.exceptions.Exit(1)
    if output == "json":
        echo(json.dumps(found.fleet, indent=2))
        for text in (*found.notes.values(), *found.left):
            echo(text, err=True)
    else:
        echo(f"# What stands in the cluster on {datetime.now(UTC):%Y-%m-%d}.\n{found}", nl=False)
