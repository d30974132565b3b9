"""The replicas of which `gpu-slice check --shadow` adds up the counts: which are asked, and since when they count."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from webhook.cli import files
from webhook.cli.shadow import verdict
from webhook.cluster.reader import Reader
from webhook.cluster.shadow import Replica, read, replicas
from webhook.fleet.fleet import Fleet
from webhook.server.fleet_file import FleetWatch
from webhook.server.metrics import Metrics

FLEETS = Path(__file__).parents[1] / "fleets"
SHADOW = (FLEETS / "shadow.yaml").read_bytes()
POOLS = (FLEETS / "shadow-pools.yaml").read_bytes()
ENFORCED = files.default_fleet_text()
START = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fleets", "shadow"),
    [
        pytest.param([SHADOW], True, id="all"),
        pytest.param([POOLS], True, id="a pool"),
        pytest.param([ENFORCED], False, id="nothing"),
        pytest.param([ENFORCED, SHADOW], True, id="into shadow"),
        pytest.param([SHADOW, ENFORCED], False, id="and back"),
        pytest.param([SHADOW, b"x"], True, id="a bad file changes nothing"),
    ],
)
def test_a_replica_tells_whether_anything_of_the_fleet_that_it_serves_is_in_shadow(
    fleets: list[bytes], shadow: bool, tmp_path: Path
) -> None:
    metrics, path = Metrics(), tmp_path / "fleet.yaml"
    watch = FleetWatch(path, files.load_fleet, metrics)
    for text in fleets:
        path.write_bytes(text)
        watch.look()
    assert isinstance(watch.current, Fleet)
    assert read("a", metrics.text().decode()).in_shadow is shadow


class Replicas(Reader):
    """A cluster with these pods, by phase, all of which answer."""

    def __init__(self, *phases: str) -> None:
        self.phases = phases
        self.asked: list[str] = []

    def _ask(self, method: str, path: str, query: Any = None, body: Any = None, most: int | None = None) -> bytes:
        if path.endswith("/metrics"):
            self.asked.append(path)
            return b"gpu_slice_shadow 1\n"
        items = [{"metadata": {"name": phase}, "status": {"phase": phase}} for phase in self.phases]
        return json.dumps({"items": items, "metadata": {}}).encode()


def test_a_replica_that_has_ended_is_not_asked() -> None:
    """Its pod stays after an eviction, and would be one that could not be looked at."""
    reader = Replicas("Running", "Succeeded", "Failed", "Pending")
    assert [each.name for each in replicas(reader, "gpu-slice")] == ["Running", "Pending"]
    assert len(reader.asked) == 2


def test_the_counts_are_complete_since_the_last_replica_started() -> None:
    found = [Replica(str(hour), since=START + timedelta(hours=hour)) for hour in (1, 3, 2)]
    assert "(complete since 2026-11-26 15:00:00 UTC, when the last replica started)" in verdict(found)[1]
