"""Suggestions for a misspelt slice or name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fractions import Fraction as Rational
from math import ceil

from webhook.budget import Budget
from webhook.errors import quote
from webhook.slices.profile import BadProfile, MigProfile

EXAMPLES = "a profile such as '1g.5gb', a fraction such as '1/7', a memory size such as '10gb' or '10Gi', or 'shared'"
HOWTO = f"Write {EXAMPLES}"

_LIKE_A_PROFILE = re.compile(r"[0-9]+[gc](?![bi])")
_ALMOST_A_PROFILE = re.compile(
    r"([1-9][0-9]{0,2})g?[.:_-]?([1-9][0-9]{0,3})(?:g|gb|gi|gib)?([+.](?:me\.all|me|gfx)|-me)?"
)
_ALMOST_A_COUNT = re.compile(r"([0-9]{1,20}) *[xX*×] *")
_PREFIX = re.compile(r"(?:nvidia\.com/)?(?:mig[-_]?)?")
GPU = re.compile(
    r"(?:(?:nvidia|tesla)[ _-]+[a-z]|rtx[ _-]pro[ _-][0-9]|[a-z]+[0-9])(?:[a-z0-9 _-]{0,60}[a-z0-9])?",
    re.IGNORECASE | re.ASCII,
)
QUOTES = "'\"`‘’“”"

_WHOLE = ("full", "whole", "all", "true", "yes", "on", "enabled", "gpu", "1", "1.0", "1gpu", "100%", "1000m")
_NONE = ("false", "no", "off", "none", "null", "disabled", "0", "0.0", "0%")
_SHARED = ("shared", "share", "timesliced", "timeslice", "timeslicing", "mps", "gpushared", "sharedgpu")

LONGEST_WORD = 64
"""Characters of a word that gets a suggestion.  No slice is longer, and matching may take quadratic time."""


def wrong(word: str) -> tuple[str, int, str]:
    """What is wrong with *word*, which is no slice, at which index; and what to write if nothing is likely."""
    try:
        MigProfile.parse(word)
    except BadProfile as error:
        if _LIKE_A_PROFILE.match(word):
            rest = quote(word[error.position :]) if word[error.position :] else "the end"
            problem = f"{quote(word)} is not a MIG profile: expected {error.expected}, found {rest}"
            return problem, error.position, "Write it as in '1g.5gb' or '1g.10gb+me'"
    return f"{quote(word)} is not a slice", 0, HOWTO


def likely(word: str, readable: Callable[[str], bool]) -> tuple[list[tuple[str, str]], str]:
    """The slices that *word* most likely means, each with what it is, none smaller than *word*; or a hint in words."""
    if len(word) > LONGEST_WORD:
        return [], ""
    if (bare := word.strip(QUOTES)) != word:
        return ([(bare, "")], "") if readable(bare) else likely(bare, readable)
    count = _ALMOST_A_COUNT.match(word)
    if count and word[count.end() :]:
        inner = word[count.end() :]
        number = count[1].lstrip("0")
        if not 0 < len(number) < 5:
            return [], "Write a count from 1 to 9999 before the 'x'"
        slices, hint = ([(inner, "")], "") if readable(inner) else likely(inner, readable)
        if _ALMOST_A_COUNT.match(slices[0][0] if slices else inner):
            return [], "Write one count before the slice, as in '2x1g.5gb'"
        return [(f"{number}x{slice}", what) for slice, what in slices], hint
    lower = _PREFIX.sub("", word.lower(), count=1)
    if re.sub("[-_.]", "", lower) in _SHARED:
        return [("shared", " for one share of a time-sliced GPU")], ""
    share = _share(word)
    if lower in _WHOLE or share > 1:
        return [], f"For a whole GPU remove the annotation and ask for nvidia.com/gpu; for a slice write {EXAMPLES}"
    if lower in _NONE:
        return [], f"For no slice remove the annotation; for one write {EXAMPLES}"
    if share:
        # The smallest fraction of up to eight parts that is not less.
        share = min(Rational(ceil(share * parts), parts) for parts in range(1, 9))
        return [(f"{share.numerator}/{share.denominator}", "")], ""
    if lower != word.lower() and readable(lower):
        return [(lower, "")], ""
    memory = [] if _LIKE_A_PROFILE.match(word) else _memory(lower)
    match = _ALMOST_A_PROFILE.fullmatch(lower)
    if match and "g" in lower and not (memory and "." not in word) and len(memory) != 1:
        profile = f"{match[1]}g.{match[2]}gb{match[3] or ''}"
        return [
            (profile, " for the profile" if memory else ""),
            *((slice, " for memory") for slice, _ in memory[:1]),
        ], ""
    if memory:
        return memory, ""
    if GPU.fullmatch(word) and len(word) < LONGEST_WORD:
        gpu = "-".join(word.lower().split())
        return [(f"1/7@{gpu}", " for a slice of this GPU"), (f"shared@{gpu}", " for a share of it")], ""
    return [], ""


def spaced(words: str, readable: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Like `likely`, for *words* with spaces between them."""
    if len(words) > LONGEST_WORD or GPU.fullmatch(words):
        return likely(words, readable)[0]
    word = "".join(words.split())
    if re.search(r"[0-9]\s+[0-9]", words):
        return []
    slices = [(word, "")] if readable(word) else likely(word, readable)[0]
    return [] if slices and "@" in slices[0][0] else slices


def _share(word: str) -> Rational:
    """The share of a GPU that *word* says in decimals, per cent, or as Kubernetes writes thousandths; 0 if none."""
    match = re.fullmatch(r"(0?\.[0-9]{1,4})|([0-9]{1,2}(?:\.[0-9]{1,2})?)%|([0-9]{1,8})m", word)
    if match is None:
        return Rational(0)
    return Rational(match[1] or match[2] or match[3]) / (1 if match[1] else 100 if match[2] else 1000)


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
