"""Regular expressions take linear time, whatever others write.

No library is used: those on PyPI either do not know possessive repeats, or find no pattern that is merely quadratic.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.patterns import METHODS, Pattern, attack, patterns

ROOT = Path(__file__).parents[2]
FOLDERS = ("webhook", "certs", "release")
OURS = {"webhook.server.api.site", "webhook.render.boot", "release.notes"}
"""Modules whose patterns read this repository's own texts alone."""

ALL = [each for folder in FOLDERS for each in patterns(ROOT / folder) if each.place.partition(":")[0] not in OURS]


def pattern(text: str, *methods: str) -> Pattern:
    return Pattern("here", re.compile(text, re.MULTILINE), frozenset(methods or METHODS))


def test_every_one_is_found() -> None:
    text = "".join(path.read_text("utf-8") for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    written = len(re.findall(r"\bre\.(?:compile|match|search|fullmatch|sub|subn|split|findall|finditer)\(", text))
    assert len(ALL) > written > 80


@pytest.mark.slow
@pytest.mark.parametrize("each", ALL, ids=lambda each: each.place)
def test_it_takes_linear_time(each: Pattern) -> None:
    assert attack(each) is None


@pytest.mark.parametrize(
    "text",
    [
        r" *@ *([^,|=@]*[^,|=@ ])",
        r"^[ \t]*([^\s=:]+)[ \t]*[=:]?[ \t]*(\S.*)$",
        r"limits[^;]*\(NodePool=a\)",
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----",
        r"\[([^]]*)\]|([^.\[\]]+)",
        r"[ \t]+$",
        r"(?:a+)+b",
        r"([a-z]+)(?:-[0-9]+tb)?([0-9]+).*\.",
        r"(?:x|(?:a*)(?:(?:a|b)*))c",
        r"(?=\s*\w*\s*$)x",
        r"^(\w+\s?)*$",
    ],
)
def test_one_that_does_not_is_found(text: str) -> None:
    assert attack(pattern(text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        r" *+@ *+([^,|=@]*[^,|=@ ])",
        r"[^\s=:]++[ \t]*+[=:]?[ \t]*+(\S.*)$",
        r"-----BEGIN CERTIFICATE-----[^-]++-----END CERTIFICATE-----",
        r"\[([^]]*+)(?:\]|\Z)|([^.\[\]]+)",
        r"a{1,64}b",
    ],
)
def test_one_that_does_is_not(text: str) -> None:
    assert attack(pattern(text, "match", "fullmatch")) is None
