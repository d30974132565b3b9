"""The envelope: what is answered, and what is no review at all."""

from __future__ import annotations

import base64
import gc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import ASSIGNED, MIXED, Pod, container, fleet_of, plan, pod_of
from webhook.admission.plan import Plan
from webhook.admission.plan import plan as plan_of_view
from webhook.admission.review import Answer, answer
from webhook.errors import BadReview, Denial

ABSENT = object()


def review_of(**request: Any) -> dict[str, Any]:
    """A review; fields that are `ABSENT` are left out."""
    whole = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "default",
        "object": pod_of(),
        **request,
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {key: value for key, value in whole.items() if value is not ABSENT},
    }


def answered(review: Any) -> Answer:
    body = review if isinstance(review, bytes) else msgspec.json.encode(review)
    return answer(body, lambda pod, namespace: plan_of_view(pod, fleet_of(MIXED), namespace))


def whole(review: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(answered(review).body)
    return body


def response(review: Any) -> dict[str, Any]:
    found: dict[str, Any] = whole(review)["response"]
    return found


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_uid_comes_back(uid: str) -> None:
    """P3."""
    for pod in (pod_of(), pod_of("no slice"), {}):
        body = whole(review_of(uid=uid, object=pod))
        assert body["response"]["uid"] == uid
        assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")


class TestAdmitted:
    def test_a_patch_comes_with_its_type(self) -> None:
        found = response(review_of())
        assert set(found) == {"uid", "allowed", "patchType", "patch"}
        assert found["allowed"] is True
        assert found["patchType"] == "JSONPatch"
        operations = msgspec.json.decode(base64.b64decode(found["patch"], validate=True))
        assert operations == list(plan(pod_of(), fleet_of(MIXED)).patch)

    def test_a_patch_may_hold_any_character(self) -> None:
        pod = pod_of("1g.5gb", container(), container("é…"), annotations={"ключ": "値"})
        pod["spec"]["nodeSelector"] = None
        assert msgspec.json.decode(base64.b64decode(response(review_of(object=pod))["patch"]))

    def test_no_patch_comes_without_a_type(self) -> None:
        assert set(response(review_of(object={}))) == {"uid", "allowed"}

    def test_warnings_come_where_there_are_some(self) -> None:
        found = response(review_of(object=pod_of("2x1g.5gb")))
        assert found["warnings"] == [
            "gpu-slice: a process in 'main' sees one of its 2 slices: CUDA uses one MIG device"
        ]

    @pytest.mark.parametrize(
        ("pod", "outcome"),
        [
            pytest.param(pod_of(), "sliced", id="a slice"),
            pytest.param({}, "untouched", id="no annotation"),
            pytest.param(pod_of("no slice"), "denied", id="a mistake"),
        ],
    )
    def test_the_outcome_has_a_name(self, pod: Pod, outcome: str) -> None:
        assert answered(review_of(object=pod)).outcome == outcome

    def test_the_second_visit_is_called_unchanged(self) -> None:
        resource = {"nvidia.com/mig-1g.5gb": "1"}
        main = {"name": "main", "resources": {"limits": resource, "requests": resource}}
        pod = pod_of(
            "1g.5gb",
            main,
            annotations={ASSIGNED: "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", "gpu-slice/pools": "small, several"},
            tolerations=[
                {"operator": "Exists"},
                {"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoSchedule"},
            ],
            nodeSelector={"nvidia.com/gpu": "a100"},
        )
        found = answered(review_of(object=pod))
        assert found.outcome == "unchanged"
        assert set(response(review_of(object=pod))) == {"uid", "allowed"}


class TestDenied:
    def test_a_denial_is_a_status_that_kubectl_shows(self) -> None:
        found = response(review_of(object=pod_of("no slice")))
        assert set(found) == {"uid", "allowed", "status"}
        assert found["allowed"] is False
        status = found["status"]
        assert (status["status"], status["code"], status["reason"]) == ("Failure", 422, "Invalid")
        assert status["message"].startswith("metadata.annotations[gpu-slice]: ")
        assert "\n" not in status["message"]

    def test_it_knows_its_reason(self) -> None:
        denial = answered(review_of(object=pod_of("no slice"))).denial
        assert denial is not None
        assert denial.reason == "grammar"

    def test_the_namespace_of_the_request_counts(self) -> None:
        assert "patch" not in response(review_of(namespace="kube-system"))


class TestLetThrough:
    """Whatever else a configuration may send us."""

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param({"operation": "UPDATE"}, id="UPDATE"),
            pytest.param({"operation": "DELETE", "object": None}, id="DELETE, which has no object"),
            pytest.param({"operation": "DELETE", "object": ABSENT}, id="DELETE, without one"),
            pytest.param({"operation": "CONNECT"}, id="CONNECT"),
            pytest.param({"operation": "SOMETHING"}, id="an operation of the future"),
            pytest.param({"operation": None}, id="operation null"),
            pytest.param({"subResource": "binding"}, id="binding"),
            pytest.param({"subResource": "ephemeralcontainers", "operation": "UPDATE"}, id="ephemeralcontainers"),
            pytest.param({"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}}, id="a Deployment"),
            pytest.param(
                {"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}}, id="a Pod of another group"
            ),
        ],
    )
    def test_it_is_admitted_as_it_is(self, request_: dict[str, Any]) -> None:
        assert set(response(review_of(**request_))) == {"uid", "allowed"}
        assert response(review_of(**request_))["allowed"] is True

    def test_nobody_is_asked_for_a_plan(self) -> None:
        def planner(pod: Pod, namespace: str | None) -> Plan:
            raise AssertionError("asked")

        assert answer(msgspec.json.encode(review_of(operation="UPDATE")), planner).outcome == "untouched"

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param({"operation": ABSENT}, id="no operation"),
            pytest.param({"kind": ABSENT}, id="no kind"),
            pytest.param({"subResource": ""}, id="an empty subresource"),
            pytest.param({"namespace": ABSENT}, id="no namespace"),
            pytest.param({"namespace": ""}, id="an empty namespace"),
            pytest.param({"namespace": None}, id="namespace null"),
            pytest.param({"dryRun": True}, id="a dry run"),
            pytest.param({"future": {"a": [1]}}, id="a field of the future"),
        ],
    )
    def test_a_pod_is_sliced_all_the_same(self, request_: dict[str, Any]) -> None:
        assert "patch" in response(review_of(**request_))


