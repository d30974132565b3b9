"""Fleets of 500 pools and 2,000 namespaces: they load in proportion to their size, and ordinary pods are decided."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache
from threading import Event

import pytest

from bench.fleets import FREE, OWN, SLICED, fleet_file, name_of
from tests.hostile import HOSTILE
from tests.pods import Pod, container, expression, plan, pod_of, required
from tests.unit.test_bounds import MOST_CALLS, calls_of
from webhook.admission.pod import convert
from webhook.budget import MOST_STEPS, Budget
from webhook.cli import files
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet
from webhook.server.run import look_again

NAMESPACES = (FREE, OWN, SLICED)


@lru_cache
def large() -> Fleet:
    return files.load_fleet(fleet_file(500, 2_000).encode())


@pytest.mark.parametrize(
    ("pools", "namespaces"),
    [pytest.param(2, 1, id="pools"), pytest.param(1, 2, id="namespaces"), pytest.param(2, 2, id="both")],
)
def test_a_fleet_twice_as_large_takes_at_most_about_twice_the_work_to_load(pools: int, namespaces: int) -> None:
    files.catalogue()

    def work(times: int, more: int) -> int:
        text = fleet_file(100 * times, 400 * more).encode()
        return calls_of(lambda: files.load_fleet(text))

    assert work(pools, namespaces) <= 2.2 * work(1, 1)


ORDINARY: dict[str, Pod] = {
    "a profile": pod_of("1g.5gb"),
    "two of them": pod_of("2x1g.5gb"),
    "a fraction": pod_of("1/7"),
    "memory": pod_of("10Gi"),
    "three alternatives": pod_of("3g.40gb | 2g.20gb | 1g.10gb"),
    "four alternatives of all kinds": pod_of("4x7g.80gb@a100 | 1/2 | 20Gi | 1g.5gb"),
    "two containers": pod_of("a=2g.20gb, b=2g.20gb", container("a"), container("b")),
    "two containers with fractions": pod_of("a=1/7, b=1/4", container("a"), container("b")),
    "three containers with alternatives": pod_of(
        "a=2g.20gb, b=2g.20gb|1g.10gb, c=2g.20gb|1g.10gb", *map(container, "abc")
    ),
    "a selector": pod_of("1/7", nodeSelector={"team": "team-04"}),
    "affinity": pod_of(
        "1/7", affinity=required({"matchExpressions": [expression("team", "In", "team-03", "team-04")]})
    ),
}


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_pod_is_decided_whatever_its_namespace_may_use(name: str, namespace: str) -> None:
    budget = Budget()
    assert plan(ORDINARY[name], large(), namespace, budget=budget).resolution is not None
    assert MOST_STEPS - budget.left < 0.75 * MOST_STEPS


@pytest.mark.parametrize("namespace", [OWN, SLICED])
@pytest.mark.parametrize("name", HOSTILE)
def test_an_expensive_pod_is_decided_within_its_steps_in_a_namespace_with_limits(name: str, namespace: str) -> None:
    pod, fleet, budget = HOSTILE[name], large(), Budget()

    def decide() -> None:
        with suppress(Denial):
            plan(pod, fleet, namespace, budget=budget)

    convert(pod)
    assert calls_of(decide) <= MOST_CALLS


def test_a_namespace_gets_the_slices_of_its_pools_alone() -> None:
    resolution = plan(pod_of("1g.5gb"), large(), OWN).resolution
    assert resolution is not None
    assert [pool.name for pool in resolution.pools] == ["team-04-a100-40gb-0"]
    with pytest.raises(Denial, match=f"namespace '{OWN}' may not use '3g[.]71gb'"):
        plan(pod_of("3g.71gb"), large(), OWN)


def test_a_policy_by_slices_is_about_all_pools_that_have_them() -> None:
    resolution = plan(pod_of("3g.71gb"), large(), SLICED).resolution
    assert resolution is not None
    assert [pool.name for pool in resolution.pools] == [name_of(index) for index in range(7, 500, 10)]
    with pytest.raises(Denial, match=f"namespace '{SLICED}' may not use '3g[.]20gb'"):
        plan(pod_of("3g.20gb"), large(), SLICED)


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param(
            pod_of("1g.10gb", nodeSelector={"team": "team-07"}),
            "'2g.20gb' (pool team-03-h100-80gb-5, h100-80gb, 19.62Gi) is as large, but the pod's count, node selection "
            "or other containers exclude it.",
            id="one is as large, and the pod excludes it",
        ),
        pytest.param(pod_of("3g.40gb"), "It may use nothing as large, only ", id="none is as large"),
    ],
)
def test_what_a_namespace_may_use_is_called_too_small_only_if_it_is(pod: Pod, said: str) -> None:
    with pytest.raises(Denial) as denied:
        plan(pod, large(), OWN)
    assert said in str(denied.value)


def test_reviews_are_answered_while_a_fleet_is_read() -> None:
    """A large one takes half a second, and an API server waits for two."""
    answered, seen = Event(), []

    async def serve() -> None:
        looking = asyncio.create_task(look_again([lambda: seen.append(answered.wait(20))], 0))
        await asyncio.sleep(0.01)
        answered.set()
        while not seen:
            await asyncio.sleep(0.01)
        looking.cancel()

    asyncio.run(serve())
    assert seen[0]
