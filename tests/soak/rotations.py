"""Certificates that rotate under load, while everybody lags and the keeper dies between any two steps: P22, P23.

Times are real, and short.  What matters is which of them is longer than which:

    a bundle reaches a caller              up to 0.3 s    an API server's informer: seconds
    an authority waits before it issues        0.8 s    a day
    a leaf reaches a replica               up to 1.0 s    a kubelet: 90 s
    a leaf is renewed after                      1 s    30 days
    an authority stays after its last leaf at least    2 s    15 minutes
    a leaf lives                                 8 s    a year
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs import directory
from certs.authority import KeyPair, service_names
from certs.rotation import Kind, Policy, Step, Stored, next_step
from tests.soak.caller import Caller, Figures, together
from tests.soak.replicas import Replicas
from tests.waiting import wait_for

NAMES = service_names("webhook", "gpu-slice")
INFORMER_LAG = 0.3
KUBELET_LAG = 1.0
POLL = 0.1

POLICY = Policy(
    wait=timedelta(seconds=0.8),
    urgent_wait=timedelta(seconds=0.6),
    handover=timedelta(seconds=2),
    leaf_lifetime=timedelta(seconds=8),
    leaf_renewal=timedelta(seconds=1),
    authority_lifetime=timedelta(seconds=30),
    authority_renewal=timedelta(seconds=10),
    margin=timedelta(seconds=1),
    grace=timedelta(seconds=1),
)


class Killed(BaseException):
    """The keeper's end, at any point.  No Exception, so that nobody goes on after it."""


@dataclass
class Store:
    """What the cluster holds."""

    stored: Stored = field(default_factory=lambda: Stored(bundle=b""))
    steps: Counter[Kind] = field(default_factory=Counter)
    deaths: int = 0

    def write(self, step: Step) -> None:
        """One write."""
        self.stored = step.after
        self.steps[step.kind] += 1


def keep(store: Store, policy: Policy, deadly: float) -> None:
    """One look at what is stored, and the steps that follow.  May be killed before or after each."""
    while (step := next_step(store.stored, datetime.now(UTC), policy, NAMES)) is not None:
        for do in (lambda: None, lambda step=step: store.write(step)):
            do()
            if random.random() < deadly:
                raise Killed


@contextmanager
def going_on(*what: Callable[[], None], every: float = 0.0) -> Iterator[None]:
    """Do each again and again, in threads of their own.  What one raises is raised at the end."""
    over = threading.Event()
    problems: list[BaseException] = []

    def go_on(do: Callable[[], None]) -> None:
        try:
            while not over.wait(every):
                do()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=go_on, args=(each,)) for each in what]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if problems:
        raise problems[0]


def lagging(read: Callable[[], object], write: Callable[[object], None], longest: float) -> Callable[[], None]:
    """One who passes on what it read a while ago: *longest* seconds after a change at the latest."""
    told: list[object] = [None]

    def pass_on() -> None:
        value = read()
        threading.Event().wait(random.uniform(0, longest / 2))  # which is simulated, and not waited for
        if value != told[0]:
            write(value)
            told[0] = value

    return pass_on


def rotations(
    folder: Path,
    *,
    leaves: int,
    authorities: int,
    policy: Policy = POLICY,
    replicas: int = 3,
    callers: int = 2,
    rate: float = 300,
    deadly: float = 0.2,
    informer_lag: float = INFORMER_LAG,
) -> Figures:
    """The figures of a load that goes on until so many *leaves* and *authorities* took the place of others."""
    store = Store()

    def keeper() -> None:
        try:
            keep(store, policy, deadly)
        except Killed:
            store.deaths += 1  # the next one knows nothing but what is stored

    def leaf() -> tuple[KeyPair, bytes]:
        stored = store.stored
        return stored.leaf, stored.leaf_bundle

    with ExitStack() as stack:
        stack.enter_context(going_on(keeper, every=0.02))
        wait_for("there is a leaf", lambda: store.stored.leaf is not None and store.stored.bundle)
        folders = [folder / f"replica-{number}" for number in range(replicas)]
        for each in folders:
            directory.write(each, *leaf())
        kubelets = [lagging(leaf, lambda found, to=each: directory.write(to, *found), KUBELET_LAG) for each in folders]
        stack.enter_context(going_on(*kubelets))

        api_servers = [stack.enter_context(Caller(folder)) for _ in range(callers)]
        options = ("--poll", str(POLL), "--tls-name", NAMES[0])
        deployment = stack.enter_context(Replicas(api_servers, folders[0], *options))
        for each in folders:
            deployment.start(tls=each)
        for each in api_servers:
            each.trust(store.stored.bundle)
        informers = [lagging(lambda: store.stored.bundle, each.trust, informer_lag) for each in api_servers]
        stack.enter_context(going_on(*informers))

        store.steps.clear()
        store.deaths = 0
        loads = [each.load(workers=50, rate=rate / callers, burst=10, fresh=0.2) for each in api_servers]

        def done() -> bool:
            return store.steps[Kind.ISSUE_LEAF] >= leaves and store.steps[Kind.SUPERSEDE] >= authorities

        wait_for("all have been rotated", done, seconds=60 + 2 * max(leaves, 10 * authorities))
        for each in api_servers:
            each.halt()
        figures = together([each.result(timeout=60) for each in loads])
        refused = [
            each.metric('gpu_slice_certificate_reloads_total{result="refused"}') for each in deployment.endpoints
        ]
        taken = [each.metric('gpu_slice_certificate_reloads_total{result="taken"}') for each in deployment.endpoints]
    return figures | {
        "leaves": store.steps[Kind.ISSUE_LEAF],
        "authorities": store.steps[Kind.SUPERSEDE],
        "deaths": store.deaths,
        "certificates refused": sum(refused),
        "certificates taken": sum(taken),
    }
