"""``python -m tests.soak``: run scenarios, print what they found, and write it into ``docs/reliability.md``.

The page is only written by a full run.  Ends with 1 where something was not as promised.
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
from webhook.cli.demo import certify

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--short", action="store_true", help="a minute or two of each, and no page is written")
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
    begun = time.monotonic()
    rows: list[Row] = []
    for name in asked.scenarios or SCENARIOS:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="gpu-slice-soak-") as folder:
            tls = Path(folder) / "tls"
            certify(tls, "gpu-slice soak")
            found = SCENARIOS[name](Path(folder), tls, asked.short)
        rows += found
        for each in found:
            print(each if each.good else f"NOT AS PROMISED {each}", flush=True)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    took = (time.monotonic() - begun) / 60
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores, {took:.0f} minutes."
    )
    if not asked.short and not asked.scenarios and PAGE.exists():
        write("\n".join([*HEAD, *map(str, rows), "", about]))
    return 0 if all(each.good for each in rows) else 1


def write(table: str) -> None:
    """Put *table* where the page has its marks."""
    head, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} has no {BEGIN} … {END}")
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
