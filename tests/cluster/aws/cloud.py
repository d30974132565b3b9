"""moto's AWS as the tests see it: what was asked of it, what it launched, and what it is to refuse."""

from __future__ import annotations

import base64
import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import programs
from tests.cluster.control_plane import LOOPBACK, Starter, free_ports
from tests.waiting import wait_for
from webhook.fleet.fleet import Fleet

Call = dict[str, str]
"""A call of EC2 or IAM as it was sent: a form whose keys are paths, such as ``TagSpecification.1.Tag.2.Key``."""


class Cloud:
    """AWS, whose only user is Karpenter."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"

    def calls(self, action: str) -> list[Call]:
        """All calls of *action* that were more than a rehearsal, the first first."""
        return [each for each in self._ask("calls") if each["Action"] == action and each.get("DryRun") != "true"]

    def instances(self) -> dict[str, dict[str, Any]]:
        """Everything that was ever launched, by id; the user data are decoded."""
        found = {each["id"]: each for each in self._ask("instances")}
        for each in found.values():
            each["userData"] = base64.b64decode(each["userData"]).decode()
        return found

    @contextmanager
    def refusing(self, action: str, code: str) -> Iterator[None]:
        """Within the block *action* fails with *code*."""
        self._ask("faults", {action: code})
        try:
            yield
        finally:
            self._ask("faults", {})

    def up(self) -> bool:
        try:
            return self._ask("faults") == {}
        except OSError:
            return False

    def _ask(self, what: str, body: dict[str, str] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/test/{what}", data, timeout=60) as answer:
            return json.load(answer)


def values(call: Call, pattern: str) -> list[str]:
    """The values of *call* whose keys fit *pattern*, in which ``*`` is one step.

    >>> values({"A.1.B": "x", "A.2.B": "y", "A.2.C": "z"}, "A.*.B")
    ['x', 'y']
    """
    steps = pattern.split(".")
    return [
        value
        for key, value in call.items()
        if len(found := key.split(".")) == len(steps)
        and all(want in ("*", step) for want, step in zip(steps, found, strict=True))
    ]


def tags(call: Call, resource: str) -> dict[str, str]:
    """The tags that *call* gives to a kind of *resource*."""
    found: dict[str, str] = {}
    for key, value in call.items():
        prefix, dot, rest = key.partition(".Tag.")
        if dot and rest.endswith(".Key") and call.get(f"{prefix}.ResourceType") == resource:
            found[value] = call.get(f"{key.removesuffix('.Key')}.Value", "")
    return found


@contextmanager
def cloud(logs: Path, fleet: Fleet) -> Iterator[Cloud]:
    """AWS with what the cluster of *fleet* needs and can buy, and one type without GPUs, in a process of its own."""
    (port,) = free_ports(1)
    found = Cloud(port)
    with ExitStack() as stack:
        start = Starter(stack, logs)
        types = {shape.instance_type.name for pool in fleet.pools for shape in pool.shapes}
        module = ("-m", "tests.cluster.aws.server")
        process = start(
            Path(sys.executable), *module, str(port), fleet.cluster, programs.kubernetes(), "m5.large", *types
        )

        def answers() -> bool:
            assert process.poll() is None, (logs / f"{Path(sys.executable).name}.log").read_text()[-2000:]
            return found.up()

        wait_for("moto answers", answers)
        yield found
