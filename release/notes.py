"""The notes of a release: its part of ``CHANGELOG.md``, and of ``docs/compatibility.md``."""

from __future__ import annotations

import re
from pathlib import Path

from webhook import __version__

ROOT = Path(__file__).parents[1]


def of_version(version: str = __version__) -> str:
    """What stands under ``## [VERSION]``; empty if there is no such part."""
    return part((ROOT / "CHANGELOG.md").read_text("utf-8"), rf"\[{re.escape(version)}\]")


def upgrade(version: str = __version__) -> str:
    """What whoever upgrades to *version* has to do."""
    return part((ROOT / "docs" / "compatibility.md").read_text("utf-8"), rf"To {re.escape(version)}", level=3)


def part(text: str, title: str, level: int = 2) -> str:
    """What stands under the heading *title*, a pattern, down to the next of its level or above.

    >>> part("# A\\n\\n## [1]\\n\\none\\n\\n### x\\n\\n## [0]\\n", r"\\[1\\]")
    'one\\n\\n### x'
    """
    found = re.search(rf"^{'#' * level} {title}[^\n]*\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def problems(tag: str = "") -> list[str]:
    """What keeps this version from being released as *tag*."""
    found = []
    if tag and tag != f"v{__version__}":
        found.append(
            f"the tag is '{tag}', and webhook/__init__.py says '{__version__}'. Tag v{__version__}, or change it."
        )
    if tag and not of_version():
        found.append(f"CHANGELOG.md has nothing under '## [{__version__}]'. Rename the part 'Unreleased'.")
    if not upgrade():
        found.append(
            f"docs/compatibility.md has nothing under '### To {__version__}'. Say what whoever upgrades has to do."
        )
    return found
