"""Somebody has applied a fleet with a mistake: what the commands say that they would find it with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.world import FLEET, World, pod

Document = dict[str, Any]


@pytest.fixture
def mistaken(live: World) -> Iterator[World]:
    def mistake(document: Document) -> None:
        document["data"]["fleet.yaml"] = FLEET.replace("1g.5gb: 7", "1g5gb: 7")

    assert "1g.5gb: 7" in FLEET
    with live.changed("ConfigMap", "fleet", mistake, "gpu-slice"):
        yield live


def test_check_tells_the_mistake_and_looks_at_what_needs_no_fleet(mistaken: World) -> None:
    result = mistaken.gpu_slice("check", "-o", "json")
    assert result.exit_code == 1, result.output
    status = {each["id"]: each["status"] for each in json.loads(result.stdout)["checks"]}
    assert [id for id, found in status.items() if found == "failed"] == ["fleet"]
    good = {id for id, found in status.items() if found == "good"}
    assert good >= {"kubernetes-version", "replicas", "webhook-registered", "ca-bundle", "leaf", "guard", "keeper"}
    told = mistaken.gpu_slice("check", "-o", "short").stdout
    assert "'1g5gb' is not a MIG profile" in told
    assert "go on with the last good fleet" in told
    assert mistaken.gpu_slice("check", "--pre").exit_code == 3


@pytest.mark.parametrize("command", ["usage", "fit --cluster", "explain FILE"])
def test_what_cannot_do_without_a_fleet_says_what_to_do(mistaken: World, tmp_path: Path, command: str) -> None:
    (tmp_path / "pod.yaml").write_text(json.dumps(pod("p", "1g.5gb")))
    result = mistaken.gpu_slice(*command.replace("FILE", str(tmp_path / "pod.yaml")).split())
    assert result.exit_code == 3, result.output
    assert "'1g5gb' is not a MIG profile" in result.stderr
    assert "Correct the file and apply it, or name another with --fleet" in result.stderr
