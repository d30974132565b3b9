"""``gpu-slice page``: the page on loopback, for one person."""

from __future__ import annotations

import asyncio
import signal
import socket
import webbrowser
from contextlib import suppress
from threading import Thread

import click
from starlette.middleware.trustedhost import TrustedHostMiddleware

from webhook.cli.loopback import LOOPBACK
from webhook.cli.terminal import echo
from webhook.fleet.fleet import Fleet
from webhook.server import settings
from webhook.server.api.app import application, open_doors
from webhook.server.api.asgi import Asgi
from webhook.server.api.port import SecondPort
from webhook.server.api.previews import Previews
from webhook.server.metrics import Metrics
from webhook.server.run import listen


def run(fleet: Fleet, port: int, *, browser: bool) -> None:
    """Serve the page until Ctrl-C or SIGTERM.  *browser*: whether to open it there."""
    try:
        listening = listen(LOOPBACK, port)
    except OSError as error:
        raise click.UsageError(f"port {port}: {error.strerror}") from None
    with listening, suppress(KeyboardInterrupt):
        address = f"http://{LOOPBACK}:{listening.getsockname()[1]}/"
        echo(address)
        echo("Ctrl-C ends it.", err=True)
        if browser:
            Thread(target=webbrowser.open, args=[address], daemon=True).start()
        asyncio.run(_serve(fleet, listening))


async def _serve(fleet: Fleet, listening: socket.socket) -> None:
    metrics, previews = Metrics(), Previews()
    app = application(lambda: "", metrics)
    open_doors(app, lambda: fleet, previews)
    # A site of somebody else's may let its name mean loopback, and would then be of the same origin.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", LOOPBACK], www_redirect=False)
    port = SecondPort(Asgi(app, settings.MOST_PREVIEW_BODY), metrics)
    port.open(listening)
    leave = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell has its background jobs ignore SIGINT
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    await leave.wait()
    previews.end()
    await port.close(0)
