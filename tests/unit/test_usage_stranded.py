"""Which free slices `usage` calls stranded because of pods that wait for others."""

from __future__ import annotations

import click
import pytest

from tests.stories import FLEETS
from tests.unit.test_usage import FLEET, NOW, looked, node, pod
from webhook.cli import usage_data, usage_table
from webhook.cli.files import fleet_at
from webhook.cluster.accounting import usage
from webhook.cluster.namespaces import by_namespace
from webhook.cluster.objects import NODES, PODS, Kind
from webhook.cluster.snapshot import Listing, Snapshot

WHOLE = {"nvidia.com/gpu": 8}


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([node("n", "turns")], id="shares that are renamed"),
        pytest.param(
            [node("n", slices={"nvidia.com/gpu": 3}, labels={
                "gpu-slice/pool": "standing", "node.kubernetes.io/instance-type": "g6.xlarge"})],
            id="shares that are called GPUs",
        ),
        pytest.param([node("n", "mixed"), node("w", slices=WHOLE)], id="slices, beside whole GPUs"),
    ],
)  # fmt: skip
def test_pods_that_wait_for_whole_gpus_strand_no_slices_of_a_pool(nodes: list[object]) -> None:
    waiting = [pod(f"p{index}", slices=WHOLE) for index in range(3)]
    assert looked(nodes, waiting).stranded == ()


def test_pods_that_wait_for_slices_of_nodes_in_no_pool_strand_others() -> None:
    nodes = [node("n", "turns"), node("other", slices={"nvidia.com/mig-7g.40gb": 1})]
    found = looked(nodes, [pod(f"p{index}", slices={"nvidia.com/mig-7g.40gb": 1}) for index in range(2)])
    assert [(lost.pool, lost.slice, lost.why) for lost in found.stranded] == [
        ("turns", "shared", "nobody waits for it, and pods wait for 7g.40gb")
    ]


@pytest.mark.parametrize("hidden", [NODES, PODS], ids=lambda kind: kind.plural)
def test_where_not_all_can_be_seen_nothing_is_called_stranded(hidden: Kind[object]) -> None:
    listings = {NODES: Listing((node("n", "turns", spec={"unschedulable": True}),)), PODS: Listing()}
    seen = usage(Snapshot(NOW, listings=listings), FLEET, {})
    assert [lost.why for lost in seen.stranded] == ["the node is cordoned"]
    listings[hidden] = Listing(listings[hidden].items, "you may not list them")
    assert usage(Snapshot(NOW, listings=listings), FLEET, {}).stranded == ()


def test_a_namespace_of_which_nothing_waits_waits_for_nothing() -> None:
    found = by_namespace(looked([node("n", "small")], [pod("a", "n", "busy"), pod("b", namespace="idle")]))
    assert [(use.name, use.waiting) for use in found] == [("busy", 0), ("idle", 1)]


def test_what_a_retired_pool_still_has_is_marked() -> None:
    fleet = fleet_at(FLEETS["retired"])
    labels = [{"gpu-slice/pool": pool, "node.kubernetes.io/instance-type": "p4d.24xlarge"} for pool in ("old", "new")]
    nodes = [
        node(f"n{number}", slices={"nvidia.com/mig-1g.5gb": 56}, labels=each) for number, each in enumerate(labels)
    ]
    found = looked(nodes, [], fleet)
    names = [click.unstyle(text).split()[:2] for text in usage_table.pools(found, "pool", None, draw=False)]
    assert ["old", "(retired)"] in names
    assert ["new", "0"] in names
    assert {pool["name"]: pool["retired"] for pool in usage_data.document(found, None)["pools"]}["old"]


def test_a_pod_that_is_being_deleted_waits_for_nothing_and_one_that_runs_holds_its_slice_until_it_has_ended() -> None:
    leaving = {"deletionTimestamp": NOW.isoformat()}
    found = looked(
        [node("n", "small")], [pod("waits"), pod("gone", metadata=leaving), pod("leaves", "n", metadata=leaving)]
    )
    assert [held.pod for queue in found.waiting for held in queue.pods] == ["waits"]
    assert found.used.slices == 1
