"""The peers and the load generator, built from pinned sources once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster.programs import toolchain

HERE = Path(__file__).parent
OLDEST_GO = (1, 26)


class NotBuilt(Exception):
    """A program cannot be had here, and why."""


def load() -> Path:
    """The load generator.  Raises `NotBuilt`."""
    return _go(HERE / "load")


def go_by_hand() -> Path:
    """The peer with net/http.  Raises `NotBuilt`."""
    return _go(HERE / "peers" / "go-by-hand")


def go_controller_runtime() -> Path:
    """The peer with controller-runtime.  Raises `NotBuilt`."""
    return _go(HERE / "peers" / "go-controller-runtime")


def rust() -> Path:
    """The peer in Rust.  Raises `NotBuilt`."""
    if shutil.which("cargo") is None:
        raise NotBuilt("no cargo")
    folder = HERE / "peers" / "rust"
    version = _run(["cargo", "--version"], folder)

    def build(target: Path) -> None:
        copy = target / "source"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("target"))
        restore_sources(copy)
        _run(["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(target / "target")], copy)
        shutil.copy(target / "target" / "release" / "peer", target / "rust")
        shutil.rmtree(target / "target")

    return _kept("rust", [*folder.glob("Cargo.*"), *folder.glob("src/*.rs")], version, build)


def restore_sources(folder: Path) -> None:
    """Have Cargo.lock say again where its packages come from.

    The lock is kept without it, as it is the address of a registry.  Cargo knows it: it stands in a lock that cargo
    makes anew.  The checksums are ours, so what cargo fetches is what was pinned.
    """
    path = folder / "Cargo.lock"
    pinned = path.read_text()
    path.unlink()
    _run(["cargo", "generate-lockfile", "--quiet"], folder)
    source = re.search(r"^source = .*\n", path.read_text(), re.MULTILINE)
    if source is None:
        raise NotBuilt("cargo does not name its registry")
    path.write_text(pinned.replace("checksum = ", f"{source[0]}checksum = "))


def _go(folder: Path) -> Path:
    try:
        go = toolchain.find(OLDEST_GO)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotBuilt("no go") from error

    def build(target: Path) -> None:
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
        _run([go.path, "build", *flags, "-o", str(target / folder.name), "."], folder, go.environment())

    return _kept(folder.name, [*folder.glob("go.*"), *folder.glob("*.go")], go.version, build)


def _kept(name: str, sources: list[Path], version: str, build: Callable[[Path], None]) -> Path:
    """The program *name*; *build* puts it into a folder where these sources were not built by this version yet."""
    key = hashlib.sha256(version.encode())
    for path in sorted(sources):
        key.update(path.read_bytes())
    kept = toolchain.cache() / f"bench-{name}-{key.hexdigest()[:16]}"
    with toolchain.locked(kept.with_name(f"bench-{name}.lock")):
        if not kept.is_dir():
            print(f"building {name}: once, then it is kept in {toolchain.cache()}", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f"bench-{name}.") as unfinished:
                target = Path(unfinished) / "built"
                target.mkdir()
                build(target)
                target.rename(kept)
    return kept / name


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise NotBuilt(f"{' '.join(command[:2])} failed: {' '.join(result.stderr.split())[-300:]}")
    return result.stdout
