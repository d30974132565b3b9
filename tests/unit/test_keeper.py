"""The keeper's loop, its log and its port, over a store in memory.  `tests.cluster.test_keeper` has the real one."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs import keeper as loop
from certs import metrics as ports
from certs.cluster import Conflict, Names, Snapshot, Unreachable
from certs.keeper import Keeper
from certs.metrics import KeeperMetrics, serve
from certs.shipped import DEFAULTS, Shipped
from certs.stored import Stored
from webhook.server.logs import JsonFormatter

CONFIGURATION = Path(__file__).parents[2] / "manifests" / "webhook" / "webhook.yaml"
ADVICE = CONFIGURATION.with_name("advice.yaml")


class Memory:
    """A store that fails as it is told to."""

    names = Names()

    def __init__(self, *failures: Exception) -> None:
        self.stored = Stored(bundle=b"")
        self.failures = list(failures)
        self.unreadable: Exception | None = None
        self.configuration: dict[str, Any] | None = {}
        self.advice: dict[str, Any] | None = None
        self.copied: bytes | None = None
        """The caBundle of the advice."""

    def read(self) -> Snapshot:
        if self.unreadable:
            raise self.unreadable
        return Snapshot(self.stored, {}, {}, self.configuration)

    def write(self, snapshot: Snapshot, after: Stored) -> None:
        if self.failures:
            raise self.failures.pop(0)
        assert snapshot.stored == self.stored
        self.stored = after

    def read_advice(self) -> dict[str, Any] | None:
        return self.advice

    def copy_bundle(self, bundle: bytes, advice: dict[str, Any]) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        assert advice is self.advice
        self.copied, before = bundle, self.copied
        return bundle != before


class Waits:
    """In place of the event that `run` waits for: notes how long, and ends it after so many turns."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.waited: list[float] = []

    def is_set(self) -> bool:
        return len(self.waited) >= self.turns

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


def value(metrics: KeeperMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"gpu_slice_keeper_{name}", labels)


