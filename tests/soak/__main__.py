"""``python -m tests.soak``: run scenarios, print what they found, and write it into ``docs/reliability.md``.

A run of some scenarios leaves the rows of the others as they are; a short one writes nothing.  Ends with 1 where
something was not as promised.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster import programs
from tests.soak.report import BEGIN, END, HEAD, Row
from tests.soak.scenarios import SCENARIOS
from webhook.cli.loopback import certify

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
ABOUT = f"Last run: {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores."


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--short", action="store_true", help="a minute or two of each; writes nothing")
    asked = parser.parse_args()
    if unknown := set(asked.scenarios) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    try:
        programs.caller()
    except programs.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))  # which ends the processes that were started
    good = True
    for name in asked.scenarios or SCENARIOS:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="gpu-slice-soak-") as folder:
            tls = Path(folder) / "tls"
            certify(tls, "gpu-slice soak")
            found = SCENARIOS[name](Path(folder), tls, asked.short)
        for each in found:
            good = good and each.good
            print(each if each.good else f"NOT AS PROMISED {each}", flush=True)
        minutes = (time.monotonic() - start) / 60
        print(f"{name}: {minutes:.1f} minutes", file=sys.stderr, flush=True)
        if not asked.short:
            PAGE.write_text(written(PAGE.read_text(), name, found))
    return 0 if good else 1


def written(page: str, name: str, found: list[Row]) -> str:
    """*page* with the rows of one scenario in the place of those that it had."""
    head, begin, rest = page.partition(BEGIN)
    table, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} has no {BEGIN} … {END}")
    rows = {other: [line for line in table.splitlines() if line.startswith(f"| {other} |")] for other in SCENARIOS}
    rows[name] = [f"| {name} {each}" for each in found]
    lines = [*HEAD, *(line for each in rows.values() for line in each), "", ABOUT]
    return "\n".join([f"{head}{BEGIN}", *lines, f"{END}{tail}"])


if __name__ == "__main__":
    sys.exit(main())
