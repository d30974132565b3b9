"""One machine for all of these tests.  Where none can be had they are skipped, in CI they fail."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import packages
from tests.cluster import programs
from tests.device_plugin.node import Machine, Missing

told = SimpleNamespace(why="", skipped=0)
"""What the summary says."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    told.skipped += report.skipped
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if told.why and told.skipped:
        line = f"{told.skipped} tests of NVIDIA's device plugin were skipped: {told.why}"
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session", name="machine")
def _machine() -> Iterator[Machine]:
    """A place where NVIDIA's plugin can be run."""
    # Not pytest's own folder, whose path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="gpu-slice-") as folder:
        try:
            found = Machine(Path(folder), programs.device_plugin)
        except (Missing, programs.BuildError) as error:
            told.why = str(error)
            packages.skip(error)
        yield found
