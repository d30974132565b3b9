"""From shadow to enforcing and back, on a real API server and without a restart, while pods are created."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.cluster.install import ADMISSION, CONFIGURATION, LOOPBACK, NAME, configuration
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli.main import main

BINDING = "ValidatingAdmissionPolicyBinding"
LIVE = """
apiVersion: gpu-slice/v1
pools: [{name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}]
"""
SHADOW = f"{LIVE}mode: shadow\n"
SLICE = "nvidia.com/mig-1g.5gb"
UNSEEN = "never-shown-to-the-webhook"
"""A namespace of pods that the guard alone sees, so that they tell what the API server has noticed of it."""
GIVEN = "Warning: gpu-slice: shadow: not enforced: main gets 1 nvidia.com/mig-1g.5gb (pool a100)\n"


def pod(name: str, asked: str = "1g.5gb") -> Document:
    metadata = {"name": name, "annotations": {"gpu-slice": asked}}
    spec = {"containers": [{"name": "main", "image": "a/b:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Tried:
    """A replica whose fleet file can be changed, and the guard, which can be opened and closed."""

    def __init__(self, cluster: Cluster, server: Running, file: Path) -> None:
        self.cluster, self.server, self.file = cluster, server, file

    def serve(self, text: str) -> None:
        """Change the file as a ConfigMap is changed, and wait until the server has taken it."""
        before = self.server.metric("gpu_slice_fleet_generation")
        new = self.file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.file)
        wait_for("the fleet is taken", lambda: self.server.metric("gpu_slice_fleet_generation") != before)

    def guard(self, actions: list[str], matched: Document | None = None) -> None:
        """Bind the guard, and wait until the API server does accordingly."""
        spec = {"validationActions": actions, "matchResources": matched}
        self.cluster.patch(BINDING, NAME, {"spec": spec}, api=ADMISSION)
        refuses = "Deny" in actions
        wait_for("the guard has changed", lambda: self.is_refused(UNSEEN) is refuses)

    def is_refused(self, namespace: str) -> bool:
        try:
            self.cluster.create(pod("probe"), namespace, dry_run=True)
        except DynamicApiError as error:
            return "ValidatingAdmissionPolicy 'gpu-slice'" in said(error)
        return False

    def create(self, document: Document, namespace: str) -> tuple[str, Document | None]:
        """What kubectl remarks, and the pod as it is stored."""
        made = self.cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(document))
        return made.stderr, self.cluster.get("Pod", document["metadata"]["name"], namespace)


def have_asked(cluster: Cluster, port: int, tls: Path) -> None:
    """Have the API server ask *port*, not for pods of `UNSEEN`, and go on where nobody answers."""
    document = configuration(f"https://{LOOPBACK}:{port}/mutate", (tls / "ca.crt").read_bytes())
    for each in document["webhooks"]:
        each["failurePolicy"] = "Ignore"
        each["namespaceSelector"]["matchExpressions"][-2]["values"].append(UNSEEN)
    there = cluster.get(CONFIGURATION, NAME, api_version=ADMISSION)
    assert there is not None
    document["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
    cluster.replace(document)


@pytest.fixture(scope="module", name="tried")
def _tried(cluster: Cluster, ours: Ours, tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    file = tmp_path_factory.mktemp("shadow") / "fleet.yaml"
    file.write_text(SHADOW)
    server = Running(tls, "--fleet", str(file), "--poll", "0.1")
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": UNSEEN}})
    have_asked(cluster, server.port, tls)
    made = Tried(cluster, server, file)
    made.guard(["Audit"])

    def is_asked() -> bool:
        made.is_refused("default")
        return bool(server.metric("gpu_slice_admission_duration_seconds_count"))

    wait_for("the server is asked", is_asked)
    yield made
    made.guard(["Deny"])
    ours.serve()
    server.stop()
    cluster.delete("Namespace", UNSEEN)


@pytest.fixture(autouse=True)
def _in_shadow(tried: Tried) -> Iterator[None]:
    yield
    tried.guard(["Audit"])
    if tried.file.read_text() != SHADOW:
        tried.serve(SHADOW)


def test_a_pod_in_shadow_stays_as_it_is_written_and_its_author_is_told(tried: Tried, namespace: str) -> None:
    remarks, stored = tried.create(pod("a"), namespace)
    assert remarks == GIVEN
    assert stored is not None
    assert stored["metadata"]["annotations"] == {"gpu-slice": "1g.5gb"}
    assert stored["spec"]["containers"][0]["resources"] == {}
    assert "nodeSelector" not in stored["spec"]
    assert "nvidia" not in json.dumps(stored["spec"]["tolerations"])

    remarks, stored = tried.create(pod("b", "7g.40gb"), namespace)
    assert remarks.startswith("Warning: gpu-slice: shadow: not enforced: denied (not-offered): '7g.40gb'")
    assert stored is not None


def test_explain_says_what_a_pod_in_shadow_would_get_and_not_that_it_was_changed(tried: Tried, namespace: str) -> None:
    written = pod("placed")
    written["spec"] |= {"nodeName": "nowhere", "tolerations": [{"operator": "Exists"}]}
    for each in (pod("bound"), written):
        tried.create(each, namespace)

    def node(name: str) -> str:
        return ((tried.cluster.get("Pod", name, namespace) or {}).get("spec") or {}).get("nodeName", "")

    wait_for("the pod is bound", lambda: node("bound"))
    assert node("placed") == "nowhere"
    for name in ("bound", "placed"):
        environment = {"KUBECONFIG": str(tried.cluster.plane.kubeconfig)}
        command = ["explain", name, "-n", namespace, "--fleet", str(tried.file)]
        result = CliRunner().invoke(main, command, env=environment, prog_name="gpu-slice")
        assert "in shadow here" in result.stdout, result.output
        assert "Otherwise: main gets 1 nvidia.com/mig-1g.5gb (pool a100)." in result.stdout, result.stdout
        assert "Changed" not in result.stdout, result.stdout
        assert "spec.nodeName bypasses the scheduler" not in result.stdout, result.stdout


def test_it_enforces_without_a_restart_and_goes_back(tried: Tried, namespace: str) -> None:
    assert tried.create(pod("before"), namespace)[0] == GIVEN

    tried.serve(LIVE)
    tried.guard(["Deny"])
    remarks, stored = tried.create(pod("live"), namespace)
    assert remarks == ""
    assert stored is not None
    assert stored["spec"]["containers"][0]["resources"]["limits"] == {SLICE: "1"}
    remarks, stored = tried.create(pod("denied", "7g.40gb"), namespace)
    assert "denied the request" in remarks
    assert stored is None

    tried.guard(["Audit"])
    tried.serve(SHADOW)
    assert tried.create(pod("after"), namespace)[0] == GIVEN
    there = tried.cluster.get("Pod", "live", namespace)
    assert there is not None
    assert there["spec"]["containers"][0]["resources"]["limits"] == {SLICE: "1"}


def test_a_guard_that_is_left_closed_would_refuse_pods_in_shadow(tried: Tried, namespace: str) -> None:
    """It is what `gpu-slice check` fails about."""
    tried.guard(["Deny"])
    wait_for("the guard refuses", lambda: tried.is_refused(namespace))


def test_a_namespace_in_shadow_beside_one_that_the_guard_keeps(tried: Tried, namespace: str) -> None:
    tried.serve(f"{LIVE}namespaces: {{{namespace}: {{mode: shadow}}}}\n")
    outside = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]}
    tried.guard(["Deny"], {"namespaceSelector": {"matchExpressions": [outside]}})

    assert tried.create(pod("a"), namespace)[0] == GIVEN
    made = tried.cluster.create(pod("b"), "default", dry_run=True)
    assert made["spec"]["containers"][0]["resources"]["limits"] == {SLICE: "1"}
    assert tried.is_refused(UNSEEN)


def test_nothing_is_lost_while_it_is_switched_over_and_back(tried: Tried, namespace: str) -> None:
    outcomes: Counter[str] = Counter()
    numbers, over = itertools.count(), threading.Event()

    def create() -> None:
        while not over.is_set():
            try:
                made = tried.cluster.create(pod(f"pod-{next(numbers)}"), namespace, dry_run=True)
                outcome = "sliced" if made["spec"]["containers"][0]["resources"].get("limits") else "as written"
            except DynamicApiError as error:
                outcome = said(error)
            outcomes[outcome] += 1

    def wait_for_more(outcome: str) -> None:
        before = outcomes[outcome]
        wait_for(f"more are {outcome}", lambda: outcomes[outcome] > before + 20)

    with ThreadPoolExecutor(4) as users:
        working = [users.submit(create) for _ in range(4)]
        try:
            for _ in range(3):
                wait_for_more("as written")
                tried.serve(LIVE)
                wait_for_more("sliced")
                tried.guard(["Deny"])
                wait_for_more("sliced")
                tried.guard(["Audit"])
                tried.serve(SHADOW)
        finally:
            over.set()
    for each in working:
        each.result()
    assert outcomes.keys() == {"as written", "sliced"}, outcomes


def test_while_nobody_answers_a_pod_is_stored_as_it_is(
    tried: Tried, cluster: Cluster, tls: Path, namespace: str
) -> None:
    have_asked(cluster, 9, tls)
    asked = tried.server.metric("gpu_slice_admission_duration_seconds_count")

    def is_away() -> bool:
        nonlocal asked
        before, tries = asked, [tried.is_refused(namespace) for _ in range(3)]
        asked = tried.server.metric("gpu_slice_admission_duration_seconds_count")
        assert not any(tries)
        return asked == before

    wait_for("nobody is asked", is_away)
    have_asked(cluster, tried.server.port, tls)
