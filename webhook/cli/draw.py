"""``gpu-slice draw``: drawings for your own documents, as SVG on stdout."""

from __future__ import annotations

from pathlib import Path

import click

from webhook.cli import files
from webhook.cli.terminal import Group, echo

_FLEET = click.option(
    "--fleet",
    "fleet_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Fleet file.  Default: the built-in one.",
)


@click.group(cls=Group)
def draw() -> None:
    """Draw a pool's layout, a GPU's placements or the way of a request, as SVG."""


@draw.command()
@click.argument("pool")
@click.option("--mark", metavar="SLICE", help="Mark a slice as a pod's own, such as 1g.5gb.")
@_FLEET
def layout(pool: str, mark: str | None, fleet_path: Path | None) -> None:
    """Draw one GPU of POOL with its slices."""
    from webhook.draw.layout import draw

    pools = {pool.name: pool for pool in files.fleet_at(fleet_path).pools}
    if pool not in pools:
        raise click.BadParameter(f"'{pool}' is not a pool. Use one of: {', '.join(pools)}", param_hint="POOL")
    resources = {str(offer): offer.resource for offer in pools[pool].offers}
    if mark is not None and mark not in resources:
        raise click.BadParameter(
            f"pool '{pool}' has no slice '{mark}'. Use one of: {', '.join(resources)}", param_hint="--mark"
        )
    echo(draw(pools[pool], highlight=resources[mark] if mark else None), nl=False)


@draw.command()
@click.argument("gpu")
@_FLEET
def placements(gpu: str, fleet_path: Path | None) -> None:
    """Draw where slices can lie on GPU, such as a100-40gb."""
    from webhook.draw.placements import draw

    gpus = files.fleet_at(fleet_path).catalogue.gpus
    if gpu not in gpus:
        raise click.BadParameter(f"'{gpu}' is not a GPU. Use one of: {', '.join(gpus)}", param_hint="GPU")
    echo(draw(gpus[gpu]), nl=False)


@draw.command()
def request() -> None:
    """Draw the way of a request, from the pod to the node."""
    from webhook.draw.request import draw

    echo(draw(), nl=False)
