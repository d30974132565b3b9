"""No text is expensive to read: what a preview does grows as the text does."""

from __future__ import annotations

import pytest

from tests.hostile_texts import HOSTILE_TEXTS
from tests.linear import ending
from tests.pods import fleet_of
from webhook.server.api.dry_run import dry_run


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_text_is_previewed_in_little_time(name: str) -> None:
    with ending(5):
        dry_run(HOSTILE_TEXTS[name], fleet_of("built-in"), "default", 1, None, 1_000, lambda _=0: None)
