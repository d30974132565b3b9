"""Commands that look at a cluster of the largest size: a server on loopback answers in the API server's place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import usage
from webhook.cli import files

NODES, PODS = 15_000, 100_000
WAITING = PODS // 2 + 5
"""The number of a pod that waits."""


class Handler(usage.Handler):
    """Has pods and nodes, and nothing else."""

    def do_GET(self) -> None:
        """A page of a list, a pod, or 404."""
        kind = self.path.partition("?")[0].rpartition("/")[2]
        if kind in self.pages and "limit=" in self.path:
            super().do_GET()
        elif kind.startswith("work-"):
            self.answer(200, json.dumps(usage.pod(True, False)).replace(usage.NUMBER, kind.removeprefix("work-")))
        else:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self.answer(404, json.dumps(status))

    def do_POST(self) -> None:
        """404, as nothing is installed."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def answer(self, status: int, text: str) -> None:
        """One document."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def measure(folder: Path, _: Path) -> dict[str, Any]:
    """The processor time and the largest resident memory of each command."""
    pages = usage.Size(NODES, PODS, holding=PODS // 2, waiting=PODS // 10).pages
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, pages))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "kubeconfig").write_text(json.dumps(usage.config(f"http://127.0.0.1:{server.server_port}")))
    (folder / "fleet.yaml").write_bytes(files.default_fleet_text())
    commands = {
        "usage": (["usage"], (0,)),
        "check": (["check"], (1,)),  # there is no webhook in this cluster
        "explain": (["explain", "-n", "team", f"work-{WAITING:08d}"], (0, 1)),
    }
    try:
        rows = [_row(name, arguments, codes, folder) for name, (arguments, codes) in commands.items()]
    finally:
        server.shutdown()
    return {"nodes": NODES, "pods": PODS, "commands": rows}


def _row(name: str, arguments: list[str], codes: tuple[int, ...], folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "webhook", *arguments, "--fleet", str(folder / "fleet.yaml")]
    with (folder / "printed").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, env=os.environ | {"KUBECONFIG": str(folder / "kubeconfig")})
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        raise SystemExit(f"gpu-slice {name} ended with {process.returncode}")
    return {
        "command": name,
        "seconds": round(used.ru_utime + used.ru_stime, 1),
        "MiB": round(used.ru_maxrss / 1024),
        "printed": (folder / "printed").stat().st_size,
    }
