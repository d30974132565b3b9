"""A choice in other words than the annotation's: ``1/7 of an A100``, ``1g.5gb x 2``, ``h100:1g.10gb``, ``half``.

Only what can mean one thing is read.  Whether the pod gets it is tried before it is proposed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from webhook.errors import Denial, quote
from webhook.slices.misspelt import Misspelt
from webhook.slices.suggest import GPU, LONGEST_WORD, likely

_REWRITTEN = (
    (re.compile(r"(?<=[0-9])(?:th|rd)s?\b|[.!]\Z|\A-\s+", re.IGNORECASE), ""),
    (re.compile(r"(?<=[0-9b])(?=(?:gpu|slice)s?\b)", re.IGNORECASE), " "),
    (re.compile(r"\b([1-9]) *(?:/|(?:out )?of) *([1-9])\b(?![./])", re.IGNORECASE), r"\1/\2"),
    (re.compile(r"(?<=[0-9])\s+(?=%|[gm]i?b?\b)", re.IGNORECASE), ""),
    (re.compile(r"(?<=[a-z0-9%])[\s(]*[x*×]\s*([1-9][0-9]{0,3})(?=[\s@)]|\Z)", re.IGNORECASE), r" \1"),  # 1g.5gbx2
    (re.compile(r"\b([1-9][0-9]{0,3})[x*×](?=[a-z])", re.IGNORECASE), r"\1 "),  # 2xh100
    (re.compile(r"-(?=[1-9]g\.|shared\b)|(?<=gb|ed)-(?=[a-z]+[0-9])", re.IGNORECASE), " "),  # a100-1g.5gb
)
"""Patterns, and what is read instead.  They see no more than `LONGEST_WORD` characters."""
_WORD = re.compile(r"(?:[1-9][0-9]{0,3}[x*×])?[1-9][0-9]{0,3}/[1-9][0-9]{0,3}(?![\w./])|[^\s:;/=@()\[\]{}<>\"'`]+")
_OR = re.compile(r"(?<!\s)\s++or\s+", re.IGNORECASE)
_NAME = re.compile(r"\W*([a-z0-9][-a-z0-9]*)\W*:")
_MEMORY = re.compile(r"[0-9.]+[gm]i?b?", re.IGNORECASE)
_IGNORED = re.compile(r"an?|o[fn]|the|each|(?:gpu|slice)s?|mig|profile|nvidia(?:\.com)?|memory|mem|v?ram|[x*×]")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8}


class Wording(NamedTuple):
    """What words say."""

    word: str
    """The slice, as it was written, with its count."""
    gpu: str
    """With an ``@``; empty if none is named."""
    slices: list[tuple[str, str]]
    """What may be meant, and what it is, the likeliest first."""


def reworded(error: Denial, text: str, readable: Callable[[str], bool]) -> Denial:
    """*error* in the annotation *text*, with what to write where the part that is wrong says it in other words."""
    if error.reason != "grammar" or error.position is None:
        return error
    if isinstance(error, Misspelt) and "@" not in error.slices[0][0] and error.after.strip()[:1] in ",|":
        return error
    start = max(text.rfind(sign, 0, error.position) for sign in ",|") + 1
    part = re.split("[,|]", text[start:], maxsplit=1)[0]
    end = start + len(part)
    if error.position >= end or len(part) > 2 * LONGEST_WORD:  # it is about the sign there, or about nothing
        return error
    container, sign, rest = part.partition("=")
    for words in ([rest] if sign and _NAME.match(f"{container.strip()}:") else []) + [part]:
        wording = read(words.strip(), readable)
        if wording is None:
            continue
        if wording.slices[0][0] == words.strip():
            break
        start = end - len(words.lstrip())
        problem, position = error.problem, error.position
        if " is not a " in problem or "nothing more" in problem:  # of which it says no more than where
            problem, position = f"{quote(words.strip())} is not a slice", start
        misspelt = Misspelt(error.field, problem, position, wording.slices)
        return misspelt.within(text[:start], wording.word, wording.gpu, text[end:])
    return error


def read(words: str, readable: Callable[[str], bool]) -> Wording | None:
    """What *words* say in place of a choice; None where they may mean anything else."""
    if len(words) > LONGEST_WORD:
        return None
    if len(alternatives := _OR.split(words)) > 1:
        read_alone = [read(alternative, readable) for alternative in alternatives]
        choices = [each.slices[0][0] + each.gpu for each in read_alone if each is not None]
        return Wording("", "", [("|".join(choices), "")]) if len(choices) == len(alternatives) else None
    named, whole = _NAME.match(words), GPU.fullmatch(words)
    for pattern, instead in _REWRITTEN:
        words = pattern.sub(instead, words)
    slices: list[tuple[str, str]] = []
    counts, gpus, name, word = [], [], "", ""
    for token in _WORD.findall(words):
        lower = token.lower()
        part = _PARTS.get(lower) or _PARTS.get(lower.removesuffix("s"))
        found = [(token, "")] if readable(token) else likely(token, readable)[0]
        if _IGNORED.fullmatch(lower):
            continue
        if lower in _NUMBERS or re.fullmatch("[1-9][0-9]{0,3}", lower):
            counts.append(_NUMBERS.get(lower) or int(lower))
        elif part and not slices:
            many = counts.pop() if counts and lower.endswith("s") else 1
            slices, word = [(f"{many}/{part}", "")], ""
        elif found and "@" in found[0][0]:
            gpus.append(lower)
            name = token if named and named[1] == token else name
        elif found and (not slices or found[0][0] == slices[0][0] == "shared"):
            slices, word = found, token
        elif named and named[1] == token and not name:
            name = token
        else:
            return None
    if not slices or len(counts) > 1 or len(gpus) > 1 or (gpus and whole and _MEMORY.fullmatch(word)):
        return None  # "A100 40GB" is a GPU's name
    count = f"{counts[0]}x" if counts and counts[0] > 1 else ""
    if counts and re.match("[0-9]+x", slices[0][0]):
        return None
    slices = [(count + slice, what) for slice, what in slices]
    if name:
        slices = slices * bool(gpus) + [(f"{name}={slice}", what) for slice, what in slices]
    return Wording(count + word, f"@{gpus[0]}" if gpus else "", slices)
