"""``python -m bench.scale``: measure, all of it or the sections that are named, and write the figures and the page."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.scale import cluster, fleets, serving, simulation
from bench.scale.tables import FIGURES, PAGE, written
from webhook.cli.loopback import certify

SECTIONS = {
    "review": serving.review,
    "connection": serving.connection,
    "apiServers": serving.api_servers,
    "reload": serving.reload,
    "fleets": fleets.measure,
    "cluster": cluster.measure,
}


def main() -> None:
    """Measure in turn; what was measured earlier and is not named stays."""
    if unknown := set(sys.argv[1:]) - SECTIONS.keys():
        raise SystemExit(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for name in sys.argv[1:] or SECTIONS:
        with tempfile.TemporaryDirectory(prefix="gpu-slice-scale-") as folder:
            tls = Path(folder) / "tls"
            certify(tls, "gpu-slice scale")
            figures[name] = SECTIONS[name](Path(folder), tls)
        print(f"{name}: {json.dumps(figures[name], indent=1)}", flush=True)
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    figures["simulation"] = simulation.run(figures["review"][0]["microseconds"] / 1e6)
    figures["about"] = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} shared cores, Python {platform.python_version()}."
    )
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(written(PAGE.read_text(), figures))


if __name__ == "__main__":
    main()
