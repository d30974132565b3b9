"""From `helm install` to `helm uninstall`, as a platform team lives with it, on a cluster whose API server calls the
Service itself.  Only the pods of the chart are played here: processes that read what the kubelet would mount."""

from __future__ import annotations

import base64
import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster import programs
from tests.cluster.cluster import Cluster, Document, cluster, said
from tests.cluster.conftest import skip
from tests.cluster.helm import Helm
from tests.cluster.nodes import nodes
from tests.cluster.service import SERVICES, Service
from tests.cluster.test_helm import Release
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli.files import load_fleet
from webhook.cli.main import main

OLD: Document = {
    "apiVersion": "gpu-slice/v1",
    "pools": [
        {
            "name": "a100",
            "gpu": "a100-40gb",
            "partition": {"mig": {"1g.5gb": 7}},
            "instanceTypes": ["p4d.24xlarge"],
            "nodes": "existing",
        }
    ],
}
NEW: Document = {
    **OLD,
    "pools": [*OLD["pools"], {**OLD["pools"][0], "name": "halves", "partition": {"mig": {"3g.20gb": 2}}}],
}
REPLICAS = 3
GENERATION = "gpu_slice_fleet_generation"
SLICE, HALF = "nvidia.com/mig-1g.5gb", "nvidia.com/mig-3g.20gb"


class Adopted:
    """A release, its keeper and its replicas."""

    def __init__(self, release: Release, folder: Path) -> None:
        self.release, self.cluster, self.folder = release, release.cluster, folder
        self.replicas: list[Running] = []

    def values(self, **more: Any) -> list[str]:
        """The options of helm for these values."""
        path = self.folder / "values.json"
        path.write_text(json.dumps(more))
        return ["-f", str(path)]

    def mount(self) -> None:
        """Write what the kubelet would mount, as it has it now."""
        space = self.release.namespace
        secret = self.cluster.get("Secret", "webhook-tls", space)
        fleet = self.cluster.get("ConfigMap", "fleet", space)
        for name, text in ((secret or {}).get("data") or {}).items():
            self._write(self.folder / "tls" / name, base64.b64decode(text))
        if fleet:
            self._write(self.folder / "fleet" / "fleet.yaml", fleet["data"]["fleet.yaml"].encode())

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        os.replace(fresh, path)

    def fleet(self, fleet: Document) -> str:
        """A file that has *fleet*."""
        path = self.folder / "fleet.json"
        path.write_text(json.dumps(fleet))
        return str(path)

    def start(self) -> None:
        """The replicas."""
        (deployment,) = self.cluster.list(
            "Deployment", self.release.namespace, "apps/v1", label_selector="app.kubernetes.io/component=webhook"
        )
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (name,) = [each for each in container["args"] if each.startswith("--tls-name=")]
        options = [name, "--fleet", str(self.folder / "fleet" / "fleet.yaml")]
        self.replicas += [Running(self.folder / "tls", *options) for _ in range(REPLICAS)]

    def take(self) -> None:
        """The replicas take the fleet that is in the cluster, each in its time."""
        before = [each.metric(GENERATION) for each in self.replicas]
        self.mount()
        wait_for(
            "all have taken it",
            lambda: all(each.metric(GENERATION) > was for each, was in zip(self.replicas, before, strict=True)),
        )

    def kill(self) -> None:
        """All replicas at once."""
        for each in self.replicas:
            each.process.kill()
            each.stop()
        self.replicas.clear()

    def go(self) -> None:
        """No replica, and none wanted."""
        self.kill()
        self.cluster.kubectl("-n", self.release.namespace, "scale", "deployment", "webhook", "--replicas=0")


@contextmanager
def load(cluster: Cluster, asked: str, users: int = 4) -> Iterator[Counter[str]]:
    """Annotated pods are created, as dry runs, until the end of the block; what became of them."""
    outcomes: Counter[str] = Counter()
    over, numbers = threading.Event(), itertools.count()

    def user() -> None:
        while not over.is_set():
            outcomes[created(cluster, f"load-{next(numbers)}", asked, dry_run=True)] += 1

    threads = [threading.Thread(target=user) for _ in range(users)]
    for each in threads:
        each.start()
    try:
        wait_for("pods are created", lambda: outcomes.total() > users)
        yield outcomes
        before = outcomes.total()
        wait_for("more pods are created", lambda: outcomes.total() > before + 2 * users)
    finally:
        over.set()
        for each in threads:
            each.join()


def created(cluster: Cluster, name: str, asked: str, *, marked: bool = False, **how: bool) -> str:
    """The slice that a pod gets, ``nothing``, or why it is refused; of one that is *marked* the guard alone decides."""
    annotations = {"gpu-slice": asked} | ({"gpu-slice/decided-by": "policy"} if marked else {})
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "main", "image": "a/b:1"}]},
    }
    try:
        made = cluster.create(pod, **how)
    except DynamicApiError as error:
        return said(error)
    limits = made["spec"]["containers"][0].get("resources", {}).get("limits") or {}
    return next((key for key in limits if key.startswith("nvidia.com/")), "nothing")


def at(document: Document, *keys: str) -> Any:
    """What stands there, or None."""
    for key in keys:
        document = document.get(key) or {}
    return document or None


