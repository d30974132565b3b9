"""What a preview finds in a document: pods, workloads, and annotations in the wrong place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from tests.pods import JSON, MIXED, ODD, container, fleet_of, pod_of
from webhook import documents
from webhook.admission.contents import MOST_COMPARED, MOST_STRAYS, MOST_TEXTS, search
from webhook.admission.preview import preview, shown
from webhook.admission.workloads import DEEPEST_LIST, Subject, subjects
from webhook.documents import DEEPEST
from webhook.server.api.views import view

TEMPLATE = {"metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": [container()]}}
SLICE = {"gpu-slice": "1g.5gb"}


def subject(document: Any) -> Subject:
    (found,) = subjects(document)
    return found


def workload(kind: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "notebook", **metadata}, "spec": spec}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        pytest.param(workload("Deployment", {"template": TEMPLATE}), "spec.template", id="Deployment"),
        pytest.param(workload("Job", {"template": TEMPLATE}), "spec.template", id="Job"),
        pytest.param(
            workload("CronJob", {"jobTemplate": {"spec": {"template": TEMPLATE}}}),
            "spec.jobTemplate.spec.template",
            id="CronJob",
        ),
        pytest.param(
            {"kind": "PodTemplate", "metadata": {"name": "t"}, "template": TEMPLATE}, "template", id="PodTemplate"
        ),
        pytest.param(workload("Notebook", {"template": TEMPLATE}), "spec.template", id="somebody's own kind"),
    ],
)
def test_the_pod_of_a_workload_is_found(document: dict[str, Any], where: str) -> None:
    found = subject(document)
    assert found.template == where
    assert found.pod is not None
    assert found.pod["kind"] == "Pod"
    assert found.pod["spec"] == TEMPLATE["spec"]
    assert found.pod["metadata"]["annotations"] == SLICE
    assert found.pod["metadata"]["generateName"] == f"{document['metadata']['name']}-"
    assert found.advice == ()


def test_a_pod_is_itself() -> None:
    found = subject(pod_of())
    assert found.pod == pod_of()
    assert (found.template, found.title) == ("", "Pod notebook")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(workload("ConfigMap", {}), id="makes no pods"),
        pytest.param(workload("Service", {"template": {"spec": {}}}), id="a template without containers"),
        pytest.param({"kind": "X", "spec": [1], "metadata": "x"}, id="odd shapes"),
        pytest.param({}, id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param(["x"], id="a list"),
    ],
)
def test_what_makes_no_pod_has_none(document: Any) -> None:
    assert subject(document).pod is None


def test_a_notebooks_pod_has_the_annotations_of_its_object_and_its_containers_as_they_are() -> None:
    """Source: notebook_controller.go, generateStatefulSet."""
    template = {"metadata": {"annotations": {"lost": "x"}}, "spec": {"containers": [{"name": "any"}, {"name": "side"}]}}
    notebook = workload("Notebook", {"template": template}, annotations={**SLICE, "notebooks.kubeflow.org/x": "1"})
    pod = subject({"apiVersion": "kubeflow.org/v1", **notebook}).pod
    assert pod is not None
    assert pod["metadata"]["annotations"] == SLICE
    assert pod["spec"] == template["spec"]


def test_the_namespace_of_a_workload_is_its_pods() -> None:
    found = subject(workload("Deployment", {"template": TEMPLATE}, namespace="team-a"))
    assert found.namespace == "team-a"
    assert found.pod is not None
    assert found.pod["metadata"]["namespace"] == "team-a"
    assert "team-a/notebook" in found.title


class TestLists:
    def test_a_list_is_its_items(self) -> None:
        items = [pod_of(), workload("Deployment", {"template": TEMPLATE}), {"kind": "List", "items": [pod_of()]}]
        found = list(subjects({"kind": "List", "apiVersion": "v1", "items": items}))
        assert [each.kind for each in found] == ["Pod", "Deployment", "Pod"]

    def test_a_kind_that_ends_in_list_and_has_no_items_is_itself(self) -> None:
        assert subject({"kind": "AllowList", "metadata": {"name": "x"}}).kind == "AllowList"

    def test_a_list_of_something_else_is_itself(self) -> None:
        found = subject({"kind": "AllowList", "items": ["10.0.0.0/8"]})
        assert (found.kind, found.readable) == ("AllowList", True)

    def test_lists_inside_lists_end_somewhere(self) -> None:
        document: dict[str, Any] = pod_of()
        for _ in range(DEEPEST_LIST + 5):
            document = {"kind": "List", "items": [document]}
        assert subject(document).pod is None

    def test_an_empty_list_has_nothing(self) -> None:
        assert list(subjects({"kind": "PodList", "items": []})) == []


class TestAdvice:
    def test_an_annotation_on_the_workload_does_nothing(self) -> None:
        bare = {"spec": TEMPLATE["spec"]}
        (advice,) = subject(workload("Deployment", {"template": bare}, annotations=SLICE)).advice
        assert "Deployment itself" in advice
        assert "spec.template.metadata.annotations" in advice

    def test_unless_the_template_has_it_too(self) -> None:
        assert subject(workload("Deployment", {"template": TEMPLATE}, annotations=SLICE)).advice == ()

    def test_a_label_does_nothing(self) -> None:
        pod = {"kind": "Pod", "metadata": {"name": "x", "labels": SLICE}, "spec": {"containers": [container()]}}
        (advice,) = subject(pod).advice
        assert "label" in advice
        assert "metadata.annotations" in advice

    def test_nor_on_a_template(self) -> None:
        labelled = {"metadata": {"labels": SLICE}, "spec": TEMPLATE["spec"]}
        (advice,) = subject(workload("Job", {"template": labelled})).advice
        assert "spec.template.metadata.annotations" in advice

    def test_a_label_beside_the_annotation_is_fine(self) -> None:
        pod = pod_of()
        pod["metadata"]["labels"] = SLICE
        assert subject(pod).advice == ()

    def test_a_wrong_value_is_denied_wherever_it_stands(self) -> None:
        document = workload("Deployment", {"template": TEMPLATE}, annotations={"gpu-slice": "1g5gb"})
        sliced, wrong = preview(document, fleet_of(MIXED))
        assert (sliced.outcome, wrong.outcome) == ("sliced", "denied")
        assert wrong.denial is not None
        assert wrong.denial.field == "metadata.annotations[gpu-slice]"

    def test_what_the_namespace_may_not_use_is_denied_there_too(self) -> None:
        document = {"apiVersion": "x.io/v1", "kind": "X", "metadata": {"annotations": {"gpu-slice": "7g.40gb"}}}
        (found,) = preview(document, fleet_of(MIXED))
        assert found.outcome == "denied"

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            pytest.param("gpu-slice", 1, "denied", id="the annotation as a number"),
            pytest.param("gpu-slice", None, "denied", id="the annotation as null"),
            pytest.param("gpu-slice", {"enabled": True}, "unknown", id="the values of a chart of that name"),
            pytest.param("gpuSlice", True, "unknown", id="a switch"),
            pytest.param("gpuSlice", "1g5gb", "denied", id="almost the annotation"),
            pytest.param("gpu-slice/pool", "a", "unknown", id="a label of ours"),
            pytest.param("GPU_SLICE", "a", "unknown", id="a variable"),
        ],
    )
    def test_a_key_is_taken_for_the_annotation_if_it_looks_like_it(self, key: str, value: Any, expected: str) -> None:
        (found,) = preview({"apiVersion": "x.io/v1", "kind": "X", "spec": {key: value}}, fleet_of(MIXED))
        assert found.outcome == expected

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("gpu-slcie", True),
            ("gpuslic", True),
            ("x.io/gpu-silce", True),
            ("GPU-Slice", True),
            ("gpu-size", False),
            ("gpu-shares", False),
        ],
    )
    def test_a_slip_of_the_pen_among_annotations_is_one(self, key: str, expected: bool) -> None:
        advice = subject({"kind": "Pod", "metadata": {"annotations": {key: "1g.5gb"}}, "spec": {}}).advice
        assert advice == ((f"'{key}' at metadata.annotations is not read: write 'gpu-slice'",) if expected else ())

    @pytest.mark.parametrize(
        "spec",
        [
            pytest.param({"parameters": [{"name": "podAnnotations.gpu-slice", "value": "1g5gb"}]}, id="of a chart"),
            pytest.param(
                {"patch": "- op: add\n  path: /metadata/annotations/gpu-slice\n  value: 1g5gb\n"}, id="of a patch"
            ),
        ],
    )
    def test_a_value_beside_the_path_of_the_annotation_is_checked(self, spec: dict[str, Any]) -> None:
        (found,) = preview({"apiVersion": "x.io/v1", "kind": "X", "spec": spec}, fleet_of(MIXED))
        assert found.outcome == "denied"

    @pytest.mark.parametrize(
        "value", ["{{item}}", "{{ steps.a.outputs.result }}", "a={{=tasks.x}},b={{workflow.name}}"]
    )
    def test_what_argo_fills_in_when_it_runs_is_not_judged_and_no_problem(self, value: str) -> None:
        spec = {"podMetadata": {"annotations": {"gpu-slice": value}}}
        (found,) = preview({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}, fleet_of(MIXED))
        assert (found.outcome, found.denial) == ("unknown", None)
        assert {note.code for note in found.subject.advice} == {"not-previewed"}
        assert value in found.subject.advice[-1]

    @pytest.mark.parametrize("value", ["{{ .Values.a }}", "{{item}}{{ .Values.a }}", "{{ include `a` . }}", "${A}"])
    def test_but_what_something_else_fills_in_first_is(self, value: str) -> None:
        spec = {"podMetadata": {"annotations": {"gpu-slice": value}}}
        (found,) = preview({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}, fleet_of(MIXED))
        assert found.outcome == "unread"
        (found,) = preview({"apiVersion": "x.io/v1", "kind": "Workflow", "spec": spec}, fleet_of(MIXED))
        assert found.outcome == "unread"

    @pytest.mark.parametrize("value", ["{{ .Values.slice }}", "${SLICE}", "main=$(params.slice)"])
    def test_what_is_filled_in_later_is_not_judged(self, value: str) -> None:
        document = {"kind": "X", "metadata": {"annotations": {"gpu-slice": value}}}
        for each in (document, pod_of(value)):
            (found,) = preview(each, fleet_of(MIXED))
            assert (found.outcome, found.denial) == ("unread", None)
            assert value in found.why


class TestHostile:
    """A document may be as odd as its author likes: the search is linear, and what it finds is bounded."""

    def test_strays_without_end_are_looked_at_up_to_a_number(self) -> None:
        document = {"kind": "X", "spec": [{"gpu-slice": "1g5gb"}] * 5_000}
        found = list(preview(document, fleet_of(MIXED)))
        assert len(found) == MOST_STRAYS
        assert found[0].subject.advice[-1] == "'gpu-slice' stands in more places than a preview looks at"

    def test_texts_without_end_are_read_up_to_a_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str] = []
        monkeypatch.setattr(documents, "read", lambda text, **_: read.append(text) or [])
        list(subjects({"kind": "ConfigMap", "data": {f"{n}.yaml": "gpu-slice: 1g.5gb" for n in range(1_000)}}))
        assert len(read) == MOST_TEXTS

    def test_a_text_in_a_text_in_a_text_ends_somewhere(self) -> None:
        text = "gpu-slice: 1g5gb"
        for _ in range(10):
            text = f"gpu-slice: 1g.5gb\ndata: {json.dumps(text)}"
        (found,) = subjects({"kind": "X", "data": text})
        assert len(found.strays) == MOST_TEXTS

    def test_a_deep_document_is_searched_down_to_a_level(self) -> None:
        document: Any = {"gpu-slice": "1g5gb"}
        for _ in range(5_000):
            document = {"a": document}
        (found,) = subjects({"kind": "X", **document})
        assert found.strays == ()

    def test_the_path_of_a_find_is_short(self) -> None:
        document: Any = {"gpu-slice": "1g5gb"}
        for _ in range(DEEPEST - 2):
            document = {"k" * 10_000: document}
        (found,) = subjects({"kind": "X", "spec": document})
        assert len(found.strays[0].field) < DEEPEST * 70

    def test_a_template_inside_a_template_is_none(self) -> None:
        inner = {"spec": {"containers": [{"name": "x", "template": TEMPLATE}]}}
        assert subject(workload("Deployment", {"template": inner})).template == "spec.template"
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [pod_of()]}}
        assert subject(pod).template == ""

    def test_a_reference_to_an_object_is_no_object(self) -> None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "x"}
        assert subject({"apiVersion": "x.io/v1", "kind": "X", "spec": {"targetRef": owner}}).pod is None


class TestNulls:
    """To an API server a null is an absent field, an empty string, or a quantity of zero."""

    def test_a_field_that_is_null_is_not_shown(self) -> None:
        pod = {
            "kind": "Pod",
            "metadata": {"name": "x", "namespace": None, "labels": None, "annotations": SLICE},
            "spec": {"nodeSelector": None, "containers": [{"name": "main", "resources": None, "env": None}]},
        }
        (found,) = preview(pod, fleet_of(MIXED))
        assert found.outcome == "sliced"
        assert "null" not in json.dumps(shown(found.pod))
        assert view(found).pod == shown(found.pod)

    def test_a_string_that_is_null_is_empty_and_a_quantity_is_zero(self) -> None:
        resources = {"limits": {"nvidia.com/gpu": None}}
        pod = {
            "kind": "Pod",
            "metadata": {"annotations": {**SLICE, "other": None}},
            "spec": {"containers": [{"name": "main", "resources": resources}]},
        }
        (found,) = preview(pod, fleet_of(MIXED))
        assert found.outcome == "sliced"
        stored = found.subject.pod or {}
        assert stored["metadata"]["annotations"]["other"] == ""
        assert stored["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "0"

    def test_a_template_without_metadata_is_one(self) -> None:
        template = {"metadata": None, "spec": {"containers": [container()]}}
        assert subject(workload("Deployment", {"template": template})).template == "spec.template"

    def test_a_list_whose_items_are_null_is_empty(self) -> None:
        assert list(subjects({"kind": "List", "items": None})) == []


class TestPreview:
    def test_it_shows_the_pod_that_a_workload_would_make(self) -> None:
        (found,) = preview(workload("Deployment", {"template": TEMPLATE}), fleet_of(MIXED))
        assert found.outcome == "sliced"
        assert found.pod is not None
        assert found.pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/mig-1g.5gb": "1"}

    def test_it_does_not_change_the_document(self) -> None:
        document = pod_of()
        list(preview(document, fleet_of(MIXED)))
        assert document == pod_of()

    def test_each_item_has_its_own_outcome(self) -> None:
        plain = {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container()]}}
        items = [pod_of(), pod_of("no slice"), plain, {"kind": "ConfigMap"}]
        found = preview({"kind": "List", "items": items}, fleet_of(MIXED))
        assert [each.outcome for each in found] == ["sliced", "denied", "untouched", "untouched"]

    def test_a_daemon_set_is_known_by_its_kind(self) -> None:
        (found,) = preview(workload("DaemonSet", {"template": TEMPLATE}), fleet_of(MIXED))
        assert found.plan is not None
        assert any(each.code == "daemon-set-template" for each in found.plan.warnings)

    def test_the_namespace_counts(self) -> None:
        (found,) = preview(pod_of(), fleet_of(MIXED), "kube-system")
        assert found.outcome == "untouched"
        own = pod_of()
        own["metadata"]["namespace"] = "team-a"
        (found,) = preview(own, fleet_of(MIXED), "kube-system")
        assert found.outcome == "sliced"

    @given(ODD | JSON)
    def test_any_document_is_previewed(self, document: Any) -> None:
        for each in preview({"kind": "List", "items": [document, {"kind": "Pod", "spec": document}]}, fleet_of(MIXED)):
            assert each.outcome in ("sliced", "unchanged", "untouched", "denied", "unknown", "unread")
            assert isinstance(each.subject.title, str)


def test_only_so_many_keys_are_compared_letter_by_letter_with_the_annotation() -> None:
    document = {"metadata": {"annotations": {f"{number}/gpsliceu": "" for number in range(5_000)}}}
    assert search(document).compared == MOST_COMPARED
