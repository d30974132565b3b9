"""`defaults` of a fleet whose pools differ: what cannot apply to a pool is passed over there."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import A10G, load, pool_text, problems, text

MIG, SHARED = pool_text(name="m"), pool_text(name="s", **A10G)
DISKS = "{blockDeviceMappings: [{deviceName: /dev/xvda, ebs: {volumeSize: 300Gi}}]}"


class TestWhatCannotApply:
    """It is passed over where it cannot apply, and holds where it can."""

    @pytest.mark.parametrize(
        ("default", "other", "field", "here", "there"),
        [
            ("strategy: single", SHARED, "strategy", "single", "mixed"),
            ("partitionedBy: gpu-operator", SHARED, "partitioned_by", "gpu-operator", "boot"),
            (
                "partitionedBy: gpu-operator",
                pool_text(name="b", ami="bottlerocket@1.57.0", strategy="single"),
                "partitioned_by",
                "gpu-operator",
                "boot",
            ),
            (
                "untainted: true, taints: []",
                pool_text(name="t", taints="[{key: k}]"),
                "untainted",
                True,
                False,
            ),
            ("disk: 100Gi", pool_text(name="d", nodeClass=DISKS), "disk", "100Gi", "200Gi"),
            ("nodeRole: a", pool_text(name="r", nodeClass="{instanceProfile: i}"), "node_role", "a", None),
        ],
    )
    def test_beside_a_pool_to_which_it_applies(
        self, default: str, other: str, field: str, here: object, there: object
    ) -> None:
        if "gpu-operator" in default and "bottlerocket" in other:
            default += ", strategy: single"
        fleet = load(MIG, other, extra=f"defaults: {{{default}}}\n")
        assert [getattr(pool.entry, field) for pool in fleet.pools] == [here, there]

    def test_reservations_beside_a_pool_that_uses_none(self) -> None:
        defaults = "defaults: {capacityTypes: [reserved], capacityReservations: [{id: cr-1}]}\n"
        fleet = load(MIG, pool_text(name="o", capacityTypes="[on-demand]"), extra=defaults)
        assert [len(pool.entry.capacity_reservations) for pool in fleet.pools] == [1, 0]

    def test_node_pools_beside_a_pool_that_karpenter_launches(self) -> None:
        existing = pool_text(name="e", nodes="existing")
        fleet = load(MIG, existing, extra="defaults: {nodePools: [mine]}\n")
        assert [pool.entry.node_pools for pool in fleet.pools] == [None, ["mine"]]


@pytest.mark.parametrize(
    ("pool", "field"),
    [
        (pool_text(name="s", strategy="single", **A10G), "strategy"),
        (pool_text(name="s", partitionedBy="gpu-operator", **A10G), "partitionedBy"),
        (pool_text(name="s", capacityReservations="[{id: cr-1}]"), "capacityReservations"),
        (pool_text(name="s", nodePools="[mine]"), "nodePools"),
    ],
)
def test_in_the_pool_itself_it_is_refused(pool: str, field: str) -> None:
    (problem,) = problems(text(MIG, pool))
    assert problem.path == f"pools[1].{field}"


@pytest.mark.parametrize("default", ["strategy: single", "partitionedBy: gpu-operator", "nodePools: [mine]"])
def test_a_default_that_applies_to_no_pool_is_refused(default: str) -> None:
    (problem,) = problems(text(SHARED, extra=f"defaults: {{{default}}}\n"))
    assert problem.path == f"defaults.{default.partition(':')[0]}"


def test_a_default_that_is_wrong_for_one_pool_names_it() -> None:
    """Or its correction would break the others."""
    (problem,) = problems(text(MIG, SHARED, extra="defaults: {limit: {slices: 8}}\n"))
    assert "(pool 'm')" in problem.problem
    assert problem.hint.endswith(", or give the pool its own 'limit'")


def test_a_default_that_is_wrong_for_all_pools_names_none() -> None:
    """It is to be corrected where it stands."""
    two = (MIG, pool_text(name="two"))
    (problem,) = problems(text(*two, extra="defaults: {limit: {slices: 8}}\n"))
    assert problem.path.startswith("defaults.limit")
    assert "(pool" not in problem.problem
    assert "its own 'limit'" not in problem.hint
