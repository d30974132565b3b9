"""The pages for whoever runs gpu-slice say what the program does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from webhook.server.settings import LEAST_FILES, LEAST_MEMORY, limits

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "says", "files"),
    [
        ("operations.md", "{} connections from one address and {} in all", LEAST_FILES),
        ("scale.md", "{:,} of one address, {:,} in all; ", sys.maxsize),
        ("scale.md", "; {:,} and {:,} with 2,048 file descriptors", LEAST_FILES),
    ],
)
def test_what_a_replica_takes_is_told_by_memory_and_by_file_descriptors(page: str, says: str, files: int) -> None:
    given = limits(LEAST_MEMORY, files)
    assert says.format(given.of_a_source, given.connections) in " ".join((DOCS / page).read_text().split())
