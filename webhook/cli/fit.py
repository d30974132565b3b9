"""``gpu-slice fit``: whether workloads fit on a fleet, on how many nodes, and which layouts would fit better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.cli import files
from webhook.cli.prices import PRICE, prices_for
from webhook.cli.terminal import CouldNotLook, echo
from webhook.errors import BadFleet

if TYPE_CHECKING:
    from webhook.cli.progress import Progress
    from webhook.cluster.live_pods import LivePod
    from webhook.cluster.snapshot import Listing
    from webhook.fleet.fleet import Fleet

# What only this command needs is imported inside it, so that the server does not load it.


@click.command()
@click.argument("paths", metavar="[FILE...]", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--need", "needs", multiple=True, metavar="SLICE=PODS",
    help="Pods without a file, such as 1g.5gb=120: the annotation's value, and how many pods.  Repeatable.",
)  # fmt: skip
@PRICE
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "short", "fleet"]), default="table", show_default=True,
    help="A table for people, JSON for programs, one line, or a fleet file with the better layouts.",
)  # fmt: skip
@click.option(
    "--fleet", "fleet_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Fleet file.  Default: the built-in one.",
)  # fmt: skip
@click.option(
    "--cluster", "live", is_flag=True,
    help="Also count the pods that run or wait in a cluster; the fleet is then the cluster's own by default.",
)  # fmt: skip
@click.option("--context", metavar="NAME", help="With --cluster: context of the kubeconfig.  Default: the current one.")
@click.option(
    "--webhook-namespace", default="gpu-slice", show_default=True, metavar="NAME",
    help="With --cluster: where gpu-slice is installed.",
)  # fmt: skip
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace for objects that name none.")
def fit(
    paths: tuple[Path, ...],
    needs: tuple[str, ...],
    prices: Mapping[str, float],
    output: str,
    fleet_path: Path | None,
    live: bool,
    context: str | None,
    webhook_namespace: str,
    namespace: str,
) -> None:
    """Say on how many GPUs and nodes workloads fit, and which layouts would fit better.

    FILE is what `gpu-slice preview` reads.  An object counts for all pods that it runs at once: the replicas of a
    Deployment, the parallelism of a Job.  The answer is for empty nodes, also with --cluster.  Only slices are
    counted, not CPUs and memory, and no rules that keep pods apart.  The answer is proved, or the gap is printed.
    With a price for every instance type that serves the pods, dollars are saved, and not GPUs.  What is in shadow is
    counted as if it enforced, and named.

    Exit codes, the same for every output: 1, the limits of the pools or the fleet's quotas of namespaces do not
    suffice, or a pod is denied; 2, called wrongly; 3, a document cannot be read.
    """
    if not paths and not needs and not live:
        raise click.UsageError("Missing argument 'FILE...', or an option '--need' or '--cluster'.")
    from webhook.cli import fit_report
    from webhook.cli.progress import Progress
    from webhook.cli.wanted import Wanted
    from webhook.fit.fit import fit as fit_pods
    from webhook.fit.quota import over_quota
    from webhook.fit.suggestion import suggest

    with Progress() as progress:
        if live:
            fleet, pods = _of_cluster(fleet_path, context, webhook_namespace, progress)
            wanted = Wanted(fleet.enforced(), namespace)
            wanted.look(pods)
        else:
            fleet = files.fleet_at(fleet_path)
            wanted = Wanted(fleet.enforced(), namespace)
        for text in needs:
            wanted.need(text)
        wanted.read(paths, progress)
        costs = prices_for(*wanted.instance_types(), fleet, prices)
        namespaces = wanted.by_namespace()
        found = fit_pods(wanted.demand(), fleet, costs, progress, over_quota(namespaces, fleet))
    wanted.say()
    for text in fit_report.shadows(found, fleet, (namespace for namespace, _ in namespaces)):
        echo(text, err=True)
    code = max(wanted.code, 0 if found.fits else 1)
    if output == "fleet":
        try:
            file, better, remarks = suggest(
                found.best, fleet, wanted.pools() if found.better else (), files.catalogue()
            )
        except BadFleet as error:
            raise CouldNotLook(f"the better layouts make no valid fleet: {error.problems[0]}") from None
        remarks += wanted.differences(found.best, better, costs)
        if wanted.uncounted:
            remarks.append(fit_report.not_counted(wanted.uncounted))
        for line in (*fit_report.savings(found), *fit_report.kept_out(found, fleet), *remarks):
            echo(line, err=True)
        echo(fit_report.as_fleet(file), nl=False)
    else:
        echo(fit_report.OUTPUTS[output](found, fleet, wanted.denied, wanted.uncounted))
    raise click.exceptions.Exit(code)


def _of_cluster(
    fleet_path: Path | None, context: str | None, namespace: str, progress: Progress
) -> tuple[Fleet, Listing[LivePod]]:
    """The fleet of a cluster, and its pods."""
    from webhook.cli import cluster
    from webhook.cluster.live_pods import LIVE_PODS
    from webhook.cluster.reader import Unreachable

    progress("reading the cluster")
    reader = cluster.reader(context, None)
    fleet = cluster.fleet_of(reader, fleet_path, namespace)
    try:
        return fleet, reader.list(LIVE_PODS)
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None
