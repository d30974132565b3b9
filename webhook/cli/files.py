"""Files that commands read: the built-in catalogue and fleet, and the user's files."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from webhook import documents
from webhook.cli.terminal import echo
from webhook.documents import Document
from webhook.errors import BadDocument, BadFleet, printable

if TYPE_CHECKING:  # they take a quarter of a second to load, which --help has no use for
    from webhook.fleet.fleet import Fleet
    from webhook.slices.catalogue import Catalogue

SUFFIXES = (".yaml", ".yml", ".json")

PIECE = 64 * 1024
"""Bytes of a line that are read at once."""


@cache
def catalogue() -> Catalogue:
    """The built-in catalogue."""
    from webhook.slices.catalogue import Catalogue
    from webhook.slices.entries import CatalogueFile

    text = (files("webhook.slices") / "gpus.yaml").read_bytes()
    return Catalogue.build(CatalogueFile.model_validate(documents.read(text, name="gpus.yaml")[0].value))


def default_fleet_text() -> bytes:
    """The fleet file that ships with the package."""
    return (files("webhook.fleet") / "default.yaml").read_bytes()


def load_fleet(text: bytes, name: str = "fleet") -> Fleet:
    """Read a fleet file against the built-in catalogue.  Raises `BadFleet`."""
    from webhook.fleet import fleet

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
        with _open(path) as file:
            return file.read(documents.MOST_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None


def read_all(paths: tuple[Path, ...]) -> Iterator[tuple[Path, Document | BadDocument]]:
    """All documents in *paths*, one after the other, with their files.

    A folder stands for the YAML and JSON files in it and in its folders.  What cannot be read there is a problem among
    the documents; a path that cannot be read at all is a usage error, before anything is read.
    """
    for path in list(chain.from_iterable(map(_files, paths))):
        try:
            with _open(path) as file:
                name = str(path) if str(path) != "-" else "stdin"
                for found in documents.stream(iter(partial(file.readline, PIECE), b""), name=name):
                    yield path, found
        except OSError as error:
            yield path, BadDocument(printable(f"{path}: {error.strerror}"))
        except click.UsageError as error:
            yield path, BadDocument(printable(error.message))


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    """Standard input, or a file, without blocking: opening a pipe without a writer would wait for ever."""
    if str(path) == "-":
        if sys.stdin is None:
            raise click.UsageError("-: standard input is closed")
        return nullcontext(sys.stdin.buffer)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise click.UsageError(f"{path}: is not a regular file. To read from a pipe, use - instead")
    return file


def _files(path: Path) -> list[Path]:
    """*path*, or for a folder what is in it: see `_in_folder`."""
    try:
        if not path.is_dir():
            with _open(path):
                return [path]
        next(path.iterdir(), None)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    if not (found := list(_in_folder(path))):
        raise click.UsageError(f"{path}: contains no {', '.join(SUFFIXES)} file")
    return found


def _in_folder(path: Path) -> Iterator[Path]:
    """The regular files in a folder and its folders, by their suffix, without folders whose names begin with a dot.

    Links are among them, which may point to something else, and folders that cannot be read: those are refused later.
    A link out of the folder is passed over: whoever wrote it need not be whoever may read what it points to.
    """
    refused: list[Path] = []
    inside = os.path.join(os.path.realpath(path), "")
    for folder, folders, names in os.walk(path, onerror=lambda error: refused.append(Path(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIXES)):
            if file.is_symlink() and not os.path.realpath(file).startswith(inside):
                echo(f"{file}: passed over, because it is a link out of the folder", err=True)
            elif file.is_file() or file.is_symlink():
                yield file
    yield from refused
