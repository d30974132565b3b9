"""``make bench``: measure, print, and write the tables and the picture beside this file."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench import cluster, decision, fit, programs, table, throughput, usage
from bench.report import median, replace
from webhook.cli.loopback import certify
from webhook.draw import bars as picture

HERE = Path(__file__).parent


def main() -> None:
    """Run it all; what cannot be had here is said in its place."""
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("make bench wants two cores: one for the server, one for the load")
    page = HERE / "README.md"
    with tempfile.TemporaryDirectory(prefix="gpu-slice-bench-") as name:
        folder = Path(name)
        tls = folder / "tls"
        certify(tls, "gpu-slice bench")
        decisions = table.of_gpu_slice()
        sections = {
            "throughput": lambda: first(tls, decisions),
            "cluster": lambda: cluster.measure(folder / "cluster", tls, decisions),
            "decision": lambda: decision.measure(folder),
            "fit": lambda: fit.measure(folder),
            "usage": lambda: usage.measure(folder),
        }
        for section in sys.argv[1:] or sections:
            try:
                content = sections[section]()
            except programs.NotBuilt as error:
                content = f"Not measured: {error}."
            content += f"\n\n{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}."
            print(f"{content}\n")
            page.write_text(replace(page.read_text(), section, content))


def first(tls: Path, decisions: table.Table) -> str:
    """The first table; its picture is drawn on the way."""
    result = throughput.measure(tls, decisions)
    panels = {}
    for row, rates in result.rates.items():
        size, _, kind = row.partition(", ")
        if kind == throughput.DIFFERENT:
            bars = [(name, median(values)) for name, values in rates.items() if name not in throughput.ECHOES]
            panel = f"{size} pod, {result.sizes[row] / 1000:.0f} kB: reviews a second"
            panels[panel] = sorted(bars, key=lambda bar: -bar[1])
    title = "Reviews a second on one core, no two alike"
    (HERE / "throughput.svg").write_text(picture.draw(title, panels, throughput.OURS))
    return throughput.tables(result)


if __name__ == "__main__":
    main()
