"""What somebody most likely meant: the nearest of the words that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from webhook.slices.profile import MigProfile

_LONGEST = 64
"""Characters that are compared: the comparison is quadratic, and the word is a stranger's."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word of *known* that looks most like *word*, if one does."""
    found = get_close_matches(word[:_LONGEST], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def distance(wanted: MigProfile, offered: MigProfile) -> tuple[int, int, bool]:
    """How far two profiles are apart: compute slices first, then memory, then engines."""
    return (
        abs(wanted.compute_slices - offered.compute_slices),
        abs(wanted.memory_gb - offered.memory_gb),
        wanted.attribute != offered.attribute,
    )
