"""Every story a fourth time: told to the API server alone, with the fleet as a policy in it and no webhook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster import programs
from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.conftest import skip
from tests.cluster.install import ADMISSION, PROBE, Installation
from tests.cluster.nodes import nodes
from tests.cluster.test_stories import BY_FLEET, comparable, tolerated_before
from tests.rendering import documents_of
from tests.running import Running
from tests.stories import FLEETS, STORIES, answers_of, fleet_of, namespace_of, pod_of
from tests.waiting import wait_for
from webhook.admission.assigned import DECIDED
from webhook.admission.preview import preview
from webhook.cli import files
from webhook.render.admission_policy import NAME, STANDBY
from webhook.slices.request import ANNOTATION, ASSIGNED

PAGE = Path(__file__).parents[2] / "docs" / "admission-policy.md"
BEGIN, END = "<!-- stories -->\n", "<!-- end stories -->\n"
WHO, MARK = "the policy in the cluster", "'policy'"


def create(cluster: Cluster, pod: Document) -> Document | str:
    """What the API server would store, or why it would not."""
    try:
        return cluster.create(pod, namespace_of(pod), dry_run=True)
    except DynamicApiError as error:
        return said(error)


def install(cluster: Cluster, name: str, fleet: str) -> None:
    """Have the policy of *fleet* in the cluster, and wait until the API server acts on it."""
    for document in documents_of(files.fleet_at(FLEETS[fleet]), name):
        # What a pod and a refusal say tells which of the fleets' policies they are of.
        text = json.dumps(document).replace(MARK, f"'{fleet}'").replace(WHO, f"the policy of {fleet}")
        done = cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr
    unreadable = {**PROBE, "metadata": {**PROBE["metadata"], "annotations": {ANNOTATION: "?"}}}
    policy = files.fleet_at(FLEETS[fleet]).policy("default")
    offers = (pair for pair in files.fleet_at(FLEETS[fleet]).offers if policy.permits(*pair))
    known = next(f"{offer}@{pool.gpu.name}" for pool, offer in offers)
    readable = {**PROBE, "metadata": {**PROBE["metadata"], "annotations": {ANNOTATION: known}}}

    def acts() -> bool:
        refused, stored = create(cluster, unreadable), create(cluster, readable)
        marked = isinstance(stored, dict) and stored["metadata"]["annotations"].get(DECIDED) == fleet
        return marked and f"this pod asks for '?', which the policy of {fleet}" in str(refused)

    wait_for(f"the policy of {fleet} acts", acts)


def remove(cluster: Cluster) -> None:
    for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"):
        cluster.delete(f"{kind}Binding", NAME, api_version=ADMISSION)
        cluster.delete(kind, NAME, api_version=ADMISSION)


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of its own, with neither webhook nor guard."""
    try:
        with control_plane_and_kubelet(tmp_path_factory.mktemp("policy")) as made:
            yield made
    except programs.BuildError as error:
        skip(error)


@pytest.fixture(scope="module", name="told")
def _told(cluster: Cluster) -> dict[str, tuple[Document | str, Document | str]]:
    """By story: what the API server stores of the previewed pod with nobody there, and of the pod by the policy."""
    for name in {namespace_of(pod_of(story)) for story in STORIES}:
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        namespace |= {"metadata": {"name": name, "labels": {"gpu-slice/default": "true"}}}
        done = cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(namespace))
        assert done.returncode == 0, done.stderr
    fleets = {name: files.fleet_at(path) for name, path in FLEETS.items()}
    previewed = {}
    for story in STORIES:
        (plan,) = preview(pod_of(story), fleets[fleet_of(story)])
        previewed[story.name] = "" if plan.denial else create(cluster, plan.pod)
    found, installed = {}, ""
    for story in BY_FLEET:
        if fleet_of(story) != installed:
            installed = fleet_of(story)
            install(cluster, "policy-alone", installed)
        found[story.name] = previewed[story.name], create(cluster, pod_of(story))
    remove(cluster)
    return found


@pytest.mark.parametrize("story", BY_FLEET, ids=lambda story: story.name)
def test_a_pod_is_stored_as_by_the_webhook_or_refused_with_a_sentence(story: Path, told) -> None:
    previewed, stored = told[story.name]
    if isinstance(stored, str):
        assert "\n" not in stored
        print(stored)
        return
    assert isinstance(previewed, dict), f"the webhook denies it: {answers_of(story)}"
    marked = stored["metadata"].get("annotations", {}).pop(DECIDED, None)
    assert marked == (fleet_of(story) if ASSIGNED in stored["metadata"].get("annotations", {}) else None)
    assert comparable(stored) == comparable(previewed, tolerated_before(pod_of(story), previewed))


WEBHOOK = "webhook"


def asking(name: str, value: str = "1g.5gb", **annotations: str) -> Document:
    metadata = {"name": name, "namespace": "default", "annotations": {ANNOTATION: value, **annotations}}
    return {**PROBE, "metadata": metadata}


