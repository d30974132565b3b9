"""Servers of our own stack that send back what came: what the stack leaves a webhook at best.

    python -m bench.echo asgi TLS-DIRECTORY       uvicorn as it comes, and a plain ASGI application
    python -m bench.echo protocol TLS-DIRECTORY   uvicorn with a protocol class over httptools that does nothing else

The port goes to stderr, as gpu-slice's does.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import httptools
import uvicorn
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI echo."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Echo(asyncio.Protocol):
    """The bare echo; uvicorn gives it what it gives any protocol class."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.connections = server_state.connections
        self.parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        body = b"".join(self.parts)
        self.parts.clear()
        self.transport.write(HEAD % len(body) + body)

    def shutdown(self) -> None:
        self.transport.close()


def main(kind: str, tls: Path) -> None:
    """Serve until ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    config = uvicorn.Config(
        application,
        http=Echo if kind == "protocol" else "httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=120,
        ssl_context_factory=lambda *_: context,
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(json.dumps({"message": "listening", "port": listening.getsockname()[1]}), file=sys.stderr, flush=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
