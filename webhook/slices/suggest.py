"""Suggestions for a misspelt slice or name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fractions import Fraction as Rational
from math import ceil

from webhook.budget import Budget
from webhook.slices.profile import RESOURCE_PREFIX, MigProfile

EXAMPLES = "a profile such as '1g.5gb', a fraction such as '1/7', a memory size such as '10gb' or '10Gi', or 'shared'"

LIKE_A_PROFILE = re.compile(r"[0-9]+[gc](?![bi])")
_ALMOST_A_PROFILE = re.compile(
    r"([1-9][0-9]{0,2})g?[.:_-]?([1-9][0-9]{0,3})(?:g|gb|gi|gib)?([+.](?:me\.all|me|gfx)|-me)?"
)
_ALMOST_A_COUNT = re.compile(r"([0-9]{1,20}) *[xX*] *")


LONGEST_WORD = 64
"""Characters of a word that gets a suggestion.  No slice is longer, and matching may take quadratic time."""


def likely(word: str, readable: Callable[[str], bool]) -> tuple[list[tuple[str, str]], str]:
    """The slices that *word* most likely means, each with what it is, none smaller than *word*; or a hint in words."""
    if len(word) > LONGEST_WORD:
        return [], ""
    count = _ALMOST_A_COUNT.match(word)
    if count and word[count.end() :]:
        inner = word[count.end() :]
        number = count[1].lstrip("0")
        if not 0 < len(number) < 5:
            return [], "Write a count from 1 to 9999 before the 'x'"
        if _ALMOST_A_COUNT.match(inner):
            return [], "Write one count before the slice, as in '2x1g.5gb'"
        slices, hint = ([(inner, "")], "") if readable(inner) else likely(inner, readable)
        return [(f"{number}x{slice}", what) for slice, what in slices], hint
    lower = word.lower()
    for prefix in (RESOURCE_PREFIX, "mig-"):
        lower = lower.removeprefix(prefix)
    if lower in ("shared", "share", "timesliced", "time-sliced", "timeslice", "time-slicing", "mps", "gpu.shared"):
        return [("shared", " for one share of a time-sliced GPU")], ""
    if lower in ("full", "whole", "all", "true", "yes", "gpu", "1", "1gpu", "nvidia.com/gpu"):
        return [], f"For a whole GPU remove the annotation and ask for nvidia.com/gpu; for a slice write {EXAMPLES}"
    memory = [] if LIKE_A_PROFILE.match(word) else _memory(lower)
    match = _ALMOST_A_PROFILE.fullmatch(lower)
    if match and "g" in lower and not (memory and "." not in word) and len(memory) != 1:
        profile = f"{match[1]}g.{match[2]}gb{match[3] or ''}"
        return [
            (profile, " for the profile" if memory else ""),
            *((slice, " for memory") for slice, _ in memory[:1]),
        ], ""
    if memory:
        return memory, ""
    if match := re.fullmatch(r"(0?\.[0-9]{1,4}|[0-9]{1,2}(?:\.[0-9]{1,2})?%)", lower):
        share = Rational(lower.rstrip("%")) / (100 if lower.endswith("%") else 1)
        if 0 < share <= 1:
            # The smallest fraction of up to eight parts that is not less.
            share = min(Rational(ceil(share * parts), parts) for parts in range(1, 9))
            return [(f"{share.numerator}/{share.denominator}", "")], ""
    if re.fullmatch(r"[a-z]+[0-9]+[a-z0-9-]*", lower):
        return [], f"Name the slice before the GPU, as in '1/7@{lower}'"
    return [], ""


def _memory(word: str) -> list[tuple[str, str]]:
    """The memory sizes that *word* may mean, in whole numbers."""
    match = re.fullmatch(r"([0-9]{1,8}(?:\.[0-9]{1,4})?)(m|g)(i?)b?", word)
    amount = ceil(Rational(match[1]) / ((1024 if match[3] else 1000) if match[2] == "m" else 1)) if match else 0
    if not match or not 0 < amount < 100_000:
        return []
    real = (f"{amount}Gi", " for real memory")
    return [real] if match[3] else [(f"{amount}gb", " for the profile's number"), real]


def nearest(word: str, known: Iterable[str], budget: Budget | None = None, *, cutoff: float = 0.6) -> str | None:
    """The word of *known* that looks most like *word*; None if none is similar.  *cutoff*: how similar, up to 1.

    Each comparison may take quadratic time, so it spends steps of *budget*, and is skipped if too few are left.
    """
    word = word[:LONGEST_WORD]
    words = [candidate for candidate in known if budget is None or budget.afford(32 + 2 * len(word) * len(candidate))]
    matches = get_close_matches(word, words, n=1, cutoff=cutoff)
    return matches[0] if matches else None


def distance(wanted: MigProfile, offered: MigProfile) -> tuple[int, int, bool]:
    """How much two profiles differ: in compute slices first, then in memory, then in engines."""
    return (
        abs(wanted.compute_slices - offered.compute_slices),
        abs(wanted.memory_gb - offered.memory_gb),
        wanted.attribute != offered.attribute,
    )
