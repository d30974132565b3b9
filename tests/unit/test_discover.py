"""A fleet file for what stands in a cluster: from nodes that are written down, and from those of made-up fleets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.nodes import node as standing_node
from tests.rendering import documents_of
from webhook.cli import files
from webhook.cluster.discover import Discovered, discover
from webhook.cluster.objects import CLUSTER_POLICIES, NODE_CLASSES, NODE_POOLS, NODES, Document, Node
from webhook.cluster.snapshot import Listing, Snapshot
from webhook.errors import BadFleet
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.slices.catalogue import Catalogue

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
P4D = {"node.kubernetes.io/instance-type": "p4d.24xlarge"}
G5 = {"node.kubernetes.io/instance-type": "g5.xlarge"}
GROUP = {"eks.amazonaws.com/nodegroup": "gpus"}
TAINT = {"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"}


def node(
    name: str, labels: dict[str, str], offered: dict[str, int], taints: Iterable[dict[str, str]] = (TAINT,)
) -> Node:
    """A node with GPUs."""
    amounts = {resource: str(count) for resource, count in offered.items()}
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": list(taints)},
            "status": {"capacity": amounts, "allocatable": amounts},
        },
        Node,
    )


def found(
    nodes: Iterable[Node], catalogue: Catalogue | None = None, cluster: str = "", **others: list[Document]
) -> Discovered:
    """What is discovered."""
    listings = {
        NODES: Listing(tuple(nodes)),
        NODE_POOLS: Listing(tuple(others.get("pools", ()))),
        NODE_CLASSES: Listing(tuple(others.get("classes", ()))),
        CLUSTER_POLICIES: Listing(tuple(others.get("policies", ()))),
    }
    return discover(Snapshot(NOW, listings=listings), catalogue or files.catalogue(), cluster)


def pools(nodes: Iterable[Node], **others: list[Document]) -> dict[str, dict[str, Any]]:
    """The pools of what is discovered, by name; the file has been read as `gpu-slice fleet check` reads it."""
    made = found(nodes, **others)
    files.load_fleet(str(made).encode())
    return {pool["name"]: pool for pool in made.fleet["pools"]}


def feature_discovery(pool: Pool) -> dict[str, str]:
    """What GPU feature discovery says of a node of *pool*."""
    sharing = pool.entry.partition.sharing
    product = f"NVIDIA-{pool.gpu.product.replace(' ', '-')}"
    if sharing is None:
        single = pool.entry.strategy == "single"
        return {"nvidia.com/gpu.product": product + (f"-MIG-{pool.offers[0]}" if single else "")}
    way = "mps" if pool.entry.partition.mps else "time-slicing"
    return {
        "nvidia.com/gpu.product": product + ("" if sharing.renamed else "-SHARED"),
        "nvidia.com/gpu.replicas": str(sharing.replicas),
        "nvidia.com/gpu.sharing-strategy": way,
    }


def standing(fleet: Fleet) -> list[Node]:
    """A node of each kind that each pool may have."""
    made = []
    for pool in fleet.pools:
        for index, shape in enumerate(pool.shapes):
            document = standing_node(pool, shape, f"{pool.name}-{index}")
            document["metadata"]["labels"] |= feature_discovery(pool)
            made.append(msgspec.convert(document, Node))
    return made


PARTITIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a100-40gb", {"mig": {"1g.5gb": 7}}, ["p4d.24xlarge"]),
    ("a100-40gb", {"mig": {"3g.20gb": 1, "2g.10gb": 1, "1g.5gb": 2}}, ["p4d.24xlarge"]),
    ("a100-80gb", {"mig": {"3g.40gb": 1, "1g.10gb+me": 1, "1g.10gb": 2}}, ["p4de.24xlarge"]),
    ("h100-80gb", {"mig": {"1g.10gb": 7}}, ["p5.4xlarge", "p5.48xlarge"]),
    ("h100-80gb", {"mig": {"2g.20gb": 3}}, ["p5.48xlarge"]),
    ("gb200", {"mig": {"1g.23gb": 7}}, ["p6e-gb200.36xlarge"]),
    ("a10g", {"timeSlicing": {"replicas": 4}}, ["g5.xlarge", "g5.12xlarge"]),
    ("a10g", {"timeSlicing": {"replicas": 3, "renamed": False}}, ["g5.2xlarge"]),
    ("l4", {"mps": {"replicas": 5}}, ["g6.xlarge"]),
    ("t4g", {"timeSlicing": {"replicas": 2}}, ["g5g.xlarge"]),
]

more = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.just("single"),
        "nodes": st.just("existing"),
        "taints": st.sampled_from([[{"key": "dedicated", "value": "ml", "effect": "NoExecute"}, TAINT], []]),
        "untainted": st.just(True),
        "labels": st.sampled_from([{"nvidia.com/gpu": "mine"}, {"team": "ml"}, {}]),
        "nodeLabels": st.just({"team": "vision"}),
        "zones": st.just(["us-east-1a", "us-east-1b"]),
        "capacityTypes": st.just(["spot", "on-demand"]),
        "weight": st.integers(1, 100),
        "limit": st.sampled_from([{"nodes": 3}, {"slices": 560}]),
        "expireAfter": st.sampled_from(["Never", "24h"]),
        "emptyFor": st.just("60s"),
        "terminationGracePeriod": st.just("1h"),
        "disk": st.just("500Gi"),
        "startupTaints": st.just([{"key": "cni", "effect": "NoExecute"}]),
        "tags": st.just({"team": "ml"}),
    },
)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """One with several pools."""
    made = []
    for index, (gpu, partition, types) in enumerate(
        draw(st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=4))
    ):
        pool = {"name": f"pool-{index}", "gpu": gpu, "partition": partition, "instanceTypes": types}
        for name, value in draw(more).items():
            try:  # what would not be a fleet is left out
                load({**pool, name: value})
            except BadFleet:
                continue
            pool[name] = value
        try:
            load(pool)
        except BadFleet:
            pool["nodes"] = "existing"
            pool = {
                key: value
                for key, value in pool.items()
                if key in ("name", "gpu", "partition", "instanceTypes", "nodes")
            }
        made.append(pool)
    return load(*made)


def load(*made: dict[str, Any]) -> Fleet:
    """A fleet of pools."""
    return files.load_fleet(json.dumps({"apiVersion": "gpu-slice/v1", "cluster": "c", "pools": made}).encode())


class TestLaws:
    @given(fleets())
    def test_the_nodes_of_a_fleet_give_a_fleet_with_the_same_offers(self, fleet: Fleet) -> None:
        rendered = {
            name: documents_of(fleet, subject)
            for name, subject in (("pools", "node-pools"), ("classes", "node-classes"))
        }
        made = found(standing(fleet), cluster="c", **rendered)
        again = files.load_fleet(str(made).encode())
        assert offers(again) == offers(fleet), str(made)
        assert not [line for line in made.left if "in no pool" in line]
        for pool in again.pools:
            before = next(other for other in fleet.pools if other.name == pool.name)
            assert pool.taints == before.taints
            assert pool.entry.nodes == before.entry.nodes

    @given(fleets())
    def test_pools_of_ours_are_rendered_again_as_they_stand(self, fleet: Fleet) -> None:
        rendered = {
            name: documents_of(fleet, subject)
            for name, subject in (("pools", "node-pools"), ("classes", "node-classes"))
        }
        again = files.load_fleet(str(found(standing(fleet), cluster="c", **rendered)).encode())

        def specs(of: Fleet, subject: str) -> dict[str, Any]:
            return {each["metadata"]["name"]: each["spec"] for each in documents_of(of, subject)}

        assert specs(again, "node-classes") == specs(fleet, "node-classes")
        assert specs(again, "node-pools") == specs(fleet, "node-pools")

    @given(fleets())
    def test_what_is_rendered_is_not_asked_for(self, fleet: Fleet) -> None:
        """Without the right to read NodePools the nodes stand there, and offer the same."""
        again = files.load_fleet(str(found(standing(fleet))).encode())
        assert offers(again) == offers(fleet)
        assert {pool.entry.nodes for pool in again.pools} == {"existing"}


def offers(fleet: Fleet) -> dict[str, list[tuple[str, str, str, int]]]:
    """What each pool offers."""
    return {
        pool.name: sorted((pool.gpu.name, str(offer), offer.resource, offer.per_gpu) for offer in pool.offers)
        for pool in fleet.pools
    }
