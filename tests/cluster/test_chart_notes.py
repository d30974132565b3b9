"""What helm says at the end, of a fleet with something in shadow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart import CHART
from tests.cluster import programs
from tests.cluster.helm import Helm
from tests.packages import skip
from tests.stories import FLEETS
from webhook import documents

FLEET = dict(documents.read(FLEETS["single"].read_bytes(), name="fleet")[0].value)


@pytest.fixture(scope="module", name="helm")
def _helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, which needs no cluster to show its notes; 3 does."""
    try:
        return Helm(programs.helm(4), tmp_path_factory.mktemp("helm"))
    except programs.BuildError as error:
        skip(error)


def notes(helm: Helm, fleet: dict[str, Any], namespace: str) -> str:
    options = ["install", "r", str(CHART), "-n", namespace, "--dry-run=client", "-f", "-"]
    done = helm(*options, stdin=json.dumps({"fleet": fleet}))
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


@pytest.mark.parametrize(
    ("more", "shadow"),
    [
        ({"mode": "shadow"}, True),
        ({"defaults": {"mode": "shadow"}}, True),
        ({"namespaces": {"team-a": {"mode": "shadow"}}}, True),
        ({"mode": "shadow", "namespaces": {"*": {"mode": "enforce"}}}, False),
        ({}, False),
    ],
    ids=str,
)
def test_the_notes_say_that_something_is_in_shadow_and_what_to_run_next(
    helm: Helm, more: dict[str, Any], shadow: bool
) -> None:
    for namespace, option in (("gpu-slice", ""), ("slices", " --webhook-namespace slices")):
        said = notes(helm, FLEET | more, namespace)
        assert "Wait until it answers" in said
        assert ("something is in shadow (docs/shadow.md)" in said) is shadow
        assert (f"\n\n  gpu-slice check --shadow{option}\n\n" in said) is shadow
        assert ("a warning that says which it would get" in said) is shadow
        assert "\n\n\n" not in said
