"""What `docs/scale.md` says is what was measured, and the formulas and the simulation do what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.scale.simulation import CASES, Case, run, simulate
from bench.scale.tables import FIGURES, PAGE, TABLES, replicas, written

MEASURED = json.loads(FIGURES.read_text())
QUIET = Case("one", replicas=3, cores=1, rate=1, burst=1, count=100, seats=600)


def test_the_page_has_the_figures_that_were_measured() -> None:
    assert PAGE.read_text() == written(PAGE.read_text(), MEASURED), "run: python -m bench.scale"


def test_every_table_changes_with_the_figures_that_it_is_of() -> None:
    def other(value: object) -> object:
        if isinstance(value, dict):
            return {key: other(each) for key, each in value.items()}
        if isinstance(value, list):
            return [other(each) for each in value]
        return 3 * value + 1 if isinstance(value, int | float) else value

    changed = other(MEASURED)
    same = [name for name, table in TABLES.items() if table(MEASURED) == table(changed)]
    assert same == ["certificates"]  # which follow from the settings


def test_the_simulation_is_that_of_the_costs_that_were_measured() -> None:
    assert MEASURED["simulation"] == run(MEASURED["review"][0]["microseconds"] / 1e6)


@pytest.mark.parametrize(
    ("rate", "cost", "cores", "expected"),
    [
        pytest.param(0, 0.001, 1, 3, id="three for availability"),
        pytest.param(1_000, 0.001, 1, 3, id="two half busy, and one more"),
        pytest.param(1_001, 0.001, 1, 4, id="a little more needs another"),
        pytest.param(1_000, 0.001, 0.5, 5, id="half a core each"),
    ],
)
def test_replicas_are_half_busy_and_one_may_be_lost(rate: float, cost: float, cores: float, expected: int) -> None:
    assert replicas(rate, cost, cores) == expected


def test_a_review_that_comes_alone_waits_for_nobody() -> None:
    found = simulate(QUIET, 0.001)
    assert (found["p99Milliseconds"], found["longestMilliseconds"], found["tooLate"]) == (1.0, 1.0, 0)


def test_reviews_at_the_same_moment_are_answered_one_after_the_other() -> None:
    found = simulate(replace(QUIET, replicas=1, rate=0, burst=100), 0.001)
    assert (found["longestMilliseconds"], found["seconds"], found["busy"]) == (100.0, 0.1, 1.0)
    assert simulate(replace(QUIET, replicas=1, rate=0, burst=100, cores=0.5), 0.001)["longestMilliseconds"] == 200.0


def test_what_is_not_in_flight_yet_waits_without_a_time_out() -> None:
    at_once = replace(QUIET, replicas=1, rate=0, burst=100)
    assert simulate(at_once, 1 / 32)["tooLate"] == 100 - 64
    few = simulate(replace(at_once, seats=64), 1 / 32)
    assert (few["tooLate"], few["longestMilliseconds"], few["seconds"]) == (0, 2000.0, 3.1)


def test_the_replicas_share_what_comes_by_chance() -> None:
    alone = simulate(replace(QUIET, replicas=1, rate=0, burst=100), 0.001)
    shared = simulate(replace(QUIET, replicas=3, rate=0, burst=100), 0.001)
    assert 100 / 3 <= shared["longestMilliseconds"] < alone["longestMilliseconds"]
    assert len({case.name for case in CASES}) == len(CASES)
