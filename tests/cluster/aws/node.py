"""What an instance makes of its user data, split as by cloud-init and read by nodeadm, and the node that it becomes."""

from __future__ import annotations

import email
import os
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from tests.cluster.cluster import Cluster, Document
from tests.cluster.control_plane import LOOPBACK
from tests.cluster.nodes import node
from webhook.fleet.pool import Pool

SCRIPT, NODE_CONFIG = "text/x-shellscript", "application/node.eks.aws"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


def parts(user_data: str) -> list[tuple[str, str]]:
    """Content types and contents, found as cloud-init does it (``cloudinit/user_data.py``): by Python's own parser."""
    message = email.message_from_string(user_data)
    return [
        (part.get_content_type(), part.get_payload(decode=True).decode())
        for part in message.walk()
        if part.get_content_maintype() != "multipart"
    ]


def labels_and_taints(user_data: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """With which labels and taints the kubelet registers."""
    if user_data.startswith("MIME-Version"):
        *_, config = [yaml.safe_load(content) for kind, content in parts(user_data) if kind == NODE_CONFIG]
        kubelet = config["spec"]["kubelet"]
        (flag,) = [each for each in kubelet["flags"] if each.startswith("--node-labels=")]
        pairs = flag.removeprefix("--node-labels=").strip('"').split(",")
        return dict(pair.split("=", 1) for pair in pairs), kubelet["config"]["registerWithTaints"]
    settings = tomllib.loads(user_data)["settings"]["kubernetes"]
    taints = [
        {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}
        for key, entries in settings["node-taints"].items()
        for value, _, effect in (each.rpartition(":") for each in entries)
    ]
    return settings["node-labels"], taints


def boot(cluster: Cluster, instance: dict[str, Any], pool: Pool) -> Document:
    """Join the node of *instance* to the cluster; it has what its user data say, and the slices of *pool*."""
    labels, taints = labels_and_taints(instance["userData"])
    (shape, *_) = [each for each in pool.shapes if each.instance_type.name == instance["type"]]
    document = node(pool, shape, f"node-{instance['id']}")
    document["metadata"]["labels"] = labels | {
        "kubernetes.io/hostname": document["metadata"]["name"],
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "arm64": "arm64"}[instance["architecture"]],
        # These two are of the cloud's controller.
        "node.kubernetes.io/instance-type": instance["type"],
        "topology.kubernetes.io/zone": instance["zone"],
    }
    document["spec"] = {"taints": taints, "providerID": f"aws:///{instance['zone']}/{instance['id']}"}
    cluster.add_node(document)
    return document


@contextmanager
def metadata_service(user_data: str) -> Iterator[str]:
    """The address of a metadata service that knows nothing but *user_data*."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer("token", {TTL: self.headers.get(TTL, "60")})

        def do_GET(self) -> None:
            self._answer(user_data if self.path.endswith("/user-data") else "")

        def _answer(self, text: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(200 if text else 404)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()


def nodeadm(program: Path, user_data: str) -> subprocess.CompletedProcess[str]:
    """What nodeadm, which each AL2023 node runs before its kubelet, says of *user_data*."""
    with metadata_service(user_data) as url:
        environment = os.environ | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
        command = [str(program), "config", "check", "-c", "imds://user-data"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
