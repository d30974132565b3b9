"""A directory that holds a key pair, in the shape in which the kubelet mounts a Secret.

    tls.crt -> ..data/tls.crt       stays as it is
    tls.key -> ..data/tls.key
    ca.crt  -> ..data/ca.crt
    ..data  -> ..generation-k3v0x   replaced by rename, and so all three files at once
    ..generation-k3v0x/             written whole and synced before anything points at it

A reader that resolves ``..data`` once and opens the files there gets a pair that belongs together.  If a
write falls between, it may find that generation gone; it then resolves again, as it must under the kubelet.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certs.authority import KeyPair

CERTIFICATE = "tls.crt"
KEY = "tls.key"
AUTHORITY = "ca.crt"
"""The keys of a Secret of type ``kubernetes.io/tls``, and the one that cert-manager adds."""

_DATA = "..data"
_NEXT_DATA = "..data_tmp"
_GENERATION = "..generation-"
_MODES = {CERTIFICATE: 0o644, KEY: 0o600, AUTHORITY: 0o644}


class ForeignDirectory(Exception):
    """The directory holds something that we did not put there, or that others could put there."""


def write(directory: Path, pair: KeyPair, authority: bytes) -> None:
    """Make *pair* and *authority* what *directory* holds, all at once.

    *authority* is one PEM certificate or several.  The directory is made if need be, for its owner only; one
    that exists keeps its mode.  Writers take turns.  When this returns, the files are on the disk.

    ForeignDirectory: one of the names is taken by a file of someone else, or others may write here.
    OSError: as the file system says; what was there before is then still in place.
    """
    _make(directory)
    with _locked(directory) as descriptor:
        _refuse_what_is_not_ours(directory)
        generation = _write_generation(directory, {CERTIFICATE: pair.certificate, KEY: pair.key, AUTHORITY: authority})
        following = directory / _NEXT_DATA
        following.unlink(missing_ok=True)
        following.symlink_to(generation.name)
        following.replace(directory / _DATA)
        for name in _MODES:  # after the swap, so that they never point at nothing
            if not (directory / name).is_symlink():
                (directory / name).symlink_to(f"{_DATA}/{name}")
        os.fsync(descriptor)
        for old in directory.glob(f"{_GENERATION}*"):  # also what a writer left that was killed
            if old != generation:
                shutil.rmtree(old)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return
    directory.chmod(0o700)  # mkdir's mode goes through the umask
    _sync(directory.parent)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """The directory's descriptor.  Closing it, or dying, gives the lock back."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_what_is_not_ours(directory: Path) -> None:
    if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForeignDirectory(
            f"{directory}: not only its owner may write here, so anyone could put another key in place. "
            f"Run chmod go-w on it, or name a directory that does not exist yet."
        )
    for name in (_DATA, *_MODES):
        path = directory / name
        if not os.path.lexists(path):
            continue
        target = os.readlink(path) if path.is_symlink() else ""
        ours = target.startswith(_GENERATION) if name == _DATA else target == f"{_DATA}/{name}"
        if not ours:
            raise ForeignDirectory(
                f"{path}: exists and was not written by us. Move it away, or name another directory."
            )


def _write_generation(directory: Path, files: dict[str, bytes]) -> Path:
    generation = Path(tempfile.mkdtemp(prefix=_GENERATION, dir=directory))
    generation.chmod(0o700)
    try:
        for name, content in files.items():
            # Not readable by others even for a moment: the mode is given at creation, then again past umask.
            descriptor = os.open(generation / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODES[name])
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, _MODES[name])
                file.write(content)
                file.flush()
                os.fsync(descriptor)
        _sync(generation)
    except BaseException:  # a full disk must not fill up further with every attempt
        shutil.rmtree(generation)
        raise
    return generation


def _sync(directory: Path) -> None:
    """A new name is only on the disk when its directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
