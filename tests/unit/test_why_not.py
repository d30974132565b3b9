"""Why each pool serves a pod, or does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.pods import CORNERS, LIMITED, MIXED, cases, container, fleet_of, pod_of
from webhook.admission.plan import plan
from webhook.admission.pod import convert
from webhook.admission.review import annotated
from webhook.admission.why_not import reasons
from webhook.errors import Denial


def why(text: str, pod: dict[str, Any], namespace: str = "default") -> dict[str, str | None]:
    return {pool.name: reason for pool, reason in reasons(convert(pod), fleet_of(text), namespace)}


def test_a_pool_that_serves_the_pod_has_no_reason_and_the_others_say_what_they_have() -> None:
    assert why(MIXED, pod_of("3g.20gb")) == {
        "small": "it has '1g.5gb', and 'main' asks for '3g.20gb'",
        "several": None,
        "media": "it has '3g.40gb', '1g.10gb+me' and '1g.10gb', and 'main' asks for '3g.20gb'",
        "double": "it has '1g.10gb', and 'main' asks for '3g.20gb'",
        "shares": "it has 'shared', and 'main' asks for '3g.20gb'",
    }


@pytest.mark.parametrize(
    ("text", "pod", "pool", "expected"),
    [
        pytest.param(MIXED, pod_of("1/7@h100"), "small", "its GPU is a100-40gb, not h100", id="another GPU"),
        pytest.param(
            LIMITED, pod_of("3g.20gb"), "several", "namespace 'default' may not use it", id="of the namespace"
        ),
        pytest.param(
            CORNERS,
            pod_of("1g.23gb"),
            "arm",
            "pool arm, which has '1g.23gb', is arm64, and the pod names no architecture",
            id="another architecture",
        ),
        pytest.param(
            MIXED,
            pod_of("1g.5gb", nodeSelector={"nvidia.com/gpu": "h100"}),
            "small",
            "'h100' matches no node that serves '1g.5gb' (pool small), where the label is 'a100'",
            id="excluded by the pod",
        ),
        pytest.param(
            MIXED,
            pod_of("20x1g.5gb"),
            "several",
            "the pod asks for 20 of 'nvidia.com/mig-1g.5gb', and the largest node has 16",
            id="it is too small, and another is not",
        ),
        pytest.param(
            MIXED,
            pod_of("57x1g.5gb"),
            "several",
            "the pod asks for 57 of 'nvidia.com/mig-1g.5gb', and the largest node has 16",
            id="too many",
        ),
        pytest.param(
            MIXED,
            pod_of("1/7"),
            "several",
            None,
            id="it serves the same",
        ),
        pytest.param(
            MIXED,
            pod_of("1/7"),
            "double",
            "it would give '1 nvidia.com/mig-1g.10gb', and '1 nvidia.com/mig-1g.5gb' comes first",
            id="it would give more",
        ),
        pytest.param(
            MIXED,
            pod_of("main=1g.5gb", container(), container("side", {"nvidia.com/mig-2g.10gb": 1})),
            "small",
            "'side' asks for 'nvidia.com/mig-2g.10gb', which it does not have",
            id="another container asks for what it lacks",
        ),
    ],
)
def test_the_reason_is_the_first_that_excludes_the_pool(
    text: str, pod: dict[str, Any], pool: str, expected: str | None
) -> None:
    assert why(text, pod)[pool] == expected


@pytest.mark.parametrize("asked", ["1g5gb", "", 5, "nobody=1g.5gb"])
def test_where_nothing_can_be_read_no_pool_is_looked_at(asked: Any) -> None:
    assert why(MIXED, pod_of(asked)) == {}


@given(cases())
def test_the_pools_without_a_reason_are_those_of_the_plan(case: tuple[dict[str, Any], str]) -> None:
    document, name = case
    if not annotated(document):
        return
    fleet, pod = fleet_of(name), convert(document)
    found = reasons(pod, fleet, "default")
    serving = [pool for pool, reason in found if reason is None]
    try:
        resolution = plan(pod, fleet, "default").resolution
    except Denial:
        return
    assert found
    assert resolution is not None
    assert serving == list(resolution.pools)
    assert all(reason for pool, reason in found if pool not in resolution.pools)
