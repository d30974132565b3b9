"""The second port is read under names that no other site can own, so that none can make its name mean this address."""

from __future__ import annotations

import asyncio

import pytest

from tests.pods import fleet_of
from tests.unit.test_previews import door
from webhook.server import settings
from webhook.server.api.app import application, open_doors
from webhook.server.api.asgi import Asgi
from webhook.server.api.previews import Previews
from webhook.server.http import Request, Response
from webhook.server.metrics import Metrics

OWN = [
    "127.0.0.1:8080", "10.1.2.3:8080", "[::1]:8080", "[fd00::1]", "localhost", "localhost:8080", "webhook",
    "LOCALHOST:1",
    "webhook-metrics.gpu-slice.svc:8080", "webhook-metrics.gpu-slice.svc.cluster.local", "page.localhost:1",
]  # fmt: skip
FOREIGN = [
    "evil.com", "evil.com:8080", "127.0.0.1.evil.com", "localhost.evil.com", "a.svc.evil.com", "evilsvc.com",
    "webhook.gpu-slice.svc.cluster.local.evil.com", "127.0.0.1.", "1.2.3", "[::1", "svc.com:80",
]  # fmt: skip
READ = [b"/", b"/fleet", b"/catalogue", b"/drawing", b"/page/page.js"]
POSTED = [(b"/preview", b"application/json"), (b"/dry-run", b"application/yaml")]


def ask(path: bytes, host: str, kind: bytes = b"") -> Response:
    request = Request(0)
    request.method, request.path, request.query, request.body = b"POST" if kind else b"GET", path, b"", b"{}"
    request.headers = [(b"Host", host.encode()), (b"Content-Type", kind), (b"Sec-Fetch-Site", b"same-origin")]
    return asyncio.run(door().answer(request))


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_another_site_may_own_reads_and_posts_nothing(host: str) -> None:
    for path in READ:
        assert ask(path, host).status == 403
    for path, kind in POSTED:
        assert ask(path, host, kind).status == 403


@pytest.mark.parametrize("host", OWN)
def test_addresses_and_names_of_a_cluster_are_answered(host: str) -> None:
    assert ask(b"/fleet", host).status == 200
    for path, kind in POSTED:
        assert ask(path, host, kind).status == 200


def test_a_name_that_was_given_is_answered_and_no_other() -> None:
    app = application(lambda: "", Metrics())
    open_doors(app, lambda: fleet_of("built-in"), Previews(), ["Gpus.example.com"])
    known = Asgi(app, settings.MOST_PREVIEW_BODY)
    found = {}
    for host in (
        "gpus.example.com",
        "GPUS.example.com:443",
        "evil.com",
        "a.gpus.example.com",
        "gpus.example.com.evil.com",
    ):
        request = Request(0)
        request.method, request.path, request.headers = b"GET", b"/fleet", [(b"Host", host.encode())]
        found[host] = asyncio.run(known.answer(request)).status
    assert list(found.values()) == [200, 200, 403, 403, 403]


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz", b"/metrics"])
@pytest.mark.parametrize("host", ["evil.com", "node-1.example.com:8080"])
def test_health_and_metrics_are_told_to_whoever_asks(path: bytes, host: str) -> None:
    assert ask(path, host).status == 200
