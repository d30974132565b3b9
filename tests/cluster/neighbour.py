"""A webhook of the tests, over HTTPS: one that stands beside ours, or in its place and misbehaves."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonpatch

from tests.cluster.cluster import Cluster
from tests.cluster.install import ADMISSION, CONFIGURATION
from tests.waiting import wait_for
from webhook.cli.loopback import LOOPBACK

Review = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Behaviour = Callable[[Review], Answer | Review]
"""What it makes of the ``request`` of a review: a whole HTTP answer, or the review's ``response``."""


Change = Callable[[dict[str, Any]], None]
"""What it does to a pod, in place.  Doing it twice should be doing it once, as it may be asked again."""


@dataclass
class Neighbour:
    """A running one."""

    port: int
    ca: Path
    behaviour: Behaviour
    calls: list[Review]
    """The ``request`` of each call so far."""


def patch_of(*operations: dict[str, Any]) -> Review:
    """A response that allows with a JSON patch."""
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded} if operations else {"allowed": True}


def changing(change: Change) -> Behaviour:
    """Allow, with the patch that does *change* to the pod."""

    def behaviour(request: Review) -> Review:
        after = json.loads(json.dumps(request["object"]))
        change(after)
        return patch_of(*jsonpatch.make_patch(request["object"], after).patch)

    return behaviour


def review_of(request: Review, response: Review) -> Answer:
    """A well-formed answer to *request*."""
    whole = {"uid": request["uid"]} | response
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": whole}
    return Answer(json.dumps(body).encode())


@contextmanager
def neighbour(tls: Path, behaviour: Behaviour = lambda _: {"allowed": True}) -> Iterator[Neighbour]:
    """Serve on loopback with the pair in *tls*.  The behaviour may be exchanged while it runs.

    A behaviour that raises hangs up.  At the end, connections that callers keep are closed too.
    """
    calls: list[Review] = []
    connections: set[ssl.SSLSocket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            connections.discard(self.connection)
            super().finish()

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
            calls.append(request)
            made = found.behaviour(request)
            answer = made if isinstance(made, Answer) else review_of(request, made)
            self.send_response(answer.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body))} | answer.headers
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # callers that hang up are part of the tests

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    with Server((LOOPBACK, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        found = Neighbour(server.server_address[1], tls / "ca.crt", behaviour, calls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            for each in list(connections):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


@contextmanager
def beside_ours(cluster: Cluster, found: Neighbour, name: str, policy: str, namespace: str) -> Iterator[None]:
    """Register *found* as configuration *name*, with that reinvocationPolicy, for the new pods of *namespace*."""
    webhook = {
        "name": "neighbour.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "reinvocationPolicy": policy,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "clientConfig": {
            "url": f"https://{LOOPBACK}:{found.port}/",
            "caBundle": base64.b64encode(found.ca.read_bytes()).decode(),
        },
    }
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "main", "image": "example/main:1"}]},
    }

    def asked() -> bool:
        found.behaviour = changing(lambda _: None)
        found.calls.clear()
        cluster.create(probe, namespace, dry_run=True)
        return bool(found.calls)

    cluster.create({"apiVersion": ADMISSION, "kind": CONFIGURATION, "metadata": {"name": name}, "webhooks": [webhook]})
    try:
        wait_for("the neighbour is asked", asked)
        yield
    finally:
        cluster.delete(CONFIGURATION, name, api_version=ADMISSION)
        wait_for("the neighbour is not asked any more", lambda: not asked())
