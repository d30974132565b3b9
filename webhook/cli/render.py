"""Renders the companions of a fleet as text or as files, and compares them with files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.resources import files as package_files
from pathlib import Path

import click

from webhook.cli.files import load_fleet
from webhook.cli.terminal import echo
from webhook.documents import write as write_yaml
from webhook.errors import BadFleet
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL
from webhook.render import PRUNED, SUBJECTS, BootFiles, Output, chosen, render
from webhook.render.manifest import made_by_karpenter

NAMES = tuple(dict.fromkeys(name for subject in SUBJECTS for name in (subject.folder, subject.name)))
"""The values of ``--only``."""
KUSTOMIZATION = "kustomization.yaml"


def boot_files() -> BootFiles:
    """The boot script and its systemd unit, as shipped with the package."""
    folder = package_files("webhook.render")
    return BootFiles((folder / "cut-gpus.sh").read_text("utf-8"), (folder / "cut-gpus.service").read_text("utf-8"))


Outputs = Sequence[tuple[Output, str]]
"""Files, each with its text, which is empty where the fleet does not need the file."""


def rendered(fleet: Fleet, only: tuple[str, ...]) -> Outputs:
    """What is asked for.  Ends the command where the fleet is valid, but a subject cannot be rendered for it."""
    try:
        return list(render(fleet, boot_files(), only))
    except BadFleet as error:
        raise click.UsageError("; ".join(map(str, error.problems))) from None


def text(outputs: Outputs) -> str:
    """Everything as one YAML stream."""
    return "---\n".join(content for _, content in outputs if content)


def retired(fleet: Fleet, names: tuple[str, ...]) -> Fleet:
    """*fleet* as if its file said that the pools *names* are retired, with a remark that it has to."""
    text = fleet.file.model_dump(mode="json", by_alias=True, exclude_unset=True)
    pools = {pool["name"]: pool for pool in text["pools"]}
    for name in names:
        if name not in pools:
            raise click.BadParameter(f"'{name}' is not a pool. The pools are {', '.join(pools)}", param_hint="--retire")
        pools[name]["retired"] = True
    echo(
        f"write 'retired: true' into pool {', '.join(names)} of the fleet file too: the webhook reads it there",
        err=True,
    )
    try:
        return load_fleet(write_yaml(text).encode())
    except BadFleet as error:
        raise click.UsageError("; ".join(map(str, error.problems))) from None


def prune_list(only: tuple[str, ...]) -> list[str]:
    """The options with which ``kubectl apply`` of the chosen subjects deletes what is not rendered any more, if any."""
    label = ",".join(f"{key}={value}" for key, value in PRUNED.items())
    kinds = [f"--prune-allowlist={kind}" for subject in chosen(only) for kind in subject.kinds]
    return ["--prune", f"--selector={label}", *kinds] if kinds else []


def nothing(fleet: Fleet, only: tuple[str, ...], outputs: Outputs) -> str:
    """What is asked for and not rendered, and why; empty if there is no such thing."""
    for_nodes = any(subject.folder in ("device-plugin", "karpenter") for subject, _ in outputs)
    if for_nodes and not made_by_karpenter(fleet.pools):
        return (
            "nothing to render for the nodes: all pools have 'nodes: existing'. Whoever makes the nodes cuts the GPUs, "
            f"runs the device plugin, and labels them {POOL_LABEL} with the name of their pool"
        )
    return "" if any(content for _, content in outputs) else f"nothing to render: the fleet needs no {', '.join(only)}"


def tree(outputs: Outputs, directory: Path) -> dict[Path, str | None]:
    """The text of each file by its path in *directory*; None if this fleet does not need the file."""
    contents: dict[Path, str | None] = {}
    for subject, content in outputs:
        contents[Path(subject.folder, f"{subject.name}.yaml")] = content or None
    for folder in dict.fromkeys(str(path.parent) for path in contents):
        # A file that was rendered earlier, and is not asked for now, stays.
        files = [Path(folder, f"{subject.name}.yaml") for subject in SUBJECTS if subject.folder == folder]
        names = [file.name for file in files if contents.get(file, (directory / file).is_file())]
        head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
        contents[Path(folder, KUSTOMIZATION)] = write_yaml(head) if names else None
    return contents


def save(outputs: Outputs, directory: Path) -> None:
    """Write the files, and remove rendered files that this fleet does not need."""
    for path, content in tree(outputs, directory).items():
        target = directory / path
        if content is None:
            target.unlink(missing_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(Path(os.path.realpath(target)), content.encode())


def _replace(path: Path, content: bytes) -> None:
    """Write a file, or leave what it was: a disk may have no room for the whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def differences(outputs: Outputs, directory: Path) -> Iterator[str]:
    """One line for each file that differs from *outputs*."""
    for path, content in tree(outputs, directory).items():
        target = directory / path
        existing = target.read_bytes() if target.is_file() else None
        if existing == (None if content is None else content.encode()):
            continue
        difference = "is missing" if existing is None else "is not needed" if content is None else "differs"
        yield f"{click.format_filename(target)}: {difference}"
