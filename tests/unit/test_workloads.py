"""What a preview finds in a document: pods, workloads, and annotations in the wrong place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.pods import JSON, MIXED, ODD, container, fleet_of, pod_of
from webhook.admission.preview import preview
from webhook.admission.workloads import DEEPEST_LIST, Subject, subjects

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
        assert any("DaemonSet" in each for each in found.plan.warnings)

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