@dataclass
class Standby:
    """A cluster with the webhook, the guard, and the policy as a standby."""

    cluster: Cluster
    tls: Path
    installation: Installation
    server: Running | None = None

    def start(self) -> None:
        """Have a replica serve, and be ready."""
        self.server = Running(self.tls)
        self.scale(1)
        server = self.server
        counted = "gpu_slice_admission_duration_seconds_count"
        self.installation.point_at(server.port, self.tls / "ca.crt", lambda _: bool(server.metric(counted)))

    def kill(self) -> None:
        """End the only replica: nobody answers, and none is ready."""
        if self.server is not None:
            self.server.stop()
        self.server = None
        self.scale(0)

    def scale(self, replicas: int) -> None:
        self.cluster.patch("Deployment", WEBHOOK, {"spec": {"replicas": replicas}}, "gpu-slice", "apps/v1")

        def settled() -> bool:
            live = self.cluster.get("Deployment", WEBHOOK, "gpu-slice", "apps/v1") or {}
            return live["status"].get("readyReplicas", 0) == replicas

        wait_for(f"{replicas} replicas are ready", settled)

    def switch(self, value: str | None) -> None:
        annotation = {"metadata": {"annotations": {STANDBY: value}}}
        self.cluster.patch("Deployment", WEBHOOK, annotation, "gpu-slice", "apps/v1")

    def marks(self, marked: bool) -> None:
        """Wait until the policy acts, or does not act."""

        def noticed() -> bool:
            made = create(self.cluster, asking("probe"))
            return (isinstance(made, dict) and made["metadata"]["annotations"].get(DECIDED) == "policy") == marked

        wait_for(f"the standby {'acts' if marked else 'is idle'}", noticed)


@pytest.fixture(scope="module", name="standby")
def _standby(cluster: Cluster, tls: Path) -> Iterator[Standby]:
    installation = Installation(cluster)
    installation.guard()
    for node in nodes(files.fleet_at(None))[:1]:
        cluster.add_node(node)
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-slice"}})
    labels, container = {"app": WEBHOOK}, {"name": WEBHOOK, "image": "a/b:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    cluster.create(
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": WEBHOOK, "namespace": "gpu-slice"},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
    )  # fmt: skip
    for document in documents_of(files.fleet_at(None), "admission-policy"):
        cluster.create(document)
    made = Standby(cluster, tls, installation)
    made.start()
    made.marks(False)
    yield made
    made.kill()


@pytest.fixture(name="killed")
def _killed(standby: Standby) -> Iterator[Standby]:
    """The standby while no replica is there.  Afterwards one serves again."""
    standby.kill()
    standby.marks(True)
    yield standby
    standby.switch(None)
    standby.start()
    standby.marks(False)


def test_while_a_replica_is_ready_the_standby_is_idle_and_a_forged_mark_is_taken_away(standby: Standby) -> None:
    stored = create(standby.cluster, asking("forged", **{DECIDED: "policy"}))
    assert isinstance(stored, dict)
    assert DECIDED not in stored["metadata"]["annotations"]
    assert stored["metadata"]["annotations"][ASSIGNED] == "1g.5gb -> main=nvidia.com/mig-1g.5gb:1"

    lie = {DECIDED: "policy", ASSIGNED: "1g.5gb -> main=nvidia.com/mig-7g.40gb:1"}
    assert 'webhook "pods.gpu-slice.io" denied the request: metadata' in str(
        create(standby.cluster, asking("lie", **lie))
    )


def test_with_no_replica_left_the_standby_decides_and_what_it_cannot_is_refused_with_its_sentence(
    killed: Standby,
) -> None:
    stored = killed.cluster.create(asking("outage"), "default")
    assert stored["metadata"]["annotations"][DECIDED] == "policy"
    assert stored["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/mig-1g.5gb": "1"}
    refused = create(killed.cluster, asking("several", "main=1g.5gb,side=1g.5gb"))
    assert (
        "denied request: metadata.annotations[gpu-slice]: this pod asks for 'main=1g.5gb,side=1g.5gb', which "
        in str(refused)
    )
    lie = {DECIDED: "policy", ASSIGNED: "1g.5gb -> main=nvidia.com/mig-7g.40gb:1"}
    assert "denied request: metadata.annotations[gpu-slice/assigned]: " in str(
        create(killed.cluster, asking("lie", **lie))
    )


def test_a_pod_of_an_outage_is_created_again_by_the_webhook(standby: Standby) -> None:
    standby.kill()
    standby.marks(True)
    stored = create(standby.cluster, asking("again"))
    standby.start()
    standby.marks(False)
    assert isinstance(stored, dict)
    kept = {key: stored["metadata"][key] for key in ("name", "namespace", "annotations")}
    again = create(standby.cluster, {**stored, "metadata": kept})
    assert isinstance(again, dict)
    assert DECIDED not in again["metadata"]["annotations"]
    assert again["spec"] == stored["spec"]


def test_by_hand_the_standby_acts_although_a_replica_is_ready_or_never(standby: Standby) -> None:
    standby.switch("on")
    standby.marks(True)
    standby.switch("off")
    standby.marks(False)
    standby.kill()
    wait_for("nobody decides", lambda: "failed calling webhook" in str(create(standby.cluster, asking("nobody"))))
    standby.switch(None)
    standby.marks(True)
    standby.start()
    standby.marks(False)
