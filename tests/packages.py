"""What the tests need beside Python: programs of Debian's packages.  Where one cannot be had, its tests are skipped; in
CI they fail.

python -m tests.packages          gets what is missing, and says what cannot be had
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from tests.cluster.programs.toolchain import cache, locked

CHROMIUM = "/usr/bin/chromium"
"""Debian's.  Playwright's own browsers come from elsewhere."""
EMULATOR = "/usr/bin/qemu-aarch64-static"
PACKAGES = {
    "buildah": "buildah",
    EMULATOR: "qemu-user-static",
    CHROMIUM: "chromium",
    "openssl": "openssl",
    "promtool": "prometheus",
    "shellcheck": "shellcheck",
    "systemd-analyze": "systemd",
}
"""The package of each program."""


class Missing(RuntimeError):
    """Something cannot be had here, and why."""


def skip(why: object) -> NoReturn:
    """Leave out a test of what cannot be had here, visibly; in CI it fails."""
    if "CI" in os.environ:
        pytest.fail(str(why))
    pytest.skip(str(why))


def find(program: str) -> str:
    """The path of *program*.  Raises `Missing`."""
    if found := shutil.which(program) or shutil.which(str(cache() / program)):
        return found
    raise Missing(f"there is no {program}, which Debian's package {PACKAGES[program]} has: python -m tests.packages")


def needed(program: str) -> str:
    """The path of *program*, for a test that is skipped without it."""
    try:
        return find(program)
    except Missing as missing:
        skip(missing)


def get(program: str) -> str:
    """The path of *program*; on Debian, root installs it.  Raises `Missing`."""
    with locked(cache() / "apt.lock"):
        try:
            return find(program)
        except Missing:
            if shutil.which("apt-get") is None or os.geteuid() != 0:
                raise
        print(f"installing {program} …", file=sys.stderr)
        _update()
        if program == "promtool":
            _unpack(program)
        else:
            run(["apt-get", "install", "-q", "-y", "--no-install-recommends", PACKAGES[program]])
        return find(program)


def _unpack(program: str) -> None:
    """Put *program* alone into the cache: its package, installed, would start a server."""
    with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{program}.") as folder:
        run(["apt-get", "download", "-q", PACKAGES[program]], cwd=folder)
        [package] = Path(folder).glob("*.deb")
        run(["dpkg-deb", "-x", str(package), folder])
        (Path(folder) / "usr" / "bin" / program).rename(cache() / program)


@functools.cache
def _update() -> None:
    run(["apt-get", "update", "-q"])


def run(
    command: list[str],
    *,
    cwd: str | Path | None = None,
    env: dict[str, str] | None = None,
    seconds: int = 600,
) -> str:
    """Its stdout.  Raises `Missing` with what it said."""
    environment = (env or os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=seconds
        ).stdout
    except subprocess.CalledProcessError as error:
        raise Missing(f"{Path(command[0]).name}: {(error.stderr or error.stdout).strip()[-600:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{Path(command[0]).name}: {error}") from None


if __name__ == "__main__":
    for each in PACKAGES:
        try:
            get(each)
        except Missing as missing:  # the tests that want it say so, too
            print(missing, file=sys.stderr)
