"""The fourth table: how long `gpu-slice fit` takes, and in how much memory, by what it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from bench.report import render

PODS = 100_000
NODES = 1_000
"""Both are what Kubernetes supports in one cluster, roughly: 150,000 and 5,000."""

MIXED = (
    "1g.5gb", "2x1g.5gb", "3x1g.5gb", "5x1g.5gb", "7x1g.5gb", "11x1g.5gb", "20x1g.5gb", "2g.10gb", "2x2g.10gb",
    "1g.10gb", "3g.20gb", "3x3g.20gb", "1/7", "shared", "main=1g.5gb, second=2g.10gb",
)  # fmt: skip
"""What the mixed pods ask for, in equal parts."""


def measure(folder: Path) -> str:
    """Run the command for each question, in a process of its own, and say what it took as Markdown."""
    fleet = folder / "fleet.yaml"
    fleet.write_text(unlimited())
    questions: dict[str, Callable[[], list[str]]] = {
        "1,000,000 pods of one slice each, of four kinds, by `--need`": lambda: singles(1_000_000),
        f"{PODS:,} mixed pods by `--need`, of {len(MIXED)} kinds, some with several slices": lambda: needs(PODS),
        f"{PODS:,} mixed pods, each an object of a file": lambda: [written(folder, PODS)],
        f"pods for about {NODES:,} nodes, each an object of a file": lambda: [written(folder, 9_700)],
    }
    rows = [row(name, [*arguments(), "--fleet", str(fleet)]) for name, arguments in questions.items()]
    return render(["question", "GPUs", "proved", "with better layouts", "proved", "seconds", "MiB"], rows)


def row(name: str, arguments: list[str]) -> list[str]:
    """Ask, and note processor time and the largest resident set."""
    command = [sys.executable, "-c", _RUN, "fit", *arguments, "-o", "json"]
    process = subprocess.run(command, capture_output=True, check=False, text=True)
    answer: dict[str, Any] = json.loads(process.stdout)
    seconds, kib = process.stderr.splitlines()[-1].split()
    best = answer["best"]
    return [
        name, f"{answer['gpus']:,}", yes(answer["exact"]), f"{best['gpus']:,}", yes(best["exact"]),
        f"{float(seconds):,.1f}", f"{int(kib) // 1024:,}",
    ]  # fmt: skip


_RUN = """
import atexit, resource, sys
from webhook.cli.main import main
def say():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
atexit.register(say)
main()
"""


def yes(value: bool) -> str:
    return "yes" if value else "no"


def singles(count: int) -> list[str]:
    """Pods of one slice."""
    share = count // 4
    return [f"--need={value}={share}" for value in ("1g.5gb", "2g.10gb", "3g.20gb", "1g.10gb")]


def needs(count: int) -> list[str]:
    """The mixed pods as options."""
    return [f"--need={value}={count // len(MIXED)}" for value in MIXED]


def written(folder: Path, count: int) -> str:
    """A file with the mixed pods, no two alike in what does not matter."""
    random = Random(3)
    path = folder / f"{count}.json"
    with path.open("w") as file:
        for number in range(count):
            value = random.choice(MIXED)
            names = ["main", "second"] if "second" in value else ["main"]
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"pod-{number}",
                    "labels": {"app": str(number % 97)},
                    "annotations": {"gpu-slice": value, "example.com/number": str(number)},
                },
                "spec": {"containers": [{"name": name, "image": "example/main:1"} for name in names]},
            }
            file.write(f"{json.dumps(pod)}\n---\n")
    return str(path)


def unlimited() -> str:
    """The built-in fleet with limits that suffice."""
    from webhook.cli import files

    return "\n".join(
        line.replace("limit: {slices: 560}", "limit: {nodes: 1000000}")
        for line in files.default_fleet_text().decode().replace("defaults: {", "defaults: {limit: {nodes: 1000000}, ")
        .splitlines()
    )  # fmt: skip
