"""The fifth table: `gpu-slice usage` of a large cluster, from the first byte of the API server to the last line.

An HTTP server on loopback answers as an API server does, page by page; the command runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.pods import PROFILE, Pod, of_deployment
from bench.report import render
from tests.cluster.nodes import node
from webhook.cli import files

Pages = Mapping[str, Callable[[int, int], Iterator[bytes]]]
"""By kind, what lists a page: from the first object, at most so many."""

POOL = "a100-1g-5gb"
RESOURCE = f"nvidia.com/mig-{PROFILE}"
NUMBER, PLACE = "########", "@@@@@@@@"


def measure(folder: Path) -> str:
    """Run the command with each output, and say what it took as Markdown."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, SIZE.pages))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(config(f"http://127.0.0.1:{server.server_port}")))
    fleet = folder / "fleet.yaml"
    fleet.write_bytes(files.default_fleet_text())
    try:
        rows = [row(output, kubeconfig, fleet, folder) for output in ("short", "table", "csv", "json")]
    finally:
        server.shutdown()
    size = len(next(SIZE.pod_page(0, 500))) / 500
    told = (
        f"{SIZE.pods:,} pods of {size:,.0f} bytes, {SIZE.holding:,} of them with a slice and {SIZE.waiting:,} waiting; "
        f"{SIZE.nodes:,} nodes. At most ten pods are named of each slice and node in the table, all of them in JSON."
    )
    return render(["output", "seconds", "processor seconds", "peak MiB", "MB printed"], rows) + f"\n\n{told}"


def row(output: str, kubeconfig: Path, fleet: Path, folder: Path) -> list[str]:
    """One run of the command."""
    printed = folder / "printed"
    command = [sys.executable, "-m", "webhook", "usage", "--fleet", str(fleet), "-o", output]
    start = time.perf_counter()
    with printed.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, env=os.environ | {"KUBECONFIG": str(kubeconfig)})
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not printed.stat().st_size:
        raise SystemExit(f"gpu-slice usage -o {output} ended with {process.returncode}")
    cost = used.ru_utime + used.ru_stime
    return [
        output,
        f"{seconds:.1f}",
        f"{cost:.1f}",
        f"{used.ru_maxrss / 1024:,.0f}",
        f"{printed.stat().st_size / 1e6:.1f}",
    ]


class Handler(BaseHTTPRequestHandler):
    """Answers lists, a page at a time."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one, or each page would wait for an acknowledgement
    disable_nagle_algorithm = True

    def __init__(self, pages: Pages, *arguments: Any) -> None:
        self.pages = pages
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """A page."""
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        first, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        kind = url.path.rpartition("/")[2]
        body = next(self.pages[kind](first, limit))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def page(items: Iterator[bytes], following: int, most: int) -> bytes:
    """A list's JSON."""
    metadata = {"resourceVersion": "1"} | ({"continue": str(following)} if following < most else {})
    return b'{"kind":"List","metadata":%s,"items":[%s]}' % (json.dumps(metadata).encode(), b",".join(items))


@dataclass(frozen=True)
class Size:
    """How much a cluster has."""

    nodes: int
    pods: int
    holding: int
    """Pods with a slice."""
    waiting: int
    """Pods that wait for one.  The others run beside them without."""

    @property
    def pages(self) -> Pages:
        """What a `Handler` answers."""
        return {"nodes": self.node_page, "pods": self.pod_page}

    def node_page(self, first: int, limit: int) -> Iterator[bytes]:
        """Nodes of one pool."""
        pool = next(pool for pool in files.fleet_at(None).pools if pool.name == POOL)
        text = json.dumps(node(pool, pool.shapes[0], f"ip-{NUMBER}")).encode()
        end = min(first + limit, self.nodes)
        items = (text.replace(NUMBER.encode(), b"%08d" % number) for number in range(first, end))
        yield page(items, end, self.nodes)

    def pod_page(self, first: int, limit: int) -> Iterator[bytes]:
        """Pods: those with a slice first, then those that wait, then the others."""
        texts = {kind: json.dumps(pod(*kind)).encode() for kind in ((True, True), (True, False), (False, True))}
        sliced = self.holding + self.waiting

        def item(number: int) -> bytes:
            kind = (number < sliced, number < self.holding or number >= sliced)
            place = b"%08d" % (number % self.nodes)
            return texts[kind].replace(NUMBER.encode(), b"%08d" % number).replace(PLACE.encode(), place)

        end = min(first + limit, self.pods)
        yield page(map(item, range(first, end)), end, self.pods)


SIZE = Size(nodes=1_000, pods=100_000, holding=50_000, waiting=10_000)


def pod(sliced: bool, bound: bool) -> Pod:
    """A pod as an API server stores it, with what kubelet and others have written."""
    made = of_deployment(variables=4)
    metadata, spec = made["metadata"], made["spec"]
    (main,) = spec["containers"]
    metadata |= {"name": f"work-{NUMBER}", "namespace": "team", "uid": f"5f4c0f5e-7d0a-4b53-9f6e-0000{NUMBER}"}
    metadata["creationTimestamp"] = "2026-11-25T12:00:00Z"
    fields = {
        f"f:{name}": {".": {}, "f:name": {}, "f:value": {}} for name in (f"field-{number}" for number in range(40))
    }
    metadata["managedFields"] = [{"manager": "kubelet", "operation": "Update", "fieldsV1": fields}]
    if sliced:
        metadata["annotations"] |= {"gpu-slice/assigned": f"{PROFILE} -> main={RESOURCE}:1", "gpu-slice/pools": POOL}
        for kind in ("limits", "requests"):
            main.setdefault("resources", {}).setdefault(kind, {})[RESOURCE] = "1"
    if bound:
        spec["nodeName"] = f"ip-{PLACE}"
    ready = {"lastProbeTime": None, "lastTransitionTime": "2026-11-25T12:00:00Z", "status": "True"}
    conditions = [{"type": kind, **ready} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
    made["status"] = {"phase": "Running" if bound else "Pending", "conditions": conditions}
    return made


def config(server: str) -> dict[str, Any]:
    """A kubeconfig."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": server}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
