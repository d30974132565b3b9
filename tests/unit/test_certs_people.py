"""``gpu-slice certs`` for a person: which cluster it is about, and what to do without a right."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kubernetes.client.exceptions import ApiException

from certs.cluster import Cluster, Unreachable
from certs.keeper import Keeper
from certs.metrics import KeeperMetrics
from tests.unit.test_keeper import Memory
from webhook.cli import certs
from webhook.cli.main import main

COMMANDS = (["certs", "status"], ["certs", "rotate"], ["certs", "rotate", "--compromised"])
KEEPERS_WORDS = "Apply the folder again"


def kubeconfig(folder: Path) -> Path:
    """Two contexts, with an API server each that is not there; the first is the current one."""
    entries = {
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ("here", "there")],
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{port}"}}
            for name, port in (("here", 1), ("there", 2))
        ],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "here", **entries}))
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "at 127.0.0.1:1."),
        (["--context", "there"], "at 127.0.0.1:2."),
        (["--context", "nowhere"], "nowhere"),
    ],
)
def test_the_context_says_which_cluster(
    command: list[str], arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path)))
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 3
    assert said in result.stderr


def test_a_context_is_never_passed_over_for_the_cluster_around_a_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["certs", "status", "--context", "there"])
    assert result.exit_code == 3
    assert "no cluster in ~/.kube/config" in result.stderr


def refusing(status: int) -> Cluster:
    """A cluster whose API server answers everything with *status*."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise ApiException(status=status, reason="Forbidden" if status == 403 else "so")

    cluster = Cluster(SimpleNamespace())  # type: ignore[arg-type]
    cluster.core = SimpleNamespace(read_namespaced_secret=refuse)  # type: ignore[assignment]
    cluster.apps = SimpleNamespace(read_namespaced_deployment=refuse)  # type: ignore[assignment]
    return cluster


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("status", "said"), [(403, "You lack the right: ask whoever"), (401, "Log in again"), (500, "Check the API server")]
)
def test_a_person_is_told_what_a_person_can_do(
    command: list[str], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certs, "_cluster", lambda *_: refusing(status))
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3
    assert f"Secret webhook-ca: the API server says {status} " in result.stderr
    assert said in result.stderr
    assert KEEPERS_WORDS not in result.stderr


def test_nor_is_one_who_may_not_see_whether_the_keeper_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    Keeper(memory, KeeperMetrics()).try_turn()
    memory.keeper = refusing(403).keeper  # type: ignore[attr-defined]
    monkeypatch.setattr(certs, "_cluster", lambda *_: memory)
    said = CliRunner().invoke(main, ["certs", "status"]).stdout
    assert "keeper: not known. Deployment keeper: the API server says 403 Forbidden. You lack the right" in said
    assert KEEPERS_WORDS not in said


def test_the_keeper_is_told_what_its_owner_can_do() -> None:
    with pytest.raises(Unreachable, match=f"403 Forbidden. {KEEPERS_WORDS}"):
        refusing(403).read()


def test_what_follows_a_rotation_is_asked_of_the_same_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    Keeper(memory, KeeperMetrics()).try_turn()
    monkeypatch.setattr(certs, "_cluster", lambda *_: memory)
    result = CliRunner().invoke(main, ["certs", "rotate", "--context", "there", "--namespace", "gpus"])
    assert result.exit_code == 0, result.output
    assert "run: gpu-slice certs status --context there --namespace gpus" in result.stderr
