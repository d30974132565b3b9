"""The chart as it is published: with the images of the release."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from webhook import __version__

ROOT = Path(__file__).parents[1]
CHART = ROOT / "manifests" / "helm" / "gpu-slice"


def package(folder: Path, repository: str, serve: str, keeper: str, helm: str = "helm") -> Path:
    """Package the chart into *folder*.

    *repository*: of the webhook's image, such as ghcr.io/OWNER/gpu-slice; the keeper's has ``-keeper`` behind it.
    *serve*, *keeper*: their digests.
    """
    with tempfile.TemporaryDirectory(prefix="gpu-slice-chart-") as copied:
        chart = Path(shutil.copytree(CHART, Path(copied) / "gpu-slice"))
        values = chart / "values.yaml"
        values.write_text(named(values.read_text("utf-8"), repository, serve, keeper), "utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([helm, "lint", "--strict", str(chart)], check=True)
        subprocess.run([helm, "package", str(chart), "-d", str(folder)], check=True)
    return folder / f"gpu-slice-{__version__}.tgz"


def named(text: str, repository: str, serve: str, keeper: str) -> str:
    """*text*, of ``values.yaml``, with the images of a release.  Raises ValueError for what is no digest."""
    if wrong := [each for each in (serve, keeper) if not re.fullmatch(r"sha256:[0-9a-f]{64}", each)]:
        raise ValueError(f"'{wrong[0]}' is no digest of an image")
    changed = text.replace("\n  repository: gpu-slice\n", f"\n  repository: {repository}\n")
    digests = iter((serve, keeper))
    changed, count = re.subn(
        r'^( +digest): ""$', lambda found: f"{found[1]}: {next(digests)}", changed, flags=re.MULTILINE
    )
    if changed.count(repository) != 1 or count != 2:
        raise ValueError("values.yaml: image.repository, image.digest and keeper.image.digest are not where they were")
    return changed
