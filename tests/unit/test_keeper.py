"""The keeper's loop, its log and its port, over a store in memory.  `tests.cluster.test_keeper` has the real one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certs import keeper as loop
from certs import metrics as ports
from certs.cluster import Conflict, Names, Snapshot, Unreachable
from certs.keeper import Keeper
from certs.metrics import Metrics, serve
from certs.stored import Stored


class Memory:
    """A store that fails as it is told to."""

    names = Names()

    def __init__(self, *failures: Exception) -> None:
        self.stored = Stored(bundle=b"")
        self.failures = list(failures)

    def read(self) -> Snapshot:
        return Snapshot(self.stored, {}, {}, {})

    def write(self, snapshot: Snapshot, after: Stored) -> None:
        if self.failures:
            raise self.failures.pop(0)
        assert snapshot.stored == self.stored
        self.stored = after


class Waits:
    """In place of the event that `run` waits for: notes how long, and ends it after so many turns."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.waited: list[float] = []

    def is_set(self) -> bool:
        return len(self.waited) >= self.turns

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"gpu_slice_keeper_{name}", labels)


def test_a_turn_leads_from_nothing_to_a_leaf_and_says_each_step(caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(Memory(), Metrics())
    with caplog.at_level("INFO", "gpu_slice"):
        assert keeper.try_turn()
    assert [each.getMessage() for each in caplog.records] == [
        "new authority",
        "publish",
        "mark published",
        "issue leaf",
    ]
    assert value(keeper.metrics, "steps_total", step="issue_leaf") == 1
    assert value(keeper.metrics, "authorities") == 1
    days = (value(keeper.metrics, "leaf_not_after_seconds") - datetime.now(UTC).timestamp()) / 86_400
    assert 364 < days < 366
    assert value(keeper.metrics, "renewal_overdue") == 0
    assert not any("PRIVATE KEY" in str(each.__dict__) for each in caplog.records)


def test_a_conflict_is_read_and_decided_anew() -> None:
    """P25."""
    keeper = Keeper(Memory(Conflict("a"), Conflict("b")), Metrics())
    assert keeper.try_turn()
    assert value(keeper.metrics, "conflicts_total") == 2
    assert value(keeper.metrics, "failures_total") == 0


def test_conflicts_without_end_are_a_failure() -> None:
    keeper = Keeper(Memory(*[Conflict("a")] * 100), Metrics())
    assert not keeper.try_turn()
    assert value(keeper.metrics, "failures_total") == 1


def test_after_a_failure_it_tries_again_soon_and_then_at_its_own_pace() -> None:
    keeper = Keeper(Memory(*[Unreachable("no API server")] * 8), Metrics())
    keeper.ended = waits = Waits(10)
    keeper.run()
    assert waits.waited == [*loop.SOON, 60, 60, 60, 60, 60]
    assert value(keeper.metrics, "failures_total") == 8
    assert value(keeper.metrics, "last_success_timestamp_seconds") > 0


def test_what_fails_again_and_again_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(Memory(*[Unreachable("no API server")] * 3), Metrics())
    with caplog.at_level("INFO", "gpu_slice"):
        for _ in range(4):
            keeper.try_turn()
    said = [each.getMessage() for each in caplog.records]
    assert said.count("the certificates could not be looked after") == 1
    assert said.count("the certificates are looked after again") == 1


def test_a_renewal_that_is_late_shows() -> None:
    """P28."""
    store = Memory()
    Keeper(store, Metrics()).turn()
    late = Keeper(store, Metrics(), clock=lambda: datetime.now(UTC) + timedelta(days=60))
    # It would renew at once; so it is asked what it finds before it does.
    from certs.outlook import is_overdue, problems
    from certs.policy import Policy

    assert is_overdue(store.stored, late.clock(), Policy(), late.names)
    assert "due for renewal" in problems(store.stored, late.clock(), Policy(), late.names)[0]
    late.turn()
    assert value(late.metrics, "renewal_overdue") == 0


def test_without_the_webhook_nothing_is_served_and_it_says_so() -> None:
    store = Memory()
    store.stored = replace(store.stored, bundle=None)
    keeper = Keeper(store, Metrics())
    with pytest.raises(Unreachable, match="Apply manifests/webhook again"):
        keeper.turn()


@pytest.fixture(name="port")
def _port(request: pytest.FixtureRequest) -> Iterator[tuple[Metrics, int]]:
    metrics = Metrics()
    server = serve(metrics, "127.0.0.1", 0, 60)
    yield metrics, server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_its_port_has_metrics_and_health(port: tuple[Metrics, int]) -> None:
    """P28."""
    metrics, number = port
    assert "gpu_slice_keeper_renewal_overdue 0.0" in get(number, "/metrics")[1]
    assert get(number, "/healthz") == (200, "ok")
    assert get(number, "/")[0] == 404
    metrics.turned_at -= ports.TURNS_MISSED * 60 + 1
    assert get(number, "/healthz") == (503, "the loop hangs")


def test_without_a_cluster_the_command_says_what_it_wants(tmp_path) -> None:
    command = [sys.executable, "-m", "webhook", "certs", "status"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert "Set KUBECONFIG" in found.stderr


def test_it_ends_at_once_when_told_to_though_no_api_server_answers(tmp_path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "a", "user": {"token": "canary"}}],
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "current-context": "a",
            }
        )
    )
    command = [sys.executable, "-m", "webhook", "certs", "keep", "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen(
        command, env=os.environ | {"KUBECONFIG": str(kubeconfig)}, stderr=subprocess.PIPE, text=True
    ) as keeper:
        said = []
        for line in keeper.stderr:
            said.append(json.loads(line))
            if "problem" in said[-1]:
                break
        keeper.send_signal(signal.SIGTERM)
        rest = keeper.stderr.read()
        assert keeper.wait(10) == 0
    assert re.match("Secret webhook-ca: .*Can the API server be reached", said[-1]["problem"])
    assert "canary" not in str(said) + rest
