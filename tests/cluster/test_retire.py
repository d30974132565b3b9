"""A layout is changed as ``docs/change-a-layout.md`` says: its commands, on a real API server and Karpenter.

AWS and the kubelets are played.  A pod's owner is played, too: what it rolls out is a pod that is deleted and created
again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.cluster import programs
from tests.cluster.aws.node import boot
from tests.cluster.conftest import skip, told
from tests.cluster.page import Block, Shell, blocks, unseen
from tests.cluster.world import FLEET, VERSIONS, World, pod, world
from tests.rendering import documents_of
from tests.waiting import wait_for
from webhook.cli import files

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "change-a-layout.md").read_text()
PAGE = blocks(ROOT / "docs" / "change-a-layout.md")
OLD, NEW = "a100", "a100-mixed"
BEFORE = FLEET.replace("  limit: {slices: 560}\n", "  limit: {slices: 560}\n  emptyFor: 2s\n")
SUCCESSOR = """\
- name: a100-mixed
  gpu: a100-40gb
  partition: {mig: {3g.20gb: 1, 1g.5gb: 4}}
  instanceTypes: [p4d.24xlarge]
"""
QUOTA = "namespaces: {default: {quota: {1g.5gb: 10}}}\n"
APPLIED = "kubectl apply -k my-cluster\n"


class Operator:
    """Follows the page.  Its pools have other names there."""

    def __init__(self, made: World) -> None:
        self.made = made
        folder = made.folder / "gpu-slice"
        (folder / "my-cluster").mkdir(parents=True)
        (folder / "bin").mkdir()
        self.fleet_file = folder / "my-cluster" / "fleet.yaml"
        (folder / "bin" / "gpu-slice").write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m webhook "$@"\n'
        )
        (folder / "bin" / "gpu-slice").chmod(0o755)
        (folder / "bin" / "kubectl").symlink_to(made.cluster.plane.kubectl)
        environment = {
            "PATH": f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(made.folder),
            "KUBECONFIG": str(made.cluster.plane.kubeconfig),
            "LANG": "C.UTF-8",
        }
        self.shell = Shell(folder, environment)

    def write(self, text: str) -> None:
        self.fleet_file.write_text(text)
        self.made.fleet = files.fleet_at(self.fleet_file)
        self.made.pools = {pool.name: pool for pool in self.made.fleet.pools}

    def run(self, block: Block) -> str:
        """What the commands of *block* say.  The webhook's own folder is not applied: its server is outside."""
        text = block.text.replace("a100-1g-5gb", OLD)
        said = ""
        for part in re.split(rf"(?<=\n)(?={APPLIED})|(?<={APPLIED})", text):
            if part == APPLIED:
                self.serve()
            elif part.strip():
                done = self.shell(part)
                assert done.returncode == 0, f"{block.where}: {done.stdout}"
                said += done.stdout
        assert unseen(block.sees.replace("a100-1g-5gb", OLD), said) == []
        return said

    def serve(self) -> None:
        """The webhook reads the new fleet, and so does the ConfigMap of the cluster."""
        self.made.fleet_file.write_text(self.fleet_file.read_text())
        self.made.cluster.patch(
            "ConfigMap", "fleet", {"data": {"fleet.yaml": self.fleet_file.read_text()}}, "gpu-slice"
        )


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster of its own: what is retired does not come back."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(world(tmp_path_factory.mktemp("retire"), BEFORE))
        except programs.BuildError as error:
            skip(error)
        told.logs = found.cluster.plane.logs
        stopping = Event()
        thread = Thread(target=_boot, args=(found, stopping))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stopping.set)
        yield found


def _boot(made: World, stopping: Event) -> None:
    """Boot what is launched from now on."""
    booted = {name for name, each in made.cloud.instances().items() if each["state"] == "running"}
    while not stopping.wait(0.5):
        for name, instance in made.cloud.instances().items():
            pool = made.pools.get(instance["tags"].get("karpenter.sh/nodepool", ""))
            if instance["state"] == "running" and name not in booted and pool is not None:
                booted.add(name)
                boot(made.cluster, instance, pool)


