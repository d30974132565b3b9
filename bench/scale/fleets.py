"""Fleet files by their size: what they take to load, what a decision takes by them, and what is rendered of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

from bench import decision, pods
from bench.decision import asking, decider
from bench.fleets import FREE, OWN, SLICED, fleet_file
from bench.scale.serving import in_namespace
from tests.rendering import BOOT
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.render import SUBJECTS

SIZES = ((10, 40), (50, 200), (500, 2_000), (1_000, 4_000))
"""Pools and namespaces."""
MOST_FOR_POLICY = 50
"""Pools up to which the policy is rendered: it takes all pools once more for each kind of namespace."""
SHAPES: Mapping[str, Callable[[], pods.Pod]] = {
    "a slice": lambda: asking("1g.5gb"),
    "a fraction": lambda: asking("1/7"),
    "three alternatives": lambda: asking("3g.40gb | 2g.20gb | 1g.5gb"),
    "a slice, with a nodeSelector": lambda: asking("1/7", nodeSelector={"team": "team-04"}),
    "denied, with a hint": lambda: asking("1g.12gb"),
    "16 containers with four choices each": lambda: decision.many_containers(16),
}
NAMESPACES = {FREE: "no entry", OWN: "three pools", SLICED: "slices of all pools"}

_LOAD = """
import gc, os, sys
from time import process_time
from webhook.admission.resolve import prepare
from webhook.cli import files
files.fleet_at(None)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
text, before, start = open(sys.argv[1], "rb").read(), resident(), process_time()
fleet = files.load_fleet(text)
prepare(fleet)
print(process_time() - start, resident() - before)
"""


def measure(folder: Path, _: Path) -> dict[str, Any]:
    """All sizes, and decisions by the third."""
    large = folder / "large.yaml"
    large.write_text(fleet_file(*SIZES[2]))
    decision.SECONDS = 0.3
    decide = decider(large)
    decisions = []
    for shape, pod in SHAPES.items():
        for namespace, name in NAMESPACES.items():
            review = in_namespace(pods.review_of(pod()), namespace)
            _, _, median, _, steps, answer = decision.row(shape, review, decide)
            decisions.append(
                {"pod": shape, "namespace": name, "microseconds": float(median.replace(",", "")),
                 "steps": int(steps.replace(",", "")), "answer": answer}
            )  # fmt: skip
    return {"sizes": [_size(folder, *size) for size in SIZES], "decisions": decisions}


def _size(folder: Path, pools: int, namespaces: int) -> dict[str, Any]:
    path, text = folder / f"fleet-{pools}.yaml", fleet_file(pools, namespaces)
    path.write_text(text)
    fleet = files.fleet_at(path)
    done = subprocess.run([sys.executable, "-c", _LOAD, str(path)], capture_output=True, text=True, check=True)
    seconds, more = map(float, done.stdout.split())
    start = process_time()
    rendered = {subject.name: subject.text(fleet, BOOT) for subject in SUBJECTS if subject.applied}
    return {
        "policy": _policy(fleet) if pools <= MOST_FOR_POLICY else None,
        "pools": pools,
        "namespaces": namespaces,
        "bytes": len(text.encode()),
        "loadSeconds": round(seconds, 3),
        "MiB": round(more, 1),
        "rendered": {name: [len(text.encode()), text.count("\n---\n") + 1] for name, text in rendered.items()},
        "renderSeconds": round(process_time() - start, 2),
        "checkSeconds": _command("fleet", "check", str(path)),
        "previewSeconds": _command("preview", "--fleet", str(path), str(_pod(folder))),
    }


def _policy(fleet: Fleet) -> dict[str, Any]:
    """The fleet as a policy in the API server."""
    (subject,) = (subject for subject in SUBJECTS if subject.name == "admission-policy")
    start = process_time()
    text = subject.text(fleet, BOOT)
    return {"bytes": len(text.encode()), "seconds": round(process_time() - start, 2)}


def _pod(folder: Path) -> Path:
    path = folder / "pod.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {gpu-slice: 1g.5gb}}\n"
        "spec: {containers: [{name: main, image: a}]}\n"
    )
    return path


def _command(*arguments: str) -> float:
    """Seconds of processor time of a command, its start included."""
    process = subprocess.Popen([sys.executable, "-m", "webhook", *arguments], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"gpu-slice {' '.join(arguments[:2])} ended with {process.returncode}")
    return round(used.ru_utime + used.ru_stime, 2)
