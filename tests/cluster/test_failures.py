"""What a broken webhook costs: pods that ask for a slice are refused, and all others do not notice."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError
from prometheus_client.parser import text_string_to_metric_families

from certs import authority, directory
from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours, empty
from tests.cluster.control_plane import LOOPBACK, free_ports
from tests.cluster.install import ADMISSION, CONFIGURATION, MANIFESTS, NAME, manifest
from tests.cluster.neighbour import Answer, Behaviour, Review, neighbour, patch_of
from tests.pods import plan
from tests.waiting import wait_for
from webhook.fleet.fleet import Fleet

SLICE = "nvidia.com/mig-1g.5gb"
TOLERATED = {"key": SLICE, "operator": "Exists", "effect": "NoSchedule"}
"""With it the API server adds nothing after the webhook, and has no reason to ask a second time."""

FAILED = 'Internal error occurred: failed calling webhook "pods.gpu-slice.io": '
UNSEEN = (
    "is forbidden: ValidatingAdmissionPolicy 'gpu-slice' with binding 'gpu-slice' denied request: "
    "metadata.annotations[gpu-slice]: the gpu-slice webhook has not seen that this pod asks for '1g.5gb'. "
)


def pod(name: str, annotations: dict[str, str] | None = None) -> Document:
    spec = {"containers": [{"name": "main", "image": "a/b:1"}], "tolerations": [TOLERATED]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations}, "spec": spec}


ASKING = pod("asking", {"gpu-slice": "1g.5gb"})


@pytest.fixture(scope="module", autouse=True, name="put_back")
def _put_back(ours: Ours) -> Iterator[None]:
    yield
    ours.serve()


@pytest.fixture(scope="module", name="our_pods")
def _our_pods(cluster: Cluster, ours: Ours) -> Iterator[Callable[[], None]]:
    """Our Deployment, in its real namespace; what is handed out deletes its pods and waits for new ones to run."""
    assert cluster.kubectl("apply", "-f", str(MANIFESTS / "webhook/namespace.yaml")).returncode == 0
    deployment = manifest("webhook/deployment.yaml")
    cluster.create(deployment)

    def come_back() -> None:
        old = {each["metadata"]["uid"] for each in cluster.list("Pod", NAME)}
        for each in cluster.list("Pod", NAME):
            cluster.delete("Pod", each["metadata"]["name"], NAME)

        def running() -> bool:
            new = [each for each in cluster.list("Pod", NAME) if each["metadata"]["uid"] not in old]
            return len([each for each in new if each["status"]["phase"] == "Running"]) == deployment["spec"]["replicas"]

        wait_for("our own pods run again", running)

    come_back()
    yield come_back
    empty(cluster, NAME)
    labels = dict.fromkeys(manifest("webhook/namespace.yaml")["metadata"]["labels"])
    cluster.patch("Namespace", NAME, {"metadata": {"labels": labels}})


Place = Callable[[Ours, Path], AbstractContextManager[None]]
"""Puts something else where our webhook should be."""


def answering(behaviour: Behaviour) -> Place:
    """One that answers like that, once it is registered."""

    @contextmanager
    def place(ours: Ours, _: Path) -> Iterator[None]:
        with neighbour(ours.tls) as found:
            ours.installation.point_at(found.port, found.ca, lambda _: bool(found.calls))
            found.behaviour = behaviour
            yield

    return place


@contextmanager
def nobody(ours: Ours, _: Path) -> Iterator[None]:
    (port,) = free_ports(1)
    ours.installation.point_at(port, ours.tls / "ca.crt", lambda said: f":{port}/" in said)
    yield


def certified(by: str, host: str) -> Place:
    """One whose certificate is not what the configuration's caBundle and URL promise."""

    @contextmanager
    def place(ours: Ours, folder: Path) -> Iterator[None]:
        now = datetime.now(UTC)
        issuer = authority.create_authority(by, now=now)
        directory.write(folder / "tls", authority.issue_leaf(issuer, [host], now=now), issuer.certificate)
        trusted = folder / "tls/ca.crt" if host != LOOPBACK else ours.tls / "ca.crt"
        with neighbour(folder / "tls") as found:
            ours.installation.point_at(found.port, trusted, lambda said: f":{found.port}/" in said)
            yield
            assert not found.calls

    return place


@contextmanager
def hanging(ours: Ours, folder: Path) -> Iterator[None]:
    over = threading.Event()

    def hang(_: Review) -> Review:
        over.wait()
        return {"allowed": True}

    try:
        with answering(hang)(ours, folder):
            yield
    finally:
        over.set()


