"""A model of those who rotation is for: what is stored, servers whose files lag, API servers whose bundle lags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certs.authority import KeyPair, create_authority, issue_leaf, service_names
from certs.rotation import Authority, Kind, RotationPolicy, Step, Stored, next_step
from certs.situation import Situation
from certs.stored import certificates

NAMES = service_names("webhook", "gpu-slice")
NOON = datetime(2026, 7, 24, 12, 0, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
Held = TypeVar("Held")
MOST_STEPS = 12
"""In one turn."""


class World:
    """*files*, *servers*: for how long old files, and old bundles, are still in use."""

    def __init__(
        self,
        policy: RotationPolicy | None = None,
        *,
        files: timedelta = 100 * SECOND,
        servers: timedelta = 30 * SECOND,
        stored: Stored | None = None,
    ) -> None:
        self.policy = policy or RotationPolicy()
        self.lags = files, servers
        self.now = NOON
        self.stored = Stored(bundle=b"") if stored is None else stored
        self.leaves: list[tuple[datetime, bytes]] = []
        self.bundles: list[tuple[datetime, bytes | None]] = []
        """None while nobody is told to ask us."""
        self.excused = NOON
        """Until then nobody can expect service: there was none before, or somebody broke it."""
        self.disturbed = False
        self._remember()

    def _remember(self) -> None:
        leaf = self.stored.leaf.certificate if self.stored.leaf else b""
        for history, found in ((self.leaves, leaf), (self.bundles, self.stored.bundle)):
            if not history or history[-1][1] != found:
                history.append((self.now, found))

    def store(self, stored: Stored) -> None:
        """Have *stored* be what is stored.  Who had no service before may lack it until all have noticed."""
        if not self._serves():
            self.excused = self.now + max(self.lags)
        self.stored = stored
        self._remember()

    def _serves(self) -> bool:
        return trusts(self.stored.bundle or b"", self.leaves[-1][1], self.now)

    def alter(self, **changes: object) -> None:
        """Somebody else changes that; until it is put right nobody can expect service."""
        self.store(replace(self.stored, **changes))
        self.excused = self.now + max(self.lags)
        self.disturbed = True

    def sets_clock(self, now: datetime) -> None:
        """To another time, at which everybody knows what is stored."""
        self.now = now
        self.leaves, self.bundles = ([(now, found[-1][1])] for found in (self.leaves, self.bundles))

    def step(self) -> Step | None:
        """One step of the keeper, which dies after it."""
        step = next_step(self.stored, self.now, self.policy, NAMES)
        if step is not None:
            self._is_one_write(step)
            self.store(step.after)
        self.check()
        return step

    def turn(self, pause: timedelta = timedelta(0)) -> list[Kind]:
        """Steps until there is nothing to do, each *pause* after the last."""
        kinds: list[Kind] = []
        while (step := self.step()) is not None:
            kinds.append(step.kind)
            assert len(kinds) <= MOST_STEPS, kinds
            self.now += pause
        return kinds

    def passes(self, time: timedelta) -> None:
        self.now += time
        self.check()

    def runs(self, time: timedelta, every: timedelta = HOUR, until: Callable[[], bool] = lambda: False) -> list[Kind]:
        """A keeper that lives, and everything that it does."""
        end, kinds = self.now + time, []
        while self.now < end and not until():
            kinds += self.turn()
            self.passes(min(every, end - self.now))
        return kinds

    def check(self) -> None:
        """Every leaf that a server may still have, and that has not expired, is good under every bundle that an API
        server may still have."""
        self.disturbed = self.disturbed and not self._serves()
        if self.disturbed or self.now <= self.excused:
            return
        files, servers = self.lags
        for leaf in self._held(self.leaves, files):
            if not certificates(leaf) or not _is_valid(leaf, self.now):
                continue
            for bundle in self._held(self.bundles, servers):
                assert bundle is None or trusts(bundle, leaf, self.now), f"{self.now}: refused"

    def _held(self, history: list[tuple[datetime, Held]], lag: timedelta) -> list[Held]:
        first = max(sum(since <= self.now - lag for since, _ in history) - 1, 0)
        return [found for _, found in history[first:]]

    def _is_one_write(self, step: Step) -> None:
        before, after = self.stored, step.after
        objects = [
            before.authorities != after.authorities,
            (before.leaf, before.leaf_bundle) != (after.leaf, after.leaf_bundle),
            before.bundle != after.bundle,
        ]
        assert sum(objects) == 1, step
        assert objects[1] == (step.kind is Kind.ISSUE_LEAF)
        assert objects[2] == (step.kind is Kind.PUBLISH)


def _is_valid(leaf: bytes, now: datetime) -> bool:
    found = certificates(leaf)[0]
    return found.not_valid_before_utc <= now < found.not_valid_after_utc


def trusts(bundle: bytes, leaf: bytes, now: datetime) -> bool:
    """What a verifier says that is none of ours."""
    chain, trusted = certificates(leaf), certificates(bundle)
    if not chain or not trusted:
        return False
    verifier = PolicyBuilder().store(Store(trusted)).time(now).build_server_verifier(x509.DNSName(NAMES[0]))
    try:
        verifier.verify(chain[0], list(chain[1:]))
    except VerificationError:
        return False
    return True


BOOTSTRAP = [Kind.NEW_AUTHORITY, Kind.PUBLISH, Kind.MARK_PUBLISHED, Kind.ISSUE_LEAF]
ROTATION = [Kind.NEW_AUTHORITY, Kind.PUBLISH, Kind.MARK_PUBLISHED]
LONG = RotationPolicy()
PERIOD = LONG.authority_renewal


def started(**options: object) -> World:
    """A world with a CA and a leaf, both new and known to all."""
    world = World(**options)
    assert world.turn() == BOOTSTRAP
    world.passes(2 * DAY)
    assert world.turn() == []
    return world


def by_hand(life: timedelta = 365 * DAY) -> tuple[KeyPair, KeyPair]:
    """A CA that the records do not know, and a leaf of it."""
    authority = create_authority("somebody", now=NOON)
    return authority, issue_leaf(authority, NAMES, now=NOON, lifetime=life)


def issuer_of(world: World) -> Authority | None:
    return Situation(world.stored, world.now, world.policy, NAMES).leaf_issuer


def flaw(world: World) -> str | None:
    return Situation(world.stored, world.now, world.policy, NAMES).flaw
