"""``manifests/`` as they are: applied, met by the cluster's own rules, and taken away again."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, said
from tests.cluster.conftest import Ours
from tests.cluster.install import MANIFESTS, PROBE
from tests.waiting import wait_for
from webhook.cli import files, render

NODES = {"device-plugin": 4, "karpenter": 3 * 6}
"""Folders that the built-in fleet is rendered to, with the number of their documents."""

ROBOT = "--as=system:serviceaccount:gpu-slice:webhook"


@pytest.fixture(scope="module", name="companions")
def _companions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the built-in fleet is rendered to."""
    folder = tmp_path_factory.mktemp("companions")
    render.save(render.rendered(files.fleet_at(None), ()), folder)
    return folder


@pytest.fixture(scope="module", autouse=True, name="applied")
def _applied(cluster: Cluster, ours: Ours, companions: Path) -> Iterator[str]:
    """What ``kubectl apply -k manifests`` says on a cluster that has nothing of ours."""
    pod = {**PROBE, "metadata": {**PROBE["metadata"], "name": "running"}}
    cluster.create(pod)
    assert cluster.scheduled("running", "default") in ("a100-1g-5gb-1", "a100-mixed-1")
    ours.installation.take_away()
    uninstall(cluster)
    applied = cluster.kubectl("apply", "--validate=strict", "-k", str(MANIFESTS))
    yield applied.stdout + applied.stderr
    for name in NODES:
        cluster.kubectl("delete", "--ignore-not-found", "-k", str(companions / name))
    cluster.delete("Pod", "running", "default")
    uninstall(cluster)
    ours.installation.guard()
    ours.serve()


def uninstall(cluster: Cluster) -> None:
    """Returns once all is gone, the namespace too."""
    removed = cluster.kubectl("delete", "--ignore-not-found", "-k", str(MANIFESTS))
    assert removed.returncode == 0, removed.stderr


def test_they_are_accepted_without_a_remark(applied: str) -> None:
    lines = applied.splitlines()
    assert len(lines) == 17 + 11
    assert all(line.endswith(" created") for line in lines), applied  # and no "Warning: would violate PodSecurity"


def test_no_nodes_are_made_unasked(cluster) -> None:
    assert cluster.list("NodePool", api_version="karpenter.sh/v1") == []
    assert cluster.list("DaemonSet", "kube-system", api_version="apps/v1") == []


@pytest.mark.parametrize(("name", "documents"), NODES.items())
def test_the_nodes_of_the_built_in_fleet_are_accepted_when_they_are_asked_for(
    cluster, companions: Path, name: str, documents: int
) -> None:
    applied = cluster.kubectl("apply", "--validate=strict", "-k", str(companions / name))
    lines = (applied.stdout + applied.stderr).splitlines()
    assert len(lines) == documents
    assert all(line.endswith(" created") for line in lines), lines


def test_applying_them_again_changes_nothing(cluster) -> None:
    again = cluster.kubectl("apply", "-k", str(MANIFESTS))
    assert again.stderr == ""
    changed = [line for line in again.stdout.splitlines() if not line.endswith(" unchanged")]
    # kubectl sends the selector of a budget anew each time, and calls that a change.
    assert changed == ["poddisruptionbudget.policy/webhook configured"]
    assert cluster.kubectl("diff", "-k", str(MANIFESTS)).returncode == 0


@pytest.mark.parametrize("name", ["gpu-slice", "gpu-slice-running", "gpu-slice-keeper"])
def test_the_types_of_a_policys_expressions_agree_with_what_they_are_about(cluster, name: str) -> None:
    def checked() -> dict[str, object] | None:
        policy = cluster.get("ValidatingAdmissionPolicy", name, api_version="admissionregistration.k8s.io/v1")
        return policy.get("status", {}).get("typeChecking")

    assert wait_for("the policy is checked", lambda: (found := checked()) is not None and [found]) == [{}]


