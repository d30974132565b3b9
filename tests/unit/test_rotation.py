"""Whatever lags and whoever dies, every leaf that is served is trusted; and nothing is done that is not due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from certs.authority import KeyPair, create_authority, issue_leaf
from certs.outlook import is_overdue, next_look, problems
from certs.rotation import Authority, Kind, Policy, Stored, next_step, rotated
from certs.situation import Situation, names_of
from certs.stored import certificates, made
from tests.unit.rotation_world import DAY, HOUR, MINUTE, NAMES, NOON, SECOND, World

BOOTSTRAP = [Kind.NEW_AUTHORITY, Kind.PUBLISH, Kind.MARK_PUBLISHED, Kind.ISSUE_LEAF]
ROTATION = [Kind.NEW_AUTHORITY, Kind.PUBLISH, Kind.MARK_PUBLISHED]
LONG = Policy()
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


# From nothing


def test_from_nothing_to_a_leaf_in_one_turn() -> None:
    world = World()

    assert world.turn() == BOOTSTRAP

    assert flaw(world) is None
    assert world.turn() == []


def test_the_servers_get_a_leaf_before_there_is_a_configuration() -> None:
    world = World(stored=Stored(bundle=None))
    assert world.turn() == [Kind.NEW_AUTHORITY, Kind.ISSUE_LEAF]

    world.passes(DAY)
    world.alter(bundle=b"\n")

    assert world.turn() == [Kind.PUBLISH, Kind.MARK_PUBLISHED]
    assert len(world.leaves) == 2  # none, and the first


def test_a_keeper_that_is_killed_after_each_step_gets_as_far() -> None:
    world, kinds = World(), []
    while step := world.step():
        kinds.append(step.kind)
        world.passes(7 * MINUTE)

    assert kinds == BOOTSTRAP


# What is due, and nothing else


def test_nothing_is_done_while_nothing_is_due() -> None:
    world = started()

    assert world.runs(27 * DAY) == []


def test_a_leaf_is_renewed_after_a_month_by_the_same_authority() -> None:
    world = started()
    before, issued = issuer_of(world), made(certificates(world.stored.leaf.certificate)[0])
    world.passes(issued + LONG.leaf_renewal - world.now - SECOND)
    assert world.turn() == []

    world.passes(SECOND)

    assert world.turn() == [Kind.ISSUE_LEAF]
    assert issuer_of(world) == before
    assert world.turn() == []


def test_a_leaf_comes_with_those_that_its_readers_may_trust() -> None:
    world = started()

    assert certificates(world.stored.leaf_bundle) == certificates(world.stored.bundle)


def test_an_authority_is_published_waited_for_used_and_its_elder_retired() -> None:
    world = started()
    world.runs(PERIOD - 3 * DAY, every=12 * HOUR)
    [first] = world.stored.authorities

    world.now = made(first.parsed()) + PERIOD
    assert world.turn() == ROTATION
    published = world.now
    assert issuer_of(world) == first
    assert len(certificates(world.stored.bundle)) == 2

    leaf = world.stored.leaf
    assert world.runs(LONG.wait - SECOND) in ([], [Kind.ISSUE_LEAF])  # a monthly renewal may fall into it
    assert issuer_of(world) == first
    assert leaf is not None

    world.now = published + LONG.wait
    assert world.turn() == [Kind.ISSUE_LEAF, Kind.SUPERSEDE]
    old, new = world.stored.authorities
    assert issuer_of(world) == new
    assert (old.certificate, old.key) == (first.certificate, None)
    assert old.retire == world.now + LONG.leaf_lifetime + LONG.margin
    assert len(certificates(world.stored.bundle)) == 2

    world.runs(old.retire - world.now - SECOND, every=DAY)
    assert old.parsed() in certificates(world.stored.bundle)
    world.passes(SECOND)
    assert Kind.PUBLISH in world.turn()
    assert old.parsed() not in certificates(world.stored.bundle)
    assert old in world.stored.authorities  # so that a bundle from a copy does not bring it back
    world.passes(LONG.wait)
    assert world.turn() == [Kind.RETIRE]
    assert old not in world.stored.authorities


def test_in_ten_years_there_are_ten_authorities_and_a_leaf_a_month() -> None:
    world = World()

    kinds = world.runs(3650 * DAY, every=DAY)

    assert kinds.count(Kind.NEW_AUTHORITY) == 10
    assert kinds.count(Kind.ISSUE_LEAF) == pytest.approx(3650 / 30 + 5, abs=6)
    assert len(world.stored.authorities) <= 4
    assert sum(each.key is not None for each in world.stored.authorities) <= 2


# What others did


def test_certificates_made_by_hand_go_on_being_trusted_until_the_last_of_them_has_ended() -> None:
    authority, leaf = by_hand()
    world = World(stored=Stored((), leaf, authority.certificate, authority.certificate))

    assert world.turn() == [Kind.ADOPT, *ROTATION]
    assert world.stored.leaf == leaf
    assert world.runs(LONG.wait + HOUR) == [Kind.ISSUE_LEAF]
    adopted = world.stored.authorities[0]
    assert (adopted.parsed(), adopted.key) == (authority.parsed(), None)
    assert adopted.retire == NOON + LONG.leaf_lifetime + LONG.margin
    world.runs(adopted.retire - world.now, every=DAY)
    assert authority.parsed() in certificates(world.stored.bundle)
    world.runs(2 * DAY)
    assert len(certificates(world.stored.bundle)) == 2


def test_losing_the_records_is_no_outage() -> None:
    world = started()
    leaf, ca = world.stored.leaf, world.stored.authorities[0]

    world.store(replace(world.stored, authorities=()))  # not `alter`: service goes on

    assert world.turn() == [Kind.ADOPT, *ROTATION]
    assert world.stored.leaf == leaf
    assert world.runs(LONG.wait + HOUR) == [Kind.ISSUE_LEAF]
    assert world.stored.authorities[0].certificate == ca.certificate


def test_losing_records_and_configuration_keeps_the_leaf_and_trusts_who_issued_it() -> None:
    world = started()
    leaf = world.stored.leaf
    world.alter(authorities=(), bundle=b"")

    assert world.turn()[0] is Kind.ADOPT

    assert world.stored.leaf == leaf
    assert len(certificates(world.stored.bundle)) == 2


def test_a_bundle_that_somebody_emptied_is_filled_and_the_wait_begins_anew() -> None:
    world = started()
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG)))
    world.turn()
    world.passes(LONG.wait - HOUR)
    world.alter(bundle=b"")

    assert world.turn() == [Kind.MARK_PUBLISHED, Kind.PUBLISH, Kind.MARK_PUBLISHED]

    emptied = world.now
    world.runs(3 * DAY, until=lambda: issuer_of(world) == world.stored.authorities[1])
    assert world.now >= emptied + LONG.wait


def test_other_order_other_line_ends_and_doubles_are_the_same_bundle() -> None:
    world = started()
    world.runs(PERIOD, every=DAY)
    parts = [each.public_bytes(Encoding.PEM) for each in reversed(certificates(world.stored.bundle))]
    assert len(parts) == 2
    world.alter(bundle=b"# ours\n" + b"\r\n".join([*parts, parts[0]]))

    assert Kind.PUBLISH not in world.turn()


def test_what_is_no_certificate_in_the_bundle_is_replaced() -> None:
    world = started()
    kept = world.stored.bundle
    world.alter(bundle=b"-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n")

    world.turn()

    assert world.stored.bundle == kept


def test_an_expired_authority_is_not_adopted() -> None:
    old = create_authority("somebody", now=NOON - 2 * DAY, lifetime=DAY)
    world = World(stored=Stored(bundle=old.certificate))

    assert world.turn() == BOOTSTRAP
    assert old.parsed() not in certificates(world.stored.bundle)


def _other_names() -> KeyPair:
    return issue_leaf(create_authority("x", now=NOON), ["webhook.other.svc"], now=NOON)


FLAWS = {
    "none": (lambda leaf: None, "there is none"),
    "empty": (lambda leaf: KeyPair(b"", b""), "it cannot be read, or has another key"),
    "other key": (lambda leaf: KeyPair(leaf.certificate, by_hand()[1].key), "it cannot be read, or has another key"),
    "key is no key": (lambda leaf: KeyPair(leaf.certificate, b"none"), "it cannot be read, or has another key"),
    "other CA": (lambda leaf: by_hand()[1], "nobody who is trusted issued it"),
    "other names": (lambda leaf: _other_names(), f"it is not for {NAMES[0]}"),
}


@pytest.mark.parametrize(("broken", "why"), FLAWS.values(), ids=FLAWS)
def test_a_leaf_that_cannot_serve_is_replaced_at_once(broken: object, why: str) -> None:
    world = started()
    world.alter(leaf=broken(world.stored.leaf))

    step = world.step()

    assert step.kind is Kind.ISSUE_LEAF
    assert step.why.endswith(why)
    assert flaw(world) is None
    assert world.turn() == []


def test_a_leaf_beside_a_ca_that_did_not_issue_it_is_replaced_as_the_server_refuses_it() -> None:
    world = started()
    world.alter(leaf_bundle=by_hand()[0].certificate)

    assert world.turn() == [Kind.ISSUE_LEAF]


def test_a_leaf_without_a_ca_beside_it_may_stay() -> None:
    world = started()
    world.alter(leaf_bundle=b"")

    assert world.turn() == []


def test_a_leaf_may_come_through_an_authority_between() -> None:
    root, key = _authority_of("root"), ec.generate_private_key(ec.SECP256R1())
    between = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "between")]))
        .issuer_name(root[0].subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOON - HOUR)
        .not_valid_after(NOON + 900 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(root[1], hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made_of = issue_leaf(KeyPair(between.public_bytes(Encoding.PEM), pem), NAMES, now=NOON)
    leaf = KeyPair(made_of.certificate + between.public_bytes(Encoding.PEM), made_of.key)
    bundle = root[0].public_bytes(Encoding.PEM)
    stored = Stored((), leaf, bundle, bundle)
    world = World(stored=stored)
    world.excused = NOON + 99 * DAY  # the model's verifier wants more of an authority between

    assert Kind.ISSUE_LEAF not in world.turn()
    assert world.stored.leaf == leaf


def _authority_of(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    pair = create_authority(name, now=NOON)
    return pair.parsed(), load_pem_private_key(pair.key, password=None)


def test_a_leaf_with_names_that_nobody_asks_for_is_replaced() -> None:
    world = started()
    ca = world.stored.authorities[0].pair()
    world.alter(leaf=issue_leaf(ca, [*NAMES, "more.svc"], now=world.now))

    assert world.turn() == [Kind.ISSUE_LEAF]
    assert names_of(certificates(world.stored.leaf.certificate)[0]) == set(NAMES)


# Little time


def test_a_leaf_that_ends_soon_is_replaced_as_soon_as_an_authority_may_be_known() -> None:
    authority, leaf = by_hand(life=12 * HOUR)
    world = World(stored=Stored((), leaf, authority.certificate, authority.certificate))

    assert world.turn() == [Kind.ADOPT, *ROTATION]

    assert world.runs(LONG.urgent_wait - SECOND, every=SECOND) == []
    world.passes(SECOND)
    assert world.turn() == [Kind.ISSUE_LEAF]


def test_an_authority_that_ends_soon_is_not_asked_for_another_leaf() -> None:
    world = started()
    [only] = world.stored.authorities
    leaf = issue_leaf(only.pair(), NAMES, now=NOON + 2 * 365 * DAY, lifetime=365 * DAY)
    world.sets_clock(NOON + 3 * 365 * DAY - 12 * HOUR)
    world.alter(leaf=leaf)  # its keeper was away for a year

    assert world.turn() == [Kind.NEW_AUTHORITY, Kind.PUBLISH, Kind.MARK_PUBLISHED]

    world.passes(LONG.urgent_wait)
    assert world.turn() == [Kind.ISSUE_LEAF, Kind.SUPERSEDE]
    assert world.turn() == []


def test_a_leaf_never_outlives_its_authority() -> None:
    world = started()
    [only] = world.stored.authorities
    world.passes(only.parsed().not_valid_after_utc - 40 * DAY - world.now)  # nobody kept anything for years
    world.turn()

    assert issuer_of(world) == only  # known to all, and good enough until the next one is
    assert certificates(world.stored.leaf.certificate)[0].not_valid_after_utc == only.parsed().not_valid_after_utc
    world.runs(LONG.wait + HOUR)
    assert issuer_of(world) != only


# A key that somebody else has


def test_a_compromised_authority_is_replaced_within_minutes_and_nobody_is_refused() -> None:
    world = started()
    [old] = world.stored.authorities
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG, compromised=True)))
    begin = world.now
    assert [each.key is None for each in world.stored.authorities] == [True, False]

    kinds = world.runs(HOUR, every=MINUTE, until=lambda: old.parsed() not in certificates(world.stored.bundle))

    assert kinds == [Kind.PUBLISH, Kind.MARK_PUBLISHED, Kind.ISSUE_LEAF, Kind.PUBLISH]
    assert world.now - begin <= LONG.urgent_wait + LONG.handover + 2 * MINUTE
    assert world.runs(2 * DAY) == [Kind.RETIRE]
    assert world.runs(20 * DAY) == []  # though the ca.crt beside the leaf still has it


def test_a_compromised_authority_is_not_dropped_before_its_leaf_where_the_keeper_was_away() -> None:
    world = started()
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG, compromised=True)))
    world.passes(5 * HOUR)

    assert world.turn(pause=SECOND) == [Kind.PUBLISH, Kind.MARK_PUBLISHED]

    world.runs(HOUR, every=MINUTE)
    assert len(certificates(world.stored.bundle)) == 1


def test_a_compromised_authority_does_not_come_back_with_an_old_bundle() -> None:
    world = started()
    old = world.stored.bundle
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG, compromised=True)))
    world.runs(HOUR, every=MINUTE)
    new = world.stored.bundle
    assert certificates(old)[0] not in certificates(new)
    world.alter(bundle=old)

    world.turn()

    assert world.stored.bundle == new


def test_a_new_authority_can_be_asked_for_at_any_time() -> None:
    world = started()
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG)))

    kinds = world.runs(2 * DAY)

    assert kinds == [Kind.PUBLISH, Kind.MARK_PUBLISHED, Kind.ISSUE_LEAF, Kind.SUPERSEDE]


# Clocks


def test_a_clock_that_went_astray_and_came_back_leaves_no_harm() -> None:
    world = started()
    right = world.now
    world.sets_clock(right + 400 * DAY)
    world.turn()
    world.passes(2 * DAY)
    world.turn()
    world.sets_clock(right)

    world.turn()

    assert flaw(world) is None
    world.passes(HOUR + SECOND)
    world.runs(500 * DAY, every=DAY)
    assert problems(world.stored, world.now, LONG, NAMES) == ()


def test_a_time_of_publication_that_has_not_come_yet_is_put_right() -> None:
    world = started()
    [only] = world.stored.authorities
    world.alter(authorities=(replace(only, published=world.now + 99 * DAY),))

    assert world.turn() == [Kind.MARK_PUBLISHED]
    assert world.stored.authorities[0].published == world.now


# What is to come


def test_the_next_look_is_when_something_is_done_and_not_before() -> None:
    world = started()
    for _ in range(60):
        outlook = next_look(world.stored, world.now, LONG, NAMES)
        assert outlook.when >= world.now
        if outlook.when > world.now + SECOND:
            between = world.now + (outlook.when - world.now) / 2
            assert next_step(world.stored, between, LONG, NAMES) is None
            assert next_step(world.stored, outlook.when - SECOND, LONG, NAMES) is None
        world.passes(max(outlook.when - world.now, timedelta(0)) + SECOND)
        assert world.step().kind is outlook.kind
    assert world.now > NOON + 700 * DAY


def test_a_keeper_that_lives_is_never_overdue_and_one_that_died_is_after_the_grace() -> None:
    world = started()
    for _ in range(800):
        world.turn()
        world.passes(DAY)
        assert not is_overdue(world.stored, world.now, LONG, NAMES)
        assert problems(world.stored, world.now, LONG, NAMES) == ()
    world.turn()
    due = made(certificates(world.stored.leaf.certificate)[0]) + LONG.leaf_renewal

    assert not is_overdue(world.stored, due + LONG.grace, LONG, NAMES)
    assert is_overdue(world.stored, due + LONG.grace + SECOND, LONG, NAMES)
    [said] = problems(world.stored, due + LONG.grace + SECOND, LONG, NAMES)
    assert said == f"leaf: it was due for renewal on {due:%Y-%m-%d}. Is the keeper running?"


def test_an_expired_leaf_is_broken_and_overdue() -> None:
    world = started()
    late = world.now + 370 * DAY

    assert is_overdue(world.stored, late, LONG, NAMES)
    assert "leaf: it has expired. A running keeper issues another." in problems(world.stored, late, LONG, NAMES)


def test_an_old_leaf_made_by_hand_is_not_overdue_before_an_authority_could_have_replaced_it() -> None:
    authority, leaf = by_hand()
    world = World(stored=Stored((), leaf, authority.certificate, authority.certificate))
    world.passes(100 * DAY)
    world.turn()

    assert not is_overdue(world.stored, world.now, LONG, NAMES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"bundle": None}, "webhook configuration: is not there", id="no configuration"),
        pytest.param({"bundle": b""}, "caBundle: lacks the CA of the leaf", id="emptied bundle"),
        pytest.param({"leaf": None}, "leaf: there is none", id="no leaf"),
        pytest.param({"authorities": ()}, "CA: none may issue", id="no records"),
    ],
)
def test_what_is_broken_is_said_in_a_sentence(changes: dict[str, object], said: str) -> None:
    world = started()

    found = problems(replace(world.stored, **changes), world.now, LONG, NAMES)

    assert any(each.startswith(said) for each in found), found
    assert all(each.endswith((".", "?")) for each in found)


# The policy


@pytest.mark.parametrize(
    "times",
    [
        pytest.param({"urgent_wait": 2 * DAY}, id="in a hurry longer than at leisure"),
        pytest.param({"wait": 40 * DAY}, id="renewed before it may be issued"),
        pytest.param({"leaf_lifetime": 30 * DAY}, id="ends as it is renewed"),
        pytest.param({"authority_lifetime": 2 * 365 * DAY}, id="authority ends before its last leaf"),
        pytest.param({"wait": -DAY, "urgent_wait": -DAY}, id="before it was published"),
    ],
)
def test_times_that_do_not_fit_each_other_are_refused(times: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="Let "):
        Policy(**times)


# Any order of events


class Keeping(RuleBasedStateMachine):
    """A keeper that is killed anywhere, or away for weeks; kubelets and API servers that lag by nearly the wait."""

    policy = Policy()
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


def run(machine: type[RuleBasedStateMachine], **options: object) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, **options))


def test_no_leaf_is_refused_however_far_kubelets_and_api_servers_lag_and_wherever_the_keeper_dies() -> None:
    run(Keeping)


def test_no_leaf_is_refused_that_was_not_before_whatever_else_happens() -> None:
    run(Troubled)


class Hasty(Keeping):
    """Issues by what it published just now."""

    policy = replace(Policy(), wait=timedelta(0), urgent_wait=timedelta(0))


class Forgetful(Troubled):
    """Trusts a stolen key no longer than until its leaf is replaced, which the servers do not know yet."""

    policy = replace(Policy(), handover=timedelta(0))


@pytest.mark.parametrize("machine", [Hasty, Forgetful])
def test_the_model_finds_who_does_not_wait(machine: type[Keeping]) -> None:
    with pytest.raises(AssertionError, match="refused"):
        run(machine, phases=[Phase.generate], report_multiple_bugs=False)