class TestNoReview:
    @pytest.mark.parametrize("review", [None, 1, "x", [], {}, [review_of()]], ids=repr)
    def test_what_is_no_review(self, review: Any) -> None:
        with pytest.raises(BadReview, match="expected"):
            answered(review)

    @pytest.mark.parametrize(
        "changes",
        [
            {"apiVersion": "admission.k8s.io/v1beta1"},
            {"apiVersion": "admission.k8s.io/v2"},
            {"apiVersion": None},
            {"kind": "ConversionReview"},
            {"kind": ["AdmissionReview"]},
        ],
        ids=repr,
    )
    def test_another_version_or_kind(self, changes: dict[str, Any]) -> None:
        with pytest.raises(BadReview, match=r"expected admission\.k8s\.io/v1 AdmissionReview"):
            answered({**review_of(), **changes})

    @pytest.mark.parametrize("request_", [None, [], "x", ABSENT], ids=["null", "list", "text", "absent"])
    def test_without_a_request(self, request_: Any) -> None:
        review = {**review_of(), "request": request_}
        if request_ is ABSENT:
            del review["request"]
        with pytest.raises(BadReview, match="request"):
            answered(review)

    @pytest.mark.parametrize("uid", [ABSENT, None, "", 1, ["a"]], ids=["absent", "null", "empty", "number", "list"])
    def test_without_an_id_to_answer_to(self, uid: Any) -> None:
        with pytest.raises(BadReview, match="uid"):
            answered(review_of(uid=uid))

    @pytest.mark.parametrize("pod", [ABSENT, None, [], "x", 1], ids=["absent", "null", "list", "text", "number"])
    def test_a_creation_of_nothing(self, pod: Any) -> None:
        with pytest.raises(BadReview, match="object"):
            answered(review_of(object=pod))

    @pytest.mark.parametrize("namespace", [1, ["a"], {"a": "b"}, True, [], {}, 0, False], ids=repr)
    def test_a_namespace_that_is_no_text(self, namespace: Any) -> None:
        with pytest.raises(BadReview, match="namespace"):
            answered(review_of(namespace=namespace))

    def test_what_is_quoted_of_it_is_short_and_one_line(self) -> None:
        with pytest.raises(BadReview) as bad:
            answered({"kind": "a\nb" * 10_000, "apiVersion": "x" * 10_000})
        assert "\n" not in str(bad.value)
        assert len(str(bad.value)) < 400


def test_a_pod_that_is_denied_leaves_nothing_in_memory() -> None:
    """A denial that holds its frames, which hold the review and the answer, is a cycle of the size of a pod."""
    denied = review_of(object=pod_of("9g.99gb"))

    def decide() -> None:
        found = answered(denied)
        assert b'"allowed":false' in found.body

    decide()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            decide()
        left = [each for each in gc.get_objects() if isinstance(each, (Denial, Plan))]
    finally:
        gc.enable()
    assert left == []
