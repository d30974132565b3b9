"""A directory with a key pair, in the layout in which the kubelet mounts a Secret.

    tls.crt -> ..data/tls.crt       never changes
    tls.key -> ..data/tls.key
    ca.crt  -> ..data/ca.crt
    ..data  -> ..generation-1f4a90c2  replaced by rename, so all three files change at once
    ..generation-1f4a90c2/            completely written and synced before a link points to it

A reader that resolves ``..data`` once and opens the files in it gets a matching pair.  If a write happens in between,
that generation may be gone.  The reader then resolves ``..data`` again, as it must with the kubelet.
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
    """The directory contains a file that is not ours, or other users could put one there."""


def write(directory: Path, pair: KeyPair, authority: bytes) -> None:
    """Replace the contents of *directory* by *pair* and *authority*, atomically.

    *authority* is one or more PEM certificates.  If the directory does not exist, it is created for its owner only; an
    existing one keeps its mode.  Writers take turns.  When this returns, the files are on disk.

    ForeignDirectory: one of the names is used by a file that is not ours, the directory is a symbolic link, or another
    user owns it or may write to it.
    OSError: an error of the file system; the previous files are then still in place.
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
        for name in _MODES:  # after the rename, so that the links are never dangling
            if _target(name, folder) is None:
                os.symlink(f"{_DATA}/{name}", name, dir_fd=folder)
        os.fsync(folder)
        for name in os.listdir(folder):  # also those of a writer that was killed
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
        os.fsync(descriptor)  # a new name is on disk only when its parent directory is synced
    finally:
        os.close(descriptor)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """The directory's descriptor, which all other calls use: the path may point elsewhere a moment later.

    Closing it releases the lock, and so does the end of the process.
    """
    try:
        descriptor = os.open(directory, _OPEN_DIRECTORY)
    except OSError:
        if not directory.is_symlink():
            raise
        raise ForeignDirectory(
            f"{directory}: is a symbolic link, and anyone who may change it could replace the key. "
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
            f"{directory}: belongs to another user (uid {status.st_uid}), who could replace the key. "
            f"Run this as that user, or name a directory that does not exist yet."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForeignDirectory(
            f"{directory}: users other than its owner may write to it, so they could replace the key. "
            f"Run chmod go-w on it, or name a directory that does not exist yet."
        )
    for name in (_DATA, *_MODES):
        target = _target(name, folder)
        if target is None:
            continue
        is_ours = target.startswith(_GENERATION) if name == _DATA else target == f"{_DATA}/{name}"
        if not is_ours:
            raise ForeignDirectory(
                f"{directory / name}: exists and was not written by gpu-slice. Move it away, or name another directory."
            )


def _target(name: str, folder: int) -> str | None:
    """The target of the link *name*; empty if it is not a link, None if it does not exist."""
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
    except BaseException:  # so that repeated attempts do not fill the disk
        shutil.rmtree(name, dir_fd=folder)
        raise
    return name


def _write_file(generation: int, name: str, content: bytes) -> None:
    # Never readable by others: the mode is set at creation, and again because of the umask.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(name, flags, _MODES[name], dir_fd=generation)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, _MODES[name])
        file.write(content)
        file.flush()
        os.fsync(descriptor)
