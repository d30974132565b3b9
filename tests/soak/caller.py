"""Who calls the webhook: the API server's own client, as a process (``tests/cluster/programs/caller``)."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from bench.pods import review
from tests.cluster import programs

Figures = dict[str, Any]
"""What became of the reviews of a load, as ``figures.go`` names it."""

TIMEOUT = 2.0
"""Seconds, as in ``manifests/webhook/webhook.yaml``."""

SIZES = (4, 40)
"""Environment variables in the pods that are sent: 2 and 4 kB."""


class Caller:
    """Calls the Service ``webhook.gpu-slice.svc``, whose endpoints and whose CA it is told.

    *source* is the address that it calls from.  *pool* says whose connections are kept together: those of the
    ``service``, as up to Kubernetes 1.36, or those of an ``endpoint``, as from 1.37 on.
    """

    def __init__(self, folder: Path, *, source: str = "", pool: str = "service", sizes: Sequence[int] = SIZES) -> None:
        paths = [folder / f"review-{size}.json" for size in sizes]
        for path, size in zip(paths, sizes, strict=True):
            path.write_bytes(review(size))
        command = [str(programs.caller()), "-reviews", ",".join(map(str, paths)), "-source", source, "-pool", pool]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.numbers = itertools.count(1)
        self.waiting: dict[int, Future[Any]] = {}
        self.writing = Lock()
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # which ends it
        self.process.wait(timeout=20)
        self.reader.join(timeout=20)
        self.process.stdout.close()

    def _read(self) -> None:
        for line in self.process.stdout:
            answer = json.loads(line)
            asked = self.waiting.pop(answer["id"])
            if "error" in answer:
                asked.set_exception(RuntimeError(answer["error"]))
            else:
                asked.set_result(answer["found"])
        for asked in list(self.waiting.values()):
            asked.set_exception(RuntimeError("the caller has ended"))

    def ask(self, **command: object) -> Future[Any]:
        """Give a command; the future has what it found."""
        answer: Future[Any] = Future()
        with self.writing:
            number = next(self.numbers)
            self.waiting[number] = answer
            self.process.stdin.write(json.dumps({"id": number, **command}) + "\n")
            self.process.stdin.flush()
        return answer

    def endpoints(self, addresses: Sequence[str]) -> None:
        """From now on, new connections go to these."""
        self.ask(endpoints=list(addresses)).result(timeout=20)

    def trust(self, bundle: bytes) -> None:
        """From now on, this is the configuration's caBundle."""
        self.ask(caBundle=base64.b64encode(bundle).decode()).result(timeout=20)

    def load(self, **how: float) -> Future[Figures]:
        """Send reviews: ``workers`` at once; ``rate`` a second in groups of ``burst``; ``count`` of them, or for so
        many ``seconds``, or until `halt`; with ``fresh``, idle connections are closed every so many seconds.  The
        future has the figures."""
        return self.ask(load={"timeout": TIMEOUT, **how})

    def halt(self) -> None:
        """Send no more."""
        self.ask(halt=True).result(timeout=20)

    def race(self, *groups: dict[str, float]) -> list[Figures]:
        """On each of so many ``connections``: a review, silence for ``idle`` seconds give or take ``spread``, the
        next one, and so on for so many ``rounds``."""
        return self.ask(race=[{"timeout": TIMEOUT, **group} for group in groups]).result()

    def stats(self) -> dict[str, Any]:
        """The figures so far of the ``loads``, the connections ``open`` to each replica, and the ``most`` it had."""
        return self.ask(stats=True).result(timeout=20)

    def answered(self) -> int:
        """How many reviews of the loads that go on."""
        return sum(each["answered"] for each in self.stats()["loads"])

    def proxy(self) -> int:
        """A port of loopback from which each new connection is taken to any endpoint."""
        return self.ask(proxy=True).result(timeout=20)


def together(figures: Sequence[Figures]) -> Figures:
    """The sums of several; of the latencies, the worst."""
    total: Figures = {}
    for name, value in figures[0].items():
        each = [found[name] for found in figures]
        if name == "latency":
            total[name] = {mark: max(found.get(mark, 0.0) for found in each) for mark in value}
        elif isinstance(value, dict):
            total[name] = dict(sum(map(Counter, each), Counter()))
        elif isinstance(value, list):
            total[name] = [loss for found in each for loss in found]
        else:
            total[name] = max(each) if name == "seconds" else sum(each)
    return total
