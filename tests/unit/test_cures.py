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
        for name in ("operations", "troubleshooting", "checks", "causes", "live", "messages", "shadow")
    ),
    ROOT / "manifests" / "monitoring" / "prometheusrule.yaml",
]
WHOLE = re.compile(r"[Aa]pply\s+(?:-k\s+)?`?manifests(?:/(?:webhook|keeper))?`?(?![/\w])")
"""A folder that has the built-in fleet, or an image that nobody has: applied again, it replaces somebody's own."""
REGISTERED = re.compile(
    r"(?:[Aa]pply|replace|create)\s+(?:(?:--?\S+|manifests/\S+)\s+)*`?manifests/(?:guard\b|shadow\b|webhook/(?:webhook|advice)\.yaml)"
)
"""What the API server does, as shipped: without shadow, and with the Service in the namespace ``gpu-slice``."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_apply_what_would_replace_their_fleet_or_image(path: Path) -> None:
    assert WHOLE.findall(path.read_text()) == []


@pytest.mark.parametrize("path", [*TEXTS, ROOT / "docs" / "helm.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_apply_what_would_end_shadow_or_call_another_namespace(path: Path) -> None:
    assert REGISTERED.findall(path.read_text()) == []


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("kubectl apply -k manifests/guard", True, id="the guard"),
        pytest.param("kubectl apply -f manifests/guard/binding.yaml", True, id="a file of it"),
        pytest.param("kubectl apply -f manifests/webhook/webhook.yaml", True, id="the configuration"),
        pytest.param("kubectl apply -f manifests/webhook/pdb.yaml -f manifests/webhook/advice.yaml", True, id="two"),
        pytest.param("kubectl replace -f manifests/webhook/webhook.yaml", True, id="replaced"),
        pytest.param("Change `manifests/webhook/webhook.yaml` and apply your folder", False, id="what to change"),
        pytest.param("kubectl apply -f manifests/webhook/pdb.yaml", False, id="another file"),
    ],
)
def test_such_a_registration_is_seen(text: str, found: bool) -> None:
    assert bool(REGISTERED.search(text)) is found