def hang_up(_: Review) -> Review:
    raise ConnectionAbortedError


def review(**response: object) -> Place:
    return answering(lambda _: {"allowed": True} | response)


def http(status: int, body: str = "", **headers: str) -> Place:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answering(lambda _: Answer(body.encode(), status, named))


def patched(*operations: Document) -> Place:
    return answering(lambda _: patch_of(*operations))


def encoded(patch: str) -> str:
    return base64.b64encode(patch.encode()).decode()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param(
            nobody, f"{FAILED}failed to call webhook: Post … connect: connection refused", id="nobody listens"
        ),
        pytest.param(hanging, f"{FAILED}failed to call webhook: Post … context deadline exceeded", id="hangs for 2 s"),
        pytest.param(answering(hang_up), f"{FAILED}failed to call webhook: Post … EOF", id="hangs up"),
        pytest.param(
            certified("someone else", LOOPBACK),
            f"{FAILED}failed to call webhook: Post … tls: failed to verify certificate: x509: … unknown authority",
            id="a certificate of another CA",
        ),
        pytest.param(
            certified("gpu-slice", "webhook.elsewhere.svc"),
            f"{FAILED}failed to call webhook: Post … tls: failed to verify certificate: x509: … {LOOPBACK}",
            id="a certificate for another name",
        ),
        pytest.param(
            http(200, "<html>Welcome</html>"),
            f"{FAILED}failed to call webhook: couldn't get version/kind; json parse error",
            id="garbage",
        ),
        pytest.param(
            http(200), f"{FAILED}failed to call webhook: 0-length response with status code: 200", id="nothing"
        ),
        pytest.param(
            http(200, json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"})),
            f"{FAILED}received invalid webhook response: webhook response was absent",
            id="a review without a response",
        ),
        pytest.param(
            review(uid="another"),
            f'{FAILED}received invalid webhook response: expected response.uid="…", got "another"',
            id="a wrong uid",
        ),
        pytest.param(
            review(patchType="JSONPatch", patch="%"),
            f"{FAILED}failed to call webhook: illegal base64 data",
            id="a patch that is no base64",
        ),
        pytest.param(
            review(patchType="JSONPatch", patch=encoded("nonsense")),
            f"{FAILED}received undecodable patch in webhook response: invalid character",
            id="an undecodable patch",
        ),
        pytest.param(
            patched({"op": "add", "path": "/spec/nowhere/-", "value": 1}),
            'Internal error occurred: add operation does not apply: doc is missing path: "/spec/nowhere/-"',
            id="a patch that does not apply; the message does not say whose",
        ),
        pytest.param(
            patched({"op": "replace", "path": "/spec/containers", "value": "none"}),
            "Internal error occurred: json: cannot unmarshal string into Go struct field PodSpec.spec.containers",
            id="a patch that makes no pod; the message does not say whose",
        ),
        pytest.param(review(), f'pods "asking" {UNSEEN}', id="yes, and no patch: the guard speaks"),
        pytest.param(
            http(500, "internal error of gpu-slice: its log says where", Content_Type="text/plain; charset=utf-8"),
            f"{FAILED}failed to call webhook: an error on the server "
            '("internal error of gpu-slice: its log says where") has prevented the request from succeeding',
            id="500, as ours says it",
        ),
        pytest.param(
            http(503, "busy"),
            f"{FAILED}failed to call webhook: the server is currently unable to handle the request",
            id="503 without Retry-After is not asked again",
        ),
        pytest.param(
            http(503, "busy", Retry_After="1"),
            f"{FAILED}failed to call webhook: Post … context deadline exceeded",
            id="503 for longer than 2 s",
        ),
        pytest.param(
            http(429, "busy", Retry_After="0"),
            f"{FAILED}failed to call webhook: the server has received too many requests and has asked us to try again",
            id="429 every time",
        ),
    ],
)
def test_pods_that_ask_are_refused_and_all_others_are_created(
    cluster, ours, our_pods, namespace, tmp_path, place: Place, message: str
) -> None:
    """P1."""
    with place(ours, tmp_path):
        cluster.create(pod("plain"), namespace)
        our_pods()
        with pytest.raises(DynamicApiError) as refused:
            cluster.create(ASKING, namespace)
    assert in_order(message, said(refused.value)), said(refused.value)
    assert [each["metadata"]["name"] for each in cluster.list("Pod", namespace)] == ["plain"]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        pytest.param(nobody, "503", id="nobody listens"),
        pytest.param(answering(hang_up), "503", id="hangs up"),
        pytest.param(certified("someone else", LOOPBACK), "503", id="a certificate of another CA"),
        pytest.param(http(400, "no review"), "400", id="400"),
        pytest.param(http(413, "too large"), "413", id="413, which a pod can bring about"),
        pytest.param(http(500, "a fault"), "500", id="500, which another alert is about"),
    ],
)
def test_a_call_that_came_to_nothing_is_counted_apart_from_one_that_was_answered_so(
    cluster, ours, namespace, tmp_path, place: Place, code: str
) -> None:
    """What the alert GpuSliceCallsFail stands on."""

    def failed() -> dict[str, float]:
        samples = [
            sample
            for family in text_string_to_metric_families(cluster.plane.metrics())
            if family.name == "apiserver_admission_webhook_rejection_count"
            for sample in family.samples
            if (sample.labels["name"], sample.labels["error_type"]) == ("pods.gpu-slice.io", "calling_webhook_error")
        ]
        return {sample.labels["rejection_code"]: sample.value for sample in samples}

    with place(ours, tmp_path):
        before = failed()
        with pytest.raises(DynamicApiError):
            cluster.create(ASKING, namespace)
        after = failed()
    assert after == before | {code: before.get(code, 0) + 1}


