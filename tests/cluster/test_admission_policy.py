"""Every story a fourth time: told to the API server alone, with the fleet as a policy in it and no webhook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster import programs
from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.conftest import skip
from tests.cluster.install import ADMISSION, PROBE, Installation
from tests.cluster.nodes import nodes
from tests.cluster.policy_pods import any_pod
from tests.cluster.test_stories import BY_FLEET, comparable, tolerated_before
from tests.rendering import ENFORCED, documents_of
from tests.running import Running
from tests.stories import fleet_of, namespace_of, pod_of
from tests.waiting import wait_for
from webhook.admission.assigned import DECIDED
from webhook.admission.preview import preview
from webhook.cli import files
from webhook.render.admission_policy import NAME, STANDBY
from webhook.slices.request import ANNOTATION, ASSIGNED

PAGE = Path(__file__).parents[2] / "docs" / "admission-policy.md"
TOLD = [story for story in BY_FLEET if fleet_of(story) in ENFORCED]
PODS = 100
"""Other pods for each fleet."""
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
    for document in documents_of(files.fleet_at(ENFORCED[fleet]), name):
        # What a pod and a refusal say tells which of the fleets' policies they are of.
        text = json.dumps(document).replace(MARK, f"'{fleet}'").replace(WHO, f"the policy of {fleet}")
        done = cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr
    unreadable = {**PROBE, "metadata": {**PROBE["metadata"], "annotations": {ANNOTATION: "?"}}}
    policy = files.fleet_at(ENFORCED[fleet]).policy("default")
    offers = (pair for pair in files.fleet_at(ENFORCED[fleet]).offers if policy.permits(*pair))
    known = next(f"{offer}@{pool.gpu.name}" for pool, offer in offers)
    readable = {**PROBE, "metadata": {**PROBE["metadata"], "annotations": {ANNOTATION: known}}}

    def acts() -> bool:
        refused, stored = create(cluster, unreadable), create(cluster, readable)
        marked = isinstance(stored, dict) and stored["metadata"]["annotations"].get(DECIDED) == fleet
        return marked and isinstance(refused, str) and f"this pod asks for '?', which the policy of {fleet}" in refused

    wait_for(f"the policy of {fleet} acts", acts)


def remove(cluster: Cluster) -> None:
    for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"):
        cluster.delete(f"{kind}Binding", NAME, api_version=ADMISSION)
        cluster.delete(kind, NAME, api_version=ADMISSION)


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of its own, with neither webhook nor guard."""
    if not programs.has_mutating_policies():
        pytest.skip("MutatingAdmissionPolicy is stable from Kubernetes 1.36 on")
    try:
        with control_plane_and_kubelet(tmp_path_factory.mktemp("policy")) as made:
            yield made
    except programs.BuildError as error:
        skip(error)


@dataclass
class Told:
    """A pod, and what the API server stores of it or says."""

    pod: Document
    fleet: str
    denial: str
    """The webhook's."""
    previewed: Document | str
    """Of its preview, while nobody is there."""
    untouched: Document | str
    """Of itself, while nobody is there."""
    stored: Document | str = ""
    """With the policy there."""

    def check(self) -> None:
        """It is stored as by the webhook, or refused with a sentence."""
        if isinstance(self.stored, str):
            assert "\n" not in self.stored
            assert "resulted in error" not in self.stored
            return
        assert not self.denial, f"{json.dumps(self.pod)} is stored, and the webhook denies it: {self.denial}"
        assert isinstance(self.previewed, dict), self.previewed
        annotations = self.stored["metadata"].get("annotations", {})
        if ANNOTATION not in annotations:  # it may keep its whole GPU where the webhook gives the namespace's default
            assert DECIDED not in annotations
            assert isinstance(self.untouched, dict)
            assert comparable(self.stored) in (comparable(self.untouched), comparable(self.previewed))
            return
        assert annotations.pop(DECIDED, None) == (self.fleet if ASSIGNED in annotations else None)
        expected = comparable(self.previewed, tolerated_before(self.pod, self.previewed))
        assert comparable(self.stored) == expected, json.dumps(self.pod)


