"""Every story a third time: told to a real API server by kubectl."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.cluster.install import ADMISSION
from tests.stories import FLEETS, STORIES, answers_of, fleet_of, namespace_of, pod_of
from tests.waiting import wait_for
from webhook.admission.preview import preview
from webhook.cli import files

NO_POD = "selector-is-no-text"
"""A number for a text: the API server cannot read it as a pod, and asks nobody."""
BY_FLEET = sorted(STORIES, key=fleet_of)  # another server is registered five times, and not after every story


def guard(cluster: Cluster, action: str) -> None:
    """Have the guard do *action* with pods that it finds without their slice."""
    spec = {"validationActions": [action]}
    cluster.patch("ValidatingAdmissionPolicyBinding", "gpu-slice", {"spec": spec}, api=ADMISSION)


@pytest.fixture(scope="module", name="stored")
def _stored(cluster: Cluster, ours: Ours) -> Iterator[dict[str, Document | str]]:
    """By story: what the API server would store of the previewed pod while the webhook is away, or why not."""
    ours.installation.take_away()
    guard(cluster, "Audit")
    wait_for("the guard refuses nothing", lambda: ours.installation.probe() == "created")
    for each in {namespace_of(pod_of(story)) for story in STORIES}:
        labels = {"gpu-slice/default": "true"}  # where the fleet of a story has no default, nothing comes of it
        if cluster.get("Namespace", each):
            cluster.patch("Namespace", each, {"metadata": {"labels": labels}})
        else:
            cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each, "labels": labels}})
    fleets = {name: files.fleet_at(path) for name, path in FLEETS.items()}
    found: dict[str, Document | str] = {}
    for story in STORIES:
        (previewed,) = preview(pod_of(story), fleets[fleet_of(story)])
        pod = pod_of(story) if previewed.shadow else previewed.pod
        if pod is not None:
            try:
                found[story.name] = cluster.create(pod, namespace_of(pod), dry_run=True)
            except DynamicApiError as error:
                found[story.name] = said(error)
    guard(cluster, "Deny")
    yield found
    cluster.patch("Namespace", "default", {"metadata": {"labels": {"gpu-slice/default": None}}})
    ours.serve()


@pytest.fixture(scope="module", name="serve")
def _serve(stored: object, cluster: Cluster, ours: Ours) -> Iterator[Callable[[str], None]]:
    """Have the server of that fleet be asked.  The guard refuses nothing while the fleet is in shadow."""
    serving = [""]

    def serve(fleet: str) -> None:
        if serving != [fleet]:
            serving[:] = [fleet]
            shadow = fleet.startswith("shadow")
            guard(cluster, "Audit" if shadow else "Deny")
            ours.serve(fleet)
            if shadow:
                wait_for("the guard refuses nothing", lambda: ours.installation.probe() == "created")

    yield serve
    guard(cluster, "Deny")


@pytest.mark.parametrize("story", BY_FLEET, ids=lambda story: story.name)
def test_the_api_server_stores_what_was_previewed(story: Path, cluster, serve, stored) -> None:
    """P5, P15, P41."""
    answers = answers_of(story)
    serve(fleet_of(story))

    # Some stories have fields of the future, which kubectl refuses by default.
    made = cluster.kubectl(
        "create", "--dry-run=server", "--validate=ignore", "-o", "json", "-f", str(story / "pod.yaml")
    )

    if story.name == NO_POD:
        assert 'Pod in version "v1" cannot be handled as a Pod' in made.stderr
        return
    if "denied.txt" in answers:
        assert made.returncode == 1
        assert made.stderr.endswith(
            f'admission webhook "pods.gpu-slice.io" denied the request: {answers["denied.txt"]}'
        )
        return
    warnings = [line.removeprefix("Warning: ") for line in made.stderr.splitlines() if line.startswith("Warning: ")]
    expected = stored[story.name]
    if isinstance(expected, str):
        assert story.name == "keys-with-slash-and-tilde"  # no other pod here is invalid as such
        assert words(expected) <= words(made.stderr)
    else:
        assert made.stderr.count("\n") == len(warnings)
        assert comparable(json.loads(made.stdout)) == comparable(expected, tolerated_before(pod_of(story), expected))
    assert warnings == answers.get("warnings.txt", "").splitlines()


def comparable(pod: Document, also: list[Document] | None = None) -> Document:
    """*pod* without what differs from one creation to the next; *also* are tolerations that it has besides.

    The API server adds tolerations before and after the webhook, so their order is another one; it means nothing.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    dropped = {"uid", "creationTimestamp", "managedFields"} | ({"name"} if "generateName" in metadata else set())
    tolerations = sorted(json.dumps(each, sort_keys=True) for each in [*spec["tolerations"], *(also or [])])
    kept = {key: value for key, value in metadata.items() if key not in dropped}
    return pod | {"metadata": kept, "spec": spec | {"tolerations": tolerations}}


def tolerated_before(pod: Document, stored: Document) -> list[Document]:
    """What the API server tolerates for a pod that asks for a whole GPU, which the webhook then takes away."""
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    asked = '"nvidia.com/gpu":' in json.dumps([*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])])
    return [toleration] if asked and toleration not in stored["spec"]["tolerations"] else []


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\s\[\],]+", text))
