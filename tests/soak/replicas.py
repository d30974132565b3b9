"""The replicas of a Deployment, and which of them are endpoints of its Service."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from tests.running import Running
from tests.soak.caller import Caller
from webhook.cli.loopback import LOOPBACK

LONGEST = 130
"""Seconds that a replica may take to leave: it says 95, and 10 for what is under way; the rest is a busy machine's."""


class Replica(Running):
    """``gpu-slice serve``."""

    def __init__(self, tls: Path, *options: str, memory: int = 0) -> None:
        super().__init__(tls, "--log-level", "info", *options, memory=memory)
        self.address = f"{LOOPBACK}:{self.port}"

    def leave(self) -> None:
        """SIGTERM, as a kubelet sends it."""
        self.told = time.monotonic()
        self.process.send_signal(signal.SIGTERM)

    def hurry(self) -> None:
        """SIGTERM once more: it waits for nobody now."""
        self.process.send_signal(signal.SIGTERM)

    def gone(self) -> tuple[int, float]:
        """Wait for its end.  Its exit code, and the seconds since it was told to leave."""
        code = self.process.wait(timeout=LONGEST)
        seconds = time.monotonic() - self.told
        self.close()
        return code, seconds

    def kill(self, number: int = signal.SIGKILL) -> None:
        """No farewell."""
        self.told = time.monotonic()
        self.process.send_signal(number)

    def close(self) -> None:
        """End it, if it has not ended."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=20)
        self.reader.join(timeout=20)
        self.process.stderr.close()


class Plain(Replica):
    """uvicorn as it comes (`tests.soak.plain`), to see that what it loses is seen."""

    def __init__(self, tls: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tests.soak.plain", str(tls), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.address = f"{LOOPBACK}:{self.port}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=20)
        self.process.stdout.close()


class Replicas:
    """Starts replicas and keeps the caller's endpoints; whoever is still there at the end is ended."""

    def __init__(
        self, callers: Sequence[Caller], tls: Path, *options: str, kind: type[Replica] = Replica, **how: int
    ) -> None:
        self.callers = callers
        self.tls, self.options, self.kind, self.how = tls, options, kind, how
        self.endpoints: list[Replica] = []
        self.all: list[Replica] = []
        self.chosen: set[Replica] = set()
        self.lock = Lock()
        for caller in callers:
            caller.trust((tls / "ca.crt").read_bytes())

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        for each in list(self.all):
            each.close()

    def start(self, count: int = 1, tls: Path | None = None) -> Replica:
        """Start replicas, each an endpoint when it is ready, with certificates of their own or those of all.  The
        last one."""
        for _ in range(count):
            replica = self.kind(tls or self.tls, *self.options, **self.how)
            with self.lock:
                self.all.append(replica)
                self.endpoints.append(replica)
                self._tell()
        return replica

    def choose(self) -> Replica:
        """Any endpoint that nobody has chosen yet."""
        with self.lock:
            replica = random.choice([each for each in self.endpoints if each not in self.chosen])
            self.chosen.add(replica)
            return replica

    def stop(self, lag: float) -> Replica:
        """Have one leave, make it no endpoint any more *lag* seconds later, and start another.  The one that leaves."""
        replica = self.choose()
        replica.leave()
        time.sleep(lag)  # which is simulated, and not waited for
        self.remove(replica)
        self.start()
        return replica

    def remove(self, replica: Replica) -> None:
        """No endpoint any more."""
        with self.lock:
            self.endpoints.remove(replica)
            self.chosen.discard(replica)
            self._tell()

    def end(self, replica: Replica) -> tuple[int, float]:
        """Wait until it is gone, and forget it."""
        found = replica.gone()
        self.forget(replica)
        return found

    def forget(self, replica: Replica) -> None:
        """It is closed."""
        with self.lock:
            self.all.remove(replica)

    def _tell(self) -> None:
        for caller in self.callers:
            caller.endpoints([each.address for each in self.endpoints])