@pytest.fixture(scope="module", name="told")
def _told(cluster: Cluster) -> dict[str, list[Told]]:
    """By story, and by fleet for other pods."""
    fleets = {name: files.fleet_at(path) for name, path in ENFORCED.items()}
    pods = [(story.name, pod_of(story), fleet_of(story)) for story in TOLD]
    for name, fleet in fleets.items():
        random = Random(name)
        pods += [(name, any_pod(random, fleet, number), name) for number in range(PODS)]
    for name in {namespace_of(pod) for _, pod, _ in pods}:
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        namespace |= {"metadata": {"name": name, "labels": {"gpu-slice/default": "true"}}}
        done = cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(namespace))
        assert done.returncode == 0, done.stderr
    found: dict[str, list[Told]] = {}
    for name, pod, fleet in pods:
        (plan,) = preview(pod, fleets[fleet])
        denial = str(plan.denial or "")
        previewed = "" if denial else create(cluster, plan.pod)
        found.setdefault(name, []).append(Told(pod, fleet, denial, previewed, create(cluster, pod)))
    for fleet in fleets:
        install(cluster, "policy-alone", fleet)
        for told in chain.from_iterable(found.values()):
            if told.fleet == fleet:
                told.stored = create(cluster, told.pod)
    remove(cluster)
    return found


@pytest.mark.parametrize("story", TOLD, ids=lambda story: story.name)
def test_a_pod_is_stored_as_by_the_webhook_or_refused_with_a_sentence(story: Path, told) -> None:
    for one in told[story.name]:
        one.check()


@pytest.mark.parametrize("fleet", ENFORCED)
def test_any_pod_is_stored_as_by_the_webhook_or_refused_with_a_sentence(fleet: str, told) -> None:
    for one in told[fleet]:
        one.check()
    by_webhook = [one for one in told[fleet] if not one.denial]
    by_policy = [one for one in by_webhook if isinstance(one.stored, dict)]
    assert len(by_policy) > len(by_webhook) / 3 > PODS / 20, f"{len(by_policy)} of {len(by_webhook)}"


def test_the_page_tells_which_stories_the_policy_decides(told, request: pytest.FixtureRequest) -> None:
    alike, other, denied = [], [], []
    for name in sorted(story.name for story in TOLD):
        (one,) = told[name]
        if isinstance(one.stored, dict):
            alike.append(name)
        elif one.denial or isinstance(one.previewed, str):
            denied.append(name)
        else:
            sentence = one.stored.partition(" denied request: ")[2].replace(f"the policy of {one.fleet}", WHO)
            other.append(f"| {name} | {sentence.replace('|', chr(92) + '|')} |")
    table = "\n".join(["| story | the policy refuses it |", "| --- | --- |", *other])
    parts = [
        f"As by the webhook, {len(alike)} stories: {', '.join(alike)}.",
        f"Refused by the policy, and decided by the webhook, {len(other)} stories:\n\n{table}",
        f"Refused by both, {len(denied)} stories: {', '.join(denied)}.",
    ]
    before, rest = PAGE.read_text().split(BEGIN)
    text = before + BEGIN + "\n\n".join(parts) + "\n" + END + rest.split(END)[1]
    if request.config.getoption("--update-stories"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text


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
            # Idle, it takes a mark away; before the API server has read it, it does nothing.
            made = create(self.cluster, asking("probe", **({} if marked else {DECIDED: "policy"})))
            return isinstance(made, dict) and (DECIDED in made["metadata"]["annotations"]) == marked

        wait_for(f"the standby {'acts' if marked else 'is idle'}", noticed)


@pytest.fixture(scope="module", name="standby")
def _standby(cluster: Cluster, tls: Path) -> Iterator[Standby]:
    installation = Installation(cluster)
    installation.guard()
    for node in nodes(files.fleet_at(None))[:1]:
        cluster.add_node(node)
    if not cluster.get("Namespace", "gpu-slice"):
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
