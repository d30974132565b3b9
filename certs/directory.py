"""A directory that holds a key pair, in the shape in which the kubelet mounts a Secret.

    tls.crt -> ..data/tls.crt       stays as it is
    tls.key -> ..data/tls.key
    ca.crt  -> ..data/ca.crt
    ..data  -> ..generation-1f4a90c2  replaced by rename, and so all three files at once
    ..generation-1f4a90c2/            written whole and synced before anything points at it

A reader that resolves ``..data`` once and opens the files there gets a pair that belongs together.  If a
write falls between, it may find that generation gone; it then resolves again, as it must under the kubelet.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from certs.authority import KeyPair

CERTIFICATE = "tls.crt"
KEY = "tls.key"
AUTHORITY = "ca.crt"
"""The keys of a Secret of type ``kubernetes.io/tls``, and the one that cert-manager adds."""

_DATA = "..data"
_NEXT_DATA = "..data_tmp"
_GENERATION = "..generation-"
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_MODES = {CERTIFICATE: 0o644, KEY: 0o600, AUTHORITY: 0o644}


class ForeignDirectory(Exception):
    """The directory holds something that we did not put there, or that others could put there."""


def write(directory: Path, pair: KeyPair, authority: bytes) -> None:
    """Make *pair* and *authority* what *directory* holds, all at once.

    *authority* is one PEM certificate or several.  The directory is made if need be, for its owner only; one
    that exists keeps its mode.  Writers take turns.  When this returns, the files are on the disk.

    ForeignDirectory: one of the names is taken by a file of someone else, the directory is reached through a symbolic
    link, or someone else owns it or may write here.
    OSError: as the file system says; what was there before is then still in place.
    """
    _make(directory)
    with _locked(directory) as folder:
        _refuse_what_is_not_ours(directory, folder)
        files = {CERTIFICATE: pair.certificate, KEY: pair.key, AUTHORITY: authority}
        generation = _write_generation(folder, files)
        with suppress(FileNotFoundError):
            os.unlink(_NEXT_DATA, dir_fd=folder)
        os.symlink(generation, _NEXT_DATA, dir_fd=folder)
        os.replace(_NEXT_DATA, _DATA, src_dir_fd=folder, dst_dir_fd=folder)
        for name in _MODES:  # after the swap, so that they never point at nothing
            if _target(name, folder) is None:
                os.symlink(f"{_DATA}/{name}", name, dir_fd=folder)
        os.fsync(folder)
        for name in os.listdir(folder):  # also what a writer left that was killed
            if name.startswith(_GENERATION) and name != generation:
                shutil.rmtree(name, dir_fd=folder)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return
    directory.chmod(0o700)  # mkdir's mode goes through the umask
    descriptor = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)  # a new name is only on the disk when its directory is
    finally:
        os.close(descriptor)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """The directory's descriptor, by which everything else here is done: a path may lead elsewhere a moment later.

    Closing it, or dying, gives the lock back.
    """
    try:
        descriptor = os.open(directory, _OPEN_DIRECTORY)
    except OSError:
        if not directory.is_symlink():
            raise
        raise ForeignDirectory(
            f"{directory}: is a symbolic link, and who may change it could put another key in place. "
            f"Name the directory itself."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_what_is_not_ours(directory: Path, folder: int) -> None:
    status = os.fstat(folder)
    if status.st_uid != os.geteuid():
        raise ForeignDirectory(
            f"{directory}: belongs to another user (uid {status.st_uid}), who could put another key in place. "
            f"Run this as that user, or name a directory that does not exist yet."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForeignDirectory(
            f"{directory}: not only its owner may write here, so anyone could put another key in place. "
            f"Run chmod go-w on it, or name a directory that does not exist yet."
        )
    for name in (_DATA, *_MODES):
        target = _target(name, folder)
        if target is None:
            continue
        ours = target.startswith(_GENERATION) if name == _DATA else target == f"{_DATA}/{name}"
        if not ours:
            raise ForeignDirectory(
                f"{directory / name}: exists and was not written by us. Move it away, or name another directory."
            )


def _target(name: str, folder: int) -> str | None:
    """Where the link *name* points; empty for what is not a link, None where nothing has that name."""
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return ""


def _write_generation(folder: int, files: dict[str, bytes]) -> str:
    name = f"{_GENERATION}{secrets.token_hex(4)}"
    os.mkdir(name, 0o700, dir_fd=folder)
    try:
        os.chmod(name, 0o700, dir_fd=folder)  # mkdir's mode goes through the umask
        generation = os.open(name, _OPEN_DIRECTORY, dir_fd=folder)
        try:
            for file, content in files.items():
                _write_file(generation, file, content)
            os.fsync(generation)
        finally:
            os.close(generation)
    except BaseException:  # a full disk must not fill up further with every attempt
        shutil.rmtree(name, dir_fd=folder)
        raise
    return name


def _write_file(generation: int, name: str, content: bytes) -> None:
    # Not readable by others even for a moment: the mode is given at creation, then again past umask.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(name, flags, _MODES[name], dir_fd=generation)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, _MODES[name])
        file.write(content)
        file.flush()
        os.fsync(descriptor)
