"""What the commands that look at a live cluster share: their options, the connection, and the fleet that it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from webhook.cli import files
from webhook.cli.terminal import CouldNotLook
from webhook.errors import BadFleet, FleetProblem

if TYPE_CHECKING:
    from webhook.cluster.cures import Here
    from webhook.cluster.reader import Reader  # which loads a client that the server does without
    from webhook.fleet.fleet import Fleet


class BadServed(CouldNotLook):
    """The fleet in the cluster cannot be used."""


F = TypeVar("F", bound=Callable[..., Any])

FLEET = "fleet"
"""The ConfigMap that the webhook mounts, as in ``manifests/webhook``, and its only key."""
KEY = "fleet.yaml"

OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "short"]), default="table", show_default=True,
    help="A table for people, JSON for programs, or only what matters.",
)  # fmt: skip

CONTEXT = click.option("--context", metavar="NAME", help="Context of the kubeconfig.  Default: the current one.")

TRUST = click.option(
    "--trust", "trusted", multiple=True, metavar="NAMESPACE",
    help="Karpenter or NVIDIA's programs are installed there, and only administrators write there.  May be repeated.",
)  # fmt: skip


def options(command: F) -> F:
    """The options of every such command."""
    for option in (
        click.option("--fleet", "fleet_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="Fleet file.  Default: the cluster's own."),
        click.option("--webhook-namespace", default="gpu-slice", show_default=True, metavar="NAME",
                     help="Where gpu-slice is installed."),
        click.option("-n", "--namespace", metavar="NAME",
                     help="Namespace to look at.  Default: that of the kubeconfig's context."),
        CONTEXT,
    ):  # fmt: skip
        command = option(command)
    return command


def here() -> Here:
    """How the command that runs was called, for its cures.  It is one with these `options`."""
    from webhook.cluster.cures import Here

    given = click.get_current_context().params
    fleet = given["fleet_path"]
    return Here(
        own=given["webhook_namespace"],
        fleet=str(fleet) if fleet is not None and str(fleet) != "-" else "",
        context=given["context"] or "",
        program=program(),
    )


def program() -> str:
    """What was typed: ``gpu-slice``, or ``kubectl gpu-slice`` for the plugin."""
    typed = click.get_current_context().find_root().info_name or ""
    return typed if typed.startswith("kubectl ") else "gpu-slice"


def reader(context: str | None, namespace: str | None) -> Reader:
    """A connection.  If there is none, the exit code is 3."""
    from webhook.cluster.reader import Unreachable, connect

    try:
        return connect(context, namespace)
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None


def fleet_of(reader: Reader, path: Path | None, namespace: str) -> Fleet:
    """The fleet in the file at *path*, or else the one that the webhook in *namespace* serves.

    If there is none that can be read, the exit code is 3 (2 for a file that is no fleet).  Raises `BadServed` for what
    the webhook refuses too.
    """
    from webhook.cluster.objects import CONFIG_MAPS
    from webhook.cluster.reader import Refused, Unreachable

    if path is not None:
        return files.fleet_at(path)
    where = f"ConfigMap {FLEET} in namespace {namespace}"
    try:
        found = reader.get(CONFIG_MAPS, FLEET, namespace)
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None
    except Refused as error:
        raise CouldNotLook(f"{where} cannot be read: {error}. Name a file with --fleet") from None
    if found is None:
        raise CouldNotLook(f"{where} does not exist. Name a file with --fleet, or a namespace with --webhook-namespace")
    try:
        return fleet_in(found)
    except BadFleet as error:
        more = f" It is one of {len(error.problems)} problems." if len(error.problems) > 1 else ""
        told = f"{where}: {error.problems[0]}{more} Correct the file and apply it, or name another with --fleet"
        raise BadServed(told) from None


def fleet_in(config_map: dict[str, Any]) -> Fleet:
    """The fleet in the ConfigMap `FLEET`.  Raises `BadFleet`, also if it has no key `KEY`, which the webhook reads."""
    data = config_map.get("data") or {}
    if KEY not in data:
        has = ", ".join(data) or "none"
        raise BadFleet([FleetProblem(KEY, f"there is no such key (keys: {has})", "Give the file that name")])
    return files.load_fleet(data[KEY].encode(), KEY)