@pytest.fixture(scope="module", name="operator")
def _operator(made: World) -> Operator:
    operator = Operator(made)
    operator.write(BEFORE + QUOTA)
    # As whoever installed it has done, so that kubectl knows what it applied.
    assert operator.shell("gpu-slice render --fleet my-cluster/fleet.yaml | kubectl apply -f -").returncode == 0
    operator.serve()
    return operator


def named(made: World, kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in made.list(kind)}


def state_of(made: World, name: str) -> tuple[str, str]:
    found = made.get("Pod", name, "default")
    return found["metadata"]["uid"], found["spec"].get("nodeName", "")


def failed(made: World, fleet_file: Path) -> list[str]:
    """The checks of which something failed, and not only could not be looked at."""
    result = made.gpu_slice("check", "--fleet", str(fleet_file), "-o", "json")
    return [each["id"] for each in json.loads(result.stdout)["checks"] if each["status"] == "failed"]


def test_no_block_is_overlooked() -> None:
    opened = re.findall(r"^ *```(.*)$", TEXT, re.MULTILINE)[::2]
    assert set(opened) <= {"sh", "text", "yaml"}
    assert opened.count("sh") == len(PAGE) == 5
    assert opened.count("text") == sum(bool(block.sees) for block in PAGE)
    assert "<!--" not in TEXT


def test_before_an_upgrade_the_page_shows_that_nothing_would_change(operator: Operator) -> None:
    assert operator.run(PAGE[4]) == ""


def test_a_layout_is_changed_by_the_page(made: World, operator: Operator) -> None:
    retire, move, check, remove, _ = PAGE  # the last is of an upgrade
    before = state_of(made, "sliced")
    failing = failed(made, operator.fleet_file)
    old_node = made.node_of(OLD)

    # 1. Retired: nothing that runs is touched, and a new pod gets a node of the new pool, though the old one has room.
    operator.write(BEFORE.replace("  emptyFor: 2s\n", "  emptyFor: 2s\n  retired: true\n") + SUCCESSOR + QUOTA)
    operator.run(retire)
    assert made.get("NodePool", OLD)["spec"]["limits"] == {"nodes": "0"}
    wait_for("the webhook has read it", lambda: _pools_of_a_new_pod(made) == NEW)
    made.cluster.create(pod("moved", "1g.5gb"))
    wait_for("it runs", lambda: made.get("Pod", "moved", "default")["status"].get("phase") == "Running")
    labels = made.get("Node", state_of(made, "moved")[1])["metadata"]["labels"]
    assert labels["gpu-slice/pool"] == NEW
    made.settle()
    assert state_of(made, "sliced") == before
    assert failed(made, operator.fleet_file) == failing

    # 2. The owner of the last pod rolls out a new one; Karpenter removes the empty node, and launches none.
    assert "sliced" in operator.run(move)
    assert made.cluster.kubectl("delete", "pod", "sliced", "--now").returncode == 0
    made.cluster.create(pod("sliced", "1g.5gb"))
    assert made.get("Pod", "sliced", "default")["metadata"]["annotations"]["gpu-slice/pools"] == NEW
    plugin = "gpu-slice-device-plugin-mixed"
    values = _plugin_pools(made, plugin)
    assert values == {OLD, NEW}, "until the last node is gone"
    wait_for("the empty node is gone", lambda: old_node not in named(made, "Node"), seconds=240)
    wait_for("and its claim", lambda: not _claims(made))

    # 3. Removed, with everything of it and nothing else.
    operator.run(check)
    foreign = _foreign(made)
    operator.write(BEFORE.replace(_entry(OLD), SUCCESSOR) + QUOTA)
    operator.run(remove)
    for kind in ("NodePool", "EC2NodeClass"):
        wait_for(f"the {kind} is gone", lambda kind=kind: OLD not in named(made, kind))
        assert {NEW, "shared"} <= named(made, kind)
    assert not any(name.startswith(f"{OLD}-8-gpu") for name in named(made, "NodeOverlay"))
    assert _plugin_pools(made, plugin) == {NEW}
    for kind, name, namespace in foreign:
        assert made.get(kind, name, namespace), "is not ours"
    assert _rendered(made) <= _present(made)
    assert failed(made, operator.fleet_file) == failing


