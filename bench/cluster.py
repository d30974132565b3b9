"""The second table: creating pods through a real API server, with and without who mutates them.

Each way has a namespace of its own, which its configuration selects by a label, so all are registered at once and
pods are created in all of them in turns, on one connection.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from bench import pods, programs, servers, table
from bench.report import render
from bench.throughput import PEERS
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.programs import BuildError
from tests.waiting import wait_for
from webhook.admission.assigned import DECIDED
from webhook.cli import files
from webhook.cli.render import text as render_fleet

ROOT = Path(__file__).parents[1]
ROUNDS = 600
WARM_UP = 50
"""Rounds of each kind of pod before those that are timed; in these the calls are counted."""
LABEL = "bench"
NOBODY, POLICY, OURS = "nobody", "MutatingAdmissionPolicy", "gpu-slice"
COMPILED = "gpu-slice as a policy"

Document = dict[str, Any]


def measure(folder: Path, tls: Path, decisions: table.Table) -> str:
    """Create the pods, and say what it took as Markdown."""
    generator, missing = programs.load(), []
    path = table.write(decisions, tls.with_name("table.json"))
    try:
        with ExitStack() as stack:
            plane = stack.enter_context(control_plane(folder))
            ports = {OURS: stack.enter_context(servers.gpu_slice(tls, core=None)).port}
            for name, build in PEERS.items():
                try:
                    ports[name] = stack.enter_context(servers.peer(build(), tls, path, core=None)).port
                except programs.NotBuilt as error:
                    missing.append(f"\n\n{name}: not built: {error}.")
            return _measured(plane, generator, ports, tls / "ca.crt", decisions) + "".join(missing)
    except BuildError as error:
        raise programs.NotBuilt(str(error)) from error


def _measured(plane: ControlPlane, generator: Path, ports: dict[str, int], ca: Path, decisions: table.Table) -> str:
    _apply(plane, *policy(decisions), *compiled())
    ways = [NOBODY, POLICY, COMPILED, *ports]
    for way in ways:
        labels = {LABEL: namespace_of(way)}
        _apply(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": labels[LABEL], "labels": labels}})
    for way, port in ports.items():
        _apply(plane, configuration(way, port, ca.read_bytes()))
    for way in ways:
        _wait_for(plane, way)
    files = {}
    for asks in (True, False):
        files[asks] = plane.logs / f"pod-{asks}.json"
        files[asks].write_text(json.dumps(pod(asks)))
    targets = {
        asks: [{"path": f"/api/v1/namespaces/{namespace_of(way)}/pods", "body": str(file)} for way in ways]
        for asks, file in files.items()
    }
    numbers = itertools.count()

    def create(rounds: int, *kinds: bool) -> list[dict[str, Any]]:
        job = {"headers": [f"Authorization: Bearer {plane.token}"], "connections": 1, "status": 201, "samples": 1}
        job |= {"targets": [target for asks in kinds for target in targets[asks]], "rounds": rounds}
        port = int(plane.url.rpartition(":")[2])
        return servers.send(generator, port, plane.ca, None, first=next(numbers) << 32, **job)["targets"]

    counts = {}
    for asks in files:
        before = calls(plane)
        create(WARM_UP, asks)
        after = calls(plane)
        counts |= {(asks, way): (after.get(hook_of(way), 0) - before.get(hook_of(way), 0)) / WARM_UP for way in ports}
    figures = create(ROUNDS, *files)
    rows = []
    for index, (asks, way) in enumerate(itertools.product(files, ways)):
        own, nobody = figures[index], figures[index - index % len(ways)]
        _check(way, asks, own["samples"][0], decisions)
        cells = [f"{own['p50']:.2f}", f"{own['p99']:.2f}"]
        cells += [f"{own[mark] - nobody[mark]:+.2f}" if way != NOBODY else "" for mark in ("p50", "p99")]
        cells.append(f"{counts[asks, way]:g}" if way in ports else "")
        rows.append([f"{'annotated' if asks else 'not annotated'}, {way}", *cells])
    head = ["pod, who mutates it", "p50 ms", "p99 ms", "more at p50", "more at p99", "calls a pod"]
    version = plane.run("version", "-o", "json").stdout
    release = json.loads(version)["serverVersion"]["gitVersion"]
    return f"{render(head, rows)}\n\nKubernetes {release}, {ROUNDS} pods a row."


def namespace_of(way: str) -> str:
    """The namespace of one way."""
    return f"bench-{re.sub('[^a-z]+', '-', way.lower())}"


def hook_of(way: str) -> str:
    """The name under which the API server counts its calls."""
    return f"{namespace_of(way)}.gpu-slice.io"


def pod(asks: bool) -> Document:
    """A pod that no scheduler binds, so that nothing changes it after its creation."""
    document = pods.small()
    metadata, spec = document["metadata"], document["spec"]
    metadata["name"] = f"{'asks' if asks else 'plain'}-{pods.MARKER}"
    del metadata["generateName"], metadata["namespace"], metadata["ownerReferences"]
    if not asks:
        del metadata["annotations"][pods.ANNOTATION]
    del spec["priority"], spec["preemptionPolicy"], spec["serviceAccountName"]
    spec["containers"][0]["volumeMounts"].clear()
    spec["schedulerName"] = "nobody"
    return document


def configuration(way: str, port: int, ca: bytes) -> Document:
    """The shipped webhook configuration, for the server on *port* and the namespace of *way* alone."""
    (document,) = yaml.safe_load_all((ROOT / "manifests" / "webhook" / "webhook.yaml").read_text())
    document["metadata"]["name"] = namespace_of(way)
    document["webhooks"] = document["webhooks"][:1]
    (webhook,) = document["webhooks"]
    webhook["name"] = hook_of(way)
    url = f"https://{servers.LOOPBACK}:{port}/mutate"
    webhook["clientConfig"] = {"url": url, "caBundle": base64.b64encode(ca).decode()}
    webhook["namespaceSelector"]["matchLabels"] = {LABEL: namespace_of(way)}
    return document


def policy(decisions: table.Table) -> tuple[Document, Document]:
    """The policy with its values, and the binding of it to its namespace."""
    document = yaml.safe_load((Path(__file__).parent / "peers" / "policy.yaml").read_text())
    values = {"profile": pods.PROFILE, **decisions[pods.PROFILE]}
    for variable in document["spec"]["variables"]:
        if not variable["expression"]:
            variable["expression"] = json.dumps(values[variable["name"]])  # also a literal of CEL
    selector = {"matchLabels": {LABEL: namespace_of(POLICY)}}
    binding = {
        "apiVersion": document["apiVersion"],
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": document["metadata"]["name"]},
        "spec": {"policyName": document["metadata"]["name"], "matchResources": {"namespaceSelector": selector}},
    }
    return document, binding


def compiled() -> Iterator[Document]:
    """What `gpu-slice render --only policy-alone` makes of the built-in fleet, bound to its namespace alone."""
    text = render_fleet(files.fleet_at(None), ("policy-alone",))
    for document in yaml.safe_load_all(text):
        if "policyName" in document["spec"]:
            selector = {"matchLabels": {LABEL: namespace_of(COMPILED)}}
            document["spec"]["matchResources"] = {"namespaceSelector": selector}
        yield document


def calls(plane: ControlPlane) -> dict[str, int]:
    """How often the API server has called each webhook, by its name."""
    counts: dict[str, int] = {}
    pattern = r'^apiserver_admission_webhook_request_total\{.*name="([^"]+)".*\} (\S+)$'
    for name, count in re.findall(pattern, plane.metrics(), re.MULTILINE):
        counts[name] = counts.get(name, 0) + int(count)
    return counts


def _apply(plane: ControlPlane, *documents: Document) -> None:
    for document in documents:
        result = plane.run("create", "-f", "-", stdin=json.dumps(document))
        if result.returncode:
            raise SystemExit(result.stderr)


def _wait_for(plane: ControlPlane, way: str) -> None:
    """Until the API server has noticed what is registered for *way*."""
    document = json.dumps(pod(asks=True)).replace(pods.MARKER, "000000000000")
    command = ["create", "--dry-run=server", "-o", "json", "-n", namespace_of(way), "-f", "-"]

    def noticed() -> bool:
        result = plane.run(*command, stdin=document)
        return result.returncode == 0 and ("gpu-slice/assigned" in result.stdout) == (way != NOBODY)

    wait_for(f"{way} mutates", noticed)


def _check(way: str, asks: bool, sample: dict[str, str], decisions: table.Table) -> None:
    """End the run where a pod was stored with another decision."""
    sent, stored = json.loads(sample["asked"]), json.loads(sample["answered"])
    marked = stored["metadata"].get("annotations", {}).pop(DECIDED, None)
    if marked != ("policy" if asks and way == COMPILED else None):
        raise SystemExit(f"{way} marked the pod with {marked}")
    wanted = table.expected(sent, decisions) if asks and way != NOBODY else sent
    present = stored["spec"]["tolerations"]
    lacking = [toleration for toleration in wanted["spec"]["tolerations"] if toleration not in present]
    wanted["spec"]["tolerations"] = present  # the API server adds its own
    if lacking or table.decided(stored) != table.decided(wanted):
        raise SystemExit(f"{way} made of {sample['asked']} {sample['answered']}")
