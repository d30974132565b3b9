"""`fit` of what runs in a cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.unit.fit_needs import answer, cluster_of, pod, pools_of, run
from webhook.cli.main import main


def admitted(name: str, value: str, phase: str = "Running") -> dict[str, Any]:
    """A pod as the webhook left it."""
    (document,) = yaml.safe_load_all(CliRunner().invoke(main, ["preview", "-", "-o", "yaml"],
                                                        input=yaml.safe_dump(pod(value))).stdout)  # fmt: skip
    document["metadata"] |= {"name": name, "namespace": "team-a", "uid": name}
    return document | {"status": {"phase": phase}}


def test_what_runs_and_waits_in_a_cluster_is_counted_with_what_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [admitted(f"p{n}", "1g.5gb", phase) for n, phase in enumerate(["Running", "Pending", "Succeeded"])]
    plain = pod("1g.5gb") | {"metadata": {"name": "plain", "namespace": "team-a"}}
    cluster_of(monkeypatch, *pods, admitted("large", "2x2g.10gb"), plain)

    assert answer("--cluster")["pods"] == 3
    found = answer("--cluster", "--need", "1g.5gb=54")
    assert found["pods"] == 57
    assert pools_of(found) == {"a100-1g-5gb": 1, "a100-mixed": 1}


def test_pods_that_may_not_be_listed_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_of(monkeypatch, admitted("p", "1g.5gb"), forbidden=("/api/v1/pods",))

    result = run("--cluster")

    assert result.exit_code == 3
    assert result.stdout.startswith("1 pod fits on 8 GPUs, 1 node.\n")
    assert result.stderr == "not all pods are counted: you may not list pods in all namespaces\n"


def test_a_pod_that_would_be_denied_today_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = admitted("old", "1g.5gb")
    old["metadata"]["annotations"] |= {"gpu-slice": "9g.5gb", "gpu-slice/assigned": "9g.5gb -> main=x:1"}
    cluster_of(monkeypatch, old)

    result = run("--cluster")

    assert result.exit_code == 1
    assert "Pod team-a/old: it would be denied now, so it is not counted: " in result.stderr
