"""No text is expensive to read: what a preview does grows as the text does."""

from __future__ import annotations

import pytest

from tests.hostile_texts import HOSTILE_TEXTS
from tests.linear import ending
from tests.pods import fleet_of
from webhook import documents
from webhook.errors import BadDocument
from webhook.server.api.dry_run import dry_run


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_text_is_previewed_in_little_time(name: str) -> None:
    with ending(5):
        dry_run(HOSTILE_TEXTS[name], fleet_of("built-in"), "default", 1, None, "", 1_000, lambda _=0: None)


@pytest.mark.parametrize(
    ("text", "values", "lines"),
    [
        ('{}}}\n} {"a": 1}', [{}, {"a": 1}], [1]),
        ('\n}\n{"a": 1}', [], [2]),
        ('{}\n]\n{"a": 1}\n}', [{}, {"a": 1}], [2, 4]),
        ("{}\n\n  x", [{}], [3]),
        ('{}}x\n{"a": 1}', [{}], [1, 1]),
    ],
)
def test_brackets_that_nothing_has_opened_are_one_mistake_and_hide_no_object(
    text: str, values: list[object], lines: list[int]
) -> None:
    found = list(documents.stream([text.encode()]))
    assert [each.value for each in found if not isinstance(each, BadDocument)] == values
    assert [each.line for each in found if isinstance(each, BadDocument)] == lines
