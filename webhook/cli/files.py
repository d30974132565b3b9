"""Files that commands read: the built-in catalogue and fleet, and the user's files."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import click

from webhook import documents
from webhook.cli.terminal import echo
from webhook.errors import BadDocument, BadFleet
from webhook.fleet import fleet
from webhook.fleet.fleet import Fleet
from webhook.slices.catalogue import Catalogue, CatalogueFile

SUFFIXES = (".yaml", ".yml", ".json")


@cache
def catalogue() -> Catalogue:
    """The built-in catalogue."""
    text = (files("webhook.slices") / "gpus.yaml").read_bytes()
    return Catalogue.build(CatalogueFile.model_validate(documents.read(text, name="gpus.yaml")[0].value))


def default_fleet_text() -> bytes:
    """The fleet file that ships with the package."""
    return (files("webhook.fleet") / "default.yaml").read_bytes()


def load_fleet(text: bytes, name: str = "fleet") -> Fleet:
    """Read a fleet file against the built-in catalogue.  Raises `BadFleet`."""
    return fleet.load(text, catalogue(), name=name)


def fleet_at(path: Path | None) -> Fleet:
    """The fleet in the file at *path*, or the built-in one.  If it cannot be used, the exit code is 2."""
    if path is None:
        return load_fleet(default_fleet_text())
    try:
        return load_fleet(read(path), path.name)
    except BadFleet as error:
        for problem in error.problems:
            echo(f"{path}: {problem}", err=True)
        raise click.exceptions.Exit(2) from None


def read(path: Path) -> bytes:
    """The bytes of a file, or of standard input for ``-``: at most one more than a document may have."""
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(documents.MOST_BYTES + 1)
        # Without blocking: opening a pipe without a writer would wait for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise click.UsageError(f"{path}: is not a regular file. To read from a pipe, use - instead")
            return file.read(documents.MOST_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None


def read_all(paths: tuple[Path, ...]) -> Iterator[tuple[Path, documents.Document]]:
    """All documents in *paths*, with their files.  A folder stands for its YAML and JSON files."""
    for path in paths:
        for file in _files_in(path) if path.is_dir() else [path]:
            try:
                contents = documents.read(read(file), name=str(file) if str(file) != "-" else "stdin")
            except BadDocument as error:
                raise click.UsageError(str(error)) from None
            for document in contents:
                yield file, document


def _files_in(folder: Path) -> list[Path]:
    """Its regular files by their suffix, and its links, which are refused later if they point to something else."""
    try:
        candidates = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    except OSError as error:
        raise click.UsageError(f"{folder}: {error.strerror}") from None
    regular = [path for path in candidates if path.is_file() or path.is_symlink()]
    if not regular:
        raise click.UsageError(f"{folder}: contains no {', '.join(SUFFIXES)} file")
    return regular
