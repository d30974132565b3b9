"""A real scheduler binds what the webhook writes: to nodes that have the slice, and to no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Document
from tests.cluster.conftest import Ours
from tests.cluster.nodes import node, nodes
from tests.pods import container
from tests.stories import FLEETS
from tests.waiting import wait_for
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU

FLEET = files.fleet_at(None)
SINGLE = files.fleet_at(FLEETS["single"])
SMALL = "nvidia.com/mig-1g.5gb"


def pod_of(asked: str | None, name: str = "main", limits: Any = None, pool: str | None = None, **spec: Any) -> Document:
    """A pod that asks for a slice, or for *limits* by hand; *pool* selects its nodes."""
    spec = {"containers": [container(limits=limits, image="example/main:1")], **spec}
    spec |= {"nodeSelector": {POOL_LABEL: pool}} if pool else {}
    metadata = {"name": name} if asked is None else {"name": name, "annotations": {"gpu-slice": asked}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def slices(fleet: Fleet) -> list[Any]:
    """A pod for each kind of slice of each pool, which names the pool only where the GPU does not single it out."""
    found = []
    for pool, offer in fleet.offers:
        several = sum(other.gpu is pool.gpu and str(each) == str(offer) for other, each in fleet.offers) > 1
        pod = pod_of(f"{offer}@{pool.gpu.name}", pool=pool.name if several else None)
        found.append(pytest.param(pod, offer.resource, pool.name, id=f"{offer} of {pool.name}"))
    return found


@pytest.fixture(name="cordon")
def _cordon(cluster: Cluster) -> Iterator[Any]:
    """Let a node take no new pods until the test ends."""
    cordoned: set[str] = set()

    def cordon(name: str) -> None:
        cluster.patch("Node", name, {"spec": {"unschedulable": True}})
        cordoned.add(name)

    yield cordon
    for name in cordoned:
        uncordon(cluster, name)


def uncordon(cluster: Cluster, name: str) -> None:
    cluster.patch("Node", name, {"spec": {"unschedulable": None}})


@pytest.fixture(name="fill")
def _fill(cluster: Cluster, namespace: str, ours: Ours):
    """Have one pod take a number of slices of a pool."""

    def fill(asked: str, pool: str) -> str:
        name = f"all-of-{pool}"
        cluster.create(pod_of(asked, name, pool=pool), namespace)
        assert cluster.scheduled(name, namespace) == f"{pool}-1"
        return name

    return fill


@pytest.fixture(name="only_on")
def _only_on(cluster: Cluster, namespace: str, ours: Ours, cordon: Any) -> Any:
    """Have a pod be bound, and another one like it wait while the node that is expected takes none."""

    def only_on(pod: Document, name: str) -> Document:
        cordon(name)
        waits = pod | {"metadata": pod["metadata"] | {"name": "waits"}}
        assert "1 node(s) were unschedulable" in cluster.turned_away(waits, namespace)
        uncordon(cluster, name)
        made = cluster.create(pod, namespace)
        assert cluster.scheduled("main", namespace) == name
        return made["spec"]["containers"][0]["resources"]["limits"]

    return only_on


@pytest.mark.parametrize(("pod", "resource", "pool"), slices(FLEET))
def test_a_pod_is_bound_to_a_node_of_the_pool_that_serves_it_and_to_no_other(pod, resource, pool, only_on) -> None:
    assert only_on(pod, f"{pool}-1") == {resource: "1"}


def test_a_node_takes_as_many_pods_as_it_has_slices_and_the_next_waits_for_one_to_go(cluster, namespace, ours) -> None:
    names = [f"pod-{number}" for number in range(1, 57)]
    for name in names:
        cluster.create(pod_of("1g.5gb", name, pool="a100-1g-5gb"), namespace)

    def bound() -> list[str]:
        where = [each["spec"].get("nodeName") for each in cluster.list("Pod", namespace)]
        return [] if None in where else where

    assert wait_for("all of them are bound", bound) == ["a100-1g-5gb-1"] * 56

    cluster.create(pod_of("1g.5gb", "pod-57", pool="a100-1g-5gb"), namespace)
    assert f"1 Insufficient {SMALL}" in cluster.unschedulable("pod-57", namespace)

    cluster.delete("Pod", names[20], namespace)
    assert cluster.scheduled("pod-57", namespace) == "a100-1g-5gb-1"


TAINTED = f"{len(FLEET.pools)} node(s) had untolerated taint(s)"
OTHER_NODE = "1 node(s) didn't match Pod's node affinity/selector"


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        pytest.param(
            pod_of(None, nodeSelector={WHOLE_GPU: "a100"}), (TAINTED, OTHER_NODE), id="it selects GPU nodes by hand"
        ),
        pytest.param(
            pod_of(None, limits={SMALL: "1"}),
            (TAINTED, f"1 Insufficient {SMALL}"),
            id="a slice by hand, for which the API server tolerates the slice's own name",
        ),
        pytest.param(pod_of(None, limits={WHOLE_GPU: "1"}), (TAINTED, f"1 Insufficient {WHOLE_GPU}"), id="a whole GPU"),
    ],
)
def test_a_pod_that_does_not_tolerate_the_taint_waits(pod, reason, cluster, namespace, ours) -> None:
    cluster.create(pod, namespace)

    said = cluster.unschedulable("main", namespace)

    assert all(each in said for each in reason)


def test_a_pod_without_a_request_runs_on_the_node_without_gpus(cluster, namespace, ours) -> None:
    cluster.create(pod_of(None), namespace)

    assert cluster.scheduled("main", namespace) == "cpu-1"


def test_a_pod_without_a_request_waits_rather_than_run_on_a_gpu_node(cluster, namespace, ours, cordon) -> None:
    cordon("cpu-1")

    said = cluster.turned_away(pod_of(None), namespace)
    assert TAINTED in said
    assert "1 node(s) were unschedulable" in said


@pytest.mark.parametrize(
    ("full", "asked", "left"),
    [
        pytest.param("a100-1g-5gb", "56x1g.5gb", "a100-mixed", id="the pool of one slice is full"),
        pytest.param("a100-mixed", "16x1g.5gb", "a100-1g-5gb", id="the pool of several is full"),
    ],
)
def test_of_pools_that_serve_a_slice_one_with_room_gets_the_pod(full, asked, left, cluster, namespace, fill) -> None:
    fill(asked, full)

    for name in ("one", "two", "three"):
        cluster.create(pod_of("1g.5gb", name), namespace)

    assert {cluster.scheduled(name, namespace) for name in ("one", "two", "three")} == {f"{left}-1"}


def test_where_every_pool_that_serves_a_slice_is_full_the_pod_waits(cluster, namespace, fill) -> None:
    fill("56x1g.5gb", "a100-1g-5gb")
    other = fill("16x1g.5gb", "a100-mixed")

    cluster.create(pod_of("1g.5gb"), namespace)

    assert f"2 Insufficient {SMALL}" in cluster.unschedulable("main", namespace)
    cluster.delete("Pod", other, namespace)
    assert cluster.scheduled("main", namespace) == "a100-mixed-1"


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        pytest.param("1g.10gb@h100|2g.10gb", "h100-1g-10gb-1", id="the first"),
        pytest.param("2g.10gb|1g.10gb@h100", "a100-mixed-1", id="the first, the other way round"),
        pytest.param("7g.40gb|1g.10gb@a30|2g.20gb", "a100-80gb-1", id="the third, as this fleet has none before it"),
        pytest.param("1g.10gb@t4|shared", "a10g-shared-1", id="a share, as the first is nowhere"),
    ],
)
def test_of_alternatives_the_first_that_the_fleet_offers_is_taken(asked, where, cluster, namespace, ours) -> None:
    cluster.create(pod_of(asked), namespace)

    assert cluster.scheduled("main", namespace) == where


def test_an_alternative_is_no_way_out_of_a_full_pool(cluster, namespace, fill) -> None:
    """The choice is made by what the fleet offers, before anybody looks for room."""
    fill("56x1g.10gb", "h100-1g-10gb")

    cluster.create(pod_of("1g.10gb@h100|2g.10gb"), namespace)

    assert "1 Insufficient nvidia.com/mig-1g.10gb" in cluster.unschedulable("main", namespace)


def test_a_pod_waits_for_a_cordoned_node(cluster, namespace, ours, cordon) -> None:
    cordon("a100-80gb-1")

    assert "1 node(s) were unschedulable" in cluster.turned_away(pod_of("2g.20gb"), namespace)
    uncordon(cluster, "a100-80gb-1")
    assert cluster.scheduled("main", namespace) == "a100-80gb-1"


def test_a_pod_waits_for_a_node_that_is_not_there_yet(cluster, namespace, ours) -> None:
    (there,) = [each for each in nodes(FLEET) if each["metadata"]["name"] == "h200-large-1"]
    cluster.delete("Node", "h200-large-1")
    try:
        said = cluster.turned_away(pod_of("4g.71gb"), namespace)
        assert "available: 6 node(s) didn't match Pod's node affinity/selector" in said
    finally:
        cluster.add_node(there)
    assert cluster.scheduled("main", namespace) == "h200-large-1"


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        pytest.param("1g.10gb", {"a100-80gb-1", "h100-1g-10gb-1"}, id="pools of two families, with no label in common"),
        pytest.param("3g.20gb", {"a100-mixed-1"}, id="a pool whose label other pools have"),
    ],
)
def test_pods_that_must_be_spread_are_spread_over_the_nodes_that_have_the_slice(
    asked, where, cluster, namespace, ours
) -> None:
    spread = {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}},
    }
    names = ["one", "two", "three", "four"]
    for name in names:
        pod = pod_of(asked, name, topologySpreadConstraints=[spread])
        pod["metadata"]["labels"] = {"app": "spread"}
        cluster.create(pod, namespace)

    nodes = [cluster.scheduled(name, namespace) for name in names]

    assert {node: nodes.count(node) for node in nodes} == dict.fromkeys(where, len(names) // len(where))


@pytest.fixture(name="single")
def _single(cluster: Cluster, ours: Ours) -> Iterator[None]:
    """The webhook serves ``tests/fleets/single.yaml``; a node of each of its pools is there, and one of whole GPUs."""
    made = [node(each, each.shapes[0], f"{each.name}-1") for each in SINGLE.pools]
    whole = node(SINGLE.pools[0], SINGLE.pools[0].shapes[0], "whole-1")
    # Nothing but the pool tells it from the others: it has the same resource and label, and no taint.
    del whole["metadata"]["labels"][POOL_LABEL]
    whole["spec"]["taints"] = []
    whole["status"]["allocatable"][WHOLE_GPU] = "8"
    for each in [*made, whole]:
        cluster.add_node(each)
    ours.serve("single")
    yield
    ours.serve()
    for each in [*made, whole]:
        cluster.delete("Node", each["metadata"]["name"])


@pytest.mark.parametrize(("pod", "resource", "pool"), slices(SINGLE))
def test_a_slice_that_is_called_a_whole_gpu_comes_from_its_own_pool(pod, resource, pool, single, only_on) -> None:
    assert only_on(pod, f"{pool}-1") == {resource: "1"} == {WHOLE_GPU: "1"}


def test_a_slice_that_is_called_a_whole_gpu_waits_rather_than_take_one(cluster, namespace, single) -> None:
    cluster.create(pod_of("56x1g.5gb", "all"), namespace)
    assert cluster.scheduled("all", namespace) == "small-1"

    cluster.create(pod_of("1g.5gb"), namespace)
    cluster.create(pod_of(None, "whole", limits={WHOLE_GPU: "1"}), namespace)

    said = cluster.unschedulable("main", namespace)
    assert f"1 Insufficient {WHOLE_GPU}" in said
    assert cluster.scheduled("whole", namespace) == "whole-1"  # there was room for it
