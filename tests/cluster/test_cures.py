"""Cures are followed to the letter, in a cluster; and what is said of Secrets that somebody deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.world import World
from tests.waiting import wait_for
from webhook.cluster.objects import SECRETS
from webhook.cluster.reader import connect

ROOT = Path(__file__).parents[2]
READ = ["get", "list"]
SLICED = """\
apiVersion: v1
kind: Pod
metadata: {name: asks, annotations: {gpu-slice: 1g.5gb}}
spec: {containers: [{name: main, image: none}]}
"""


def shell(live: World, folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """*command* as somebody types it whose current context is another cluster's."""
    kubeconfig = json.loads(live.cluster.plane.kubeconfig.read_text())
    (context,) = kubeconfig["contexts"]
    kubeconfig["contexts"].append({"name": "other", "context": {**context["context"], "cluster": "other"}})
    kubeconfig["clusters"].append({"name": "other", "cluster": {"server": "https://127.0.0.1:1"}})
    kubeconfig["current-context"] = "other"
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    (folder / "gpu-slice").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m webhook "$@"\n')
    (folder / "gpu-slice").chmod(0o755)
    if not (folder / "kubectl").exists():
        (folder / "kubectl").symlink_to(live.cluster.plane.kubectl)
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "KUBECONFIG": str(folder / "kubeconfig")}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def context_of(live: World) -> str:
    return str(json.loads(live.cluster.plane.kubeconfig.read_text())["contexts"][0]["name"])


def names(live: World) -> set[tuple[str, str]]:
    """The objects of Karpenter that are rendered."""
    kinds = ("NodeOverlay", "NodePool", "EC2NodeClass")
    return {(kind, each["metadata"]["name"]) for kind in kinds for each in live.list(kind)}


def test_the_cure_of_a_missing_overlay_brings_back_that_overlay_and_nothing_else(live: World, tmp_path: Path) -> None:
    before = names(live)
    (name,) = {name for kind, name in before if kind == "NodeOverlay" and name.startswith("a100-")}
    overlay = live.get("NodeOverlay", name)
    fleet = tmp_path / "my fleet.yaml"
    fleet.write_text(live.fleet_file.read_text())
    (tmp_path / "pod.yaml").write_text(SLICED)
    explain = f"gpu-slice explain pod.yaml -o json --fleet '{fleet}' --context {context_of(live)}"
    live.cluster.delete("NodeOverlay", name, None, overlay["apiVersion"])
    wait_for("the overlay is gone", lambda: ("NodeOverlay", name) not in names(live))
    try:
        (found,) = json.loads(shell(live, tmp_path, explain).stdout)
        (cause,) = [
            cause for each in found["nodePools"] for cause in each["causes"] if cause["id"] == "overlay-missing"
        ]
        command = cause["cure"].removeprefix("The platform team: ").removesuffix(".")

        done = shell(live, tmp_path, command)

        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert names(live) == before
        assert live.get("NodeOverlay", name)["spec"] == overlay["spec"]
    finally:
        shell(live, tmp_path, f"gpu-slice render --fleet '{fleet}' --only node-overlays"
                              f" | kubectl --context {context_of(live)} apply -f -")  # fmt: skip
        live.settle()


def checks(live: World, kubeconfig: Path | None = None) -> dict[str, dict[str, Any]]:
    result = live.gpu_slice("check", "-o", "json", kubeconfig=kubeconfig)
    return {each["id"]: each for each in json.loads(result.stdout)["checks"]}


@pytest.mark.parametrize("name", ["webhook-ca", "webhook-tls"])
def test_a_lost_secret_is_noticed_and_its_cure_brings_it_back(live: World, name: str) -> None:
    assert checks(live)["keeper"]["status"] == "good"
    with live.without("Secret", name, "gpu-slice"):
        (problem,) = checks(live)["keeper"]["problems"]
        assert problem["reason"] == f"there is no Secret {name} in namespace gpu-slice"
        (file,) = [word for word in problem["cure"].split() if word.startswith("manifests/")]
        applied = live.cluster.kubectl("apply", "-f", str(ROOT / file))
        assert applied.returncode == 0, applied.stderr
        assert checks(live)["keeper"]["status"] == "good"
        live.cluster.delete("Secret", name, "gpu-slice")


def test_of_the_secret_with_the_keys_nothing_secret_is_asked_for(live: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(live.cluster.plane.kubeconfig))
    found = connect().find(SECRETS, "webhook-ca", "gpu-slice", metadata=True)
    assert isinstance(found, dict)
    assert found["metadata"]["name"] == "webhook-ca"
    assert set(found) == {"kind", "apiVersion", "metadata"}
    assert "authorities.json" in live.get("Secret", "webhook-ca", "gpu-slice")["data"]


def test_without_a_right_to_the_keys_a_person_is_told_what_a_person_can_do(live: World) -> None:
    (block,) = (ROOT / "docs" / "checks.md").read_text().split("```yaml\n")[1:]
    everywhere, ours = yaml.safe_load_all(block.partition("```")[0])
    kubeconfig = live.user("gpu-slice", ours["rules"], everywhere["rules"])

    assert checks(live, kubeconfig)["keeper"]["status"] == "good"
    assert checks(live, kubeconfig)["keeper"]["notes"] == ["you may not get Secret webhook-ca in namespace gpu-slice"]
    for command in (["status"], ["rotate"], ["rotate", "--compromised"]):
        result = live.gpu_slice("certs", *command, kubeconfig=kubeconfig)
        assert result.exit_code == 3
        assert "Secret webhook-ca: the API server says 403 Forbidden. You lack the right" in result.stderr
