"""``gpu-slice certs status`` says whether the keeper runs, which renews what it lists."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from kubernetes.client.exceptions import ApiException

from certs.cluster import Cluster, Unreachable
from certs.keeper import Keeper
from certs.metrics import KeeperMetrics
from tests.unit.test_keeper import Memory
from webhook.cli import certs
from webhook.cli.main import main

RUNS = {"spec": {"replicas": 1}, "status": {"availableReplicas": 1}}


def cluster_with(deployment: dict[str, Any] | int) -> Cluster:
    """A cluster with this Deployment of the keeper, or with this error."""

    def read(*_: Any, **__: Any) -> Any:
        if isinstance(deployment, int):
            raise ApiException(status=deployment, reason="so")
        return SimpleNamespace(data=json.dumps(deployment))

    cluster = Cluster(SimpleNamespace())
    cluster.apps = SimpleNamespace(read_namespaced_deployment=read)
    return cluster


@pytest.mark.parametrize(
    ("deployment", "why"),
    [
        pytest.param(RUNS, "", id="it runs"),
        pytest.param(404, "there is no Deployment keeper in namespace gpu-slice", id="it is not there"),
        pytest.param({"spec": {"replicas": 0}}, "it is scaled to 0", id="scaled to none"),
        pytest.param({"spec": {"replicas": 1}, "status": {}}, "no replica of it is available", id="it does not start"),
    ],
)
def test_the_deployment_tells_whether_the_keeper_runs(deployment: dict[str, Any] | int, why: str) -> None:
    assert cluster_with(deployment).keeper() == why


@pytest.mark.parametrize(
    ("deployment", "runs", "told"),
    [
        pytest.param(RUNS, True, "keeper: runs", id="it runs"),
        pytest.param(404, False, "keeper: does not run: there is no Deployment keeper", id="it is not there"),
        pytest.param(403, None, "keeper: not known. Deployment keeper: the API server says 403", id="no right"),
    ],
)
def test_the_status_says_so_and_its_exit_code_is_about_certificates(
    deployment: dict[str, Any] | int, runs: bool | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    for _ in range(3):
        Keeper(memory, KeeperMetrics()).try_turn()
    memory.keeper = cluster_with(deployment).keeper
    monkeypatch.setattr(certs, "_cluster", lambda *_: memory)
    result = CliRunner().invoke(main, ["certs", "status"])
    assert told in result.stdout
    assert result.exit_code == 0
    assert json.loads(CliRunner().invoke(main, ["certs", "status", "-o", "json"]).stdout)["keeper"]["runs"] is runs


def test_without_a_right_to_read_the_deployment_it_is_not_known() -> None:
    with pytest.raises(Unreachable):
        cluster_with(403).keeper()
