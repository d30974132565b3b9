"""A bare ASGI echo by uvicorn, as it comes: what uvicorn, uvloop, httptools and TLS leave us at best."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvicorn
import uvloop

from webhook.server.run import listen
from webhook.server.tls import load


async def echo(scope, receive, send):
    """Send back what came."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(tls: Path) -> None:
    """Serve until ended; the port goes to stderr, as the webhook's does."""
    context = load(tls).context
    config = uvicorn.Config(
        echo,
        http="httptools",
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
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listening:
        print(json.dumps({"message": "listening", "port": listening.getsockname()[1]}), file=sys.stderr, flush=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve([listening]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