def test_a_turn_leads_from_nothing_to_a_leaf_and_says_each_step(caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(Memory(), KeeperMetrics())
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
    keeper = Keeper(Memory(Conflict("a"), Conflict("b")), KeeperMetrics())
    assert keeper.try_turn()
    assert value(keeper.metrics, "conflicts_total") == 2
    assert value(keeper.metrics, "failures_total") == 0


def test_conflicts_without_end_are_a_failure() -> None:
    keeper = Keeper(Memory(*[Conflict("a")] * 100), KeeperMetrics())
    assert not keeper.try_turn()
    assert value(keeper.metrics, "failures_total") == 1


def test_after_a_failure_it_tries_again_soon_and_then_at_its_own_pace() -> None:
    keeper = Keeper(Memory(*[Unreachable("no API server")] * 8), KeeperMetrics())
    keeper.ended = waits = Waits(10)
    keeper.run()
    assert waits.waited == [*loop.SOON, 60, 60, 60, 60, 60]
    assert value(keeper.metrics, "failures_total") == 8
    assert value(keeper.metrics, "last_success_timestamp_seconds") > 0


def test_what_fails_again_and_again_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(Memory(*[Unreachable("no API server")] * 3), KeeperMetrics())
    with caplog.at_level("INFO", "gpu_slice"):
        for _ in range(4):
            keeper.try_turn()
    said = [each.getMessage() for each in caplog.records]
    assert said.count("the certificates cannot be maintained") == 1
    assert said.count("the certificates are maintained again") == 1


def test_a_renewal_that_is_late_shows_though_nothing_can_be_written_and_no_longer_when_it_was_done() -> None:
    """P28."""
    store = Memory()
    Keeper(store, KeeperMetrics()).turn()
    late = Keeper(store, KeeperMetrics(), clock=lambda: datetime.now(UTC) + timedelta(days=60))
    store.failures = [Unreachable("no right to write")]

    assert not late.try_turn()
    assert value(late.metrics, "renewal_overdue") == 1
    assert value(late.metrics, "last_success_timestamp_seconds") == 0

    assert late.try_turn()
    assert value(late.metrics, "renewal_overdue") == 0


def test_what_gets_late_while_nothing_can_be_read_shows_too() -> None:
    """P28."""
    time, store = [datetime.now(UTC)], Memory()
    keeper = Keeper(store, KeeperMetrics(), clock=lambda: time[0])
    assert keeper.try_turn()
    store.unreadable = Unreachable("no API server")
    time[0] += timedelta(days=44)
    keeper.try_turn()
    assert value(keeper.metrics, "renewal_overdue") == 0

    time[0] += timedelta(days=2)
    keeper.try_turn()

    assert value(keeper.metrics, "renewal_overdue") == 1


def test_a_fault_of_ours_is_told_by_its_kind_and_place_alone_and_the_loop_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper = Keeper(Memory(KeyError("canary")), KeeperMetrics())

    assert not keeper.try_turn()
    assert keeper.try_turn()

    [fault] = [each for each in caplog.records if each.levelname == "ERROR"]
    line = JsonFormatter().format(fault)
    assert json.loads(line)["problem"] == json.loads(line)["error"] == "KeyError"
    assert any("write" in each for each in json.loads(line)["at"])
    assert "canary" not in line
    assert value(keeper.metrics, "failures_total") == 1


def test_without_the_webhook_nothing_is_served_and_it_says_so() -> None:
    store = Memory()
    store.stored = replace(store.stored, bundle=None)
    keeper = Keeper(store, KeeperMetrics())
    with pytest.raises(Unreachable, match="Apply the folder again that has your fleet and image"):
        keeper.turn()
    assert not keeper.try_turn()
    assert value(keeper.metrics, "last_success_timestamp_seconds") == 0
    assert store.stored.leaf is not None  # for servers that wait for it


def test_a_changed_configuration_shows_and_is_said_once_with_the_place(caplog: pytest.LogCaptureFixture) -> None:
    store = Memory()
    keeper = Keeper(store, KeeperMetrics(), shipped=Shipped(CONFIGURATION))
    store.configuration = yaml.safe_load(CONFIGURATION.read_text())
    store.configuration["webhooks"] = [{**DEFAULTS, **webhook} for webhook in store.configuration["webhooks"]]

    def said_by(turns: int) -> list[dict[str, object]]:
        caplog.clear()
        with caplog.at_level("INFO", "gpu_slice"):
            assert all(keeper.try_turn() for _ in range(turns))
        return [json.loads(JsonFormatter().format(each)) for each in caplog.records if "shipped" in each.getMessage()]

    assert said_by(2) == []
    assert value(keeper.metrics, "configuration_as_shipped") == 1

    store.configuration["webhooks"][0]["clientConfig"]["service"]["name"] = "thief"
    [line] = said_by(2)
    assert line["message"] == "the webhook configuration is not as shipped"
    assert line["at"] == ["webhooks[0].clientConfig.service.name"]
    assert value(keeper.metrics, "configuration_as_shipped") == 0

    store.configuration["webhooks"][0]["clientConfig"]["service"]["name"] = "webhook"
    [line] = said_by(2)
    assert line["message"] == "the webhook configuration is as shipped again"
    assert value(keeper.metrics, "configuration_as_shipped") == 1


def stored_as(path: Path) -> dict[str, Any]:
    """The configuration of a file, as an API server stores it."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    document["webhooks"] = [{**DEFAULTS, **webhook} for webhook in document["webhooks"]]
    return document


def test_advice_gets_the_ca_when_all_else_is_done_and_each_new_one(caplog: pytest.LogCaptureFixture) -> None:
    store, time = Memory(), [datetime.now(UTC)]
    store.advice = {}
    keeper = Keeper(store, KeeperMetrics(), clock=lambda: time[0])
    with caplog.at_level("INFO", "gpu_slice"):
        assert keeper.try_turn()
    assert [each.getMessage() for each in caplog.records][-2:] == ["issue leaf", "publish"]
    assert store.copied == store.stored.bundle != b""

    time[0] += timedelta(days=366)
    before = store.stored.bundle
    assert keeper.try_turn()
    assert before != store.stored.bundle == store.copied


def test_advice_that_cannot_be_written_keeps_no_certificate_from_being_renewed() -> None:
    store = Memory()
    Keeper(store, KeeperMetrics()).turn()
    store.advice = {}

    def refuse(*_: object) -> bool:
        raise Unreachable("no right to write")

    store.copy_bundle = refuse
    late = Keeper(store, KeeperMetrics(), clock=lambda: datetime.now(UTC) + timedelta(days=60))
    leaf = store.stored.leaf

    assert not late.try_turn(), "and it is said"
    assert store.stored.leaf != leaf
    assert value(late.metrics, "renewal_overdue") == 0


def test_a_changed_configuration_of_advice_shows_too_and_one_that_was_left_out_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Memory()
    store.configuration = stored_as(CONFIGURATION)
    keeper = Keeper(store, KeeperMetrics(), shipped=Shipped(CONFIGURATION), advice=Shipped(ADVICE))
    assert keeper.try_turn()
    assert value(keeper.metrics, "configuration_as_shipped") == 1

    store.advice = stored_as(ADVICE)
    store.advice["webhooks"][0]["rules"][0]["resources"] = ["*/*"]
    caplog.clear()
    assert keeper.try_turn()
    assert keeper.try_turn()
    [line] = [each.fields for each in caplog.records if "not as shipped" in each.getMessage()]
    assert line == {"file": "advice.yaml", "at": ["webhooks[0].rules[0].resources"]}
    assert value(keeper.metrics, "configuration_as_shipped") == 0

    store.advice = None
    assert keeper.try_turn()
    assert keeper.try_turn()
    assert value(keeper.metrics, "configuration_as_shipped") == 1


def test_a_file_that_is_missing_is_no_change_and_yet_no_silence(caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(Memory(), KeeperMetrics(), shipped=Shipped(Path("/no/such/file")))

    assert keeper.try_turn(), "certificates are kept all the same"

    [problem] = [each.fields["problem"] for each in caplog.records if "shipped" in each.getMessage()]
    assert (
        problem
        == "/no/such/file: cannot be read (FileNotFoundError). Apply the folder again that has your fleet and image."
    )
    assert value(keeper.metrics, "configuration_as_shipped") == 0


def test_where_nothing_is_compared_the_metric_claims_nothing() -> None:
    keeper = Keeper(Memory(), KeeperMetrics())

    assert keeper.try_turn()

    assert math.isnan(value(keeper.metrics, "configuration_as_shipped"))


@pytest.fixture(name="port")
def _port(request: pytest.FixtureRequest) -> Iterator[tuple[KeeperMetrics, int]]:
    metrics = KeeperMetrics()
    server = serve(metrics, "127.0.0.1", 0, 60)
    yield metrics, server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_its_port_has_metrics_and_health(port: tuple[KeeperMetrics, int]) -> None:
    """P28."""
    metrics, number = port
    assert "gpu_slice_keeper_renewal_overdue 0.0" in get(number, "/metrics")[1]
    assert get(number, "/healthz") == (200, "ok")
    assert get(number, "/")[0] == 404
    metrics.turned_at -= ports.TURNS_MISSED * 60 + 1
    assert get(number, "/healthz") == (503, "the loop hangs")


def test_a_loop_that_looks_often_may_still_wait_for_an_api_server() -> None:
    metrics = KeeperMetrics()
    server = serve(metrics, "127.0.0.1", 0, 1)
    try:
        metrics.turned_at -= 60
        assert get(server.server_port, "/healthz") == (200, "ok")
    finally:
        server.shutdown()
        server.server_close()


def test_its_port_is_on_all_addresses_and_of_both_families() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    server = serve(KeeperMetrics(), "", 0, 60)
    try:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, server.server_port), timeout=60) as connection:
                connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                assert b" 200 OK" in connection.recv(100)
    finally:
        server.shutdown()
        server.server_close()


def test_who_connects_and_says_nothing_is_cut_off(
    port: tuple[KeeperMetrics, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports._Quiet, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", port[1]), timeout=60) as silent:
        assert silent.recv(1) == b""


def test_without_a_cluster_the_command_says_what_it_wants(tmp_path) -> None:
    command = [sys.executable, "-m", "webhook", "certs", "status"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert found.returncode == 3
    assert "Set KUBECONFIG" in found.stderr


def keep(folder: Path, server: str) -> subprocess.Popen[str]:
    """``certs keep`` against *server*."""
    kubeconfig = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "users": [{"name": "a", "user": {"token": "canary"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    kubeconfig.write_text(json.dumps(content))
    command = [sys.executable, "-m", "webhook", "certs", "keep", "--port", "0", "--host", "127.0.0.1"]
    return subprocess.Popen(
        command, env=os.environ | {"KUBECONFIG": str(kubeconfig)}, stderr=subprocess.PIPE, text=True
    )


def test_it_ends_at_once_when_told_to_while_it_waits_for_its_next_turn(tmp_path: Path) -> None:
    with keep(tmp_path, "http://127.0.0.1:1") as keeper:
        said = []
        for line in keeper.stderr:
            said.append(json.loads(line))
            if "problem" in said[-1]:
                break
        keeper.send_signal(signal.SIGTERM)
        rest = keeper.stderr.read()
        assert keeper.wait(10) == 0
    assert re.match("Secret webhook-ca: .*Can the API server be reached", said[-1]["problem"])
    assert json.loads(rest.splitlines()[-1])["message"] == "stopped"
    assert "canary" not in str(said) + rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_told_to_in_the_middle_of_a_request(tmp_path: Path, number: signal.Signals) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        keep(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}") as keeper,
    ):
        asking, _ = silent.accept()
        with asking:
            asking.recv(1)
            keeper.send_signal(number)
            try:
                assert keeper.wait(30) == 0
            finally:
                keeper.kill()
            said = [json.loads(line)["message"] for line in keeper.stderr]
    assert said == ["keeping certificates", "stopped"], "the request was not waited for, nor given up"
