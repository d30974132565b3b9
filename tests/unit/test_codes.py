"""The codes of denials and warnings: a closed list."""

from __future__ import annotations

import re
from typing import get_args

from webhook.codes import DENIALS, WARNINGS, Reason, WarningCode


def test_every_code_has_a_sentence() -> None:
    assert list(DENIALS) == sorted(get_args(Reason))
    assert list(WARNINGS) == sorted(get_args(WarningCode))


def test_a_code_stands_for_one_thing_and_can_stand_in_a_link() -> None:
    assert DENIALS.keys() & WARNINGS.keys() == set()
    for code in (*DENIALS, *WARNINGS):
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
