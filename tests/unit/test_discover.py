"""A fleet file for what stands in a cluster: from nodes that are written down, and from those of made-up fleets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from bench.usage import config
from tests.cluster.nodes import node as standing_node
from tests.rendering import documents_of
from webhook.cli import files
from webhook.cli.main import main
from webhook.cluster.discover import Discovered, discover
from webhook.cluster.objects import CLUSTER_POLICIES, NODE_CLASSES, NODE_OVERLAYS, NODE_POOLS, NODES, Document, Node
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
        NODE_OVERLAYS: Listing(tuple(others.get("overlays", ()))),
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


def rendering(fleet: Fleet) -> dict[str, list[Document]]:
    """What `gpu-slice render` makes of *fleet* for Karpenter."""
    return {name: documents_of(fleet, f"node-{name}") for name in ("pools", "classes", "overlays")}


class TestLaws:
    @given(fleets())
    def test_the_nodes_of_a_fleet_give_a_fleet_with_the_same_offers(self, fleet: Fleet) -> None:
        rendered = rendering(fleet)
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
        rendered = rendering(fleet)
        again = files.load_fleet(str(found(standing(fleet), cluster="c", **rendered)).encode())

        def specs(of: Fleet, subject: str) -> dict[str, Any]:
            return {each["metadata"]["name"]: each["spec"] for each in documents_of(of, subject)}

        assert specs(again, "node-classes") == specs(fleet, "node-classes")
        assert specs(again, "node-pools") == specs(fleet, "node-pools")
        assert specs(again, "node-overlays") == specs(fleet, "node-overlays")

    @pytest.mark.parametrize("written", ["8k", "8e3", 8000, "8000", "8000000m"])
    def test_a_limit_is_read_however_it_is_written(self, written: str | int) -> None:
        fleet = files.fleet_at(None)
        rendered = rendering(fleet)
        for pool in rendered["pools"]:
            pool["spec"]["limits"] = dict.fromkeys(pool["spec"]["limits"], written)
        again = files.load_fleet(str(found(standing(fleet), cluster="c", **rendered)).encode())
        limits = [pool.entry.limit for pool in again.pools if pool.entry.nodes == "karpenter"]
        assert limits
        assert all((limit.nodes or limit.slices or 0) % 8000 == 0 for limit in limits)

    @given(fleets())
    def test_without_a_look_at_nodepools_the_same_is_offered(self, fleet: Fleet) -> None:
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


class TestPools:
    def test_a_node_group_is_a_pool_of_nodes_that_stand_there(self) -> None:
        made = pools(
            [
                node("a", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56}),
                node("b", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56}),
            ]
        )
        assert made == {
            "gpus": {
                "name": "gpus",
                "gpu": "a100-40gb",
                "partition": {"mig": {"1g.5gb": 7}},
                "instanceTypes": ["p4d.24xlarge"],
                "labels": GROUP,
                "nodes": "existing",
            }
        }

    def test_it_says_how_to_label_the_nodes(self) -> None:
        text = str(found([node("a", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56})]))
        assert "# 1 node: a.\n# Label its nodes, and those to come: gpu-slice/pool=gpus\n- name: gpus\n" in text

    def test_a_nodepool_of_others_gets_an_overlay(self) -> None:
        made = pools([node("a", P4D | {"karpenter.sh/nodepool": "train"}, {"nvidia.com/mig-3g.20gb": 16})])
        assert made["train"]["nodePools"] == ["train"]
        assert made["train"]["labels"] == {"karpenter.sh/nodepool": "train"}

    def test_nodes_of_one_group_that_are_cut_in_two_ways_are_two_pools_told_apart_by_a_label(self) -> None:
        both = {"karpenter.sh/nodepool": "train"}
        made = found([
            node("a", P4D | both | {"nvidia.com/mig.config": "all-1g.5gb"}, {"nvidia.com/mig-1g.5gb": 56}),
            node("b", P4D | both | {"nvidia.com/mig.config": "all-2g.10gb"}, {"nvidia.com/mig-2g.10gb": 24}),
        ])  # fmt: skip
        files.load_fleet(str(made).encode())
        assert {pool["name"]: pool["labels"] for pool in made.fleet["pools"]} == {
            "train-1g-5gb": both | {"nvidia.com/mig.config": "all-1g.5gb"},
            "train-2g-10gb": both | {"nvidia.com/mig.config": "all-2g.10gb"},
        }
        assert not any("nodePools" in pool for pool in made.fleet["pools"])
        assert "No overlay for its NodePool" in str(made)

    def test_a_group_with_two_gpus_is_two_pools_told_apart_by_their_instance_types(self) -> None:
        made = pools([
            node("a", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56}),
            node("b", G5 | GROUP, {"nvidia.com/gpu.shared": 4}),
        ])  # fmt: skip
        assert [pool["labels"] for pool in made.values()] == [GROUP | P4D, GROUP | G5]

    def test_nodes_of_no_group_are_pools_by_instance_type(self) -> None:
        made = pools([node("a", P4D, {"nvidia.com/mig-1g.5gb": 56}), node("b", G5, {"nvidia.com/gpu.shared": 4})])
        assert {name: pool["labels"] for name, pool in made.items()} == {"a100-40gb-1g-5gb": P4D, "a10g-shared": G5}

    @pytest.mark.parametrize(
        ("labels", "offered", "fields"),
        [
            pytest.param(
                {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-2g.10gb"} | P4D,
                {"nvidia.com/gpu": 24},
                {"partition": {"mig": {"2g.10gb": 3}}, "strategy": "single"},
                id="single",
            ),
            pytest.param(
                {"nvidia.com/mig.config": "all-1g.5gb", "nvidia.com/mig.strategy": "single"} | P4D,
                {"nvidia.com/gpu": 56},
                {"partition": {"mig": {"1g.5gb": 7}}, "strategy": "single"},
                id="single, as the operator was told",
            ),
            pytest.param(
                P4D,
                {"nvidia.com/mig-1g.5gb.me": 8, "nvidia.com/mig-1g.5gb": 48, "nvidia.com/gpu": 0},
                {"partition": {"mig": {"1g.5gb": 6, "1g.5gb+me": 1}}},
                id="media engines",
            ),
            pytest.param(
                {"nvidia.com/gpu.product": "NVIDIA-A10G-SHARED", "nvidia.com/gpu.sharing-strategy": "time-slicing"}
                | G5,
                {"nvidia.com/gpu": 10},
                {"partition": {"timeSlicing": {"replicas": 10, "renamed": False}}},
                id="shares that are not renamed",
            ),
            pytest.param(
                {"nvidia.com/gpu.sharing-strategy": "mps"} | G5,
                {"nvidia.com/gpu.shared": 8},
                {"partition": {"mps": {"replicas": 8}}},
                id="MPS",
            ),
        ],
    )
    def test_what_the_labels_say(self, labels: dict[str, str], offered: dict[str, int], fields: dict[str, Any]) -> None:
        (pool,) = pools([node("a", labels, offered)]).values()
        assert fields.items() <= pool.items()

    def test_the_operator_s_strategy_holds_where_nodes_do_not_say(self) -> None:
        policy = {"metadata": {"name": "p"}, "spec": {"mig": {"strategy": "single"}}}
        given = [node("a", P4D | {"nvidia.com/mig.config": "all-1g.5gb"}, {"nvidia.com/gpu": 56})]
        (pool,) = pools(given, policies=[policy]).values()
        assert pool["strategy"] == "single"

    def test_taints_are_those_that_all_nodes_have_for_good(self) -> None:
        team = {"key": "team", "value": "ml", "effect": "NoExecute"}
        passing = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        (pool,) = pools([
            node("a", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56}, [team, passing, TAINT]),
            node("b", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56}, [team]),
        ]).values()  # fmt: skip
        assert pool["taints"] == [team]
        assert "untainted" not in pool

    @pytest.mark.parametrize(
        "taints",
        [
            pytest.param([], id="none"),
            pytest.param([{"key": "gpu", "effect": "PreferNoSchedule"}], id="one that keeps no pod away"),
            pytest.param([{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], id="one that every such pod tolerates"),
        ],
    )
    def test_nodes_that_any_pod_may_have_are_called_untainted(self, taints: list[dict[str, str]]) -> None:
        shared = G5 | {"nvidia.com/gpu.replicas": "4"}
        (pool,) = pools([node("a", shared, {"nvidia.com/gpu": 4}, taints)]).values()
        assert pool["untainted"] is True

    def test_an_instance_type_that_nobody_knows_is_added_to_the_catalogue(self) -> None:
        labels = {
            "node.kubernetes.io/instance-type": "p9.large", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "nvidia.com/gpu.count": "2", "kubernetes.io/arch": "amd64",
        }  # fmt: skip
        made = found([node("a", labels, {"nvidia.com/mig-1g.10gb": 14})])
        assert made.fleet["catalogue"] == {
            "instanceTypes": {"p9.large": {"gpu": "h100-80gb", "gpus": 2, "architecture": "amd64"}}
        }
        assert files.load_fleet(str(made).encode()).pools[0].offers[0].per_gpu == 7
        assert "p9.large: not in the built-in catalogue" in str(made)

    def test_slices_that_are_not_healthy_now_are_part_of_the_layout(self) -> None:
        sick = node("a", P4D, {"nvidia.com/mig-1g.5gb": 56})
        sick.status.allocatable["nvidia.com/mig-1g.5gb"] = "49"
        (pool,) = pools([sick]).values()
        assert pool["partition"] == {"mig": {"1g.5gb": 7}}

    def test_names_are_those_that_a_pool_may_have(self) -> None:
        made = pools([node("a", P4D | {"eks.amazonaws.com/nodegroup": "GPU_Nodes.1"}, {"nvidia.com/mig-1g.5gb": 56})])
        assert list(made) == ["gpu-nodes-1"]

    def test_a_cluster_s_name_is_read_where_eksctl_or_karpenter_kept_it(self) -> None:
        given = node("a", P4D | {"alpha.eksctl.io/cluster-name": "prod"}, {"nvidia.com/mig-1g.5gb": 56})
        assert found([given]).fleet["cluster"] == "prod"
        assert found([given], cluster="other").fleet["cluster"] == "other"


class TestANodeThatWasRelabelled:
    """Somebody gave a node the ``gpu-slice/pool`` of another pool."""

    FLEET = load(
        {"name": "mine", "gpu": "a100-40gb", "partition": {"mig": {"1g.5gb": 7}}, "instanceTypes": ["p4d.24xlarge"]},
    )
    H100 = {"node.kubernetes.io/instance-type": "p5.48xlarge", "gpu-slice/pool": "theirs"}  # noqa: RUF012
    MINE = P4D | {"karpenter.sh/nodepool": "mine", "gpu-slice/pool": "mine"}

    def made(self, *nodes: Node) -> Discovered:
        return found(nodes, **rendering(self.FLEET))

    def test_one_that_karpenter_launched_stays_in_its_pool(self) -> None:
        moved = node("a", self.MINE | {"gpu-slice/pool": "theirs"}, {"nvidia.com/mig-1g.5gb": 56})
        made = self.made(moved, node("b", self.H100, {"nvidia.com/mig-1g.10gb": 56}))
        assert {pool["name"]: pool["gpu"] for pool in made.fleet["pools"]} == {
            "mine": "a100-40gb",
            "theirs": "h100-80gb",
        }
        assert "a: its label gpu-slice/pool=theirs is wrong, because NodePool mine launched it." in made.left

    def test_one_that_stands_there_is_no_node_of_a_nodepool(self) -> None:
        moved = node("b", self.H100 | {"gpu-slice/pool": "mine"}, {"nvidia.com/mig-1g.10gb": 56})
        made = self.made(node("a", self.MINE, {"nvidia.com/mig-1g.5gb": 56}), moved)
        assert {pool["gpu"] for pool in made.fleet["pools"]} == {"a100-40gb", "h100-80gb"}
        assert "b: its label gpu-slice/pool=mine is wrong, because NodePool mine has other instance types." in made.left
        assert "Write" not in str(made)

    def test_of_as_many_that_are_cut_in_two_ways_each_becomes_a_pool(self) -> None:
        moved = node("a", P4D | {"gpu-slice/pool": "theirs"}, {"nvidia.com/mig-1g.5gb": 56})
        made = found([moved, node("b", self.H100, {"nvidia.com/mig-1g.10gb": 56})])
        assert {pool["gpu"] for pool in made.fleet["pools"]} == {"a100-40gb", "h100-80gb"}
        assert "a: as many nodes with gpu-slice/pool=theirs are cut in another way." in made.left
        files.load_fleet(str(made).encode())


class TestWhatIsInNoPool:
    @pytest.mark.parametrize(
        ("labels", "offered", "why"),
        [
            pytest.param(P4D, {"nvidia.com/gpu": 8}, "offers whole GPUs", id="whole GPUs"),
            pytest.param(P4D, {}, "offers no slices and no GPUs", id="no plugin"),
            pytest.param(
                P4D,
                {"nvidia.com/gpu": 4, "nvidia.com/mig-1g.5gb": 28},
                "all GPUs of a pool are cut alike",
                id="some are whole",
            ),
            pytest.param(
                P4D, {"nvidia.com/mig-1g.5gb": 55}, "which are not cut alike, or some slices", id="one is missing"
            ),
            pytest.param(
                P4D,
                {"nvidia.com/mig-1g.5gb": 56, "nvidia.com/mig-2g.10gb": 24},
                "does not fit",
                id="too many for one layout",
            ),
            pytest.param(P4D, {"nvidia.com/mig-1g.5gb.ab": 8}, "which is no MIG profile", id="slices of no known kind"),
            pytest.param(
                P4D, {"nvidia.com/mig-1g.12gb": 8}, "which a100-40gb does not have", id="another GPU's profile"
            ),
            pytest.param(G5, {"nvidia.com/gpu": 1}, "offers whole GPUs", id="one whole GPU"),
            pytest.param(
                P4D | {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-INVALID"},
                {"nvidia.com/gpu": 1},
                "MIG-INVALID",
                id="a layout that the plugin refuses",
            ),
            pytest.param(
                {"node.kubernetes.io/instance-type": "x1.large", "nvidia.com/gpu.product": "Some-New-GPU"},
                {"nvidia.com/gpu": 8},
                "carries a GPU that is not in the catalogue, 'Some-New-GPU'",
                id="a new GPU",
            ),
            pytest.param(
                {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"},
                {"nvidia.com/mig-1g.5gb": 7},
                "has no label node.kubernetes.io/instance-type",
                id="no instance type",
            ),
            pytest.param(
                {"beta.kubernetes.io/instance-type": "p4d.24xlarge"},
                {"nvidia.com/mig-1g.5gb": 56},
                "has no label node.kubernetes.io/instance-type",
                id="only the old label of it, by which no pool selects nodes",
            ),
            pytest.param(
                {"node.kubernetes.io/instance-type": "g7.2xlarge"},
                {"nvidia.com/mig-1g.16gb": 2},
                "in no pool",
                id="slices whose places nobody has seen",
            ),
        ],
    )
    def test_a_comment_says_why(self, labels: dict[str, str], offered: dict[str, int], why: str) -> None:
        good = node("good", P4D | GROUP, {"nvidia.com/mig-1g.5gb": 56})
        made = found([good, node("odd", labels, offered)])
        assert [pool["name"] for pool in made.fleet["pools"]] == ["gpus"]
        assert why in "\n".join(made.left)
        assert "odd" in "\n".join(made.left)
        files.load_fleet(str(made).encode())

    def test_a_nodepool_for_gpus_without_nodes_is_named(self) -> None:
        def pool(name: str, key: str, *values: str, **metadata: Any) -> Document:
            requirements = [{"key": key, "operator": "In", "values": list(values)}]
            spec = {"template": {"metadata": {"labels": {}}, "spec": {"requirements": requirements}}}
            return {"metadata": {"name": name, **metadata}, "spec": spec}

        ours = {"app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/component": "karpenter"}
        idle = [
            pool("train", "node.kubernetes.io/instance-type", "p4d.24xlarge"),
            pool("infer", "karpenter.k8s.aws/instance-gpu-name", "l4"),
            pool("web", "node.kubernetes.io/instance-type", "m5.large"),
            pool("mine", "node.kubernetes.io/instance-type", "p5.48xlarge", labels=ours),
            pool("busy", "node.kubernetes.io/instance-type", "p4d.24xlarge"),
        ]
        made = found([node("a", P4D | {"karpenter.sh/nodepool": "busy"}, {"nvidia.com/mig-1g.5gb": 56})], pools=idle)
        assert list(made.left) == [
            "NodePool train: in no pool, because it has no nodes now. Look again when it has some.",
            "NodePool infer: in no pool, because it has no nodes now. Look again when it has some.",
            "NodePool mine: in no pool, because it has no nodes now. The webhook's ConfigMap 'fleet' has its pool.",
        ]

    def test_nodes_without_gpus_are_not_mentioned(self) -> None:
        made = found([node("cpu", {"node.kubernetes.io/instance-type": "m5.large"}, {})])
        assert (made.nodes, made.left, made.fleet["pools"]) == (0, (), [])

    def test_labels_cannot_leave_their_comment(self) -> None:
        text = str(found([node("a", {"nvidia.com/gpu.product": "x\npools: 5"}, {"nvidia.com/gpu": 1})]))
        assert all(line.startswith("#") for line in text.splitlines())


class TestCommand:
    """The command against a server on loopback that answers lists as an API server does."""

    @staticmethod
    @contextmanager
    def serving(lists: dict[str, list[Document]], folder: Path) -> Iterator[Path]:
        """A kubeconfig for an API server that has *lists*, by the plural of their kind, and knows nothing else."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind = urlsplit(self.path).path.rpartition("/")[2]
                body = {"items": lists.get(kind, []), "metadata": {}, "gitVersion": "v1.36.3"}
                self.send_response(200 if kind in (*lists, "version") else 404)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            path = folder / "kubeconfig"
            path.write_text(json.dumps(config(f"http://127.0.0.1:{server.server_port}")))
            yield path
            server.shutdown()
            thread.join()

    def run(self, lists: dict[str, list[Document]], folder: Path, *arguments: str) -> Result:
        """What ``gpu-slice`` says of that cluster."""
        with self.serving(lists, folder) as kubeconfig:
            return CliRunner().invoke(main, [*arguments], env={"KUBECONFIG": str(kubeconfig)})

    def test_a_cluster_without_gpus_has_no_fleet(self, tmp_path: Path) -> None:
        cpu = {"metadata": {"name": "cpu", "labels": {}}, "status": {"allocatable": {"cpu": "4"}}}
        result = self.run({"nodes": [cpu]}, tmp_path, "fleet", "discover")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "no pool: it has no GPU nodes\n"

    def test_a_cluster_with_whole_gpus_alone_is_told_so(self, tmp_path: Path) -> None:
        whole = {"metadata": {"name": "a", "labels": P4D}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}}
        result = self.run({"nodes": [whole]}, tmp_path, "fleet", "discover")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "a: in no pool, because it offers whole GPUs.\nno pool: none of its GPU nodes can be in one\n"
        )

    def test_usage_of_what_was_discovered(self, tmp_path: Path) -> None:
        offered = {"nvidia.com/mig-1g.5gb": "56"}
        ready = [{"type": "Ready", "status": "True"}]
        cut = {
            "metadata": {"name": "a", "labels": P4D | GROUP},
            "status": {"allocatable": offered, "conditions": ready},
        }
        discovered = self.run({"nodes": [cut]}, tmp_path, "fleet", "discover")
        assert discovered.exit_code == 0
        fleet = tmp_path / "fleet.yaml"
        fleet.write_text(discovered.stdout)
        options = ("usage", "--fleet", str(fleet), "-o", "short", "--price", "p4d.24xlarge=7")
        result = self.run({"nodes": [cut], "pods": []}, tmp_path, *options)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == (
            "0 of 56 slices are used (0%), 0 of 56 compute slices, 0 of 266 GiB; the free ones cost $7.00 an hour\n"
        )

    def test_no_cluster_is_no_answer(self, tmp_path: Path) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config("http://127.0.0.1:1")))
        for command in (["fleet", "discover"], ["usage", "--fleet", "manifests/webhook/fleet.yaml"]):
            result = CliRunner().invoke(main, command, env={"KUBECONFIG": str(path)})
            assert result.exit_code == 3, result.output
            assert "the API server at http://127.0.0.1:1" in result.stderr
