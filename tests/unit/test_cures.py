"""What messages and pages tell somebody to do does no harm to an installation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [
    *(path for name in ("webhook", "certs") for path in (ROOT / name).rglob("*.py")),
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("operations", "troubleshooting", "checks", "causes", "live", "messages")
    ),
    ROOT / "manifests" / "monitoring" / "prometheusrule.yaml",
]
WHOLE = re.compile(r"[Aa]pply\s+(?:-k\s+)?`?manifests(?:/(?:webhook|keeper))?`?(?![/\w])")
"""A folder that has the built-in fleet, or an image that nobody has: applied again, it replaces somebody's own."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_apply_what_would_replace_their_fleet_or_image(path: Path) -> None:
    assert WHOLE.findall(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("Apply manifests/webhook again.", True, id="a folder"),
        pytest.param("run `kubectl apply -k manifests/keeper`", True, id="by kustomize"),
        pytest.param("apply\n`manifests/webhook`, `guard`", True, id="over two lines"),
        pytest.param("kubectl apply -k manifests", True, id="all of them"),
        pytest.param("kubectl apply -f manifests/webhook/pdb.yaml", False, id="one file"),
        pytest.param("kubectl apply -k manifests/monitoring", False, id="a folder without fleet and image"),
    ],
)
def test_such_a_sentence_is_seen(text: str, found: bool) -> None:
    assert bool(WHOLE.search(text)) is found
