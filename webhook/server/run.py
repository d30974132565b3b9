"""Both ports in one event loop, from start to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable

import uvloop

from webhook.fleet.fleet import Fleet
from webhook.server.api.ops import Ops
from webhook.server.app import Webhook
from webhook.server.drain import GRACE, Drain
from webhook.server.fleet_file import FleetWatch
from webhook.server.metrics import Metrics
from webhook.server.port import Port
from webhook.server.settings import Settings
from webhook.server.tls import BadCertificate, CertificateWatch

BACKLOG = 2048
"""Connections that may wait to be accepted."""

RECEIVE = 32 * 1024
"""Bytes that the kernel may hold of what a connection has sent."""

_log = logging.getLogger("gpu_slice")


def run(settings: Settings, load_fleet: Callable[[bytes], Fleet], built_in: Fleet) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises `BadCertificate` where there is no such directory, or OSError where a port cannot be had.
    """
    if not settings.tls_directory.is_dir():
        raise BadCertificate(
            f"{settings.tls_directory}: no such folder. `gpu-slice certs init --dir {settings.tls_directory}` makes it"
        )
    with (
        listen(settings.host, settings.port) as https,
        listen(settings.host, settings.ops_port) as ops,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, https, ops, load_fleet, built_in))


async def _serve(
    settings: Settings,
    https: socket.socket,
    ops: socket.socket,
    load_fleet: Callable[[bytes], Fleet],
    built_in: Fleet,
) -> None:
    metrics = Metrics()
    certificate = CertificateWatch(settings.tls_directory, settings.names, metrics)
    looks = [certificate.look]
    watch = None
    if settings.fleet is not None:
        watch = FleetWatch(settings.fleet, load_fleet, metrics)
        looks.append(watch.look)
    else:
        metrics.fleet_loaded.set(1)
    for look in looks:
        look()

    def fleet() -> Fleet | None:
        return built_in if watch is None else watch.current

    def unready() -> str:
        if drain.leaving:
            return "leaving"
        if certificate.current is None:
            return "no certificate yet"
        return "" if fleet() is not None else "no fleet yet"

    doors = None
    if settings.preview:
        from webhook.server.api.doors import doors as open_doors  # FastAPI costs memory that serving does not need

        doors = open_doors(fleet)
    port = Port(Webhook(fleet, metrics, unready), https, metrics, certificate.context)
    second = Port(Ops(unready, metrics, doors), ops, metrics)
    drain = Drain(port, metrics, settings.settle)
    metrics.connections.set_function(lambda: port.connections)
    leave = _signals(drain)
    gc.collect()
    gc.freeze()  # what was loaded stays: no use in looking at it again and again
    port.open()
    second.open()
    _log.info(
        "listening",
        extra={"fields": {"port": https.getsockname()[1], "opsPort": ops.getsockname()[1], "ready": not unready()}},
    )
    looking = asyncio.create_task(look_again(looks, settings.poll))
    await leave.wait()
    await drain.wait()
    await port.close(GRACE)
    await second.close(0)
    looking.cancel()
    _log.info("stopped")


def _signals(drain: Drain) -> asyncio.Event:
    """Set on the first signal.  SIGTERM drains; SIGINT, or a second signal, does not wait for anybody."""
    leave = asyncio.Event()

    def stop(number: int) -> None:
        if number == signal.SIGINT or drain.leaving:
            drain.hurry.set()
        if not drain.leaving:
            drain.begin()
        leave.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    return leave


async def look_again(looks: list[Callable[[], None]], every: float) -> None:
    """All of *looks*, every *every* seconds, whatever becomes of one of them."""
    while True:
        await asyncio.sleep(every)
        for look in looks:
            try:
                look()
            except Exception:  # a fault of ours: what is in use serves on, and the next look may find another file
                _log.exception("could not look for changes")


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
    # What is read at once grows with it, and what a connection once grew to it keeps.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)
    return listening