def test_the_serving_pods_come_up_while_annotated_pods_are_refused(cluster) -> None:
    """P2."""

    def ready() -> bool:
        found = cluster.get("Deployment", "webhook", "gpu-slice", "apps/v1")
        return found["status"].get("readyReplicas") == 3

    wait_for("three replicas are ready", ready)
    with pytest.raises(DynamicApiError) as refused:
        cluster.create(PROBE, dry_run=True)
    assert 'failed calling webhook "pods.gpu-slice.io"' in said(refused.value)
    cluster.create({**PROBE, "metadata": {"name": "plain", "namespace": "default"}}, dry_run=True)


def test_three_replicas_on_one_plain_node_are_allowed(cluster) -> None:
    pods = cluster.list("Pod", "gpu-slice")
    assert {pod["spec"]["nodeName"] for pod in pods} == {"cpu-1"}  # GPU nodes repel them


def test_the_namespace_enforces_what_our_own_pods_keep(cluster) -> None:
    """P35."""
    pod = {**PROBE, "metadata": {"name": "careless", "namespace": "gpu-slice"}}
    with pytest.raises(DynamicApiError) as refused:
        cluster.create(pod, dry_run=True)
    assert 'violates PodSecurity "restricted:latest"' in said(refused.value)


def test_the_service_account_may_nothing(cluster) -> None:
    """P35."""
    for verb, what in [
        ("get", "secrets"),
        ("list", "pods"),
        ("get", "configmaps"),
        ("patch", "pods"),
        ("create", "pods"),
    ]:
        assert cluster.kubectl("auth", "can-i", verb, what, "-n", "gpu-slice", ROBOT).stdout == "no\n"
    for verb, kind in [("get", "mutating"), ("patch", "mutating"), ("get", "validating"), ("patch", "validating")]:
        what = f"{kind}webhookconfigurations"
        assert cluster.kubectl("auth", "can-i", verb, what, ROBOT).stdout.endswith("no\n")


def test_the_fleet_reaches_the_servers_as_the_file_is(cluster) -> None:
    found = cluster.get("ConfigMap", "fleet", "gpu-slice")
    assert found["data"] == {"fleet.yaml": (MANIFESTS / "webhook" / "fleet.yaml").read_text()}


def test_a_ca_is_added_as_the_readme_says_and_applying_again_keeps_it(cluster, tls) -> None:
    """P26."""
    bundle = base64.b64encode((tls / "ca.crt").read_bytes()).decode()
    patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}]
    name = "mutatingwebhookconfiguration/gpu-slice"
    patched = cluster.kubectl("patch", name, "--type=json", "-p", json.dumps(patch))
    assert patched.returncode == 0, patched.stderr

    cluster.kubectl("apply", "-k", str(MANIFESTS))

    kept = cluster.kubectl("get", name, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
    assert kept.stdout == bundle


def test_make_uninstall_takes_the_webhook_away_and_pods_run_on(cluster) -> None:
    """P42."""
    path = f"{cluster.plane.kubectl.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "KUBECONFIG": str(cluster.plane.kubeconfig)}
    removed = subprocess.run(
        ["make", "uninstall"], cwd=MANIFESTS.parent, env=environment, capture_output=True, text=True
    )
    assert removed.returncode == 0, removed.stderr

    lines = removed.stdout.splitlines()
    gone = [line for line in lines if "deleted" in line]
    assert 'mutatingwebhookconfiguration.admissionregistration.k8s.io "gpu-slice" deleted' in gone[0]
    assert 'validatingwebhookconfiguration.admissionregistration.k8s.io "gpu-slice-advice" deleted' in gone[1]
    assert "validatingadmissionpolicy" in gone[2]
    assert cluster.get("Namespace", "gpu-slice") is None
    configurations = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
    kinds = f"{configurations},validatingadmissionpolicies,clusterroles,clusterrolebindings"
    assert cluster.kubectl("get", kinds, "-l", "app.kubernetes.io/name=gpu-slice", "-o", "name").stdout == ""
    # Karpenter drains the nodes of a NodePool that is deleted, and their pods with them.
    assert cluster.list("NodePool", api_version="karpenter.sh/v1")
    assert "deletionTimestamp" not in cluster.get("Pod", "running", "default")["metadata"]

    def created() -> bool:
        try:
            cluster.create(PROBE, dry_run=True)
        except DynamicApiError:
            return False
        return True

    wait_for("annotated pods are created", created)
