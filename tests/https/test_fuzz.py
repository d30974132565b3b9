"""A short version of the fuzzing in `tests.soak`."""

from __future__ import annotations

import pytest

from tests.soak.fuzz import fuzz

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(4))
def test_reviews_that_were_bent_on_their_way_are_answered_or_refused(seed: int) -> None:
    """P3, P4, P19."""
    found = fuzz(10_000, seed)
    assert {"allowed", "denied", "400"} <= set(found)
    assert sum(found.values()) == 10_000
