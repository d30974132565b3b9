"""The version stands in ``webhook/__init__.py``, and is brought from there to wherever else it is read.

python -m tests.version          writes it into the chart, the manifests and the pages
"""

from __future__ import annotations

import re
from pathlib import Path

from webhook import __version__

ROOT = Path(__file__).parents[1]
PLACE = re.compile(
    r"(?P<before>(?:\bgpu-slice|\$IMAGE)(?:-keeper)?:"
    r"|\bnewTag: |\bat present |\*\*gpu-slice\*\* |^(?:app)?[vV]ersion: )"
    r"(?P<version>\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)",
    re.MULTILINE,
)
"""A place that has the version, by what stands before it."""


def files() -> list[Path]:
    """Those that are shipped or read."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    return sorted([*(path for path in pages if path.name != "CHANGELOG.md"), *ROOT.glob("manifests/**/*.yaml")])


def written(text: str, version: str = __version__) -> str:
    """*text* with *version* in each place."""
    return PLACE.sub(lambda found: found["before"] + version, text)


if __name__ == "__main__":
    for path in files():
        path.write_text(written(path.read_text()))
