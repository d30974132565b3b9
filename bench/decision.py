"""The third table: the processor time of a decision by the shape of the pod, from bytes to bytes, without a network."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import pods
from bench.report import median, percentile, render
from tests.cluster.programs import BuildError
from webhook.admission.plan import Plan, plan
from webhook.admission.pod import Pod
from webhook.admission.resolve import prepare
from webhook.admission.review import answer
from webhook.budget import MOST_STEPS, Budget
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.server.decide import Decide
from webhook.server.metrics import Metrics

SECONDS = 0.5
"""How long a shape is decided again and again."""


def measure(folder: Path) -> str:
    """Decide each shape, and say what it took as Markdown."""
    large = folder / "fleet.yaml"
    large.write_text(fleet_of(20))
    rows, missing = [], ""
    built_in = decider(None)
    for name, shape in shapes().items():
        try:
            rows.append(row(name, pods.review_of(shape()), built_in))
        except BuildError as error:
            missing = f"\n\nfull: {error}."
    costly = pods.review_of(many_containers(16))
    rows.append(row("16 containers with four choices each, 20 pools", costly, decider(large)))
    return render(["pod", "bytes", "median µs", "p99 µs", "steps", "answer"], rows) + missing


def decider(fleet: Path | None) -> Decide:
    """The decision of the server with *fleet*, or with the built-in one."""
    loaded = files.fleet_at(fleet)
    return Decide(lambda: loaded, Metrics())


def steps_of(body: bytes, fleet: Fleet) -> int:
    """The steps that the decision about the review in *body* takes."""
    budget = Budget()

    def planner(pod: Pod, namespace: str | None) -> Plan:
        return plan(pod, fleet, namespace, budget=budget, plain=prepare(fleet))

    answer(body, planner)
    return MOST_STEPS - budget.left


def row(name: str, body: bytes, decide: Decide) -> list[str]:
    """Decide about *body*, each time with another number in place of its markers."""
    times: list[float] = []
    before, after = body.split(pods.MARKER.encode(), 1)
    end = time.perf_counter() + SECONDS
    number, answered = 0, b""
    while time.perf_counter() < end:
        number += 1
        digits = b"%012x" % number
        sent = before + digits + after.replace(pods.MARKER.encode(), digits)
        start = time.thread_time_ns()
        answered = decide(sent)
        times.append((time.thread_time_ns() - start) / 1000)
    fleet = decide.fleet()
    steps = steps_of(body, fleet) if fleet is not None else 0
    response = json.loads(answered)["response"]
    verdict = "denied" if not response["allowed"] else "sliced" if "patch" in response else "unchanged"
    figures = [f"{median(times):,.1f}", f"{percentile(times, 0.99):,.1f}"]
    return [name, f"{len(body):,}", *figures, f"{steps:,}", verdict]


def shapes() -> dict[str, Callable[[], pods.Pod]]:
    """Pods for the built-in fleet."""
    term = {
        "matchExpressions": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p4d.24xlarge"]}]
    }
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    return {
        "small": pods.small,
        "full": pods.full,
        "two containers": lambda: asking("main=1g.5gb, second=2g.10gb", containers=2),
        "alternatives": lambda: asking("4x7g.80gb@a100 | 1/2 | 20Gi | 1g.5gb"),
        "node affinity": lambda: asking("1g.5gb", affinity=affinity),
        "denied, a typo": lambda: asking("1g5gb"),
        "not annotated": lambda: asking(None),
    }


def asking(asked: str | None, containers: int = 1, **spec: Any) -> pods.Pod:
    """The small pod with another annotation, more containers, or other fields of its *spec*."""
    pod = pods.small()
    annotations = pod["metadata"]["annotations"]
    del annotations[pods.ANNOTATION]
    if asked is not None:
        annotations[pods.ANNOTATION] = asked
    (main,) = pod["spec"]["containers"]
    names = ["main", "second"][:containers] if containers <= 2 else [f"worker-{index}" for index in range(containers)]
    pod["spec"]["containers"] = [copy.deepcopy(main) | {"name": name} for name in names]
    pod["spec"].update(spec)
    return pod


def many_containers(count: int) -> pods.Pod:
    """One that no pool serves, though some pool serves each of its containers: the last has a slice of its own kind."""
    choices = ["1g.10gb | 1g.20gb | 2g.20gb | 3g.40gb"] * (count - 1) + ["1g.10gb+me | 7g.80gb | 4g.40gb | 2g.20gb+me"]
    asked = ", ".join(f"worker-{index}={choice}" for index, choice in enumerate(choices))
    return asking(asked, containers=count)


def fleet_of(count: int) -> str:
    """A fleet file with so many pools."""
    layouts = ["{1g.10gb: 7}", "{1g.20gb: 4}", "{2g.20gb: 3}", "{3g.40gb: 2}", "{1g.10gb+me: 1}"]
    pools = [
        f"  - name: pool-{index}\n    gpu: a100-80gb\n    partition: {{mig: {layouts[index % len(layouts)]}}}\n"
        "    instanceTypes: [p4de.24xlarge]\n"
        for index in range(count)
    ]
    return "apiVersion: gpu-slice/v1\npools:\n" + "".join(pools)
