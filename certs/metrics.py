"""The keeper's metrics, and the port that serves them."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from io import StringIO
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector, make_wsgi_app

from certs.policy import RotationPolicy
from certs.rotation import Kind
from certs.situation import Situation
from certs.stored import Stored, certificates, made

_log = logging.getLogger("gpu_slice")

TURNS_MISSED = 5
"""Missed turns after which the loop counts as hanging."""

LONGEST_REQUEST = 5.0
"""Seconds for a request for metrics, from its first byte to the last of the answer."""

MOST_CONNECTIONS = 16
"""At once, each with a thread."""

LONGEST_TURN = 60.0
"""Seconds that a turn may take: several requests of up to ten seconds."""


class KeeperMetrics:
    """The metrics of one keeper.  Times are Unix times, in seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        registry = self.registry
        self.steps = Counter("gpu_slice_keeper_steps", "Writes, by step", ["step"], registry=registry)
        self.failures = Counter("gpu_slice_keeper_failures", "Turns that failed", registry=registry)
        self.conflicts = Counter(
            "gpu_slice_keeper_conflicts", "Writes that failed because another client wrote first", registry=registry
        )
        self.last_success = Gauge(
            "gpu_slice_keeper_last_success_timestamp_seconds", "End of the last successful turn", registry=registry
        )
        self.leaf_not_after = Gauge(
            "gpu_slice_keeper_leaf_not_after_seconds", "When the leaf in the Secret expires", registry=registry
        )
        self.leaf_issued = Gauge("gpu_slice_keeper_leaf_issued_seconds", "When the leaf was issued", registry=registry)
        self.authority_not_after = Gauge(
            "gpu_slice_keeper_authority_not_after_seconds",
            "When the CA that issued the leaf expires",
            registry=registry,
        )
        self.authorities = Gauge("gpu_slice_keeper_authorities", "CAs in caBundle", registry=registry)
        self.overdue = Gauge(
            "gpu_slice_keeper_renewal_overdue",
            "1 when a renewal is overdue",
            registry=registry,
        )
        self.as_shipped = Gauge(
            "gpu_slice_keeper_configuration_as_shipped",
            "1 while the webhook configurations are as shipped but for caBundle, 0 when not, NaN if not compared",
            registry=registry,
        )
        self.as_shipped.set(math.nan)
        self.turned_at = time.monotonic()
        for kind in Kind:
            self.steps.labels(kind.value)

    def turned(self) -> None:
        """Record that a turn ended, successful or not."""
        self.turned_at = time.monotonic()

    def show(self, stored: Stored, now: datetime, *, overdue: bool) -> None:
        """Show what was last read; a missing leaf is shown as 0."""
        situation = Situation(stored, now, RotationPolicy(), ())
        self.authorities.set(len(certificates(stored.bundle or b"")))
        self.overdue.set(overdue)
        self.leaf_not_after.set(situation.chain[0].not_valid_after_utc.timestamp() if situation.chain else 0)
        self.leaf_issued.set(made(situation.chain[0]).timestamp() if situation.chain else 0)
        issuer = situation.leaf_issuer
        self.authority_not_after.set(issuer.parsed().not_valid_after_utc.timestamp() if issuer is not None else 0)


class _Server(ThreadingMixIn, WSGIServer):
    """Probes and Prometheus only, and whoever else gets as far: each of them has a thread, but not for long."""

    daemon_threads = True  # who reads slowly does not hold up a probe
    request_queue_size = 128

    def __init__(self, host: str, port: int) -> None:
        if ":" in host or (not host and socket.has_dualstack_ipv6()):  # a cluster may have only IPv6
            self.address_family = socket.AF_INET6
        self.begun: dict[socket.socket, float] = {}
        """When each connection began, the oldest first."""
        super().__init__((host, port), _Quiet)

    def server_bind(self) -> None:
        """The parent's method would ask DNS for our name, which our NetworkPolicy does not allow."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, if need be in the place of the oldest one's."""
        for oldest in list(self.begun)[: 1 + len(self.begun) - MOST_CONNECTIONS]:
            self._cut_off(oldest)
        self.begun[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The thread is done with it."""
        self.begun.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: cut off whoever takes too long, also one who sends byte after byte."""
        for request, begun in list(self.begun.items()):
            if time.monotonic() - begun > LONGEST_REQUEST:
                self._cut_off(request)

    def _cut_off(self, request: socket.socket) -> None:
        self.begun.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # its thread reads an end, and ends

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Instead of a traceback between log lines: most callers that break off do no harm."""
        _log.debug("a request for metrics failed", exc_info=True)


class _Quiet(WSGIRequestHandler):
    timeout = LONGEST_REQUEST  # also for one who reads nothing

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: probes and Prometheus send many requests."""

    def get_stderr(self) -> Any:
        """Where wsgiref writes tracebacks, which `handle_error` and the log are for."""
        return StringIO()


def serve(metrics: KeeperMetrics, host: str, port: int, interval: float) -> WSGIServer:
    """Serve ``/metrics`` and ``/healthz`` on a separate thread.  OSError if the port cannot be opened.

    *host*: an address, or an empty string for all.

    The keeper is unhealthy if its loop hangs.  If it cannot reach the API server, a restart would not help.
    """
    application = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            page: Iterable[bytes] = application(environ, start_response)
            return page
        hangs = time.monotonic() - metrics.turned_at > TURNS_MISSED * max(interval, LONGEST_TURN)
        status, text = {
            (True, False): ("200 OK", b"ok"),
            (True, True): ("503 Service Unavailable", b"the loop hangs"),
        }.get((environ["PATH_INFO"] == "/healthz", hangs), ("404 Not Found", b"metrics are at /metrics"))
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
        return [text]

    server = _Server(host, port)
    server.set_app(answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
