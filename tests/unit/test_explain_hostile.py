"""`explain` of objects that were written to mislead it: it ends, and repeats their texts on lines of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.pods import container, pod_of
from webhook.cluster import target
from webhook.cluster.explain import Explanation, explain
from webhook.cluster.objects import Kind
from webhook.cluster.reader import Reader
from webhook.cluster.snapshot import Listing

from .test_explain import FLEET, World

Document = dict[str, Any]
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Objects(Reader):
    """A cluster of a few objects."""

    def __init__(self, *objects: Document) -> None:
        self.objects = objects
        self.asked: list[str] = []

    def get(self, kind: Kind[Any], name: str, namespace: str | None = None) -> Document | None:
        self.asked.append(kind.path(namespace, name))
        assert len(self.asked) < 50, "it asks without end"
        return next(
            (each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind.name, name)), None
        )

    def list(self, kind: Kind[Any], namespace: str | None = None, **query: str) -> Listing[Any]:
        return Listing()


def made_by(document: Document, kind: str, name: str, uid: str = "1") -> Document:
    owner = {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": True}
    document["metadata"]["ownerReferences"] = [owner]
    return document


def deployment(asked: str = "1g.5gb", name: str = "notebook", kind: str = "Deployment") -> Document:
    template = pod_of(asked, container())
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team-a", "uid": "1"},
        "spec": {"template": template},
    }


def explained(pod: Document, *others: Document) -> tuple[Explanation, Objects]:
    reader = Objects(pod, *others)
    around = target.surroundings(reader, FLEET, "team-a", "gpu-slice")
    found = target.of_pod(reader, "notebook", around, "team-a")
    return explain(found.title, found.asked, found.around), reader


class TestOwners:
    @pytest.mark.parametrize("kind", ["Pod", "ReplicaSet", "Job", "StatefulSet", "CronJob"])
    def test_an_object_that_owns_itself(self, kind: str) -> None:
        pod = made_by(World().pod | {"kind": "Pod"}, kind, "notebook")

        explanation, _ = explained(pod, made_by(deployment(kind=kind), kind, "notebook"))

        assert explanation.title == "Pod team-a/notebook"

    def test_two_that_own_each_other(self) -> None:
        one = made_by(deployment(kind="Job", name="one"), "ReplicaSet", "two")
        two = made_by(deployment(kind="ReplicaSet", name="two"), "Job", "one")

        explanation, _ = explained(made_by(World().pod | {"kind": "Pod"}, "Job", "one"), one, two)

        assert explanation.title == "Pod team-a/notebook"

    def test_a_pod_gets_no_remarks_about_a_pod_that_started_it(self) -> None:
        """As a driver starts its executors."""
        driver = deployment()["spec"]["template"] | {"kind": "Pod"}
        driver["metadata"] |= {"name": "driver", "uid": "1"}
        driver["spec"]["containers"].append(container("other"))

        explanation, _ = explained(made_by(World().pod | {"kind": "Pod"}, "Pod", "driver"), driver)

        assert explanation.changed == ()

    def test_nor_about_one_of_the_same_name_that_did_not_make_it(self) -> None:
        """Such as another group's Job, or one that was deleted."""
        job = deployment(kind="Job", name="train")
        job["spec"]["template"]["spec"]["containers"].append(container("other"))
        pod = World().pod | {"kind": "Pod"}

        assert explained(made_by(pod, "Job", "train", "1"), job)[0].changed
        assert not explained(made_by(pod, "Job", "train", "2"), job)[0].changed

    @pytest.mark.parametrize("name", ["../../../../api/v1/namespaces/kube-system/secrets/token", "x?watch=true", "a/b"])
    def test_an_owner_is_asked_for_by_a_name_alone(self, name: str) -> None:
        _, reader = explained(made_by(World().pod | {"kind": "Pod"}, "Job", name))

        assert reader.asked[1:] == ["/api/v1/namespaces/team-a/pods/notebook"]


NESTED = "[" * 800 + "]" * 800


class TestWhatWasApplied:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("[" * 5000, id="brackets"),
            pytest.param('{"a":' * 5000, id="braces"),
            pytest.param(f'{{"kind": "Pod", "metadata": {{"name": "notebook"}}, "spec": {NESTED}}}', id="nested lists"),
            pytest.param('"\\ud800"', id="half a character"),
            pytest.param(
                '{"kind": "Pod", "metadata": {"name": "notebook", "annotations": {"gpu-slice": "\\ud800"}}, '
                '"spec": {"containers": [{"name": "main"}]}}',
                id="half a character in the annotation",
            ),
            pytest.param("[[1,2]]", id="a list of pairs"),
            pytest.param("1e999", id="no number"),
            pytest.param("null", id="null"),
            pytest.param("", id="nothing"),
            pytest.param('{"kind": "Pod"}', id="nothing but its kind"),
            pytest.param('{"kind": "Pod", "metadata": null, "spec": null}', id="nulls"),
            pytest.param('{"kind": "Pod", "metadata": {"name": "notebook"}, "spec": []}', id="a list for a spec"),
            pytest.param(
                '{"kind": "Pod", "metadata": {"name": "notebook", "annotations": {"gpu-slice": "1g.5gb"}}, '
                '"spec": {"containers": [null, 1], "initContainers": {"a": null}}}',
                id="no containers",
            ),
        ],
    )
    def test_a_text_that_is_no_pod_is_passed_over(self, text: str) -> None:
        pod = World().pod | {"kind": "Pod"}
        pod["metadata"]["annotations"][APPLIED] = text

        explanation, _ = explained(pod)

        assert explanation.changed == ()

    def test_nor_is_another_object(self) -> None:
        """The annotation may be copied from a workload, or from another pod."""
        pod = World().pod | {"kind": "Pod"}
        applied = {"apiVersion": "v1", "kind": "Pod", **pod_of("1g.5gb", container(), container("other"))}

        pod["metadata"]["annotations"][APPLIED] = json.dumps(applied)
        assert explained(pod)[0].changed

        applied["metadata"]["name"] = "other"
        pod["metadata"]["annotations"][APPLIED] = json.dumps(applied)
        assert not explained(pod)[0].changed

        pod["metadata"]["annotations"][APPLIED] = json.dumps(deployment())
        assert not explained(pod)[0].changed
