"""An ordinary caller beside attackers (`tests.soak.attackers`): P16, P17, P33."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.https.proxy import segments
from tests.soak.caller import Caller, Figures, together
from tests.soak.replicas import Replica, Replicas
from webhook.cli.loopback import LOOPBACK

RATE = 100
"""Reviews a second: five times the pods that Kubernetes promises to start in one."""


@contextmanager
def attackers(replica: Replica, tls: Path, kind: str, found: list[dict]) -> Iterator[None]:
    """Attackers of one *kind*; what they did is added to *found*."""
    # As nice as can be: it is not their own work that is to take the processor.
    command = ["nice", "-n", "19", sys.executable, "-m", "tests.soak.attackers", str(replica.port), str(tls / "ca.crt")]
    with subprocess.Popen([*command, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
        found.append(json.loads(process.stdout.readline()))


def attacked(folder: Path, tls: Path, kind: str, *, seconds: float, rate: float = RATE) -> Figures:
    """An ordinary caller alone, and then beside attackers, for so many *seconds* each.

    The replica believes that it has the memory of ``manifests/webhook/deployment.yaml``.  Beside held bodies, the
    caller is where its bodies come in segments.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    done: list[dict] = []
    with ExitStack() as stack:
        caller = stack.enter_context(Caller(folder, source=LOOPBACK, sizes=(4, 40, 800)))
        deployment = stack.enter_context(Replicas([caller], tls, memory=256 * 1024 * 1024))
        replica = deployment.start()
        if kind == "held bodies":
            port = stack.enter_context(segments(replica.port, LOOPBACK))
            caller.endpoints([f"{LOOPBACK}:{port}"])

        def ordinary(seconds: float) -> Figures:
            return caller.load(workers=50, rate=rate, seconds=seconds).result(timeout=seconds + 30)

        ordinary(1)  # the first of a process are another matter
        alone = ordinary(seconds)
        with attackers(replica, tls, kind, done):
            beside = ordinary(seconds)
            resident = replica.resident()
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    return together(
        [{key: each[key] for key in ("sent", "lost", "errors", "handshakeErrors")} for each in (alone, beside)]
    ) | {
        "alone": alone["latency"],
        "beside": beside["latency"],
        "resident": resident,
        "done": done[0],
    }
