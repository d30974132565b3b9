"""What `gpu-slice certs status` foretells and complains of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certs.authority import issue_leaf
from certs.outlook import is_overdue, next_look, problems
from certs.rotation import Stored, next_step, rotated
from certs.stored import certificates, made
from tests.unit.rotation_world import (
    DAY,
    LONG,
    NAMES,
    NOON,
    SECOND,
    World,
    by_hand,
    started,
)


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
    """P28."""
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


def test_an_authority_without_a_successor_is_overdue_after_the_grace_though_leaves_are_renewed() -> None:
    world = started()
    due = made(world.stored.authorities[0].parsed()) + LONG.authority_renewal
    leaf = issue_leaf(world.stored.authorities[0].pair(), NAMES, now=due)
    stored = replace(world.stored, leaf=leaf)

    assert not is_overdue(stored, due + LONG.grace, LONG, NAMES)
    assert is_overdue(stored, due + LONG.grace + SECOND, LONG, NAMES)
    [said] = problems(stored, due + LONG.grace + SECOND, LONG, NAMES)
    assert said == f"CA: its successor was due on {due:%Y-%m-%d}. Is the keeper running?"


def test_a_leaf_that_the_old_authority_should_have_renewed_is_overdue_also_when_a_new_one_was_just_made() -> None:
    world = started()
    due = made(certificates(world.stored.leaf.certificate)[0]) + LONG.leaf_renewal
    late = due + LONG.grace + SECOND
    stored = replace(
        world.stored, authorities=rotated(world.stored.authorities, late - SECOND, LONG, compromised=False)
    )

    assert [made(each.parsed()) < due for each in stored.authorities] == [True, False]
    assert f"leaf: it was due for renewal on {due:%Y-%m-%d}. Is the keeper running?" in problems(
        stored, late, LONG, NAMES
    )


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
        pytest.param({"bundle": None}, "webhook configuration: it does not exist", id="no configuration"),
        pytest.param({"bundle": b""}, "caBundle: it lacks the CA of the leaf", id="emptied bundle"),
        pytest.param({"leaf": None}, "leaf: there is none", id="no leaf"),
        pytest.param({"authorities": ()}, "CA: no CA may issue", id="no records"),
    ],
)
def test_what_is_broken_is_said_in_a_sentence(changes: dict[str, object], said: str) -> None:
    world = started()

    found = problems(replace(world.stored, **changes), world.now, LONG, NAMES)

    assert any(each.startswith(said) for each in found), found
    assert all(each.endswith((".", "?")) for each in found)
