"""Both ports in one event loop, from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.fleet.fleet import Fleet
from webhook.server.app import Webhook
from webhook.server.fleet_file import FleetWatch
from webhook.server.http import App
from webhook.server.metrics import Metrics
from webhook.server.ops import Ops
from webhook.server.settings import GRACE, KEEP_ALIVE, POLL, Settings
from webhook.server.tls import Serving, load

BACKLOG = 2048
"""Connections that may wait to be accepted."""

_log = logging.getLogger("gpu_slice")


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to us: there are two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which forgets a connection as soon as it is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn leaves the timer running where the caller broke off, and the timer holds the connection: 35 kB
        # for each were seen to stay for all of KEEP_ALIVE.
        self._unset_keepalive_if_required()
        super().connection_lost(exc)


def run(settings: Settings, load_fleet: Callable[[bytes], Fleet], built_in: Fleet) -> None:
    """Serve until SIGTERM or SIGINT.  Raises `BadCertificate`, or OSError where a port cannot be had."""
    serving = load(settings.tls_directory)
    with (
        listen(settings.host, settings.port) as https,
        listen(settings.host, settings.ops_port) as ops,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, serving, https, ops, load_fleet, built_in))


async def _serve(
    settings: Settings,
    serving: Serving,
    https: socket.socket,
    ops: socket.socket,
    load_fleet: Callable[[bytes], Fleet],
    built_in: Fleet,
) -> None:
    metrics = Metrics()
    metrics.not_after.set(serving.not_after)
    watch = None
    if settings.fleet is not None:
        watch = FleetWatch(settings.fleet, load_fleet, metrics)
        watch.look()
    else:
        metrics.fleet_loaded.set(1)

    def fleet() -> Fleet | None:
        return built_in if watch is None else watch.current

    doors = None
    if settings.preview:
        from webhook.server.doors import doors as open_doors  # FastAPI costs memory that serving does not need

        doors = open_doors(fleet)
    servers = [
        server_of(Webhook(fleet, metrics), serving),
        server_of(Ops(fleet, metrics, doors), None),
    ]

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    watching = asyncio.create_task(watch.watch(POLL)) if watch is not None else None
    gc.collect()
    gc.freeze()  # what was loaded stays: no use in looking at it again and again
    _log.info(
        "listening",
        extra={
            "fields": {"port": https.getsockname()[1], "opsPort": ops.getsockname()[1], "ready": fleet() is not None}
        },
    )
    await asyncio.gather(servers[0].serve([https]), servers[1].serve([ops]))
    if watching is not None:
        watching.cancel()
    _log.info("stopped")


def server_of(app: App, serving: Serving | None) -> _Server:
    """A server of *app*: over TLS where there is a pair to serve, else plain."""
    return _Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            ssl_context_factory=None if serving is None else (lambda *_: serving.context),
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; for no host on all addresses, IPv6 too where there is any."""
    if not host and socket.has_dualstack_ipv6():
        listening = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    # Connections inherit it.  Without it each answer waits 40 ms for the caller's delayed ACK, and asyncio's own
    # loop does not set it on sockets from create_server.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
