"""Packings, beside a search through all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.fit.packing import pack
from webhook.fit.problem import Bin, Item

KINDS = ("a", "b")


def fillings(capacity: Mapping[str, int], items: Sequence[Item], left: Sequence[int], place: int) -> Iterator[tuple]:
    """Every way to fill one node with some of the pods that are left."""

    def fill(k: int, room: dict[str, int]) -> Iterator[tuple[int, ...]]:
        if k == len(items):
            yield ()
            return
        for n in range(left[k] + 1 if place in items[k].places else 1):
            rest = {key: room[key] - n * items[k].need.get(key, 0) for key in room}
            if any(n and key not in room for key in items[k].need) or min(rest.values(), default=0) < 0:
                break
            for more in fill(k + 1, rest):
                yield (n, *more)

    return fill(0, dict(capacity))


def least(bins: Sequence[Bin], items: Sequence[Item], limits: Mapping[str, int]) -> tuple[int, int]:
    """The fewest pods without a node, and then the least cost, by trying everything."""
    pools = sorted(limits)

    @cache
    def search(left: tuple[int, ...], first: int, units: tuple[int, ...]) -> tuple[int, int]:
        best = sum(left), 0
        for b in range(first, len(bins)):
            each = bins[b]
            rest = list(units)
            if each.pool in limits:
                rest[pools.index(each.pool)] -= each.units
                if min(rest) < 0:
                    continue
            for filling in fillings(each.capacity, items, left, each.place):
                if any(filling):
                    after = tuple(n - used for n, used in zip(left, filling, strict=True))
                    unplaced, cost = search(after, b, tuple(rest))
                    best = min(best, (unplaced, cost + each.cost))
        return best

    return search(tuple(item.count for item in items), 0, tuple(limits[pool] for pool in pools))


Draw = Callable[[int, int], int]
"""A whole number from one to another."""


def problem(number: Draw) -> tuple[list[Bin], list[Item], dict[str, int]]:
    """A few kinds of nodes, at most nine pods, and now and then a limit."""
    bins = [
        Bin(
            place=number(0, 1),
            pool="pq"[number(0, 1)],
            capacity={key: n for key in KINDS if (n := number(0, 4))},
            cost=number(1, 5),
            units=number(1, 2),
        )
        for _ in range(number(1, 3))
    ]
    items = []
    for _ in range(number(1, 3)):
        need = {key: n for key in KINDS if (n := number(0, 3))} or {"a": 1}
        items.append(Item(need, number(1, 3), frozenset([{0}, {1}, {0, 1}][number(0, 2)])))
    limits = {pool: number(0, 3) for pool in "pq" if number(0, 2) == 0}
    return bins, items, limits


@given(st.data())
def test_no_packing_is_better_than_is_said(data: st.DataObject) -> None:
    bins, items, limits = problem(lambda low, high: data.draw(st.integers(low, high)))
    unplaced, cost = least(bins, items, limits)

    found = pack(bins, items, limits)

    assert found.cost == sum(n * each.cost for n, each in zip(found.nodes, bins, strict=True))
    assert (sum(found.left), found.cost) >= (unplaced, cost)
    assert sum(found.left) > unplaced or found.bound <= cost
    assert not found.exact or (sum(found.left), found.cost) == (unplaced, cost)


def test_the_best_is_found_and_nearly_always_proved() -> None:
    random = Random(7)
    proved = 0
    for _ in range(100):
        bins, items, limits = problem(random.randint)
        found = pack(bins, items, limits)
        assert (sum(found.left), found.cost) == least(bins, items, limits)
        proved += found.exact
    assert proved >= 99


def test_pods_of_one_slice_are_counted_whatever_their_number() -> None:
    bins = [Bin(0, "p", {"a": 56}, 8), Bin(1, "q", {"a": 16, "b": 8}, 8)]
    items = [Item({"a": 1}, 1_000_000, frozenset({0, 1})), Item({"b": 1}, 8_001, frozenset({1}))]

    found = pack(bins, items)

    assert found.nodes == (-(-(1_000_000 - 1_001 * 16) // 56), 1_001)
    assert found.exact


def test_pods_of_several_slices_are_not_spread_over_two_nodes() -> None:
    found = pack([Bin(0, "p", {"a": 56}, 8)], [Item({"a": 19}, 10, frozenset({0})), Item({"a": 30}, 3, frozenset({0}))])

    assert found.nodes == (7,), "three with 30 and 19, and four with the others, two on each; their slices fill five"
    assert found.bound == 56


@pytest.mark.parametrize("count", [9, 10, 101])
def test_what_fits_together_only_in_another_way_is_found(count: int) -> None:
    """Of three such pods no two fit together, but their slices fill two nodes."""
    items = [Item({x: 1, y: 1}, count, frozenset({0})) for x, y in (("a", "b"), ("b", "c"), ("c", "a"))]

    found = pack([Bin(0, "p", {"a": 1, "b": 1, "c": 1}, 1)], items)

    assert found.cost == 3 * count
    assert found.exact


def test_nothing_is_proved_while_better_patterns_are_still_found() -> None:
    bins = [Bin(0, "p", {"a": 8, "b": 4}, 5), Bin(0, "q", {"a": 8}, 5), Bin(0, "r", {"a": 3, "b": 2}, 4)]
    items = [Item({"a": 1, "b": 2}, 2, frozenset({0})), Item({"a": 2, "b": 1}, 2, frozenset({0}))]

    found = pack(bins, items)

    assert (found.nodes, found.cost, found.bound) == ((1, 0, 1), 9, 9)


def test_what_cannot_be_proved_in_time_has_a_gap_and_a_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.fit.patterns.ROUNDS", 0)
    monkeypatch.setattr("webhook.fit.patterns.MOST_NODES", 0)
    items = [Item({x: 1, y: 1}, 10, frozenset({0})) for x, y in (("a", "b"), ("b", "c"), ("c", "a"))]

    found = pack([Bin(0, "p", {"a": 1, "b": 1, "c": 1}, 1)], items)

    assert found.cost == 30
    assert found.bound == 20
    assert not found.exact


def test_dear_nodes_are_used_where_they_save_money() -> None:
    bins = [Bin(0, "p", {"a": 4}, 10), Bin(1, "q", {"a": 8}, 19)]

    assert pack(bins, [Item({"a": 1}, 8, frozenset({0, 1}))]).nodes == (0, 1)
    assert pack(bins, [Item({"a": 1}, 12, frozenset({0, 1}))]).nodes == (1, 1)


def test_the_same_problem_has_the_same_packing_every_time() -> None:
    bins = [Bin(0, "p", {"a": 7, "b": 2}, 8), Bin(0, "p", {"a": 3, "b": 4}, 8), Bin(1, "q", {"a": 5, "b": 3}, 8)]
    items = [Item({"a": n, "b": 1}, 13 * n, frozenset({0, 1})) for n in (1, 2, 3)]

    assert len({pack(bins, items) for _ in range(3)}) == 1
