"""`gpu-slice explain` of pods without the annotation: what the webhook would do is said only where it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pods import container, expression, pod_of
from tests.unit.explain_world import FLEET, World
from tests.unit.test_shadow_explain import with_mode
from webhook.admission.plan import plan
from webhook.admission.pod import convert
from webhook.cluster import target
from webhook.cluster.explain import explain
from webhook.cluster.objects import DEPLOYMENTS, NAMESPACES, WEBHOOKS, Document, Kind
from webhook.cluster.reader import Reader
from webhook.cluster.snapshot import Listing
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet

DEFAULT = with_mode(namespaces={"team-a": {"default": "1g.5gb"}})
SHADOW = with_mode(mode="shadow", namespaces={"team-a": {"default": "1g.5gb"}})
WHOLE = {"nvidia.com/gpu": "1"}
Change = Callable[[World], object]


def world_of(*containers: dict[str, Any], fleet: Fleet = DEFAULT, **spec: Any) -> World:
    """A pod without the annotation that waits, in a namespace that is not labelled."""
    world = World()
    pod = pod_of("", *containers, **spec)
    pod["metadata"] = {"name": "notebook", "namespace": "team-a", "creationTimestamp": "2026-11-25T11:58:00Z"}
    world.pod = pod | {"status": {"phase": "Pending"}}
    assert world.configuration is not None
    selects = [expression("gpu-slice/default", "Exists"), expression("gpu-slice/opt-out", "DoesNotExist")]
    world.configuration["webhooks"].append(
        {
            "name": "defaults.gpu-slice.io",
            "failurePolicy": "Fail",
            "rules": [{"operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchExpressions": selects},
        }
    )
    world.around |= {"fleet": fleet, "changed": ("it gets '1g.5gb', the default of namespace team-a",)}
    return world


def labelled(world: World) -> None:
    world.namespace["metadata"]["labels"]["gpu-slice/default"] = ""


def opted_out(world: World) -> None:
    world.namespace["metadata"]["labels"]["gpu-slice/opt-out"] = "true"


def without_entry(world: World) -> None:
    labelled(world)
    world.configuration["webhooks"].pop()  # type: ignore[index]


def failing_open(world: World) -> None:
    labelled(world)
    for each in world.configuration["webhooks"]:  # type: ignore[index]
        each["failurePolicy"] = "Ignore"


@pytest.mark.parametrize(
    ("change", "fleet", "cause", "words"),
    [
        pytest.param(lambda _: None, DEFAULT, "default-not-given", "which lacks the label gpu-slice/default", id="no"),
        pytest.param(
            labelled,
            DEFAULT,
            "default-not-given",
            "the namespace got it after the pod was created",
            id="labelled afterwards",
        ),
        pytest.param(
            lambda world: world.around.update(namespace=None),
            DEFAULT,
            "default-not-given",
            "the namespace lacks it, or got it after the pod was created",
            id="the namespace may not be read",
        ),
        pytest.param(opted_out, DEFAULT, "namespace-opted-out", "gpu-slice/opt-out=true", id="opted out"),
        pytest.param(without_entry, DEFAULT, "webhook-missing", "defaults.gpu-slice.io", id="an older installation"),
        pytest.param(failing_open, DEFAULT, "webhook-ignored", "failurePolicy: Ignore", id="it fails open"),
        pytest.param(
            lambda world: setattr(world, "configuration", None), DEFAULT, "webhook-missing", "", id="no webhook"
        ),
        pytest.param(lambda _: None, SHADOW, "default-not-given", "lacks the label", id="no label, in shadow"),
        pytest.param(failing_open, SHADOW, "shadow", "Otherwise: main gets 1 nvidia.com/mig-1g.5gb", id="in shadow"),
        pytest.param(lambda _: None, FLEET, "no-annotation", "asks for 1 nvidia.com/gpu and has no", id="no default"),
    ],
)
def test_a_pod_that_did_not_get_the_default_of_its_namespace(
    change: Change, fleet: Fleet, cause: str, words: str
) -> None:
    world = world_of(container(limits=WHOLE), fleet=fleet)
    change(world)
    found = world.explain()
    assert found.cause.id == cause
    assert words in found.cause.sentence
    assert found.changed == (), "nothing was changed"


def test_the_cure_names_the_label_and_the_namespace() -> None:
    found = world_of(container(limits=WHOLE)).explain()
    assert "kubectl label namespace team-a gpu-slice/default=" in found.cure(found.cause)


def test_a_pod_that_would_not_get_the_default_is_told_why() -> None:
    world = world_of(container(limits={"nvidia.com/gpu": "2"}))
    labelled(world)
    found = world.explain()
    assert found.cause.id == "no-annotation"
    assert "it is not given '1g.5gb', the default of its namespace: it asks for 2 GPUs" in found.cause.sentence


@pytest.mark.parametrize(
    ("world", "words"),
    [
        pytest.param(world_of(container(limits={"nvidia.com/gpu": "2"})), "asks for 2 whole GPUs", id="two GPUs"),
        pytest.param(
            world_of(container(limits=WHOLE), container("other", limits=WHOLE)), "whole GPU", id="two containers"
        ),
        pytest.param(
            world_of(container(), nodeSelector={"nvidia.com/gpu": "a10g"}), "nodeSelector", id="no node has slices"
        ),
        pytest.param(world_of(container(), os={"name": "windows"}), "spec.os.name", id="Windows"),
    ],
)
def test_no_cure_is_proposed_that_would_be_denied(world: World, words: str) -> None:
    for value in ("1g.5gb", "1g.10gb"):
        with pytest.raises(Denial):
            plan(convert(world.pod | {"metadata": {"annotations": {"gpu-slice": value}}}), FLEET, "team-a")
    found = world.explain()
    assert (found.cause.id, found.cause.cure.startswith("Write the annotation")) == ("no-annotation", False)
    assert "with which it would be denied" in found.cause.cure
    assert words in found.cause.cure


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(world_of(container(), fleet=FLEET), id="no GPU"),
        pytest.param(world_of(container(limits=WHOLE), fleet=FLEET), id="one GPU, which is replaced"),
        pytest.param(world_of(container(), nodeSelector={"nvidia.com/gpu": "h100"}), id="nodes of one pool alone"),
    ],
)
def test_the_annotation_is_proposed_where_some_slice_is_given(world: World) -> None:
    found = world.explain()
    assert (found.cause.id, found.cause.instead) == ("no-annotation", "")


def test_a_namespace_that_is_never_touched_is_named_before_the_missing_annotation() -> None:
    world = world_of(container(), fleet=FLEET)
    opted_out(world)
    found = world.explain()
    assert [found.cause.id, *(each.id for each in found.also)] == ["namespace-opted-out", "no-annotation"]


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("exceeded quota: q, requested: requests.nvidia.com/mig-1g.5gb=1, used: x=1, limited: x=1", True),
        ('failed calling webhook "pods.gpu-slice.io": failed to call webhook: connection refused', False),
    ],
)
def test_what_was_changed_is_told_only_where_the_webhook_has_answered(refused: str, told: bool) -> None:
    world = World()
    world.around |= {"changed": ("'main': nvidia.com/gpu: 1 was replaced",), "refused": refused}
    assert bool(world.explain().changed) is told


class Cluster(Reader):
    """A cluster of one Deployment without pods, whose namespace has these labels."""

    def __init__(self, document: Document, **labels: str) -> None:
        world = world_of(container())
        self.document = document
        self.of_namespace = {"metadata": {"name": "team-a", "labels": labels}}
        self.configuration = world.configuration
        self.namespace = "team-a"

    def get(self, kind: Kind[Any], name: str, namespace: str | None = None, **_: Any) -> Document | None:
        return {DEPLOYMENTS: self.document, NAMESPACES: self.of_namespace}.get(kind)

    def list(self, kind: Kind[Any], namespace: str | None = None, **query: str) -> Listing[Any]:
        return Listing((self.configuration,) if kind is WEBHOOKS else ())


@pytest.mark.parametrize(
    ("asked", "gpus", "labels", "also", "given"),
    [
        pytest.param(None, 1, {}, "default-not-given", "", id="the namespace lacks the label"),
        pytest.param(None, 1, {"gpu-slice/default": ""}, "", "nvidia.com/mig-1g.5gb", id="it has it"),
        pytest.param("1g.5gb", 1, {}, "", "nvidia.com/mig-1g.5gb", id="annotated"),
        pytest.param("1g.5gb", 1, {"gpu-slice/opt-out": ""}, "namespace-opted-out", "", id="annotated, and opted out"),
        pytest.param("9g.5gb", 1, {"gpu-slice/opt-out": ""}, "namespace-opted-out", "", id="it would be denied"),
        pytest.param("9g.5gb", 1, {}, "denied", "", id="it is denied"),
    ],
)
def test_what_pods_of_a_workload_would_get_is_said_if_the_webhook_will_be_asked(
    asked: str | None, gpus: int, labels: dict[str, str], also: str, given: str
) -> None:
    pod = pod_of(asked, container(limits={"nvidia.com/gpu": gpus}))
    if asked is None:
        pod["metadata"]["annotations"] = {}
    metadata = {"name": "notebook", "namespace": "team-a", "uid": "1"}
    document = {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 0, "template": pod}}
    reader = Cluster(document, **labels)
    around = target.surroundings(reader, DEFAULT, "team-a", ("gpu-slice",))
    found = target.of_workload(reader, DEPLOYMENTS, "notebook", around, "team-a")
    explanation = explain(found.title, found.asked, found.around)
    causes = [explanation.cause.id, *(each.id for each in explanation.also)]
    assert ("no-pods-wanted" if also != "denied" else "denied") in causes
    assert not also or also in causes
    assert ("denied" in causes) is (also == "denied")
    assert (bool(explanation.changed), given in explanation.given) == (bool(given), True)
