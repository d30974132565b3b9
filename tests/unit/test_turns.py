"""Costly work waits in a queue, and others are served in between."""

from __future__ import annotations

import asyncio

import pytest

from webhook.server import turns as module
from webhook.server.turns import Turns


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test makes pass."""
    now = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    return now


def order(clock: list[float], costs: list[float], others: float) -> str:
    """``w`` for each costly work done, ``o`` for each turn of the others, which takes *others* seconds."""
    told: list[str] = []

    async def run() -> None:
        turns = Turns()

        def work(cost: float) -> None:
            clock[0] += cost
            told.append("w")

        for cost in costs:
            turns.add("all", lambda cost=cost: work(cost))
        while turns:
            clock[0] += others
            told.append("o")
            await asyncio.sleep(0)

    asyncio.run(run())
    return "".join(told)


def test_the_queue_has_half_as_long_as_the_others_had_and_one_at_least(clock: list[float]) -> None:
    """P33."""
    assert order(clock, [1, 1, 1], others=0) == "owowow"
    assert order(clock, [1] * 6, others=5) == "owwwowww"


def test_work_that_fails_and_work_that_adds_work_stop_nothing(clock: list[float]) -> None:
    done: list[str] = []

    async def run() -> None:
        turns = Turns()
        asyncio.get_running_loop().set_exception_handler(lambda *_: done.append("failed"))

        def fail() -> None:
            turns.add("all", lambda: done.append("added"))
            raise KeyError

        turns.add("all", fail)
        turns.add("all", lambda: done.append("next"))
        while turns:
            await asyncio.sleep(0)

    asyncio.run(run())
    assert done == ["failed", "next", "added"]


def test_who_has_much_to_do_does_not_hold_up_who_has_little() -> None:
    """P33."""
    done: list[str] = []

    async def run() -> None:
        turns = Turns()
        for party, count in (("much", 4), ("little", 1), ("some", 2)):
            for _ in range(count):
                turns.add(party, lambda party=party: done.append(party))
        while turns:
            await asyncio.sleep(0)

    asyncio.run(run())
    assert done == ["much", "little", "some", "much", "some", "much", "much"]


def test_who_has_many_waiting_takes_no_place_of_others() -> None:
    async def run() -> None:
        turns = Turns()
        for _ in range(3):
            turns.add("greedy", lambda: None)
        assert turns.is_full("greedy", 3)
        assert not turns.is_full("good", 3)
        turns.add("good", lambda: None)
        assert turns.is_full("greedy", 3)
        assert not turns.is_full("good", 3)
        assert not turns.is_full("greedy", 5)

    asyncio.run(run())
