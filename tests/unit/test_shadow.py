"""Shadow: what is decided about pods that are left as they are; and that nothing hurts while replicas change over."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonpatch
import pytest
from click.testing import CliRunner
from kubernetes.client import ApiClient, Configuration

from tests.pods import ASSIGNED, Pod, container, pod_of
from tests.unit.test_shadow_check import FLEET, IN_SHADOW, POOLS, counted, pod
from webhook.admission.advise import advise
from webhook.admission.resolve import prepare
from webhook.cli import files
from webhook.cli.main import main
from webhook.cli.shadow import from_cluster, verdict
from webhook.cluster.reader import Reader
from webhook.errors import BadFleet
from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import EVERYTHING
from webhook.fleet.shadow import in_shadow
from webhook.server.decide import Decide
from webhook.server.metrics import Metrics

ONE_POOL = "pools: [{name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]%s}]"
HEAD = "apiVersion: gpu-slice/v1\n"


def fleet_with(rest: str = "", pool: str = "") -> Fleet:
    return files.load_fleet(f"{HEAD}{ONE_POOL % pool}\n{rest}".encode())


def response(asked: Pod, fleet: Fleet, namespace: str = "default") -> dict[str, Any]:
    request = {"uid": "1", "namespace": namespace, "operation": "CREATE", "object": asked}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer: dict[str, Any] = json.loads(Decide(lambda: fleet, Metrics())(json.dumps(review).encode()))
    return answer["response"]  # type: ignore[no-any-return]


def visited(asked: Pod, fleet: Fleet) -> Pod:
    """The pod after a visit."""
    answer = response(asked, fleet)
    assert answer["allowed"], answer
    patched: Pod = jsonpatch.apply_patch(asked, json.loads(base64.b64decode(answer.get("patch", "W10="))))
    return patched


# What is in shadow.


@pytest.mark.parametrize(
    ("fleet", "expected"),
    [
        pytest.param(fleet_with(), "", id="nothing"),
        pytest.param(fleet_with("mode: shadow"), "all namespaces", id="all"),
        pytest.param(
            fleet_with("mode: shadow\nnamespaces: {b: {mode: enforce}, a: {mode: enforce}, c: {}}"),
            "all namespaces but a, b",
            id="all but two",
        ),
        pytest.param(fleet_with("namespaces: {a: {mode: shadow}}"), "namespace a", id="one"),
        pytest.param(
            fleet_with("namespaces: {a: {mode: shadow}, b: {mode: shadow}}", ", mode: shadow"),
            "namespaces a, b, and pool a",
            id="two, and a pool",
        ),
        pytest.param(fleet_with('namespaces: {"*": {mode: shadow}, a: {}}'), "all namespaces but a", id="the others"),
        pytest.param(fleet_with("defaults: {mode: shadow}"), "pool a", id="a default"),
    ],
)
def test_what_is_in_shadow_is_said_in_words(fleet: Fleet, expected: str, tmp_path: Path) -> None:
    assert in_shadow(fleet.file) == expected
    path = tmp_path / "fleet.yaml"
    path.write_text(json.dumps(fleet.file.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    result = CliRunner().invoke(main, ["fleet", "check", str(path)])
    assert result.exit_code == 0
    assert ("in shadow" in result.stderr) is bool(expected)
    assert expected in result.stderr


@pytest.mark.parametrize(
    ("rest", "pool", "expected"),
    [
        pytest.param("mode: shadows", "", "mode: 'shadows' is not known. Write 'enforce' or 'shadow'.", id="the fleet"),
        pytest.param("mode: true", "", "mode: true is not known. Write 'enforce' or 'shadow'.", id="no word"),
        pytest.param("namespaces: {a: {mode: off}}", "", "namespaces.a.mode: false is not known.", id="a namespace"),
        pytest.param("", ", mode: Shadow", "pools[0].mode: 'Shadow' is not known.", id="a pool"),
        pytest.param("defaults: {mode: no}", "", "defaults.mode: false is not known.", id="a default"),
        pytest.param(
            "mode: shadow",
            ", mode: enforce",
            "pools[0].mode: 'enforce' has no effect, because 'mode' of the fleet is 'shadow'. Remove it;",
            id="a pool that cannot enforce",
        ),
        pytest.param(
            "mode: shadow\ndefaults: {mode: enforce}", "", "defaults.mode: 'enforce' has no", id="nor by default"
        ),
    ],
)
def test_a_mode_that_cannot_be_is_refused(rest: str, pool: str, expected: str) -> None:
    with pytest.raises(BadFleet) as bad:
        fleet_with(rest, pool)
    assert [str(problem).startswith(expected) for problem in bad.value.problems] == [True], bad.value


def test_profiles_marks_pools_in_shadow(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(f"{HEAD}{ONE_POOL % ', mode: shadow'}")
    table = CliRunner().invoke(main, ["profiles", "--fleet", str(path)]).stdout
    assert table.splitlines()[1].endswith(" a (shadow)")
    (row,) = json.loads(CliRunner().invoke(main, ["profiles", "--fleet", str(path), "-o", "json"]).stdout)
    assert (row["pool"], row["mode"]) == ("a", "shadow")


def test_a_fleet_without_shadow_decides_by_the_short_way() -> None:
    """Its policies are those of before, so an ordinary pod pays nothing."""
    assert FLEET.policy("any") is EVERYTHING
    assert fleet_with("namespaces: {a: {mode: shadow}}").policy("b").shadow == frozenset()
    assert prepare(IN_SHADOW)


# Whatever would be denied, and whatever would be done.


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param(
            pod_of("1g.5gb", container("a"), container("b", args=["x"] * 50_001)), "too-large", id="its values"
        ),
        pytest.param(pod_of("x=1g.5gb"), "no-such-container", id="its container"),
        pytest.param(pod_of("1g.5gb") | {"spec": {"containers": 1}}, "malformed", id="a field"),
        pytest.param(
            {"metadata": {"annotations": {"gpu-slice": 1}}, "spec": {"containers": []}}, "grammar", id="its value"
        ),
        pytest.param(
            pod_of("1g.5gb", container(resources={"limits": {"nvidia.com/gpu": 2}})), "whole-gpu", id="whole GPUs"
        ),
        pytest.param(
            pod_of("1g.5gb", annotations={ASSIGNED: "2g.10gb -> main=x/y:1"}), "stale-assigned", id="a record"
        ),
    ],
)
def test_whatever_would_be_denied_is_admitted_as_it_is_and_told(asked: Pod, code: str) -> None:
    enforced = response(asked, IN_SHADOW, "live")
    assert not enforced["allowed"]

    answer = response(asked, IN_SHADOW)
    assert answer["allowed"]
    assert "patch" not in answer
    (told,) = answer["warnings"]
    assert told.startswith(f"gpu-slice: shadow: not enforced: denied ({code}): ")
    assert len(told) <= 120


def test_the_log_has_the_decision_and_that_it_is_in_shadow(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="gpu_slice"):
        for namespace in ("default", "live"):
            response(pod_of("1g.5gb"), IN_SHADOW, namespace)
        response(pod_of("7g.40gb"), IN_SHADOW)
    lines = [record.fields for record in caplog.records if record.getMessage() == "decided"]  # type: ignore[attr-defined]
    assert [(line["outcome"], line["shadow"], line["reason"]) for line in lines] == [
        ("sliced", True, None),
        ("sliced", False, None),
        ("denied", True, "not-offered"),
    ]
    assert lines[0]["pools"] == ["ampere"]


def test_who_applies_a_workload_is_told_what_would_be_denied() -> None:
    template = {"metadata": {"annotations": {"gpu-slice": "7g.40gb"}}, "spec": {"containers": [container()]}}
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"template": template},
    }
    for namespace, outcome, begins in (
        ("default", "warned", "gpu-slice: shadow: not enforced: pods of spec.template would be denied: "),
        ("live", "denied", "gpu-slice: pods of spec.template would be denied: "),
    ):
        request = {"uid": "1", "namespace": namespace, "operation": "CREATE", "object": document}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        advice = advise(json.dumps(review).encode(), IN_SHADOW)
        assert advice.outcome == outcome
        assert json.loads(advice.body)["response"]["warnings"][0].startswith(begins)


# Two replicas, of which one has the new fleet already.

ENFORCING = files.load_fleet(
    (Path(__file__).parents[1] / "fleets" / "shadow.yaml").read_bytes().replace(b"mode: shadow", b"")
)


def test_a_pod_that_one_replica_sliced_is_kept_by_one_in_shadow() -> None:
    sliced = visited(pod_of("1g.5gb"), ENFORCING)
    answer = response(sliced, IN_SHADOW)
    assert answer["allowed"]
    assert "patch" not in answer
    assert "warnings" not in answer


def test_a_pod_that_one_replica_left_alone_is_sliced_by_one_that_enforces() -> None:
    asked = pod_of("1g.5gb")
    left = visited(asked, IN_SHADOW)
    assert left == asked
    assert visited(left, ENFORCING) == visited(asked, ENFORCING)


def test_a_pod_that_one_replica_gave_a_pool_is_kept_by_one_to_which_that_pool_is_in_shadow() -> None:
    """The pools are ANDed, so that it can still run on those of both."""
    text = (Path(__file__).parents[1] / "fleets" / "shadow-pools.yaml").read_bytes()
    all_enforce = files.load_fleet(text.replace(b"mode: shadow", b""))
    only = response(visited(pod_of("1g.10gb"), all_enforce), POOLS)
    assert only["allowed"]
    assert "patch" not in only

    either = response(visited(pod_of("1g.5gb"), all_enforce), POOLS)
    assert either["allowed"]
    narrowed = json.loads(base64.b64decode(either["patch"]))
    assert "proven" in json.dumps(narrowed)
    assert "tried" not in json.dumps([each for each in narrowed if each["path"].startswith("/spec")])


def test_a_pod_that_a_replica_narrowed_is_kept_when_the_pool_enforces() -> None:
    text = (Path(__file__).parents[1] / "fleets" / "shadow-pools.yaml").read_bytes()
    answer = response(visited(pod_of("1g.5gb"), POOLS), files.load_fleet(text.replace(b"mode: shadow", b"")))
    assert answer["allowed"]
    assert "patch" not in answer


@pytest.mark.parametrize("asked", ["1g.5gb", "1/7", "1g.5gb|3g.20gb", "10gb", "2x1g.5gb"])
def test_a_pool_in_shadow_gives_its_pods_what_they_would_get_without_it(asked: str) -> None:
    text = (Path(__file__).parents[1] / "fleets" / "shadow-pools.yaml").read_text()
    before, rest = text.split("  - name: tried")[0], text.split("  - name: proven")[1].split("  - name: hopper")[0]
    without = files.load_fleet(f"{before}  - name: proven{rest}".encode())
    with_shadow, alone = (visited(pod_of(asked), fleet) for fleet in (POOLS, without))
    assert with_shadow["spec"]["containers"] == alone["spec"]["containers"]
    assert with_shadow["metadata"] == alone["metadata"]


# Through the API server's proxy.


class _ApiServer(BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, str]]

    def do_GET(self) -> None:
        status, text = self.answers.get(self.path.partition("?")[0], (404, "{}"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


REPLICA = "/api/v1/namespaces/gpu-slice/pods"
FORBIDDEN = (403, json.dumps({"message": 'pods "a" is forbidden: User "me" cannot get resource "pods/proxy"'}))
REFUSED = (503, json.dumps({"message": "error trying to reach service: dial tcp 10.0.0.1:8080: i/o timeout"}))


@pytest.fixture(name="api")
def _api() -> Iterator[Any]:
    class Handler(_ApiServer):
        answers = {}  # noqa: RUF012

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{server.server_port}"
    yield Handler.answers, Reader(ApiClient(settings), "default")
    server.shutdown()
    server.server_close()
    thread.join()


def pods(*names: str) -> tuple[int, str]:
    items = [{"metadata": {"name": name, "namespace": "gpu-slice"}, "spec": {"containers": []}} for name in names]
    return 200, json.dumps({"items": items, "metadata": {}})


def test_the_replicas_are_asked_through_the_api_server(api: Any) -> None:
    answers, reader = api
    answers |= {
        REPLICA: pods("a", "b"),
        f"{REPLICA}/a:8080/proxy/metrics": (200, counted(IN_SHADOW, pod("1g.5gb"))),
        f"{REPLICA}/b:8080/proxy/metrics": (200, counted(IN_SHADOW, pod("1g.10gb"))),
    }
    found = from_cluster(reader, "gpu-slice")
    assert [(each.name, each.problem, each.given.total()) for each in found] == [("a", "", 1), ("b", "", 1)]
    assert verdict(found)[0] == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(FORBIDDEN, "you may not get pods/proxy in namespace gpu-slice", id="it may not be asked"),
        pytest.param(REFUSED, "the API server does not reach its port 8080: error trying to reach", id="no way to it"),
        pytest.param((200, "<html>"), "it did not answer with metrics", id="somebody else"),
    ],
)
def test_a_replica_that_cannot_be_asked_is_told_and_the_exit_code_is_3(
    answer: tuple[int, str], said: str, api: Any
) -> None:
    answers, reader = api
    answers |= {
        REPLICA: pods("a", "b"),
        f"{REPLICA}/a:8080/proxy/metrics": (200, counted(IN_SHADOW, pod("1g.5gb"))),
        f"{REPLICA}/b:8080/proxy/metrics": answer,
    }
    found = from_cluster(reader, "gpu-slice")
    assert found[1].problem.startswith(said)
    code, told = verdict(found)
    assert code == 3
    assert "1 of 2 replicas could not be looked at" in told


@pytest.mark.parametrize("answer", [pods(), FORBIDDEN], ids=["there are none", "they may not be listed"])
def test_without_replicas_nothing_could_be_looked_at(answer: tuple[int, str], api: Any) -> None:
    answers, reader = api
    answers |= {REPLICA: answer}
    assert verdict(from_cluster(reader, "gpu-slice"))[0] == 3


def test_what_fits_is_asked_of_a_fleet_that_enforces() -> None:
    assert {policy.mode for policy in POOLS.enforced().policies.values()} == {"enforce"}
    assert not any(policy.shadow for policy in POOLS.enforced().policies.values())
