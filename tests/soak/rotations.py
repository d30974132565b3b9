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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from kubernetes import config

from certs import directory
from certs.authority import KeyPair, service_names
from certs.cluster import Cluster, Conflict, Document, Names, Snapshot
from certs.keeper import Keeper, Store
from certs.metrics import KeeperMetrics
from certs.policy import RotationPolicy
from certs.stored import Stored
from tests.cluster.control_plane import control_plane
from tests.cluster.install import MANIFESTS
from tests.soak.caller import Caller, Figures, together
from tests.soak.replicas import Replicas
from tests.waiting import wait_for

NAMES = service_names("webhook", "gpu-slice")
INFORMER_LAG = 0.3
KUBELET_LAG = 1.0
POLL = 0.1

POLICY = RotationPolicy(
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


class Memory:
    """What a cluster holds, for want of one."""

    names = Names()

    def __init__(self) -> None:
        self.stored = Stored(bundle=b"")
        self.lock = threading.Lock()

    def read(self) -> Snapshot:
        """As `certs.cluster.Cluster` does."""
        return Snapshot(self.stored, {}, {}, {})

    def write(self, snapshot: Snapshot, after: Stored) -> None:
        """One object; `Conflict` where somebody was faster."""
        with self.lock:
            for part in ("bundle", "authorities", "leaf"):
                if getattr(after, part) != getattr(snapshot.stored, part):
                    if getattr(self.stored, part) is not getattr(snapshot.stored, part):
                        raise Conflict(part)
                    beside = {"leaf_bundle": after.leaf_bundle} if part == "leaf" else {}
                    self.stored = replace(self.stored, **{part: getattr(after, part)}, **beside)
                    return

    def read_advice(self) -> None:
        """There is no advice."""

    def copy_bundle(self, bundle: bytes, advice: object) -> bool:
        """It is never asked for."""
        raise NotImplementedError


@contextmanager
def api_server(folder: Path) -> Iterator[Store]:
    """The same in a real one.  Raises `tests.cluster.programs.BuildError` where there is none."""
    with control_plane(folder) as plane, config.new_client_from_config(str(plane.kubeconfig)) as api:
        for path in ("webhook/namespace.yaml", "webhook/webhook.yaml", "keeper/secrets.yaml"):
            applied = plane.run("apply", "-f", str(MANIFESTS / path))
            assert applied.returncode == 0, applied.stderr
        yield Cluster(api)


class Deadly:
    """A store whose keeper may be killed before and after each read and each write."""

    def __init__(self, store: Store, chance: float) -> None:
        self.store, self.chance = store, chance
        self.names = store.names
        self.leaves: list[bytes] = []
        self.deaths = self.conflicts = 0

    def read(self) -> Snapshot:
        """What is there."""
        snapshot = self.store.read()
        self._die()
        return snapshot

    def write(self, snapshot: Snapshot, after: Stored) -> None:
        """Write, or not, and live on, or not."""
        self._die()
        try:
            self.store.write(snapshot, after)
        except Conflict:
            self.conflicts += 1
            raise
        if after.leaf != snapshot.stored.leaf:
            self.leaves.append(after.leaf.certificate)
        self._die()

    def read_advice(self) -> Document | None:
        """What is there."""
        return self.store.read_advice()

    def copy_bundle(self, bundle: bytes, advice: Document) -> bool:
        """Write, or not, and live on, or not."""
        self._die()
        return self.store.copy_bundle(bundle, advice)

    def _die(self) -> None:
        if random.random() < self.chance:
            self.deaths += 1
            raise Killed

    @property
    def authorities(self) -> int:
        """How many have issued so far."""
        return len({x509.load_pem_x509_certificate(each).issuer for each in self.leaves})


def keeping(store: Deadly, policy: RotationPolicy) -> Callable[[], None]:
    """A keeper's turn; after its death that of the next one, which knows nothing but what is stored."""
    keeper = None

    def turn() -> None:
        nonlocal keeper
        keeper = keeper or Keeper(store, KeeperMetrics(), names=NAMES, policy=policy)
        try:
            keeper.try_turn()
        except Killed:
            keeper = None

    return turn


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
    policy: RotationPolicy = POLICY,
    replicas: int = 3,
    callers: int = 2,
    keepers: int = 2,
    rate: float = 300,
    deadly: float = 0.02,
    informed: bool = True,
    place: Store | None = None,
) -> Figures:
    """The figures of a load that goes on until so many *leaves* and *authorities* took the place of others.

    They are stored in *place*, or in memory.  Callers who are not *informed* trust whom they trusted at first.
    """
    place = place or Memory()
    store = Deadly(place, deadly)

    def leaf() -> tuple[KeyPair, bytes]:
        stored = place.read().stored
        return stored.leaf, stored.leaf_bundle

    def bundle() -> bytes:
        return place.read().stored.bundle

    with ExitStack() as stack:
        stack.enter_context(going_on(*(keeping(store, policy) for _ in range(keepers)), every=0.05))
        wait_for("there is a leaf", lambda: leaf()[0] is not None and bundle())
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
            each.trust(bundle())
        if informed:
            stack.enter_context(going_on(*(lagging(bundle, each.trust, INFORMER_LAG) for each in api_servers)))

        before = len(store.leaves), store.authorities
        loads = [each.load(workers=50, rate=rate / callers, burst=10, fresh=0.2) for each in api_servers]

        def done() -> bool:
            return len(store.leaves) - before[0] >= leaves and store.authorities - before[1] >= authorities

        wait_for("all have been rotated", done, seconds=60 + 2 * max(leaves, 10 * authorities))
        for each in api_servers:
            each.halt()
        figures = together([each.result(timeout=60) for each in loads])
        refused = [
            each.metric('gpu_slice_certificate_reloads_total{result="refused"}') for each in deployment.endpoints
        ]
    return figures | {
        "leaves": len(store.leaves) - before[0],
        "authorities": store.authorities - before[1],
        "deaths": store.deaths,
        "conflicts": store.conflicts,
        "certificates refused": sum(refused),
    }
