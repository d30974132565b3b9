"""No pod is expensive: what a decision may do is bounded, whatever the pod and however many pools."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pytest

from tests.hostile import HOSTILE
from tests.linear import ending
from tests.pods import Pod, container, expression, fleet_of, plan, pod_of, required
from tests.stories import FLEETS, STORIES
from tests.stories import fleet_of as fleet_of_story
from tests.stories import pod_of as pod_of_story
from webhook.admission.pod import convert
from webhook.admission.preview import preview
from webhook.admission.review import MOST_VALUES, answer
from webhook.budget import MOST_STEPS, Budget, OutOfSteps
from webhook.cli import files
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet

LAYOUTS = [
    "{1g.5gb: 7}",
    "{3g.20gb: 1, 2g.10gb: 1, 1g.5gb: 2}",
    "{2g.10gb: 3, 1g.5gb: 1}",
    "{1g.10gb: 4}",
    "{3g.20gb: 2}",
    "{4g.20gb: 1, 3g.20gb: 1}",
    "{1g.5gb+me: 1, 1g.5gb: 6}",
]


@lru_cache
def pools(count: int) -> Fleet:
    """A fleet of *count* pools, in seven layouts."""
    entries = "".join(
        f"- {{name: p{index}, gpu: a100-40gb, partition: {{mig: {LAYOUTS[index % len(LAYOUTS)]}}}, "
        f"instanceTypes: [p4d.24xlarge], capacityTypes: [spot, on-demand], "
        f"labels: {{nvidia.com/gpu: a100, x/kind: k{index % 5}}}}}\n"
        for index in range(count)
    )
    return files.load_fleet(f"apiVersion: gpu-slice/v1\npools:\n{entries}".encode())


FLEET = {"built-in": lambda: fleet_of("built-in"), "20 pools": lambda: pools(20), "500 pools": lambda: pools(500)}


def calls_of(work: Callable[[], Any]) -> int:
    """The calls of functions, Python's and C's, that *work* makes."""
    count = 0

    def count_one(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_one)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


MOST_CALLS = 5 * MOST_STEPS
"""A call takes about 0.05 µs, so this is the same bound as that of the steps, by a measure that nobody pays."""


@pytest.mark.parametrize("fleet", FLEET)
@pytest.mark.parametrize("name", HOSTILE)
def test_an_expensive_pod_is_decided_within_its_steps(name: str, fleet: str) -> None:
    pod, of_fleet, budget = HOSTILE[name], FLEET[fleet](), Budget()

    def decide() -> None:
        with suppress(Denial):
            plan(pod, of_fleet, budget=budget)

    convert(pod)  # decoding is linear, and not counted
    with ending():
        assert calls_of(decide) <= MOST_CALLS
    assert budget.left >= 0


def test_what_ran_out_is_not_called_a_lack_of_nodes() -> None:
    with pytest.raises(OutOfSteps) as denied:
        plan(HOSTILE["16 containers, 32 fractions each"], pools(500))
    assert str(denied.value) == (
        "metadata.annotations[gpu-slice]: deciding this pod takes more than the 20,000 steps that one review may take. "
        "Name fewer containers, alternatives, node affinity expressions or tolerations."
    )


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_pod_that_people_write_takes_few_steps(story: Any) -> None:
    budget = Budget()
    path = FLEETS[fleet_of_story(story)]
    try:
        plan(pod_of_story(story), files.fleet_at(path), budget=budget)
    except OutOfSteps:
        raise
    except Denial:
        pass
    assert MOST_STEPS - budget.left <= 4_000


ORDINARY: dict[str, Pod] = {
    "a profile": pod_of(),
    "a fraction": pod_of("1/7"),
    "three alternatives": pod_of("3g.20gb|2g.10gb|1g.5gb"),
    "memory or a fraction": pod_of("20gb|1/7"),
    "two containers": pod_of("a=2g.10gb|1g.5gb,b=1g.5gb", container("a"), container("b")),
    "a selector": pod_of("1g.5gb", nodeSelector={"x/kind": "k1", "kubernetes.io/arch": "amd64"}),
    "affinity": pod_of(
        "1g.5gb",
        affinity=required(
            {"matchExpressions": [expression("x/kind", "In", "k1", "k2"), expression("zone", "In", "a", "b")]}
        ),
    ),
    "eight containers": pod_of(
        ",".join(f"c{index}=2g.10gb|1g.5gb" for index in range(8)), *(container(f"c{index}") for index in range(8))
    ),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_pod_is_decided_on_hundreds_of_pools(name: str) -> None:
    resolution = plan(ORDINARY[name], pools(500)).resolution
    assert resolution is not None


def test_running_out_while_warning_does_not_refuse_the_pod() -> None:
    pod = HOSTILE["100,000 variables"]
    assert plan(pod, fleet_of("built-in")).warnings[-1].text == (
        "gpu-slice: there are more warnings about this pod than are shown"
    )


class TestReviews:
    """A review that is too large to look at is a denial with its uid: any user can send one."""

    @staticmethod
    def body(value: bytes, **request: str) -> bytes:
        arguments = value * (MOST_VALUES // (value.count(b",") + value.count(b"[") + value.count(b"{")) + 1)
        more = "".join(f'"{key}":"{text}",' for key, text in request.items()).encode()
        return (
            b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",' + more + b'"object":'
            b'{"metadata":{"annotations":{"gpu-slice":"1g.5gb"}},"spec":{"containers":[{"name":"a","args":['
            + arguments.rstrip(b",")
            + b"]}]}}}}"
        )

    @pytest.mark.parametrize("value", [b'"",', b"{},", b"[],", b'{"a":1},', b"[[[[]]]],", b'{"a":{"a":{"a":1}}},'])
    def test_it_is_denied(self, value: bytes) -> None:
        answered = answer(self.body(value), self.nobody)
        assert answered.denial is not None
        assert answered.denial.reason == "too-large"
        assert b'"uid":"u","allowed":false' in answered.body

    def test_a_preview_says_the_same(self) -> None:
        pod = pod_of("1g.5gb", container(args=["a"] * (MOST_VALUES + 1)))
        (previewed,) = preview(pod, fleet_of("built-in"))
        assert previewed.denial is not None
        assert previewed.denial.reason == "too-large"

    def test_an_update_is_none_of_our_business(self) -> None:
        assert answer(self.body(b'"",', operation="UPDATE"), self.nobody).outcome == "untouched"

    @staticmethod
    def nobody(*_: object) -> Any:
        raise AssertionError("its pod was looked at")
