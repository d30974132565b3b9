"""Replicas that stop one after the other, while a real API server sends them pods."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.soak.caller import Caller
from tests.soak.replicas import Plain, Replica, Replicas
from tests.soak.stops import LAG, SETTLE
from tests.waiting import wait_for

STOPS = 20
USERS = 6
"""Who create pods at once."""


def pod(name: str) -> Document:
    spec = {"containers": [{"name": "main", "image": "a/b:1"}]}
    metadata = {"name": name, "annotations": {"gpu-slice": "1g.5gb"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Users:
    """Create pods, as a dry run, until told to end; note what the API server says."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.outcomes: Counter[str] = Counter()
        self.numbers = itertools.count()
        self.over = threading.Event()

    def create(self) -> None:
        while not self.over.is_set():
            try:
                made = self.cluster.create(pod(f"pod-{next(self.numbers)}"), self.namespace, dry_run=True)
                outcome = str(made["spec"]["containers"][0]["resources"].get("limits"))
            except DynamicApiError as error:
                outcome = said(error)
            self.outcomes[outcome] += 1


@pytest.fixture(name="caller")
def _caller(cluster: Cluster, ours: Ours, tmp_path: Path) -> Iterator[Caller]:
    """Only its proxy is used: what a Service is for an API server that is told a Service."""
    with Caller(tmp_path) as caller:
        yield caller
        ours.serve()  # before the proxy ends


def lost(outcomes: Counter) -> bool:
    """Whether a user was told that the webhook failed."""
    return any("failed calling webhook" in outcome for outcome in outcomes)


def stopped(cluster: Cluster, ours: Ours, namespace: str, caller: Caller, kind: type[Replica], most: int) -> Counter:
    """What users are told while *most* replicas stop, or until a pod is lost."""
    options = () if kind is Plain else ("--settle", str(SETTLE))
    users = Users(cluster, namespace)
    with Replicas([caller], ours.tls, *options, kind=kind) as deployment, ThreadPoolExecutor(USERS) as threads:
        deployment.start(3)
        port = caller.proxy()
        ours.installation.point_at(port, ours.tls / "ca.crt", lambda _: caller.stats()["dialled"] > 0)
        creating = [threads.submit(users.create) for _ in range(USERS)]
        try:
            leaving = []
            for _ in range(most):
                if lost(users.outcomes.copy()):
                    break
                before = users.outcomes.total()
                leaving.append(deployment.stop(random.uniform(*LAG)))
                wait_for("more pods", lambda before=before: users.outcomes.total() > before + USERS)
        finally:
            users.over.set()
        for each in creating:
            each.result()
        if kind is Replica:
            for each in leaving:
                if each.process.poll() is None:
                    each.hurry()
                assert deployment.end(each)[0] == 0
    return users.outcomes


def test_replicas_that_stop_cost_no_pod(cluster, ours, namespace, caller) -> None:
    """P29, P30."""
    outcomes = stopped(cluster, ours, namespace, caller, Replica, STOPS)
    assert set(outcomes) == {"{'nvidia.com/mig-1g.5gb': '1'}"}, outcomes
    assert outcomes.total() > 10 * STOPS


def test_servers_that_stop_at_once_cost_some(cluster, ours, namespace, caller) -> None:
    outcomes = stopped(cluster, ours, namespace, caller, Plain, 3 * STOPS)  # each loses one in about two cases
    assert lost(outcomes), outcomes
