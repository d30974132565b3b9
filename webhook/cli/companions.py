"""``gpu-slice render``: the companions of a fleet, printed, written or compared."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click

from webhook.cli import files
from webhook.cli.terminal import echo


@click.command(name="render")
@click.option(
    "--fleet", "fleet_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Fleet file.  Default: the built-in one.",
)  # fmt: skip
@click.option(
    "--only", multiple=True, metavar="SUBJECT", help="Render only this, such as karpenter or node-pools.  Repeatable."
)
@click.option("--cluster", help="Name of the EKS cluster.  Default: the one in the fleet file.")
@click.option(
    "--webhook-namespace", default="gpu-slice", show_default=True, metavar="NAME",
    help="Where gpu-slice is installed, for the subjects admission-policy and policy-alone.",
)  # fmt: skip
@click.option(
    "--retire", multiple=True, metavar="POOL",
    help="Render as if the fleet file said 'retired: true' of this pool.  Repeatable.",
)  # fmt: skip
@click.option(
    "--prune-list", is_flag=True,
    help="Print the options with which kubectl apply deletes what was rendered once and is not any more.",
)  # fmt: skip
@click.option(
    "--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write files to DIR: a folder for each tool, with a kustomization.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing.  Exit code 1: files in DIR differ.")
def render_fleet(
    fleet_path: Path | None, only: tuple[str, ...], cluster: str | None, webhook_namespace: str,
    retire: tuple[str, ...], prune_list: bool, output_dir: Path | None, check: bool,
) -> None:  # fmt: skip
    """Print the manifests for the fleet's nodes, ready for kubectl apply -f -.

    They are NVIDIA's device plugin, and Karpenter's NodePools, EC2NodeClasses (with the script that cuts the GPUs at
    boot) and NodeOverlays.  All follow from the fleet file.
    """
    from webhook.cli import render
    from webhook.fleet.file import CLUSTER, DNS_LABEL

    for name in only:
        if name not in render.NAMES:
            raise click.BadParameter(
                f"'{name}' is not a subject. Use one of: {', '.join(render.NAMES)}", param_hint="--only"
            )
    if check and output_dir is None:
        raise click.UsageError("--check needs --output-dir, the folder to compare with the fleet")
    if prune_list and (retire or cluster is not None or output_dir is not None):
        raise click.UsageError("--prune-list goes with --fleet and --only alone: it is the same for all else")
    fleet = files.fleet_at(fleet_path)
    if prune_list:
        if not (options := render.prune_list(only)):
            raise click.BadParameter(f"nothing of {', '.join(only)} is left behind", param_hint="--prune-list")
        echo("\n".join(options))
        return
    if retire:
        fleet = render.retired(fleet, retire)
    if cluster is not None:
        if not re.fullmatch(CLUSTER, cluster):
            raise click.BadParameter("use letters, digits, '-' and '_', at most 100 characters", param_hint="--cluster")
        fleet = replace(fleet, cluster=cluster)
    if not re.fullmatch(DNS_LABEL, webhook_namespace):
        problem = f"'{webhook_namespace}' cannot be the name of a namespace"
        raise click.BadParameter(problem, param_hint="--webhook-namespace")
    fleet = replace(fleet, webhook_namespace=webhook_namespace)
    outputs = render.rendered(fleet, only)
    if remark := render.nothing(fleet, only, outputs):
        echo(remark, err=True)
    if output_dir is None:
        echo(render.text(outputs), nl=False)
    elif check:
        if lines := list(render.differences(outputs, output_dir)):
            echo("\n".join(lines), err=True)
            raise click.exceptions.Exit(1)
    else:
        render.save(outputs, output_dir)
