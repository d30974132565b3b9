"""A whole server process: its second port, its fleet file, its logs, its start and its end."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import Running
from tests.stories import FLEETS
from webhook.cli import files
from webhook.cli.loopback import LOOPBACK
from webhook.server.settings import MOST_BODY

pytestmark = pytest.mark.slow  # each test starts a server of its own

POD = {"metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": [{"name": "main"}]}}
BAD = {"metadata": {"annotations": {"gpu-slice": "1g5gb"}}, "spec": {"containers": [{"name": "main"}]}}

FLEET = """\
apiVersion: gpu-slice/v1
pools:
- name: only-pool
  gpu: a100-40gb
  partition: {mig: {1g.5gb: 7}}
  instanceTypes: [p4d.24xlarge]
"""


@pytest.fixture(name="start")
def _start(tls: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*options: str) -> Running:
        running.append(Running(tls, *options))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop()


def test_metrics_tell_what_was_answered(start) -> None:
    """P43."""
    server = start()
    for _ in range(3):
        server.client.review(POD, "team-a")
    server.client.review(BAD, "team-a")
    server.client.review({"metadata": {}}, "team-a")
    server.client.review({**POD, "spec": {**POD["spec"], "nodeName": "node-1"}}, "team-a")

    sliced = 'outcome="sliced",pool="several",profile="1g.5gb"'
    assert server.metric(f"gpu_slice_admissions_total{{{sliced}}}") == 4
    assert server.metric('gpu_slice_admissions_total{outcome="denied",pool="",profile=""}') == 1
    assert server.metric('gpu_slice_admissions_total{outcome="untouched",pool="",profile=""}') == 1
    assert server.metric('gpu_slice_denials_total{reason="grammar"}') == 1
    assert server.metric('gpu_slice_denials_total{reason="capacity"}') == 0  # so that the first one is an increase
    assert server.metric('gpu_slice_warnings_total{reason="node-name"}') == 1
    assert server.metric("gpu_slice_admission_duration_seconds_count") == 6
    assert server.metric('gpu_slice_admission_duration_seconds_bucket{le="0.0025"}') is not None
    assert server.metric("gpu_slice_fleet_loaded") == 1
    not_after = server.metric("gpu_slice_certificate_not_after_seconds")
    assert 364 < (not_after - time.time()) / 86_400 < 366


def test_no_label_repeats_what_a_user_wrote(start) -> None:
    """P39."""
    server = start()
    canary = {"metadata": {"annotations": {"gpu-slice": "canary=1g.5gb"}}, "spec": {"containers": [{"name": "canary"}]}}
    server.client.review(canary, "canary")
    server.client.review({**canary, "spec": {"containers": [{"name": "other"}]}}, "canary")

    assert "canary" not in server.get("/metrics")[1]


def test_logs_are_json_and_say_nothing_of_a_pod(start) -> None:
    """P39."""
    server = start("--log-level", "debug")
    pod = {
        "metadata": {"name": "canary-name", "annotations": {"gpu-slice": "1g.5gb", "canary-key": "canary"}},
        "spec": {"containers": [{"name": "canary-container", "env": [{"name": "CANARY", "value": "canary-secret"}]}]},
    }
    server.client.review(pod, "team-a")
    server.client.review({**BAD, "spec": {"containers": [{"name": "canary-two"}]}}, "team-a")

    decided = [server.wait_for("decided"), server.wait_for("decided")]
    assert [each["outcome"] for each in decided] == ["sliced", "denied"]
    assert decided[0]["resources"] == ["nvidia.com/mig-1g.5gb:1"]
    assert decided[0]["pools"] == ["a100-1g-5gb", "a100-mixed"]
    assert decided[1]["reason"] == "grammar"
    assert "canary" not in json.dumps(server.seen).lower()


def test_without_debug_a_decision_writes_no_line(start) -> None:
    server = start()
    server.client.review(POD, "team-a")
    assert server.stop() == 0
    assert not any("decided" in line["message"] for line in [*server.seen, *server.lines.queue])


def test_a_new_fleet_is_taken_a_bad_one_refused_and_the_old_one_goes_on(start, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    server = start("--fleet", str(path))
    assert pools_of(server) == "only-pool"

    replace(path, FLEET.replace("only-pool", "new-pool"))
    server.wait_for("fleet taken")
    assert pools_of(server) == "new-pool"
    assert server.metric("gpu_slice_fleet_generation") == 2

    replace(path, FLEET.replace("a100-40gb", "a100-41gb"))
    refused = server.wait_for("fleet refused")
    assert "pools[0].gpu: 'a100-41gb' is not a GPU of the catalogue" in refused["problem"]
    assert pools_of(server) == "new-pool"
    assert server.metric("gpu_slice_fleet_loaded") == 0
    assert server.metric('gpu_slice_fleet_reloads_total{result="refused"}') == 1
    assert server.get("/readyz") == (200, "ok")

    path.unlink()
    server.wait_for("fleet refused")
    assert pools_of(server) == "new-pool"

    replace(path, FLEET)
    server.wait_for("fleet taken")
    assert pools_of(server) == "only-pool"
    assert server.metric("gpu_slice_fleet_loaded") == 1


def test_without_a_fleet_it_is_alive_but_not_ready_and_asks_to_be_called_again(start, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("apiVersion: gpu-slice/v1\npools: []\n")
    server = start("--fleet", str(path))

    assert server.ready is False
    assert server.get("/healthz") == (200, "ok")
    assert server.get("/readyz") == (503, "no fleet yet")
    with pytest.raises(ConnectionError, match="503: no fleet yet"):
        server.client.review(POD, "team-a")
    server.client.connection.request("POST", "/mutate", "{}", {"Content-Type": "application/json"})
    answer = server.client.connection.getresponse()
    answer.read()
    assert (answer.status, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "1", "close")

    replace(path, FLEET)
    server.wait_for("fleet taken")
    assert server.get("/readyz") == (200, "ok")
    assert pools_of(server) == "only-pool"


def test_the_human_doors_are_shut_unless_asked_for(start) -> None:
    server = start()
    assert server.post("/preview", b"{}")[0] == 404
    for path in ("/catalogue", "/fleet", "/openapi.json", "/docs", "/redoc"):
        assert server.get(path)[0] == 404


def test_the_preview_door_answers_for_pods_workloads_and_lists(start) -> None:
    server = start("--preview")
    template = {"metadata": POD["metadata"], "spec": POD["spec"]}
    deployment = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}}
    pod, bad = ({"kind": "Pod", **each} for each in (POD, BAD))

    status, text = server.post("/preview", json.dumps({"kind": "List", "items": [pod, deployment, bad]}).encode())

    assert status == 200
    first, second, third = json.loads(text)
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("sliced", "sliced", "denied")
    assert first["pod"]["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/mig-1g.5gb": "1"}
    assert (second["kind"], second["template"]) == ("Deployment", "spec.template")
    assert third["denial"]["position"] == 2
    assert third["denial"]["field"] == "metadata.annotations[gpu-slice]"
    assert third["pod"] is None


def test_the_doors_describe_themselves_and_have_no_docs_page(start) -> None:
    server = start("--preview")
    described = json.loads(server.get("/openapi.json")[1])
    assert set(described["paths"]) == {"/preview", "/catalogue", "/fleet"}
    assert server.get("/docs")[0] == 404
    assert server.get("/redoc")[0] == 404
    offered = json.loads(server.get("/fleet")[1])["slices"]
    assert offered[0]["slice"] == "1g.5gb"
    assert offered[0]["per_node"] == {"p4d.24xlarge": 56}
    assert any(row["gpu"] == "a10g" and row["profile"] is None for row in json.loads(server.get("/catalogue")[1]))


def test_the_fleet_tells_what_a_namespace_may_use(start) -> None:
    server = start("--preview", f"--fleet={FLEETS['teams']}")
    rows = json.loads(server.get("/fleet?namespace=notebooks")[1])["slices"]
    assert [row["slice"] for row in rows if row["permitted"]] == ["shared"]
    assert server.get("/fleet?namespace=No%20Name")[0] == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"{", 400, id="half a JSON text"),
        pytest.param(b"[]", 422, id="a list"),
        pytest.param(b'{"a":' * 40_000, 400, id="deep"),
        pytest.param(b'{"kind": "Pod", "metadata": 3}', 200, id="a malformed pod"),
    ],
)
def test_the_preview_door_refuses_what_it_cannot_read(start, body: bytes, status: int) -> None:
    assert start("--preview").post("/preview", body)[0] == status


def test_the_preview_door_has_the_same_limit_on_a_body(start) -> None:
    head = b"POST /preview HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((LOOPBACK, start("--preview").ops_port), timeout=60) as connection:
        connection.sendall(head % (MOST_BODY + 1))
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to_and_exits_with_0(start, number: int) -> None:
    server = start("--settle", "0")
    server.client.review(POD, "team-a")
    assert server.stop(number) == 0


def test_a_missing_pair_is_one_line_that_says_how_to_make_one(tmp_path: Path) -> None:
    result = serve(tmp_path / "nothing")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "gpu-slice certs init --dir" in json.loads(line)["problem"]


def test_a_key_of_another_certificate_is_not_served(tls: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "webhook", "certs", "init", "--dir", tmp_path / "other"], check=True)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(tls / "tls.crt", mixed)
    shutil.copy(tmp_path / "other" / "tls.key", mixed)

    server = Running(mixed)

    assert not server.ready
    assert "KEY_VALUES_MISMATCH" in server.seen[0]["problem"]
    assert server.get("/readyz") == (503, "no certificate yet")
    assert server.stop() == 0


def test_a_port_that_is_taken_is_one_line(start, tls: Path) -> None:
    result = serve(tls, "--port", str(start().port))
    assert result.returncode == 1
    assert "Address already in use" in json.loads(result.stderr)["problem"]


def serve(tls: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``gpu-slice serve``, which is expected to end by itself."""
    command = [sys.executable, "-m", "webhook", "serve", "--tls-dir", str(tls), "--host", LOOPBACK, "--ops-port", "0"]
    return subprocess.run(
        [*command, *(options or ("--port", "0"))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )


def pools_of(server: Running) -> str:
    """The pools that a plain pod gets."""
    made = server.client.review(POD, "team-a")
    assert made["allowed"]
    (patch,) = [each for each in operations(made) if each["path"] == "/metadata/annotations/gpu-slice~1pools"]
    return patch["value"]


def operations(response: dict) -> list[dict]:
    return json.loads(base64.b64decode(response["patch"]))


def replace(path: Path, text: str) -> None:
    """As the kubelet does: never half a file."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_the_built_in_fleet_and_the_one_in_the_manifests_are_the_same() -> None:
    manifests = Path(__file__).parents[2] / "manifests" / "webhook" / "fleet.yaml"
    assert manifests.read_bytes() == files.default_fleet_text()
