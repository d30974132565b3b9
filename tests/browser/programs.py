"""What these tests need beside Python: axe, and the page's editor.

python -m tests.browser.programs          gets what is missing, and says what cannot be had
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import hatch_build
from tests.packages import Missing, run

HERE = Path(__file__).parent


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
            run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, env=hatch_build.environment())
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


if __name__ == "__main__":
    for get in (axe, editor):
        try:
            get()
        except Missing as missing:  # the tests that want it say so, too
            print(missing, file=sys.stderr)
