"""`explain FILE`: a pod that is there already, and what the API server refuses for reasons of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pods import container, pod_of
from tests.unit.explain_world import FLEET, World, refused
from tests.unit.test_explain_hostile import Objects, deployment
from webhook.admission.preview import preview
from webhook.cluster import target
from webhook.cluster.explain import Explanation, explain
from webhook.cluster.objects import Document, Kind
from webhook.cluster.reader import Refused


class Stored(Objects):
    """An API server that refuses a name that is taken, and keeps what it was asked to create."""

    def try_create(self, kind: Kind[Any], document: Document, namespace: str) -> Document:
        self.tried = document
        name = document["metadata"].get("name")
        if name is not None and self.get(kind, name, namespace) is not None:
            raise Refused(409, f'pods "{name}" already exists, the server was not able to generate a unique name')
        return document


def explained(reader: Objects, document: Document) -> Explanation:
    around = target.surroundings(reader, FLEET, "team-a", "gpu-slice")
    (shown,) = preview(document, FLEET, "team-a")
    found = target.of_document(reader, shown, around, "team-a")
    return explain(found.title, found.asked, found.around)


def written(name: str = "notebook") -> Document:
    pod = pod_of("1g.5gb", container())
    pod["metadata"] |= {"name": name, "namespace": "team-a"}
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def test_of_a_pod_that_is_there_the_live_one_is_explained() -> None:
    live = World().pod | {"kind": "Pod"}
    live["status"] = {"phase": "Succeeded"}

    found = explained(Stored(live), written())

    assert (found.title, found.cause.id) == ("Pod team-a/notebook, which exists already", "succeeded")


def test_it_is_not_tried_beside_itself() -> None:
    """It may have used up the quota that would refuse another."""

    class Full(Stored):
        def try_create(self, kind: Kind[Any], document: Document, namespace: str) -> Document:
            raise Refused(403, "exceeded quota: few, requested: x=1, used: x=1, limited: x=1")

    live = World().pod | {"kind": "Pod"}
    assert explained(Full(live), written()).cause.id != "quota"
    assert explained(Full(), written()).cause.id == "quota"


def test_of_one_that_is_not_there_the_api_server_is_asked() -> None:
    reader = Stored(World().pod | {"kind": "Pod"})
    assert explained(reader, written("other")).title == "Pod team-a/other"
    assert reader.tried["metadata"]["name"] == "other"


def test_a_template_with_the_name_of_a_pod_is_tried_without_it() -> None:
    reader = Stored(World().pod | {"kind": "Pod"})
    workload = deployment(name="web")
    workload["spec"]["template"]["metadata"]["name"] = "notebook"

    assert "already exists" not in explained(reader, workload).cause.sentence
    assert "name" not in reader.tried["metadata"]


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        (
            'pods "p" is forbidden: unable to create new content in namespace team-a because it is being terminated',
            "Use another namespace, or wait until this one is gone",
        ),
        ('namespaces "team-a" not found', "Create the namespace"),
        (
            'pods "p" is forbidden: error looking up service account team-a/train: serviceaccount "train" not found',
            "Create the service account",
        ),
        ('pods "p" is forbidden: no PriorityClass with name high was found', "kubectl get priorityclasses"),
        (
            'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
            "securityContext",
        ),
        ("spec.containers[0].image: Required value", "Correct what the message names."),
    ],
)
def test_refusals_of_kubernetes_own_have_a_cure(message: str, cure: str) -> None:
    world = World()
    refused(message)(world)
    found = world.explain().cause
    assert (found.id, cure in found.cure) == ("refused", True)
