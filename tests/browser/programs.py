"""What these tests need beside Python: Chromium, axe, and the page's editor.

python -m tests.browser.programs          gets what is missing, and says what cannot be had
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import hatch_build

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
"""Debian's.  Playwright's own browsers come from elsewhere."""


class Missing(RuntimeError):
    """Something cannot be had here, and why."""


def chromium() -> Path:
    """The browser; on Debian, root installs it.  Raises `Missing`."""
    if not CHROMIUM.exists():
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            raise Missing(f"there is no {CHROMIUM}: as root, run apt-get install chromium")
        print("installing chromium …", file=sys.stderr)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run([apt, "update", "-q"], env=environment)
        run([apt, "install", "-q", "-y", "--no-install-recommends", "chromium"], env=environment)
    return CHROMIUM


def axe() -> str:
    """The script of axe-core, as the lock has it.  Raises `Missing`."""
    files = [HERE / "package.json", HERE / "package-lock.json"]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-slice" / f"axe-{digest}.js"
    if not cache.exists():
        npm = hatch_build.npm()
        if not npm:
            raise Missing("axe cannot be had without npm")
        with tempfile.TemporaryDirectory(prefix="gpu-slice-axe-") as folder:
            for file in files:
                shutil.copy(file, folder)
            run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, hatch_build.environment())
            cache.parent.mkdir(parents=True, exist_ok=True)
            part = cache.with_suffix(f".{os.getpid()}")
            shutil.copy(Path(folder) / "node_modules" / "axe-core" / "axe.min.js", part)
            part.replace(cache)
    return cache.read_text()


def editor() -> Path:
    """The bundle of the page's editor.  Raises `Missing`."""
    if problem := hatch_build.build():
        raise Missing(f"the page's editor cannot be built: {problem}")
    return hatch_build.BUNDLE


def run(command: list[str], cwd: str | None = None, env: dict[str, str] | None = None) -> None:
    """Run *command*.  Raises `Missing` with what it said."""
    try:
        subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True, text=True, timeout=600)
    except subprocess.CalledProcessError as error:
        raise Missing(f"{Path(command[0]).name}: {(error.stderr or error.stdout).strip()[-300:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{Path(command[0]).name}: {error}") from None


if __name__ == "__main__":
    for get in (chromium, axe, editor):
        try:
            get()
        except Missing as missing:  # the tests that want it say so, too
            print(missing, file=sys.stderr)
