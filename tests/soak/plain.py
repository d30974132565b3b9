"""``python -m tests.soak.plain TLS [KEEP_ALIVE]``: a webhook by uvicorn as it comes, which allows everything.

It stops at once on SIGTERM, and closes connections that are silent for 5 seconds.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import uvicorn

from webhook.cli.loopback import LOOPBACK


async def allow(scope, receive, send) -> None:
    """The answer to any review."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    response = {"uid": json.loads(body)["request"]["uid"], "allowed": True}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(review).encode()})


def main(tls: Path, keep_alive: int = 5) -> None:
    """Serve until ended; the port goes to stdout."""
    config = uvicorn.Config(
        allow,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive,
        ssl_certfile=tls / "tls.crt",
        ssl_keyfile=tls / "tls.key",
    )
    with socket.create_server((LOOPBACK, 0), backlog=2048) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
        uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
