"""Both ports in one event loop, from start to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import uvloop

from webhook.fleet.fleet import Fleet
from webhook.server import machine, settings
from webhook.server.api.app import application, open_doors
from webhook.server.api.asgi import Asgi
from webhook.server.api.port import SecondPort
from webhook.server.api.previews import Previews
from webhook.server.decide import Decide
from webhook.server.drain import Drain
from webhook.server.fleet_file import FleetWatch
from webhook.server.metrics import Metrics
from webhook.server.port import Port
from webhook.server.settings import Settings
from webhook.server.tls import BadCertificate, CertificateWatch
from webhook.server.webhook import Webhook

_log = logging.getLogger("gpu_slice")


def run(chosen: Settings, load_fleet: Callable[[bytes], Fleet], built_in: Fleet) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises `BadCertificate` where there is no such directory, or OSError where a port cannot be had.
    """
    if not chosen.tls_directory.is_dir():
        raise BadCertificate(
            f"{chosen.tls_directory}: no such folder. `gpu-slice certs init --dir {chosen.tls_directory}` makes it"
        )
    with (
        listen(chosen.host, chosen.port) as https,
        listen(chosen.host, chosen.ops_port) as ops,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(chosen, https, ops, load_fleet, built_in))


async def _serve(
    chosen: Settings,
    https: socket.socket,
    ops: socket.socket,
    load_fleet: Callable[[bytes], Fleet],
    built_in: Fleet,
) -> None:
    metrics = Metrics()
    certificate = CertificateWatch(chosen.tls_directory, chosen.names, metrics)
    looks = [certificate.look]
    watch = None
    if chosen.fleet is not None:
        watch = FleetWatch(chosen.fleet, load_fleet, metrics)
        looks.append(watch.look)
    else:
        metrics.fleet_loaded.set(1)
        metrics.promise(built_in)
    look_at(looks)

    def fleet() -> Fleet | None:
        return built_in if watch is None else watch.current

    def unready() -> str:
        if drain.leaving:
            return "leaving"
        if certificate.current is None:
            return "no certificate yet"
        if certificate.current.not_after < time.time():
            return "the certificate has expired"
        return "" if fleet() is not None else "no fleet yet"

    memory, files = machine.memory(), machine.files()
    limits = settings.limits(memory, files)
    if poor := settings.shortage(memory, files):
        _log.warning("the limits are too small for an API server", extra={"fields": {"problem": poor}})
    port = Port(Webhook(Decide(fleet, metrics), unready), limits, metrics, certificate.context)
    app, previews = application(unready, metrics), Previews()
    if chosen.preview:
        open_doors(app, fleet, previews, chosen.preview_hosts)
    second = SecondPort(Asgi(app, settings.MOST_PREVIEW_BODY), metrics)
    drain = Drain(port, metrics, chosen.settle)
    metrics.connections.set_function(lambda: len(port.connections))
    leave = _signals(drain)
    asyncio.get_running_loop().set_exception_handler(_fault)
    gc.collect()
    gc.freeze()  # what was loaded stays: no use in looking at it again and again
    sys.setswitchinterval(settings.SWITCH)
    port.open(https)
    second.open(ops)
    _log.info(
        "listening",
        extra={
            "fields": {
                "port": https.getsockname()[1],
                "opsPort": ops.getsockname()[1],
                "ready": not unready(),
                "limits": asdict(limits),
            }
        },
    )
    looking = asyncio.create_task(look_again(looks, chosen.poll))
    await leave.wait()
    await drain.wait()
    previews.end()
    await port.close(settings.GRACE)
    await second.close(0)
    looking.cancel()
    _log.info("stopped")


def _fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong in the event loop: what it was and where, and not what it was about."""
    _log.error("a fault in the event loop", exc_info=context.get("exception"))


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


async def look_again(looks: Sequence[Callable[[], None]], every: float) -> None:
    """Look at all of *looks*, every *every* seconds.

    In a thread: to read a large fleet takes half a second, in which reviews are to be answered.
    """
    while True:
        await asyncio.sleep(every)
        await asyncio.to_thread(look_at, looks)


def look_at(looks: Sequence[Callable[[], None]]) -> None:
    """All of *looks*, whatever becomes of one of them."""
    for look in looks:
        try:
            look()
        except Exception:  # a fault of ours: what is in use serves on, and the next look may see another file
            _log.exception("could not look for changes")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; for no host on all addresses, IPv6 too where there is any."""
    if not host and socket.has_dualstack_ipv6():
        listening = socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=settings.BACKLOG
        )
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=settings.BACKLOG)
    # Connections inherit it.  Without it each answer waits 40 ms for the caller's delayed ACK, and asyncio's own
    # loop does not set it on sockets from create_server.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What is read at once grows with it, and what a connection once grew to it keeps.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.RECEIVE)
    return listening
