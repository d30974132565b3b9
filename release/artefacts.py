"""What is attached to a release: sdist and wheel, bills of materials, the plugin for krew, and checksums."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import hatch_build
from webhook import __version__

ROOT = Path(__file__).parents[1]
KREW = Path(__file__).parent / "krew"
LOCKS = {"gpu-slice": "requirements.lock", "serve": "requirements-serve.lock", "keeper": "requirements-keeper.lock"}
"""The bill of materials of each, by its lock: the command line, and the two images."""
SUMS = "SHA256SUMS"


def make(folder: Path) -> None:
    """Make all of it in *folder*.  The same commit makes the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    distributions(folder)
    for name in LOCKS:
        materials(folder, name)
    krew(folder)
    sums(folder)


def sums(folder: Path) -> None:
    """The checksums of the files in *folder*, but not of an earlier list of them."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    (folder / SUMS).write_text("".join(f"{_sum(path)}  {path.name}\n" for path in files), "utf-8")


def epoch() -> str:
    """Seconds of the commit, which is what everything is dated by."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    return subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def distributions(folder: Path) -> None:
    """The sdist and the wheel.  Raises RuntimeError if the page's editor cannot be built."""
    if problem := hatch_build.build():
        raise RuntimeError(f"a release without the page's editor: {problem}")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder.resolve())]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"SOURCE_DATE_EPOCH": epoch()}, check=True)


def materials(folder: Path, name: str) -> None:
    """The bill of materials of one of `LOCKS`, as CycloneDX has it."""
    path = folder / f"gpu-slice-{name}-{__version__}.cdx.json".replace("gpu-slice-gpu-slice", "gpu-slice")
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", str(ROOT / LOCKS[name])]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application", "--output-reproducible"]
    subprocess.run([*command, *options, "-o", str(path)], check=True)
    bill = json.loads(path.read_text("utf-8"))
    bill["metadata"]["component"]["version"] = __version__  # which is not in pyproject.toml
    path.write_text(json.dumps(bill, indent=1) + "\n", "utf-8")


def krew(folder: Path) -> None:
    """The plugin's archive, and the manifest by which krew finds it in the releases of ``GITHUB_REPOSITORY``."""
    script = (KREW / "kubectl-gpu_slice").read_text("utf-8").replace("@VERSION@", __version__).encode()
    archive = folder / f"kubectl-gpu_slice-{__version__}.tar.gz"
    raw = BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in (
            ("kubectl-gpu_slice", script, 0o755),
            ("LICENSE", (ROOT / "LICENSE").read_bytes(), 0o644),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), mode, int(epoch())
            tar.addfile(member, BytesIO(content))
    archive.write_bytes(gzip.compress(raw.getvalue(), mtime=int(epoch())))
    text = (KREW / "gpu-slice.yaml").read_text("utf-8").replace("@VERSION@", __version__)
    repository = os.environ.get("GITHUB_REPOSITORY", "OWNER/gpu-slice")
    text = text.replace("@REPOSITORY@", repository).replace("@SHA256@", _sum(archive))
    (folder / "gpu-slice.yaml").write_text(text, "utf-8")


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
