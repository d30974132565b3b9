"""``make bench``: the webhook and a bare echo, each pinned to core 0, loaded by wrk from core 1.

The two take turns, so that a noisy machine is unfair to both; what counts is the ratio in one run.  The last
table is written into bench/README.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from webhook.cli.loopback import certify

ROUNDS = 5
SECONDS = 4
CONNECTIONS = 16
HERE = Path(__file__).parent
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open("BODY"):read("*a")
"""
DIFFERENT = """
local count, head, tail = 0, wrk.body:match('(.*"gpu%-slice":)(.*)')
request = function()
  count = count + 1
  local new = '"count":"' .. count .. '","gpu-slice":'
  return wrk.format(nil, nil, nil, string.gsub(head, '"gpu%-slice":$', new) .. tail)
end
"""
BEGIN, END = "<!-- table -->", "<!-- end -->"


def pod(environment: int) -> dict:
    """A pod as an API server sends it, defaults filled in; *environment* variables make it large."""
    container = {
        "name": "main",
        "image": "example/notebook:1",
        "command": ["python", "-m", "notebook"],
        "env": [{"name": f"SETTING_{index}", "value": "a value of some length"} for index in range(environment)],
        "resources": {"limits": {"memory": "8Gi"}, "requests": {"cpu": "500m", "memory": "2Gi"}},
        "volumeMounts": [
            {
                "name": "kube-api-access-7x2kd",
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    tolerations = [
        {"key": f"node.kubernetes.io/{each}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for each in ("not-ready", "unreachable")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "notebook-6c8d5b7f9-",
            "namespace": "team-a",
            "labels": {"app": "notebook", "pod-template-hash": "6c8d5b7f9"},
            "annotations": {"gpu-slice": "1g.5gb"},
        },
        "spec": {
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": tolerations,
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
    }


def review(environment: int) -> bytes:
    """An AdmissionReview for such a pod."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "team-a",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": pod(environment),
        "oldObject": None,
        "dryRun": False,
    }
    whole = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(whole, separators=(",", ":")).encode()


@contextmanager
def serving(command: list[str]):
    """A server on core 0.  Yields its process id and port."""
    command = ["taskset", "-c", "0", sys.executable, *command]
    start = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                found = json.loads(line)
                if found["message"] == "listening":
                    yield process.pid, found["port"], time.perf_counter() - start
                    break
        finally:
            process.send_signal(signal.SIGINT)


def load(port: int, script: Path) -> tuple[float, float, float]:
    """Load from core 1: requests a second, p50 and p99 in milliseconds."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script)]
    out = subprocess.run([*command, f"https://127.0.0.1:{port}/mutate"], capture_output=True, text=True, check=True)
    if "Non-2xx" in out.stdout or "Socket errors" in out.stdout:
        raise SystemExit(out.stdout)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out.stdout)[1])
    found = {mark: _milliseconds(value) for mark, value in re.findall(r"(50|99)%\s+([\d.]+\w+)", out.stdout)}
    return rate, found["50"], found["99"]


def _milliseconds(text: str) -> float:
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def main() -> None:
    """Run it, print the table, and write it into the page."""
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        raise SystemExit("make bench wants two cores and wrk (apt-get install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        tls = Path(folder) / "tls"
        certify(tls, "gpu-slice bench")
        webhook = ["-m", "webhook", "serve", "--tls-dir", str(tls), "--host", "127.0.0.1", "--port", "0"]
        webhook += ["--ops-port", "0", "--log-level", "info"]
        rows = []
        with serving(webhook) as (pid, port, ready), serving(["-m", "bench.echo", str(tls)]) as (_, echo_port, _):
            for name, environment in (("small", 4), ("small, no two alike", 4), ("large", 560)):
                body = review(environment)
                script = Path(folder) / f"{name}.lua"
                (Path(folder) / f"{name}.json").write_bytes(body)
                script.write_text(
                    SCRIPT.replace("BODY", f"{folder}/{name}.json") + (DIFFERENT if "alike" in name else "")
                )
                ours, echo = [], []
                for _ in range(ROUNDS):
                    echo.append(load(echo_port, script))
                    ours.append(load(port, script))
                rows.append(row(name, len(body), ours, echo))
            memory = resident(pid)
    table = "\n".join(
        [
            "| pod | bytes | reviews/s | p50 ms | p99 ms | echo/s | echo p50 ms | echo p99 ms | ratio |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"Serving process: {memory:.0f} MiB resident after the load, listening {ready:.2f} s after its start "
            f"(fleet loaded). {datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, {ROUNDS} rounds of "
            f"{SECONDS} s in turns, {CONNECTIONS} connections, medians.",
        ]
    )
    print(table)
    page = (HERE / "README.md").read_text()
    head, rest = page.split(BEGIN)
    (HERE / "README.md").write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")


def row(name: str, size: int, ours: list, echo: list) -> str:
    """One row of the table: medians, and the median of the rounds' ratios."""

    def middle(of: list, index: int) -> float:
        return statistics.median(each[index] for each in of)

    ratio = statistics.median(a[0] / b[0] for a, b in zip(ours, echo, strict=True))
    return (
        f"| {name} | {size:,} | {middle(ours, 0):,.0f} | {middle(ours, 1):.2f} | {middle(ours, 2):.2f} "
        f"| {middle(echo, 0):,.0f} | {middle(echo, 1):.2f} | {middle(echo, 2):.2f} | {ratio:.2f} |"
    )


if __name__ == "__main__":
    main()