def _entry(name: str) -> str:
    """The pool in `BEFORE`."""
    found = re.search(rf"^- name: {name}\n(?:  .*\n)+", BEFORE, re.MULTILINE)
    assert found is not None
    return found[0]


def _pools_of_a_new_pod(made: World) -> str:
    tried = made.cluster.kubectl(
        "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(pod("tried", "1g.5gb"))
    )
    return str(json.loads(tried.stdout)["metadata"]["annotations"]["gpu-slice/pools"])


def _claims(made: World) -> list[str]:
    return [each["metadata"]["name"] for each in made.list("NodeClaim", label_selector=f"karpenter.sh/nodepool={OLD}")]


def _plugin_pools(made: World, name: str) -> set[str]:
    spec = made.get("DaemonSet", name, "kube-system")["spec"]["template"]["spec"]
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return set(required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"])


def _foreign(made: World) -> list[tuple[str, str, str | None]]:
    """Objects beside ours, of the same kinds and in the same namespaces: applied by others, or like ours."""
    pool = documents_of(made.fleet, "node-pools")[0]
    pool["metadata"] = {"name": "foreign", "labels": {"app.kubernetes.io/part-of": "other"}}
    like = {"app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/component": "device-plugin"}
    documents = [
        pool,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "kube-system",
                                                               "labels": like}},
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "foreign", "namespace": "default"},
         "spec": {"hard": {"pods": "1000"}}},
    ]  # fmt: skip
    for each in documents:
        applied = made.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))
        assert applied.returncode == 0, applied.stderr
    # Created, and not applied, though its label is ours.
    created = {"name": "created", "namespace": "kube-system"}
    labels = {"app.kubernetes.io/part-of": "gpu-slice-fleet"}
    made.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": created | {"labels": labels}})
    found = [(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in documents]
    return [*found, ("ConfigMap", "created", "kube-system"), ("ConfigMap", "fleet", "gpu-slice")]


def _rendered(made: World) -> set[tuple[str, str]]:
    subjects = ("device-plugin", "node-pools", "node-classes", "node-overlays", "quota")
    return {(each["kind"], each["metadata"]["name"]) for name in subjects for each in documents_of(made.fleet, name)}


def _present(made: World) -> set[tuple[str, str]]:
    return {(kind, name) for kind in VERSIONS if kind != "Secret" for name in named(made, kind)}


def test_a_quota_refuses_the_pod_that_is_one_too_many(made: World, operator: Operator) -> None:
    """Its namespace may have ten, and has what other tests have left there."""
    del operator
    wait_for("all are counted", lambda: _used(made) == _pods(made))
    for number in range(10 - _pods(made)):
        made.cluster.create(pod(f"counted-{number}", "1g.5gb"))
    many = made.cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod("eleventh", "1g.5gb")))
    assert many.returncode != 0
    assert "exceeded quota: gpu-slice, requested: requests.nvidia.com/mig-1g.5gb=1" in many.stderr
    assert "limited: requests.nvidia.com/mig-1g.5gb=10" in many.stderr
    by_hand = pod("by-hand")
    limits = {"nvidia.com/mig-1g.5gb": "1"}
    by_hand["spec"]["containers"][0]["resources"] = {"limits": limits}
    many = made.cluster.kubectl("create", "-f", "-", stdin=json.dumps(by_hand))
    assert "exceeded quota: gpu-slice" in many.stderr


def _used(made: World) -> int | None:
    """Slices that the quota has counted, if it has."""
    status = made.get("ResourceQuota", "gpu-slice", "default").get("status", {})
    used = status.get("used", {}).get("requests.nvidia.com/mig-1g.5gb")
    return None if used is None else int(used)


def _pods(made: World) -> int:
    pods = made.list("Pod", "default")
    return sum("nvidia.com/mig-1g.5gb" in each["spec"]["containers"][0]["resources"].get("limits", {}) for each in pods)
