"""The time by which ages are told: that of the API server, which wrote the times of all objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from tests.unit.check_facts import FLEET as CHECKED
from tests.unit.check_facts import NOW, done, facts, told
from tests.unit.explain_world import FLEET
from webhook.cluster import target
from webhook.cluster.objects import NODE_CLAIMS, NODES
from webhook.cluster.reader import Reader


@contextmanager
def answering(date: str | None) -> Iterator[Reader]:
    """An API server with no objects whose clock shows *date*."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            if date is not None:
                self.send_header("Date", date)
            self.end_headers()
            self.wfile.write(json.dumps({"gitVersion": "v1", "items": [], "metadata": {}}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        settings = Configuration()
        settings.host = f"http://127.0.0.1:{server.server_port}"
        yield Reader(ApiClient(settings), "default")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_is_the_api_servers() -> None:
    with answering("Wed, 25 Nov 2026 12:00:00 GMT") as reader:
        assert reader.read([NODES]).when == NOW
        assert target.surroundings(reader, FLEET, "team-a", ["gpu-slice"]).snapshot.when == NOW


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_without_one_it_is_ours(date: str | None) -> None:
    with answering(date) as reader:
        before = datetime.now(UTC)
        assert before <= reader.read([NODES]).when <= datetime.now(UTC)


def test_a_node_claim_of_the_next_second_has_no_negative_age() -> None:
    metadata = {
        "name": "a100-1",
        "labels": {"karpenter.sh/nodepool": "a100"},
        "creationTimestamp": (NOW + timedelta(seconds=2)).isoformat(),
    }
    line = done("node-claims", facts({NODE_CLAIMS: [{"metadata": metadata}]}, fleet=CHECKED))
    assert told(line) == "a100-1 of a100 is not Launched after 0 s"