def standby_decides(adopted: Adopted) -> None:
    """The standby is idle while a replica is ready, and acts when all are gone."""
    cluster, release = adopted.cluster, adopted.release
    policy = CliRunner().invoke(main, ["render", "--only", "admission-policy", "--fleet", adopted.fleet(NEW)])
    assert policy.exit_code == 0, policy.output
    applied = cluster.kubectl(
        "apply", "-f", "-", stdin=policy.stdout.replace("namespace: gpu-slice", f"namespace: {release.namespace}")
    )
    assert applied.returncode == 0, applied.stderr
    assert created(cluster, "by-the-webhook", "1g.5gb") == SLICE
    adopted.go()
    wait_for("the standby acts", lambda: created(cluster, "probe", "1g.5gb", dry_run=True) == SLICE)
    assert created(cluster, "by-the-standby", "3g.20gb") == HALF
    by_the_policy = ("metadata", "annotations", "gpu-slice/decided-by")
    assert at(cluster.get("Pod", "by-the-standby", "default"), *by_the_policy) == "policy"
    assert at(cluster.get("Pod", "by-the-webhook", "default"), *by_the_policy) is None
    assert cluster.kubectl("delete", "-f", "-", stdin=policy.stdout).returncode == 0


@pytest.fixture(name="adopted")
def _adopted(tmp_path: Path) -> Iterator[Adopted]:
    try:
        programs.control_plane()
        helm = programs.helm(4)
        Service(SERVICES.replace("0/24", "1"), 443, list).close()
    except programs.BuildError as error:
        skip(error)
    except PermissionError:
        pytest.skip("only root may serve port 443 of loopback here")
    with cluster(tmp_path / "cluster", services=SERVICES) as found:
        for node in nodes(load_fleet(json.dumps(NEW).encode())):
            found.add_node(node)
        adopted = Adopted(Release(found, Helm(helm, tmp_path, found.plane.kubeconfig)), tmp_path)
        try:
            yield adopted
        finally:
            adopted.kill()


def test_a_release_is_installed_changed_and_taken_away_and_pods_notice_only_what_they_should(adopted: Adopted) -> None:
    cluster, release = adopted.cluster, adopted.release

    # A fleet of one pool.
    release.done("install", "--create-namespace", *adopted.values(fleet=OLD))
    release.keep(adopted.folder).turn()
    adopted.mount()
    adopted.start()
    address = cluster.get("Service", "webhook", release.namespace)["spec"]["clusterIP"]
    service = Service(address, 443, lambda: [each.port for each in adopted.replicas])
    try:
        wait_for("the webhook is asked", lambda: created(cluster, "probe", "1g.5gb", dry_run=True) == SLICE)
        assert created(cluster, "sliced", "1g.5gb") == SLICE
        wait_for("it is bound", lambda: cluster.get("Pod", "sliced", "default")["spec"].get("nodeName"))
        assert "is not offered in this cluster" in created(cluster, "half", "3g.20gb")

        # Another fleet, while pods are created.
        with load(cluster, "1g.5gb") as outcomes:
            release.done("upgrade", *adopted.values(fleet=NEW))
            adopted.take()
        assert outcomes.keys() == {SLICE}
        assert created(cluster, "half", "3g.20gb") == HALF

        # In shadow and back, as docs/shadow.md says; nobody is refused meanwhile.
        with load(cluster, "1g.5gb") as outcomes:
            release.done("upgrade", *adopted.values(fleet={**NEW, "mode": "shadow"}))
            # A kubelet takes longer than this, and here the replicas take the fleet at once.
            wait_for(
                "the API server has the guard that only audits",
                lambda: created(cluster, "probe", "1g.5gb", marked=True, dry_run=True) == "nothing",
            )
            adopted.take()
            wait_for("nothing is denied", lambda: created(cluster, "wrong", "9g.9gb", dry_run=True) == "nothing")
            assert created(cluster, "shadowed", "1g.5gb") == "nothing"
            release.done("upgrade", *adopted.values(fleet=NEW, guard={"validationActions": ["Audit"]}))
            adopted.take()
            assert created(cluster, "enforced", "1g.5gb") == SLICE
            release.done("upgrade", *adopted.values(fleet=NEW))
        assert outcomes.keys() == {SLICE, "nothing"}
        assert "'9g.9gb'" in created(cluster, "wrong", "9g.9gb")

        # With the replicas gone, the standby decides, and without it nobody.
        if programs.has_mutating_policies():
            standby_decides(adopted)
        adopted.go()
        wait_for(
            "nobody answers", lambda: "failed calling webhook" in created(cluster, "refused", "1g.5gb", dry_run=True)
        )

        # And away.
        release.done("uninstall")
        wait_for("nothing of ours is left", lambda: not release.objects())
        wait_for("nobody asks any more", lambda: created(cluster, "plain", "1g.5gb", dry_run=True) == "nothing")
        standby = [("by-the-standby", HALF)] * programs.has_mutating_policies()
        for name, resource in (("sliced", SLICE), ("half", HALF), *standby):
            pod = cluster.get("Pod", name, "default")
            assert "deletionTimestamp" not in pod["metadata"]
            assert resource in pod["spec"]["containers"][0]["resources"]["limits"]
    finally:
        service.close()
