"""Rotation in any order of events: whoever lags, and wherever the keeper dies, no leaf is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from certs.authority import create_authority, issue_leaf
from certs.outlook import problems
from certs.rotation import Kind, RotationPolicy, rotated
from certs.stored import bundled, certificates, made
from tests.unit.rotation_world import (
    DAY,
    HOUR,
    MINUTE,
    NAMES,
    NOON,
    PERIOD,
    SECOND,
    World,
    issuer_of,
)


class Keeping(RuleBasedStateMachine):
    """A keeper that is killed anywhere, or away for weeks; kubelets and API servers that lag by nearly the wait."""

    policy = RotationPolicy()
    files, servers = 20 * HOUR, 20 * HOUR

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.policy, files=self.files, servers=self.servers)
        self.seen = NOON

    def _idle(self) -> timedelta:
        return self.world.now - self.seen

    @rule(pause=st.sampled_from([0, 1, 3600]))
    def turn(self, pause: int) -> None:
        for kind in self.world.turn(pause * SECOND):
            self.took(kind)
        self.seen = self.world.now

    @rule()
    def one_step_and_killed(self) -> None:
        step = self.world.step()
        if step is not None:
            self.took(step.kind)

    def took(self, kind: Kind) -> None:
        """Told of each step."""

    @precondition(lambda self: self._idle() < 60 * DAY)
    @rule(minutes=st.integers(0, 60 * 24 * 40))
    def time_passes(self, minutes: int) -> None:
        self.world.passes(minutes * MINUTE)

    @rule(days=st.integers(1, 200), every=st.sampled_from([1, 5]))
    def is_kept(self, days: int, every: int) -> None:
        self.world.runs(days * DAY, every=every * DAY)
        self.seen = self.world.now

    @rule()
    def somebody_asks_for_a_new_authority(self) -> None:
        stored = self.world.stored
        self.world.store(replace(stored, authorities=rotated(stored.authorities, self.world.now, self.policy)))

    def teardown(self) -> None:
        """Kept for some days, all is well."""
        self.world.runs(4 * DAY, every=6 * HOUR)
        world = self.world
        assert problems(world.stored, world.now, self.policy, NAMES) == ()
        old = world.now - 2 * self.policy.wait
        waited = [each for each in world.stored.authorities if each.key and made(each.parsed()) < old]
        assert [issuer_of(world)] == waited


class Troubled(Keeping):
    """Also keys that were stolen, a keeper that is away for years, and others who write where it writes."""

    files, servers = 100 * SECOND, 30 * SECOND

    def __init__(self) -> None:
        super().__init__()
        self.stolen: set[x509.Certificate] = set()
        self.gone: set[x509.Certificate] = set()

    @rule(days=st.integers(60, 1500))
    def away_for_years(self, days: int) -> None:
        self.world.passes(days * DAY)

    @rule()
    def a_key_is_stolen(self) -> None:
        stored = self.world.stored
        self.stolen |= {each.parsed() for each in stored.authorities}
        after = rotated(stored.authorities, self.world.now, self.policy, compromised=True)
        self.world.store(replace(stored, authorities=after))

    def took(self, kind: Kind) -> None:
        if kind is Kind.PUBLISH:
            bundle = set(certificates(self.world.stored.bundle))
            assert not bundle & self.gone
            self.gone |= self.stolen - bundle

    @rule()
    def records_are_lost(self) -> None:
        self.world.store(replace(self.world.stored, authorities=()))

    @rule()
    def the_bundle_is_emptied(self) -> None:
        self.world.alter(bundle=b"")

    @rule()
    def the_leaf_is_lost(self) -> None:
        self.world.alter(leaf=None, leaf_bundle=b"")

    @rule()
    def somebody_brings_certificates_of_their_own(self) -> None:
        now = self.world.now
        authority = create_authority("somebody", now=now)
        leaf = issue_leaf(authority, NAMES, now=now, lifetime=90 * DAY)
        self.world.alter(leaf=leaf, leaf_bundle=authority.certificate, bundle=authority.certificate)

    @rule()
    def somebody_applies_the_bundle_of_last_time(self) -> None:
        bundles = [found for _, found in self.world.bundles if not set(certificates(found or b"")) & self.stolen]
        if bundles:
            self.world.alter(bundle=bundles[-1])


def run(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30))


@pytest.mark.slow
def test_no_leaf_is_refused_however_far_kubelets_and_api_servers_lag_and_wherever_the_keeper_dies() -> None:
    """P22, P23."""
    run(Keeping)


@pytest.mark.slow
def test_no_leaf_is_refused_that_was_not_before_whatever_else_happens() -> None:
    """P23."""
    run(Troubled)


# The model finds who does not wait


def test_who_issues_by_what_was_published_just_now_is_refused() -> None:
    hasty = replace(RotationPolicy(), wait=timedelta(0), urgent_wait=timedelta(0))
    world = World(hasty, servers=MINUTE)
    with pytest.raises(AssertionError, match="refused"):
        world.runs(hasty.authority_renewal + DAY, every=DAY)
    assert len(certificates(world.stored.bundle)) == 2


def test_who_ends_the_trust_in_a_stolen_key_before_the_servers_have_another_is_refused() -> None:
    forgetful = replace(RotationPolicy(), handover=timedelta(0))
    world = World(forgetful, files=90 * SECOND)
    world.runs(3 * DAY)
    stolen = rotated(world.stored.authorities, world.now, forgetful, compromised=True)
    world.store(replace(world.stored, authorities=stolen))
    with pytest.raises(AssertionError, match="refused"):
        world.runs(HOUR, every=10 * SECOND)
    assert len(certificates(world.stored.bundle)) == 1


def test_who_forgets_an_authority_while_a_leaf_of_it_is_served_is_refused() -> None:
    world = World(files=20 * HOUR)
    world.runs(PERIOD - DAY, every=DAY)
    elder = world.stored.authorities[0]
    world.runs(4 * DAY, until=lambda: issuer_of(world) != elder)
    kept = tuple(each for each in world.stored.authorities if each.certificate != elder.certificate)
    world.store(replace(world.stored, authorities=kept, bundle=bundled(kept)))
    with pytest.raises(AssertionError, match="refused"):
        world.passes(MINUTE)
