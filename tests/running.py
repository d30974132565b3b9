"""``gpu-slice serve`` as a process of its own, for tests."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from threading import Thread

from webhook.cli.loopback import LOOPBACK, Client

SMALL = """
import resource, sys
from webhook.cli.main import main
from webhook.server import machine

memory, files = int(sys.argv.pop(1)), int(sys.argv.pop(1))
if memory:
    machine.memory = lambda: memory
if files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
main()
"""
"""``gpu-slice`` on a smaller machine."""


ENDED = "the process has closed its log"


class Running:
    """A server process, its log lines as they come, and both its ports."""

    def __init__(
        self,
        tls: Path,
        *options: str,
        memory: int = 0,
        files: int = 0,
        program: Sequence[str] = (),
        patience: float = 60,
    ) -> None:
        """*memory*: bytes that it is to believe it may have; *files*: file descriptors that it may have.

        *program*: what is ``gpu-slice``, by default that of this Python; *patience*: seconds for a line of its log.
        """
        of_this = ["-c", SMALL, str(memory), str(files)] if memory or files else ["-m", "webhook"]
        command = [*(program or (sys.executable, *of_this)), "serve", "--tls-dir", str(tls), "--host", LOOPBACK]
        command += ["--port", "0", "--ops-port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.patience = patience
        self.lines: Queue[dict] = Queue()
        self.seen: list[dict] = []
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()
        found = self.wait_for("listening")
        self.port, self.ops_port, self.ready = found["port"], found["opsPort"], found["ready"]
        self.limits = found["limits"]
        if (tls / "ca.crt").exists():
            self.client = Client(self.port, tls / "ca.crt")

    def _read(self) -> None:
        for line in self.process.stderr:
            # What is no JSON is not the server's own: what runs it could not.
            self.lines.put(json.loads(line) if line.startswith("{") else {"message": line})
        self.lines.put({"message": ENDED})

    def wait_for(self, message: str) -> dict:
        """The next log line that says *message*."""
        while True:
            self.seen.append(self.lines.get(timeout=self.patience))
            if message in self.seen[-1]["message"]:
                return self.seen[-1]
            assert self.seen[-1]["message"] != ENDED, self.seen

    def get(self, path: str) -> tuple[int, str]:
        """A GET on the second port."""
        return self.send(urllib.request.Request(f"http://{LOOPBACK}:{self.ops_port}{path}"))

    def post(self, path: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
        """A POST on the second port."""
        url = f"http://{LOOPBACK}:{self.ops_port}{path}"
        return self.send(urllib.request.Request(url, body, {"Content-Type": kind}))

    @staticmethod
    def send(request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def resident(self, what: str = "VmRSS") -> float:
        """Memory in MiB; *what*: VmHWM is the most that it ever was."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith(f"{what}:"))

    def metric(self, name: str) -> float | None:
        """The value of one sample."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else None

    def stop(self, number: int = signal.SIGINT) -> int:
        """Signal it, and wait for its end."""
        if hasattr(self, "client"):
            self.client.close()
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.reader.join(timeout=60)
        self.process.stderr.close()
        return code
