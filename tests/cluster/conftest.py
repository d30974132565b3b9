"""One cluster for all of these tests, with the webhook in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from tests import packages
from tests.cluster import programs
from tests.cluster.cluster import Cluster, cluster
from tests.cluster.install import Installation
from tests.cluster.karpenter import install_crds
from tests.cluster.nodes import nodes
from tests.cluster.world import World, world
from tests.running import Running
from tests.stories import FLEETS
from tests.waiting import wait_for
from webhook.fleet.fleet import Fleet

HERE = Path(__file__).parent
WORKLOADS = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
)

told = SimpleNamespace(why="", skipped=0, logs=None)
"""What the summary says."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if HERE in item.path.parents:
        told.skipped += report.skipped
        told.failed = report.failed or getattr(told, "failed", False)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if told.why and told.skipped:
        terminalreporter.write_line(f"{told.skipped} tests of a real cluster were skipped: {told.why}", yellow=True)
    if told.logs and getattr(told, "failed", False):
        terminalreporter.write_line(f"the logs of the control plane are in {told.logs}", yellow=True)


def skip(error: programs.BuildError) -> NoReturn:
    """Leave out the tests of what cannot be built, visibly; in CI that is a failure."""
    told.why = str(error)
    packages.skip(error)


@pytest.fixture(scope="session", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[Cluster]:
    """A control plane with a node of each pool of the built-in fleet, and one without GPUs."""
    with ExitStack() as stack:
        try:
            programs.karpenter()
            found = stack.enter_context(cluster(tmp_path_factory.mktemp("cluster")))
            install_crds(found)
        except programs.BuildError as error:
            skip(error)
        told.logs = found.plane.logs
        for each in nodes(fleet):
            found.add_node(each)
        yield found


@pytest.fixture(scope="session", name="live")
def _live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster with everything as installed.  A test that changes it puts it back: see `World`."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(world(tmp_path_factory.mktemp("world")))
        except programs.BuildError as error:
            skip(error)
        told.logs = made.cluster.plane.logs
        yield made


class Ours:
    """Our webhook in the cluster: the server that is asked, and how to have another one asked."""

    def __init__(self, installation: Installation, tls: Path) -> None:
        self.installation = installation
        self.tls = tls
        self.servers: dict[str, Running] = {}
        self.server: Running

    def serve(self, fleet: str = "default") -> Running:
        """Have the server of *fleet*, a name of ``tests/fleets``, be asked."""
        if fleet not in self.servers:
            path = FLEETS[fleet]
            self.servers[fleet] = Running(self.tls, *(["--fleet", str(path)] if path else []))
        self.server = self.servers[fleet]
        before = self.calls()
        self.installation.point_at(self.server.port, self.tls / "ca.crt", lambda _: self.calls() > before)
        return self.server

    def calls(self) -> int:
        """How often the server has been asked so far."""
        return int(self.server.metric("gpu_slice_admission_duration_seconds_count") or 0)


@contextmanager
def installed(cluster: Cluster, tls: Path) -> Iterator[Ours]:
    """The webhook, serving the built-in fleet, and its guard in *cluster*."""
    installation = Installation(cluster)
    installation.guard()
    ours = Ours(installation, tls)
    ours.serve()
    yield ours
    for server in ours.servers.values():
        server.stop()


@pytest.fixture(scope="session", name="ours")
def _ours(cluster: Cluster, tls: Path) -> Iterator[Ours]:
    """The webhook, serving the built-in fleet, and its guard.  A test that has another one asked puts it back."""
    with installed(cluster, tls) as ours:
        yield ours


_numbers = itertools.count(1)


@pytest.fixture(name="namespace")
def _namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own.  What it made is gone when the next test begins, and its slices are free."""
    name = f"test-{next(_numbers)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    empty(cluster, name)
    cluster.delete("Namespace", name)


def empty(cluster: Cluster, namespace: str) -> None:
    """Delete what runs in *namespace*, and wait until it is gone."""

    def gone() -> bool:
        left = False
        for api_version, kind in WORKLOADS:
            for each in cluster.list(kind, namespace, api_version):
                left = True
                cluster.delete(kind, each["metadata"]["name"], namespace, api_version)
        return not left

    wait_for(f"namespace {namespace} is empty", gone)
