"""docs/reliability.md says what is proved by which test, and is right."""

from __future__ import annotations

from tests.promises import OPEN, PAGE, PROMISES, proofs, written


def test_every_promise_has_a_test_that_names_it_or_says_why_not() -> None:
    found = proofs()
    assert [each for each in PROMISES if not found[each] and each not in OPEN] == []
    assert set(found) <= set(PROMISES)


def test_the_table_is_what_the_tests_say() -> None:
    text = PAGE.read_text()
    assert written(text) == text, "run python -m tests.promises"
