"""How many slices a namespace may have: counts of the fleet file, as the ResourceQuotas that enforce them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.pods import fleet_of
from tests.rendering import documents_of
from tests.unit.check_facts import done, told
from tests.unit.test_check_quotas import names, quota
from webhook.cluster.check import Facts, Status
from webhook.cluster.objects import NAMESPACES, QUOTAS
from webhook.cluster.snapshot import Listing, Snapshot
from webhook.errors import BadFleet

POOLS = """\
pools:
- {name: small, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
- {name: large, gpu: a100-40gb, partition: {mig: {3g.20gb: 1, 2g.10gb: 2}}, instanceTypes: [p4d.24xlarge]}
- {name: double, gpu: a100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p4de.24xlarge]}
- {name: hopper, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.48xlarge]}
- {name: turns, gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]}
"""
SINGLE = """\
pools:
- {name: one, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, strategy: single, instanceTypes: [p4d.24xlarge]}
- {name: two, gpu: a100-40gb, partition: {mig: {2g.10gb: 3}}, strategy: single, instanceTypes: [p4d.24xlarge]}
- {name: mixed, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
"""


def hard(pools: str, namespace: str) -> dict[str, str]:
    """What the quota of namespace `team` says, by resource."""
    found = documents_of(fleet_of(f"{pools}namespaces: {{team: {namespace}}}\n"), "quota")
    return {
        key.removeprefix("requests.nvidia.com/"): count for each in found for key, count in each["spec"]["hard"].items()
    }


@pytest.mark.parametrize(
    ("pools", "namespace", "expected"),
    [
        pytest.param(POOLS, "{quota: {1g.5gb: 10}}", {"mig-1g.5gb": "10"}, id="what is not named is not counted"),
        pytest.param(
            POOLS,
            "{slices: [1g.5gb, 2g.10gb], quota: {1g.5gb: 10, 2g.10gb: 4}}",
            {"mig-1g.5gb": "10", "mig-2g.10gb": "4", "mig-3g.20gb": "0", "mig-1g.10gb": "0", "gpu.shared": "0"},
            id="beside the zeros",
        ),
        pytest.param(POOLS, "{quota: {1g.10gb: 3}}", {"mig-1g.10gb": "3"}, id="one resource of two GPUs"),
        pytest.param(POOLS, "{quota: {shared: 2}}", {"gpu.shared": "2"}, id="shares"),
        pytest.param(SINGLE, "{pools: [one], quota: {1g.5gb: 5}}", {"gpu": "5", "mig-1g.5gb": "0"}, id="single"),
        pytest.param(
            SINGLE.replace("strategy: single", "retired: true"),
            "{quota: {2g.10gb: 5}}",
            {"mig-2g.10gb": "5"},
            id="a retired pool's slices are counted to the end",
        ),
        pytest.param(POOLS, "{}", {}, id="none"),
    ],
)
def test_a_count_of_the_fleet_file_is_that_of_the_quota(pools: str, namespace: str, expected: dict[str, str]) -> None:
    assert hard(pools, namespace) == expected


@pytest.mark.parametrize(
    ("pools", "namespace", "problem"),
    [
        pytest.param(
            POOLS,
            "{quota: {7g.40gb: 1}}",
            "namespaces.team.quota[7g.40gb]: '7g.40gb' is not a slice that this namespace may use. "
            "Write one of 1g.5gb, 3g.20gb, 2g.10gb, 1g.10gb, shared; of others it gets none.",
            id="nobody offers it",
        ),
        pytest.param(
            POOLS,
            "{slices: [1g.5gb], quota: {2g.10gb: 1}}",
            "namespaces.team.quota[2g.10gb]: '2g.10gb' is not a slice that this namespace may use. "
            "Write one of 1g.5gb; of others it gets none.",
            id="it may not use it",
        ),
        pytest.param(
            POOLS,
            "{quota: {1/7: 1}}",
            "namespaces.team.quota[1/7]: '1/7' is not a slice that this namespace may use. "
            "Write one of 1g.5gb, 3g.20gb, 2g.10gb, 1g.10gb, shared; of others it gets none.",
            id="it is no slice",
        ),
        pytest.param(
            SINGLE,
            "{quota: {1g.5gb: 1}}",
            "namespaces.team.quota[1g.5gb]: '1g.5gb' is nvidia.com/gpu and nvidia.com/mig-1g.5gb, depending on the "
            "pool, and a quota counts each by itself. Name the pools of one of them in the namespace's 'pools'.",
            id="two resources",
        ),
        pytest.param(
            SINGLE,
            "{pools: [one, two], quota: {1g.5gb: 1, 2g.10gb: 2}}",
            "namespaces.team.quota[2g.10gb]: '2g.10gb' and '1g.5gb' are both nvidia.com/gpu, which a quota counts "
            "together. Give one count for both.",
            id="one resource twice",
        ),
    ],
)
def test_a_count_that_no_quota_can_say_is_refused(pools: str, namespace: str, problem: str) -> None:
    with pytest.raises(BadFleet) as bad:
        fleet_of(f"{pools}namespaces: {{team: {namespace}}}\n")
    assert [str(each) for each in bad.value.problems] == [problem]


@pytest.mark.parametrize("count", [0, -1, '"4"', 1.5])
def test_a_count_is_a_whole_number_of_at_least_one(count: Any) -> None:
    with pytest.raises(BadFleet) as bad:
        fleet_of(f"{POOLS}namespaces: {{team: {{quota: {{1g.5gb: {count}}}}}}}\n")
    assert [each.path for each in bad.value.problems] == ["namespaces.team.quota[1g.5gb]"]


def test_no_quota_is_for_all_other_namespaces() -> None:
    with pytest.raises(BadFleet) as bad:
        fleet_of(f'{POOLS}namespaces: {{"*": {{quota: {{1g.5gb: 1}}}}}}\n')
    assert "'*' is none" in str(bad.value)


@pytest.mark.parametrize(
    ("most", "reason"),
    [
        pytest.param({"mig-1g.5gb": "10"}, "", id="as the fleet says"),
        pytest.param({"mig-1g.5gb": "3"}, "", id="a smaller one"),
        pytest.param({"mig-1g.5gb": "1k"}, "nothing keeps team to 10 nvidia.com/mig-1g.5gb", id="a larger one"),
        pytest.param({"mig-2g.10gb": "1"}, "nothing keeps team to 10 nvidia.com/mig-1g.5gb", id="of another slice"),
    ],
)
def test_check_holds_the_quotas_of_the_cluster_against_the_counts(most: dict[str, str], reason: str) -> None:
    fleet = fleet_of(f"{POOLS}namespaces: {{team: {{quota: {{1g.5gb: 10}}}}}}\n")
    listings: dict[Any, Listing[Any]] = {
        QUOTAS: Listing((quota("team", **most),)), NAMESPACES: Listing(tuple(names("team")))
    }  # fmt: skip
    snapshot = Snapshot(datetime(2026, 11, 25, tzinfo=UTC), listings=listings)
    line = done("quotas", Facts(snapshot, fleet, tuple(documents_of(fleet, "quota"))))
    assert line.status is (Status.WARNING if reason else Status.GOOD)
    assert told(line) == (f"{reason}, as the fleet says" if reason else "")
