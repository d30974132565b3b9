"""Advice on workloads: always allowed, and told what will become of the pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import HOSTILE
from tests.hostile_texts import EVIL, deployment
from tests.linear import ending
from tests.pods import JSON, ODD, container, fleet_of, plan, pod_of
from tests.unit.test_bounds import MOST_CALLS, calls_of
from webhook.admission.advise import LONGEST_PIECE, MOST_CHARACTERS, MOST_VALUES, Advice, advise, pieces
from webhook.admission.review import LARGE
from webhook.errors import BadReview, Denial, printable

FLEET = fleet_of("built-in")
SLICE = {"gpu-slice": "1g.5gb"}
TYPO = {"gpu-slice": "1g5gb"}
KINDS = [
    ("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("apps", "ReplicaSet"),
    ("", "ReplicationController"), ("batch", "Job"), ("batch", "CronJob"),
]  # fmt: skip
LONGEST = 120
DENIED = "gpu-slice: pods of {} would be denied: "
CURE = "metadata.annotations[gpu-slice]: '1g5gb' is not a MIG profile: expected a dot, found '5gb'. Write '1g.5gb'."


def workload(
    kind: str = "Deployment", on_pod: Any = None, group: str = "apps", on_itself: Any = None, **spec: Any
) -> Any:
    """A workload whose pods have those annotations."""
    template = {"metadata": {"annotations": on_pod or {}}, "spec": {"containers": [container()], **spec}}
    inner = {"template": template}
    made = {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind}
    made |= {"metadata": {"name": "work", "annotations": on_itself or {}}}
    return made | {"spec": {"jobTemplate": {"spec": inner}} if kind == "CronJob" else inner}


def review_of(document: Any, **request: Any) -> bytes:
    whole = {"uid": "a-uid", "namespace": "team-a", "operation": "CREATE", "object": document} | request
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}).encode()


def advice_on(document: Any, **request: Any) -> Advice:
    return advise(review_of(document, **request), FLEET)


def response(document: Any, **request: Any) -> dict[str, Any]:
    body = json.loads(advice_on(document, **request).body)
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    found: dict[str, Any] = body["response"]
    assert found["allowed"] is True
    assert found.keys() <= {"uid", "allowed", "warnings"}
    return found


def warnings_on(document: Any, **request: Any) -> list[str]:
    found: list[str] = response(document, **request).get("warnings", [])
    return found


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_who_writes_a_template_reads_the_very_sentence_that_its_pods_would_be_denied_with(
    group: str, kind: str, operation: str
) -> None:
    where = "spec.jobTemplate.spec.template" if kind == "CronJob" else "spec.template"
    with pytest.raises(Denial) as denied:
        plan(pod_of("1g5gb"), FLEET)

    assert str(denied.value) == CURE
    assert warnings_on(workload(kind, TYPO, group), operation=operation) == [DENIED.format(where) + CURE]
    assert advice_on(workload(kind, TYPO, group)).outcome == "denied"


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_an_annotation_on_the_workload_itself_is_told_of(group: str, kind: str) -> None:
    document = workload(kind, None, group, SLICE)
    said = "".join(warnings_on(document)).replace("…gpu-slice: …", "")

    assert kind in said
    assert "no effect" in said
    assert (
        "spec.jobTemplate.spec.template" if kind == "CronJob" else "spec.template"
    ) + ".metadata.annotations" in said
    assert all(len(line) <= LONGEST for line in warnings_on(document))
    assert advice_on(document).outcome == "warned"


@pytest.mark.parametrize(("group", "kind"), [each for each in KINDS if each[1] != "DaemonSet"])
def test_of_a_good_workload_nothing_is_said(group: str, kind: str) -> None:
    for asked in (SLICE, None):
        assert response(workload(kind, asked, group)) == {"uid": "a-uid", "allowed": True}
    assert advice_on(workload(kind, SLICE, group)).outcome == "silent"


def test_a_daemon_set_is_told_what_its_template_lacks() -> None:
    assert warnings_on(workload("DaemonSet", SLICE)) == [
        "gpu-slice: a DaemonSet is placed by its template: add the toleration nvidia.com/gpu-shared to it",
        "gpu-slice: a DaemonSet is placed by its template: add the nodeSelector nvidia.com/gpu: a100 to it",
    ]
    placed = {
        "nodeSelector": {"nvidia.com/gpu": "a100"},
        "tolerations": [{"key": "nvidia.com/gpu-shared", "operator": "Exists"}],
    }
    assert warnings_on(workload("DaemonSet", SLICE, **placed)) == []


def test_what_a_pod_would_be_warned_of_is_told_of_its_template() -> None:
    pod = pod_of("2x1g.5gb")

    assert (
        warnings_on(workload("Deployment", {"gpu-slice": "2x1g.5gb"}))
        == list(map(str, plan(pod, FLEET).warnings))
        != []
    )


def test_the_namespace_of_the_request_decides_what_may_be_used() -> None:
    limited = fleet_of(
        "pools: [{name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}]\n"
        "namespaces: {team-a: {slices: []}}"
    )
    found = {
        namespace: advise(review_of(workload("Job", SLICE, "batch"), namespace=namespace), limited).outcome
        for namespace in ("team-a", "team-b")
    }
    assert found == {"team-a": "denied", "team-b": "silent"}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"operation": "DELETE", "object": None}, id="DELETE"),
        pytest.param({"operation": "CONNECT"}, id="CONNECT"),
        pytest.param({"operation": None}, id="operation null"),
        pytest.param({"subResource": "scale", "operation": "UPDATE"}, id="a subresource"),
        pytest.param({"namespace": "kube-system"}, id="kube-system"),
        pytest.param({"namespace": "gpu-slice"}, id="our own namespace"),
        pytest.param({"object": pod_of("1g5gb")}, id="a pod, which its own webhook answers"),
    ],
)
def test_of_everything_else_nothing_is_said(request_: dict[str, Any]) -> None:
    assert response(**{"document": workload("Deployment", TYPO), **request_}) == {"uid": "a-uid", "allowed": True}


@pytest.mark.parametrize(
    "document", [None, 7, "x", [], [[]], {}, {"spec": []}, {"kind": ["x"], "spec": {"template": 1}}]
)
def test_odd_objects_are_allowed_in_silence(document: Any) -> None:
    assert response(document) == {"uid": "a-uid", "allowed": True}


@given(ODD | JSON)
def test_any_object_is_allowed(odd: Any) -> None:
    template = {"metadata": odd, "spec": {"containers": odd}}
    for document in (
        odd,
        workload("Job", odd),
        {"kind": odd, "spec": {"template": template}},
        {"kind": "X", **workload("Job", SLICE), "metadata": odd},
    ):
        for line in warnings_on(document):
            assert line.startswith("gpu-slice: ")
            assert line.isprintable()
            assert len(line) <= LONGEST_PIECE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no review"),
        pytest.param(review_of({}, uid=""), id="no uid"),
        pytest.param(review_of({}).replace(b"/v1", b"/v1beta1"), id="another version"),
        pytest.param(review_of({}).replace(b'"object": {}', b'"object": ' + b"[" * 3000 + b"]" * 3000), id="deep"),
        pytest.param(review_of({}).replace(b'"object": {}', b'"object": "\\ud800"'), id="half a character"),
        pytest.param(review_of({}).replace(b'"object": {}', b'"object": 1e999'), id="a number without end"),
        pytest.param(b"\xff" + review_of({}), id="no UTF-8"),
    ],
)
def test_what_is_no_review_is_refused(body: bytes) -> None:
    """P4, P19."""
    with pytest.raises(BadReview):
        advise(body, FLEET)


class TestPieces:
    @given(st.text(st.characters(codec="ascii"), max_size=1_200), st.integers(60, 300))
    def test_together_they_are_the_whole_text_and_none_is_too_long(self, text: str, longest: int) -> None:
        made = list(pieces(text, longest))

        assert all(line.isprintable() and len(line) <= longest for line in made)
        assert "".join(made).replace("…gpu-slice: …", "") == f"gpu-slice: {printable(text)}"

    @pytest.mark.parametrize(
        ("text", "made"),
        [
            pytest.param("one two three four", ["gpu-slice: one two…", "gpu-slice: … three four"], id="at a space"),
            pytest.param("one two: three four", ["gpu-slice: one two:…", "gpu-slice: … three four"], id="at a colon"),
            pytest.param("one, two three four", ["gpu-slice: one,…", "gpu-slice: … two three…", "gpu-slice: … four"],
                         id="rather at the end of a part"),
        ],
    )  # fmt: skip
    def test_they_are_cut_where_one_would_pause(self, text: str, made: list[str]) -> None:
        assert list(pieces(text, 24)) == made

    def test_a_long_denial_comes_in_pieces_that_the_api_server_never_cuts(self) -> None:
        containers = [container(f"{'n' * 60}{index}") for index in range(5)]
        with pytest.raises(Denial) as denied:
            plan(pod_of("mane=1g.5gb", *containers), FLEET)

        lines = warnings_on(workload("Job", {"gpu-slice": "mane=1g.5gb"}, "batch", containers=containers))

        assert len(lines) > 1
        assert all(len(line) <= LONGEST_PIECE for line in lines)
        assert "".join(lines).replace("…gpu-slice: …", "") == DENIED.format("spec.template") + str(denied.value)


def test_a_wrong_value_in_the_wrong_place_is_told_both() -> None:
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {"gpu-slice": "1g5gb"}},
        "spec": {"template": {"spec": {"containers": [{"name": "main"}]}}},
    }
    told = " ".join(warnings_on(document))
    assert "move it to spec.template.metadata.annotations" in told
    assert "Write '1g.5gb'" in told


class TestBounds:
    @pytest.mark.parametrize(
        ("count", "large"),
        [
            pytest.param(MOST_VALUES - 100, False, id="as many values as are looked at"),
            pytest.param(MOST_VALUES, True, id="more"),
            pytest.param(2_000_000, True, id="so many that they are not decoded"),
        ],
    )
    def test_what_has_too_many_values_is_not_looked_at(self, count: int, large: bool) -> None:
        document = workload("Deployment", TYPO, containers=[{"name": "main", "args": ["x"] * count}])

        (line,) = warnings_on(document)

        too_large = "gpu-slice: the workload is too large to say what will become of its pods"
        assert line == too_large if large else line.endswith(CURE)

    def test_values_are_counted_in_small_workloads_too(self) -> None:
        document = workload("Deployment", TYPO, containers=[{"name": "main", "x": [[]] * MOST_VALUES}])

        assert len(review_of(document)) < LARGE
        assert "too large" in warnings_on(document)[0]

    def test_what_api_server_and_clients_keep_in_it_does_not_count(self) -> None:
        document = workload("Deployment", TYPO)
        document["metadata"] |= {"managedFields": [{}] * (MOST_VALUES // 2)}
        document["metadata"]["annotations"] = {
            "kubectl.kubernetes.io/last-applied-configuration": "{}," * (MOST_VALUES // 2)
        }
        document["status"] = {"conditions": [{}] * (MOST_VALUES // 2)}

        assert warnings_on(document, operation="UPDATE", oldObject=document) == [DENIED.format("spec.template") + CURE]

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_template_that_is_made_to_be_expensive_costs_no_more_than_a_pod(self, name: str) -> None:
        """P33."""
        document = {"kind": "Job", "metadata": {"name": "w"}, "spec": {"template": HOSTILE[name]}}
        advised = review_of(document)

        with ending():
            assert calls_of(lambda: advise(advised, FLEET)) <= MOST_CALLS

    def test_the_same_value_under_many_keys_costs_little(self) -> None:
        """P33."""
        document = json.loads(deployment(EVIL, *(f"a{n}/" for n in range(6))))

        with ending():
            assert advice_on(document).outcome == "denied"

    @pytest.mark.parametrize(
        "document",
        [
            pytest.param([{"template": {"spec": {"containers": []}}}] * 1_200, id="templates"),
            pytest.param([{"template": {"gpu-slice": "x", "spec": {"containers": []}}}] * 99, id="keys in them"),
            pytest.param(
                [{f"gpu-slice{index}": "x"} for index in range(1_600)], id="keys that look like the annotation"
            ),
            pytest.param([[[[{"a": 1}]]]] * 800, id="lists in lists"),
            pytest.param({f"k{index}": "gpu-slice: {a: b}\n" * 10 for index in range(1_600)}, id="text to read"),
            pytest.param([{"metadata": {"labels": SLICE}}] * 1_200, id="labels"),
        ],
    )
    def test_a_workload_that_is_made_to_be_expensive_costs_no_more_than_a_pod(self, document: Any) -> None:
        """P33."""
        for kind in ("Job", "X"):
            advised = review_of({"apiVersion": "batch/v1", "kind": kind, "metadata": {}, "spec": document})

            assert calls_of(lambda advised=advised: advise(advised, FLEET)) <= MOST_CALLS

    def test_all_templates_together_have_the_steps_of_one_decision(self) -> None:
        costly = workload("Job", {"gpu-slice": "|".join(f"{n}/33" for n in range(1, 33))}, "batch")
        items = [costly] * 90

        lines = warnings_on({"kind": "List", "items": items})

        assert lines[-1] == "gpu-slice: there is more to say about this workload than is shown"
        assert calls_of(lambda: warnings_on({"kind": "List", "items": items})) <= MOST_CALLS

    def test_what_the_api_server_would_drop_is_not_sent(self) -> None:
        items = [workload("Job", {"gpu-slice": f"{index}g5gb"}, "batch") for index in range(60)]

        lines = warnings_on({"kind": "List", "items": items})

        assert sum(map(len, lines)) <= MOST_CHARACTERS
        assert lines[-1] == "gpu-slice: there is more to say about this workload than is shown"