def in_order(parts: str, text: str) -> bool:
    """Whether *text* begins as *parts* do, with anything where those have ``…``."""
    return re.match(".*".join(map(re.escape, parts.split("…"))), text, re.DOTALL) is not None


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Answer(b"busy", 503, {"Retry-After": "1"}), id="503 with Retry-After 1"),
        pytest.param(Answer(b"busy", 503, {"Retry-After": "1", "Connection": "close"}), id="the same, and a farewell"),
        pytest.param(Answer(b"busy", 429, {"Retry-After": "0"}), id="429 with Retry-After 0"),
    ],
)
def test_who_says_when_to_ask_again_is_asked_again_and_loses_no_pod(
    cluster, ours, namespace, fleet: Fleet, tmp_path, first: Answer
) -> None:
    """P33."""
    uids: list[str] = []

    def busy_at_first(request: Review) -> Answer | Review:
        uids.append(request["uid"])
        if len(uids) == 1:
            return first
        return patch_of(*plan(request["object"], fleet, request["namespace"]).patch)

    with answering(busy_at_first)(ours, tmp_path):
        made = cluster.create(ASKING, namespace)
    assert uids == [uids[0]] * 2
    assert made["spec"]["containers"][0]["resources"]["limits"] == {SLICE: "1"}


def fail_open(cluster: Cluster, ours: Ours) -> None:
    """Somebody edits the configuration of a webhook that does not answer well."""
    document = cluster.get(CONFIGURATION, NAME, api_version=ADMISSION)
    document["webhooks"][0]["failurePolicy"] = "Ignore"
    cluster.replace(document)
    wait_for("the guard is all that is left", lambda: UNSEEN in ours.installation.probe())


def test_the_guard_refuses_pods_that_ask_where_a_dead_webhook_fails_open(cluster, ours, namespace, tmp_path) -> None:
    """P12."""
    with nobody(ours, tmp_path):
        fail_open(cluster, ours)
        refused = cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(ASKING))
        cluster.create(pod("plain"), namespace)
    assert refused.stderr == (
        f'Error from server (Forbidden): error when creating "STDIN": pods "asking" {UNSEEN}If another webhook adds '
        "the annotation, write it into the pod or its workload's template instead; else see that the webhook "
        "configuration 'gpu-slice' is there and that the webhook answers.\n"
    )
    assert [each["metadata"]["name"] for each in cluster.list("Pod", namespace)] == ["plain"]


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param({"uid": "another"}, f'pods "asking" {UNSEEN}', id="a wrong uid"),
        pytest.param({"patchType": "JSONPatch", "patch": "%"}, f'pods "asking" {UNSEEN}', id="an undecodable patch"),
        pytest.param(
            patch_of({"op": "remove", "path": "/spec/nowhere"}),
            "Internal error occurred: error in remove for path: '/spec/nowhere'",
            id="a patch that does not apply: refused whatever the failurePolicy",
        ),
    ],
)
def test_failing_open_lets_no_pod_that_asks_through(cluster, ours, namespace, response: Review, message: str) -> None:
    with neighbour(ours.tls) as found:
        ours.installation.point_at(found.port, found.ca, lambda _: bool(found.calls))
        found.behaviour = hang_up
        fail_open(cluster, ours)
        found.behaviour = lambda _: {"allowed": True} | response
        with pytest.raises(DynamicApiError) as refused:
            cluster.create(ASKING, namespace)
    assert in_order(message, said(refused.value)), said(refused.value)
    assert cluster.get("Pod", "asking", namespace) is None
