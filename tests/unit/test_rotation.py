"""Whatever lags and whoever dies, every leaf that is served is trusted; and nothing is done that is not due."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certs.authority import KeyPair, create_authority, issue_leaf
from certs.outlook import problems
from certs.rotation import Authority, Kind, RotationPolicy, Stored, rotated
from certs.situation import names_of
from certs.stored import certificates, made
from tests.unit.rotation_world import (
    BOOTSTRAP,
    DAY,
    HOUR,
    LONG,
    MINUTE,
    NAMES,
    NOON,
    PERIOD,
    ROTATION,
    SECOND,
    World,
    by_hand,
    flaw,
    issuer_of,
    started,
)

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


@pytest.mark.slow
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


def test_a_leaf_of_the_newest_authority_stays_where_somebody_took_that_out_of_the_bundle() -> None:
    world = started()
    old = world.stored
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG)))
    world.runs(2 * DAY)
    newest = world.stored.authorities[1]
    assert issuer_of(world) == newest
    world.alter(bundle=old.bundle, authorities=(old.authorities[0], newest))

    assert Kind.ISSUE_LEAF not in world.runs(2 * DAY)


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


def test_an_authority_that_has_ended_is_neither_trusted_nor_kept() -> None:
    world = started()
    [old] = world.stored.authorities
    world.passes(LONG.authority_lifetime)

    assert Kind.RETIRE in world.turn()

    assert old.parsed() not in certificates(world.stored.bundle)
    assert len(world.stored.authorities) == 1


def _of_tomorrow(world: World) -> KeyPair:
    return issue_leaf(world.stored.authorities[0].pair(), NAMES, now=world.now + DAY)


def _other_names() -> KeyPair:
    return issue_leaf(create_authority("x", now=NOON), ["webhook.other.svc"], now=NOON)


UNREADABLE = "it cannot be read, or has another key"
FLAWS = {
    "none": (lambda _: None, "there is none"),
    "empty": (lambda _: KeyPair(b"", b""), UNREADABLE),
    "other key": (lambda world: replace(world.stored.leaf, key=by_hand()[1].key), UNREADABLE),
    "key is no key": (lambda world: replace(world.stored.leaf, key=b"none"), UNREADABLE),
    "other CA": (lambda _: by_hand()[1], "no trusted CA issued it"),
    "other names": (lambda _: _other_names(), f"it is not for {NAMES[0]}"),
    "of tomorrow": (lambda world: _of_tomorrow(world), "it is not valid yet"),
}


@pytest.mark.parametrize(("broken", "why"), FLAWS.values(), ids=FLAWS)
def test_a_leaf_that_cannot_serve_is_replaced_at_once(broken: Callable[[World], KeyPair | None], why: str) -> None:
    world = started()
    world.alter(leaf=broken(world))

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


def test_an_authority_that_ends_before_a_leaf_of_it_would_gets_a_successor_early() -> None:
    pair = create_authority("made by hand", now=NOON, lifetime=500 * DAY)
    world = World(stored=Stored((Authority(pair.certificate, pair.key),), bundle=b""))
    world.turn()
    world.runs(134 * DAY, every=DAY)
    assert len(world.stored.authorities) == 1

    assert Kind.NEW_AUTHORITY in world.runs(3 * DAY)


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


@pytest.mark.parametrize("away", [5 * HOUR, 5 * DAY], ids=["for hours", "for days"])
def test_a_compromised_authority_is_not_dropped_before_its_leaf_where_the_keeper_was_away(away: timedelta) -> None:
    world = started()
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG, compromised=True)))
    world.passes(away)

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


def test_a_compromised_authority_does_not_come_back_with_an_old_leaf() -> None:
    world = started()
    old = world.stored
    world.store(replace(world.stored, authorities=rotated(world.stored.authorities, world.now, LONG, compromised=True)))
    world.runs(HOUR, every=MINUTE)
    new = world.stored.bundle
    world.alter(leaf=old.leaf, leaf_bundle=old.leaf_bundle)

    assert world.turn() == [Kind.ISSUE_LEAF]

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


# The policy


ORDER = "Choose urgent_wait <= wait < leaf_renewal < leaf_lifetime."
LONG_ENOUGH = "Make authority_lifetime at least 732 days, 0:00:00, which includes the margin."


@pytest.mark.parametrize(
    ("times", "cure"),
    [
        pytest.param({"urgent_wait": 2 * DAY}, ORDER, id="in a hurry longer than at leisure"),
        pytest.param({"wait": 40 * DAY}, ORDER, id="renewed before it may be issued"),
        pytest.param({"leaf_lifetime": 30 * DAY}, ORDER, id="ends as it is renewed"),
        pytest.param({"authority_lifetime": 2 * 365 * DAY}, LONG_ENOUGH, id="authority ends before its last leaf"),
        pytest.param({"wait": -DAY, "urgent_wait": -DAY}, ORDER, id="before it was published"),
    ],
)
def test_times_that_do_not_fit_each_other_are_refused(times: dict[str, timedelta], cure: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(cure)}$"):
        RotationPolicy(**times)
