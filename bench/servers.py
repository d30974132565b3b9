"""gpu-slice, the echoes and the peers as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
SERVER_CORE, LOAD_CORE = 0, 1


@dataclass(frozen=True, slots=True)
class Server:
    """One that listens."""

    pid: int
    port: int
    started: float
    """Seconds from its start until it listened."""

    def processor(self) -> float:
        """Seconds of processor time that it has had."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Its memory in MiB."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024


@contextmanager
def gpu_slice(tls: Path, core: int | None = SERVER_CORE, *options: str) -> Iterator[Server]:
    """Our own server; with the built-in fleet, if *options* name no other."""
    command = [sys.executable, "-m", "webhook", "serve", "--tls-dir", str(tls), "--host", LOOPBACK]
    command += ["--port", "0", "--ops-port", "0", "--log-level", "info", *options]
    with _process(command, tls.with_name("gpu-slice.log"), core) as server:
        yield server


@contextmanager
def echo(tls: Path, kind: str) -> Iterator[Server]:
    """A server of our stack that sends back what came; *kind* is one of `bench.echo`."""
    command = [sys.executable, "-m", "bench.echo", kind, str(tls)]
    with _process(command, tls.with_name(f"echo-{kind}.log"), SERVER_CORE) as server:
        yield server


@contextmanager
def peer(program: Path, tls: Path, table: Path, core: int | None = SERVER_CORE) -> Iterator[Server]:
    """A peer of `bench.programs`."""
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    command = [str(program), str(tls), str(table), str(port)]
    with _process(command, tls.with_name(f"{program.name}.log"), core, port) as server:
        yield server


@contextmanager
def _process(command: list[str], log: Path, core: int | None, port: int = 0) -> Iterator[Server]:
    """A server on *core*, or on all, that listens on *port* or logs on which one it does."""
    environment = os.environ | {"GOMAXPROCS": "1"}
    start = time.perf_counter()
    with log.open("w") as stderr, subprocess.Popen(_on(core, command), env=environment, stderr=stderr) as process:
        try:
            while not (listening := _listens(port) if port else _logged(log)):
                if process.poll() is not None or time.perf_counter() - start > 20:
                    raise SystemExit(f"{command[0]} does not listen: {log.read_text()[-1000:]}")
                time.sleep(0.01)
            yield Server(process.pid, listening, time.perf_counter() - start)
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()


def _on(core: int | None, command: list[str]) -> list[str]:
    """*command*, with all its threads on *core*; for None wherever the kernel puts them."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def _listens(port: int) -> int:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return port
    return 0


def _logged(log: Path) -> int:
    for line in log.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            told = json.loads(line)
            if told["message"] == "listening":
                return int(told["port"])
    return 0


def send(program: Path, server: int, ca: Path, core: int | None = LOAD_CORE, **job: Any) -> dict[str, Any]:
    """Have the load generator do *job* at the port *server*.  Returns what it measured."""
    job = {"address": f"{LOOPBACK}:{server}", "ca": str(ca), **job}
    command = _on(core, [str(program)])
    result = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout)
