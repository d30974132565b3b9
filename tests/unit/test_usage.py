"""What a cluster's slices are used for: counted from objects that are written down here."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.nodes import node as standing_node
from webhook.cli import files, usage_data, usage_table
from webhook.cli.main import main
from webhook.cli.prices import prices_of
from webhook.cluster.accounting import usage
from webhook.cluster.namespaces import by_namespace
from webhook.cluster.nodes import PRODUCT, REPLICAS
from webhook.cluster.objects import NODES, PODS, Node, Pod
from webhook.cluster.requests import MOST, NANO, quantity, requests_of
from webhook.cluster.snapshot import Listing, Snapshot
from webhook.cluster.usage import Apart, SliceUse, Usage
from webhook.fleet.fleet import Fleet

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ROOM = {"cpu": "96", "memory": "1Ti", "pods": "250"}
READY = [{"type": "Ready", "status": "True"}]

FLEET = files.load_fleet(b"""
apiVersion: gpu-slice/v1
pools:
  - name: small
    gpu: a100-40gb
    partition: {mig: {1g.5gb: 7}}
    instanceTypes: [p4d.24xlarge]
  - name: mixed
    gpu: a100-40gb
    partition: {mig: {3g.20gb: 1, 2g.10gb: 1, 1g.5gb: 2}}
    instanceTypes: [p4d.24xlarge]
  - name: single
    gpu: h100-80gb
    partition: {mig: {1g.10gb: 7}}
    strategy: single
    instanceTypes: [p5.4xlarge, p5.48xlarge]
  - name: turns
    gpu: a10g
    partition: {timeSlicing: {replicas: 4}}
    instanceTypes: [g5.xlarge]
  - name: standing
    gpu: l4
    partition: {timeSlicing: {replicas: 3, renamed: false}}
    instanceTypes: [g6.xlarge]
    labels: {team: research}
    nodes: existing
prices: {p4d.24xlarge: 20}
""")

TYPES = {"small": "p4d.24xlarge", "mixed": "p4d.24xlarge", "single": "p5.4xlarge", "turns": "g5.xlarge"}


def node(name: str, pool: str = "", slices: dict[str, int] | None = None, **more: Any) -> Node:
    """A node of *pool*, with all its slices or with *slices*."""
    labels = {"gpu-slice/pool": pool, "node.kubernetes.io/instance-type": TYPES[pool]} if pool else {}
    if slices is None:
        shape = next(each for each in FLEET.pools if each.name == pool).shapes[0]
        slices = dict(shape.capacity)
    room = ROOM | {resource: str(count) for resource, count in slices.items()} | more.pop("room", {})
    written = {
        "metadata": {"name": name, "labels": labels | more.pop("labels", {}), **more.pop("metadata", {})},
        "spec": more.pop("spec", {}),
        "status": {"allocatable": room, "conditions": more.pop("conditions", READY)},
    }
    assert not more
    return msgspec.convert(written, Node)


def pod(name: str, on: str = "", namespace: str = "team", minutes: int = 1, **more: Any) -> Pod:
    """A pod that is bound to the node *on*, or waits; *slices* are what its one container asks for."""
    asked = {key: str(count) for key, count in more.pop("slices", {"nvidia.com/mig-1g.5gb": 1}).items()}
    spec = {"nodeName": on, "containers": [{"name": "main", "resources": {"limits": asked, "requests": asked}}]}
    metadata = {
        "name": name,
        "namespace": namespace,
        "creationTimestamp": (NOW - timedelta(minutes=minutes)).isoformat(),
    }
    written = {
        "metadata": metadata | more.pop("metadata", {}),
        "spec": spec | more.pop("spec", {}),
        "status": {"phase": more.pop("phase", "Running" if on else "Pending")},
    }
    assert not more
    return msgspec.convert(written, Pod)


def looked(nodes: Iterable[Node], pods: Iterable[Pod], fleet: Fleet = FLEET, **prices: float) -> Usage:
    """What is found in a cluster of *nodes* and *pods*."""
    listings = {NODES: Listing(tuple(nodes)), PODS: Listing(tuple(pods))}
    return usage(Snapshot(NOW, listings=listings), fleet, {**fleet.file.prices, **prices})


ASKED = {"nvidia.com/mig-1g.5gb": 1}


def container(restart: bool = False, **asked: int) -> dict[str, Any]:
    """One that asks for slices by the last part of their resource's name."""
    requests = {f"nvidia.com/{name.replace('_', '-')}": str(count) for name, count in asked.items()}
    always = {"restartPolicy": "Always"} if restart else {}
    return {"name": "c", "resources": {"requests": requests}, **always}


class TestRequests:
    @staticmethod
    def simulated(spec: dict[str, Any]) -> dict[str, int]:
        """The most that ever runs at once, step by step."""
        most: Counter[str] = Counter()
        sidecars: Counter[str] = Counter()

        def asked(each: dict[str, Any]) -> Counter[str]:
            return Counter({name: int(text) for name, text in each["resources"]["requests"].items()})

        for each in spec["initContainers"]:
            running = sidecars + asked(each)
            most |= running
            if "restartPolicy" in each:
                sidecars = running
        return dict(most | sum(map(asked, spec["containers"]), sidecars))

    containers = st.lists(
        st.builds(container, st.booleans(), gpu=st.integers(1, 5), mig_1g_5gb=st.integers(1, 5)), max_size=4
    )

    @given(containers, containers)
    def test_they_are_the_most_that_ever_runs_at_once(self, before: list[Any], main: list[Any]) -> None:
        for each in main:
            each.pop("restartPolicy", None)
        spec = {"initContainers": before, "containers": main}
        assert requests_of(pod("a", spec=spec)) == self.simulated(spec)

    def test_the_pod_s_own_cpu_replaces_the_sum_and_its_overhead_comes_beside(self) -> None:
        spec = {
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "1"}}}],
            "resources": {"requests": {"cpu": "500m"}},
            "overhead": {"cpu": "250m", "memory": "1Gi"},
        }
        assert requests_of(pod("a", spec=spec)) == {"cpu": Decimal("0.75"), "memory": 2**30, "nvidia.com/gpu": 1}


RESOURCES = ["nvidia.com/mig-1g.5gb", "nvidia.com/mig-2g.10gb", "nvidia.com/gpu", "nvidia.com/gpu.shared", "cpu"]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], list[Pod]]:
    """A few nodes and pods."""
    nodes = [
        node(
            f"n{index}",
            draw(st.sampled_from(list(TYPES))),
            draw(st.dictionaries(st.sampled_from(RESOURCES[:4]), st.integers(0, 9))),
        )
        for index in range(draw(st.integers(0, 4)))
    ]
    names = ["", "gone", *(each.metadata.name for each in nodes)]
    pods = [
        pod(
            f"p{index}",
            draw(st.sampled_from(names)),
            draw(st.sampled_from(["a", "b"])),
            slices=draw(st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 3))),
            phase=draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"])),
            metadata=draw(st.sampled_from([{}, {"deletionTimestamp": NOW.isoformat()}])),
        )
        for index in range(draw(st.integers(0, 8)))
    ]
    return nodes, pods


class TestQuantities:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("0", "0"), ("7", "7"), ("+7", "7"), ("500m", "0.5"), (".5", "0.5"), ("1.", "1"), ("1.5k", "1500"),
            ("16Gi", str(2**34)), ("0.5Ki", "512"), ("2E", "2e18"), ("1e3", "1000"), ("1E3", "1000"), ("5e-1", "0.5"),
            (f"1e{'0' * 300_000}3", "1000"), ("100n", "1e-7"), ("3u", "3e-6"), ("0e9999", "0"), ("0e-9999", "0"),
        ],
        ids=lambda text: text[:20],
    )  # fmt: skip
    def test_they_are_read_as_kubernetes_writes_them(self, text: str, number: str) -> None:
        assert quantity(text) == Decimal(number)

    @pytest.mark.parametrize(
        "text", ["1e9999", "1e999999999999999999999", "9" * 5000, "9" * 5000 + "Ei", "10E", "8Ei", "1e99999999999Ki"]
    )
    def test_none_is_more_than_kubernetes_counts(self, text: str) -> None:
        assert quantity(text) == (MOST if "K" not in text else 0)

    @pytest.mark.parametrize("text", ["1e-9999", "1e-999999999999999999999", "0." + "0" * 5000 + "1", "0.1n"])
    def test_none_is_finer_than_kubernetes_counts(self, text: str) -> None:
        assert quantity(text) == NANO

    @pytest.mark.parametrize(
        "text",
        ["", "x", "-1", "-1e9999", "NaN", "Infinity", "1e1.5", "1 Gi", "1ki", "٣", "1_0", "1" * 300_000 + "x"],
        ids=lambda text: text[:20],
    )
    def test_what_is_no_amount_counts_for_nothing(self, text: str) -> None:
        assert quantity(text) == 0

    @given(st.from_regex(r"[+-]?[0-9]{0,40}\.?[0-9]{0,40}([eE][+-]?[0-9]{1,30}|[numkMGTPE]i?)?", fullmatch=True))
    def test_each_can_be_printed_and_added(self, text: str) -> None:
        number = quantity(text)
        assert 0 <= int(number + number) <= 2 * MOST
        assert len(f"{number:f}") <= 30


ABSURD = ["10001", "1e15", "1e18", "9E", "1e9999", "9" * 5000]


class TestApart:
    @pytest.mark.parametrize("count", ABSURD)
    @pytest.mark.parametrize("on", ["", "n", "ghost"])
    @pytest.mark.parametrize("where", ["containers", "initContainers"])
    def test_a_pod_that_asks_for_more_than_any_node_can_have_changes_no_number(
        self, count: str, on: str, where: str
    ) -> None:
        nodes, pods = [node("n", "small")], [pod("a", "n"), pod("b")]
        asked = [{"name": "m", "resources": {"requests": {"nvidia.com/mig-1g.5gb": count}}}]
        evil = pod("evil", on, spec={"containers": [], where: asked})
        found = looked(nodes, [*pods, evil])
        assert replace(found, apart=()) == looked(nodes, pods)
        assert found.apart == (Apart("team", "evil", "asks for more than 10,000 nvidia.com/mig-1g.5gb"),)

    @pytest.mark.parametrize("resource", ["cpu", "memory", "example.com/other"])
    def test_of_other_resources_a_pod_may_ask_for_any_amount(self, resource: str) -> None:
        waits = pod("a", slices={"nvidia.com/mig-1g.5gb": 1, resource: "1e9999"})
        found = looked([node("n", "small")], [waits])
        assert [queue.count for queue in found.waiting] == [1]
        assert usage_data.document(found, None)["free"] == 56

    def test_a_pod_on_a_node_that_does_not_exist_holds_nothing(self) -> None:
        found = looked([node("n", "small")], [pod("a", "ghost")])
        assert found.used.slices == 0
        assert found.apart == (Apart("team", "a", "is bound to node ghost, which does not exist"),)

    def test_every_output_says_so(self) -> None:
        evil = [pod(f"e{i}", slices={"nvidia.com/mig-1g.5gb": "1e9999"}, namespace="evil") for i in range(12)]
        found = looked([node("n", "small")], evil)
        told = [click.unstyle(text) for text in usage_table.not_counted(found, None)]
        assert told[0] == "not counted: Pod evil/e0 asks for more than 10,000 nvidia.com/mig-1g.5gb"
        assert told[10:] == ["not counted: 2 more pods"]
        assert list(usage_table.not_counted(found, "team")) == ["not counted: 12 pods"]
        assert len(usage_data.document(found, None)["notCounted"]) == 12
        assert usage_data.document(found, "team")["notCounted"] == []
        lines = [*usage_table.pools(found, "pod", None, draw=True), *usage_data.by_node(found)]
        assert max(map(len, lines)) < 200

    def test_a_node_that_says_it_has_any_number_of_slices_can_be_shown(self) -> None:
        found = looked([node("n", "small", room={"nvidia.com/mig-1g.5gb": "1e9999"})], [pod("a", "n")])
        lines = [*usage_table.pools(found, "pod", None, draw=False), *usage_table.summary(found)]
        assert max(map(len, lines)) < 300


class TestAgainstCountingByHand:
    @given(clusters())
    def test_used_free_and_total_of_every_node(self, cluster: tuple[list[Node], list[Pod]]) -> None:
        nodes, pods = cluster
        found = looked(nodes, pods)
        uses = {
            (each.name, use.kind.resource): use for pool in found.pools for each in pool.nodes for use in each.slices
        }
        for each in nodes:
            for resource in RESOURCES[:4]:
                there = int(each.status.allocatable.get(resource, "0"))
                held = {
                    (p.metadata.namespace, p.metadata.name): int(p.spec.containers[0].resources.requests[resource])
                    for p in pods
                    if p.spec.node_name == each.metadata.name
                    and p.status.phase in ("Pending", "Running")
                    and int(p.spec.containers[0].resources.requests.get(resource, "0"))
                }
                use = uses.get((each.metadata.name, resource))
                if use is None:
                    assert (there, held) == (0, {})
                    continue
                assert {(h.namespace, h.pod): h.count for h in use.pods} == held
                assert (use.count, use.held, use.free) == (
                    there,
                    sum(held.values()),
                    max(there - sum(held.values()), 0),
                )

    @given(clusters())
    def test_sums_are_those_of_their_parts(self, cluster: tuple[list[Node], list[Pod]]) -> None:
        found = looked(*cluster)
        uses = [use for pool in found.pools for each in pool.nodes for use in each.slices]
        assert found.used.slices == sum(use.held for use in uses)
        assert found.total.slices == sum(use.count for use in uses)
        assert found.free == sum(use.free for use in uses)
        assert found.used.compute == sum(use.held * use.kind.compute for use in uses)
        assert sum(each.used.slices for each in by_namespace(found)) == found.used.slices

    @given(clusters())
    def test_waiting_is_what_is_not_bound_and_not_going_away(self, cluster: tuple[list[Node], list[Pod]]) -> None:
        nodes, pods = cluster
        found = looked(nodes, pods)
        waiting = {
            (p.metadata.name, resource): int(text)
            for p in pods
            if not p.spec.node_name and p.status.phase in ("Pending", "Running") and not p.metadata.deletion_timestamp
            for resource, text in p.spec.containers[0].resources.requests.items()
            if resource != "cpu" and text != "0"
        }
        assert {(held.pod, queue.resource): held.count for queue in found.waiting for held in queue.pods} == waiting

    @given(clusters())
    def test_every_output_says_all_of_it(self, cluster: tuple[list[Node], list[Pod]]) -> None:
        found = looked(*cluster)
        rows = list(csv.DictReader(usage_data.by_node(found)))
        assert sum(int(row["used"]) for row in rows) == found.used.slices
        assert json.loads(json.dumps(usage_data.document(found, None)))["used"] == found.used.slices
        assert list(usage_table.pools(found, "pod", None, draw=True))
        assert list(usage_table.namespaces(found, "pod", None, draw=False))


def only(found: Usage, name: str) -> SliceUse:
    """The one kind of slice of a node."""
    (use,) = next(each.slices for pool in found.pools for each in pool.nodes if each.name == name)
    return use


class TestNodes:
    @pytest.mark.parametrize(
        ("made", "pool"),
        [
            pytest.param(node("n", "small"), "small", id="by our label"),
            pytest.param(
                node("n", slices={"nvidia.com/mig-1g.5gb": 56}, labels={"karpenter.sh/nodepool": "small"}),
                "small", id="by the NodePool that launched it",
            ),
            pytest.param(
                node("n", slices={"nvidia.com/gpu": 3},
                     labels={"team": "research", "node.kubernetes.io/instance-type": "g6.xlarge"}),
                "standing", id="by the labels of existing nodes",
            ),
            pytest.param(
                node("n", slices={"nvidia.com/gpu": 3},
                     labels={"team": "other", "node.kubernetes.io/instance-type": "g6.xlarge"}),
                "", id="another label",
            ),
            pytest.param(
                node("n", slices={"nvidia.com/mig-1g.5gb": 56}, labels={"gpu-slice/pool": "elsewhere"}),
                "", id="a pool that the fleet does not have",
            ),
        ],
    )  # fmt: skip
    def test_a_node_is_in_the_pool_that_its_labels_say(self, made: Node, pool: str) -> None:
        assert [each.name for each in looked([made], []).pools if each.nodes] == [pool]

    def test_a_node_without_gpus_is_not_shown(self) -> None:
        assert not any(pool.nodes for pool in looked([node("cpu", slices={})], [pod("a", "cpu", slices={})]).pools)

    @pytest.mark.parametrize(
        ("resource", "labels", "name"),
        [
            pytest.param("nvidia.com/gpu", {}, "whole GPU", id="nothing is known"),
            pytest.param("nvidia.com/gpu", {PRODUCT: "NVIDIA-A100-SXM4-40GB"}, "whole GPU", id="not cut"),
            pytest.param("nvidia.com/gpu", {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}, "1g.5gb", id="single"),
            pytest.param("nvidia.com/gpu", {PRODUCT: "NVIDIA-L4-SHARED"}, "shared", id="shared"),
            pytest.param("nvidia.com/gpu", {REPLICAS: "4"}, "shared", id="replicas"),
            pytest.param("nvidia.com/gpu.shared", {}, "shared", id="renamed"),
            pytest.param("nvidia.com/mig-1g.10gb.me", {}, "1g.10gb+me", id="mixed"),
            pytest.param("nvidia.com/mig-odd", {}, "nvidia.com/mig-odd", id="no profile"),
        ],
    )  # fmt: skip
    def test_slices_of_nodes_in_no_pool_are_called_by_what_is_known(
        self, resource: str, labels: dict[str, str], name: str
    ) -> None:
        assert only(looked([node("n", slices={resource: 2}, labels=labels)], []), "n").kind.name == name

    def test_a_node_that_lost_slices_has_none_free(self) -> None:
        use = only(looked([node("n", "small", {})], [pod("a", "n"), pod("b", "n")]), "n")
        assert (use.count, use.held, use.free) == (0, 2, 0)

    def test_pods_that_end_or_are_deleted(self) -> None:
        pods = [
            pod("done", "n", phase="Succeeded"),
            pod("lost", "n", phase="Failed"),
            pod("leaving", "n", metadata={"deletionTimestamp": NOW.isoformat()}),
            pod("starting", "n", phase="Pending"),
        ]
        assert [held.pod for held in only(looked([node("n", "small")], pods), "n").pods] == ["leaving", "starting"]

    def test_free_slices_cost_their_part_of_the_node(self) -> None:
        made = [node("half", "mixed"), node("empty", "small"), node("uncut", "small", {}), node("unknown", "turns")]
        taken = {"nvidia.com/mig-3g.20gb": 8, "nvidia.com/mig-1g.5gb": 4}
        costs = {
            each.name: each.free_cost
            for pool in looked(made, [pod("a", "half", slices=taken)]).pools
            for each in pool.nodes
        }
        assert costs == {"half": 10, "empty": 20, "uncut": 20, "unknown": None}


class TestStranded:
    @pytest.mark.parametrize(
        ("more", "why"),
        [
            pytest.param({}, "", id="nothing is wrong"),
            pytest.param({"spec": {"unschedulable": True}}, "is cordoned", id="cordoned"),
            pytest.param({"conditions": [{"type": "Ready", "status": "Unknown"}]}, "is not ready", id="not ready"),
            pytest.param({"conditions": []}, "is not ready", id="never ready"),
            pytest.param({"metadata": {"deletionTimestamp": NOW.isoformat()}}, "is being removed", id="removed"),
            pytest.param(
                {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}},
                "has the taint karpenter.sh/disrupted", id="disrupted",
            ),
            pytest.param(
                {"spec": {"taints": [{"key": "maintenance", "effect": "NoExecute"}]}},
                "has the taint maintenance", id="a taint that the pool does not have",
            ),
            pytest.param(
                {"spec": {"taints": [{"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"},
                                     {"key": "nvidia.com/mig-1g.5gb", "effect": "NoSchedule"},
                                     {"key": "maintenance", "effect": "PreferNoSchedule"}]}},
                "", id="taints that pods of the pool tolerate",
            ),
            pytest.param({"room": {"pods": "2"}}, "runs as many pods as it may", id="pods"),
            pytest.param({"room": {"cpu": "1500m"}}, "has too little CPU left", id="CPU"),
            pytest.param({"room": {"memory": "3000Mi"}}, "has too little memory left", id="memory"),
            pytest.param({"room": {"cpu": "1500m", "memory": "1Gi"}}, "has too little CPU and memory left", id="both"),
            pytest.param({"room": {"cpu": "2"}}, "", id="just enough"),
        ],
    )  # fmt: skip
    def test_free_slices_that_no_pod_can_fill(self, more: dict[str, Any], why: str) -> None:
        asked = {"cpu": "1", "memory": "2Gi", "nvidia.com/mig-1g.5gb": "1"}
        spec = {"containers": [{"name": "a", "resources": {"requests": asked}}]}
        pods = [pod("a", spec=spec | {"nodeName": "n"}), pod("daemon", "n", slices={}), pod("b", spec=spec)]
        found = looked([node("n", "small", **more)], pods)
        assert only(found, "n").unusable == why
        assert [(lost.pool, lost.slice, lost.count, lost.why) for lost in found.stranded] == (
            [("small", "1g.5gb", 55, f"the node {why}")] if why else []
        )

    @pytest.mark.parametrize(
        ("key", "why"),
        [
            ("team", ""),
            ("node.cloudprovider.kubernetes.io/shutdown", "has the taint node.cloudprovider.kubernetes.io/shutdown"),
        ],
    )
    def test_of_nodes_in_no_pool_only_taints_that_pass_keep_pods_off(self, key: str, why: str) -> None:
        taints = {"taints": [{"key": key, "effect": "NoSchedule"}]}
        found = looked([node("n", slices={"nvidia.com/mig-1g.5gb": 7}, spec=taints)], [])
        assert only(found, "n").unusable == why

    def test_the_smallest_pods_that_neither_fits_nor_is_undercut(self) -> None:
        """One asks for little CPU, another for little memory: neither fits alone, though the smallest numbers would."""
        lean = {"cpu": "1", "memory": "64Gi", "nvidia.com/mig-1g.5gb": "1"}
        idle = {"cpu": "64", "memory": "1Gi", "nvidia.com/mig-1g.5gb": "1"}
        pods = [pod(name, spec={"containers": [{"name": "a", "resources": {"requests": asked}}]})
                for name, asked in (("lean", lean), ("idle", idle))]  # fmt: skip
        found = looked([node("n", "small", room={"cpu": "2", "memory": "2Gi"})], pods)
        assert only(found, "n").unusable == "has too little CPU and memory left"

    def test_what_nobody_waits_for_while_pods_wait_for_another(self) -> None:
        waiting = pod("a", slices={"nvidia.com/mig-2g.10gb": 9})
        found = looked([node("n", "mixed")], [waiting])
        assert [(lost.slice, lost.count, lost.why) for lost in found.stranded] == [
            ("3g.20gb", 8, "nobody waits for it, and pods wait for 2g.10gb"),
            ("1g.5gb", 16, "nobody waits for it, and pods wait for 2g.10gb"),
        ]

    def test_a_pod_that_asks_for_what_nobody_has_strands_nothing(self) -> None:
        for resource in ("nvidia.com/mig-9g.99gb", "nvidia.com/gpu"):
            assert looked([node("n", "mixed")], [pod("a", slices={resource: 1})]).stranded == ()

    def test_pods_that_are_about_to_be_bound_strand_nothing(self) -> None:
        assert looked([node("n", "mixed")], [pod("a", slices={"nvidia.com/mig-2g.10gb": 1})]).stranded == ()

    def test_an_empty_cluster_strands_nothing(self) -> None:
        assert looked([node("n", "mixed")], []).stranded == ()


class TestWaiting:
    def test_pods_wait_for_a_slice_in_the_pools_that_gpu_slice_wrote(self) -> None:
        to = {"annotations": {"gpu-slice/pools": "small, mixed"}}
        pods = [
            pod("a", metadata=to, minutes=5), pod("b", metadata=to, minutes=90), pod("by-hand"),
            pod("c", slices={"nvidia.com/gpu": 1}, metadata={"annotations": {"gpu-slice/pools": "single"}}),
            pod("whole", slices={"nvidia.com/gpu": 1}), pod("gated", slices={}),
        ]  # fmt: skip
        found = looked([node("n", "small", {"nvidia.com/mig-1g.5gb": 1})], pods)
        assert [(queue.slice, queue.pools, queue.count, queue.free, queue.longest) for queue in found.waiting] == [
            ("1g.5gb", ("small", "mixed"), 3, 1, timedelta(minutes=90)),
            ("1g.10gb", ("single",), 1, 0, timedelta(minutes=1)),
            ("whole GPU", (), 1, 0, timedelta(minutes=1)),
        ]

    def test_a_pool_that_is_named_often_is_counted_once(self) -> None:
        often = {"annotations": {"gpu-slice/pools": ", ".join(["small"] * 15_000)}}
        (queue,) = looked([node("n", "small")], [pod("a", metadata=often)]).waiting
        assert (queue.pools, queue.free) == (("small",), 56)


class TestRights:
    def test_without_nodes_what_is_used_is_a_floor_and_what_is_free_is_not_known(self) -> None:
        listings = {
            NODES: Listing(problem="you may not list nodes"),
            PODS: Listing(
                (pod("a", "n", slices={"nvidia.com/mig-1g.5gb": 2}),), "you may not list pods in all namespaces", "team"
            ),
        }  # fmt: skip
        found = usage(Snapshot(NOW, listings=listings), FLEET, {})
        assert found.problems == ("you may not list nodes", "you may not list pods in all namespaces")
        table = "\n".join(usage_table.pools(found, "pod", None, draw=False))
        assert "≥2     ?      ?" in table
        assert "team/a" in table
        assert click.unstyle(next(usage_table.summary(found))) == "at least 2 slices are used, 2 compute slices, 0 GiB"
        document = usage_data.document(found, None)
        assert (document["used"], document["free"], document["total"]) == (2, None, None)

    def test_with_the_pods_of_one_namespace_nothing_is_called_free(self) -> None:
        listings = {
            NODES: Listing((node("n", "small"),)),
            PODS: Listing((pod("a", "n"),), "you may not list pods in all namespaces", "team"),
        }
        found = usage(Snapshot(NOW, listings=listings), FLEET, {"p4d.24xlarge": 20})
        document = usage_data.document(found, None)
        assert (document["used"], document["free"], document["total"], document["freeCost"]) == (1, None, 56, None)
        assert next(csv.DictReader(usage_data.by_node(found)))["free"] == ""


class TestTable:
    def test_a_terminal_that_is_narrow_cuts_names_and_no_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        found = looked([node("n" * 200, "small")], [])
        lines = [click.unstyle(text) for text in usage_table.pools(found, "pod", None, draw=False)]
        assert all(len(text) <= 80 for text in lines)
        assert "…" in lines[2]
        assert lines[2].endswith("20.00")

    def test_many_pods_of_a_slice_are_counted_and_not_named(self) -> None:
        found = looked([node("n", "small")], [pod(f"p{index:02}", "n") for index in range(40)])
        lines = [click.unstyle(text) for text in usage_table.pools(found, "pod", None, draw=False)]
        assert ["…", "and", "30", "more", "30"] in [text.split() for text in lines]

    def test_a_namespace_names_its_pods_alone(self) -> None:
        found = looked([node("n", "small")], [pod("a", "n"), pod("b", "n", namespace="other")])
        lines = "\n".join(usage_table.pools(found, "pod", "team", draw=False))
        assert "team/a" in lines
        assert "other/b" not in lines
        assert found.used.slices == 2

    @pytest.mark.parametrize(
        ("seconds", "text"), [(-5, "0s"), (45, "45s"), (119, "119s"), (120, "2m"), (7200, "2h"), (3 * 86400, "3d")]
    )
    def test_ages(self, seconds: int, text: str) -> None:
        assert usage_table.age(timedelta(seconds=seconds)) == text

    @pytest.mark.parametrize(("page", "depth"), [("README.md", "node"), ("docs/live.md", "pod")])
    def test_the_docs_show_a_tree_as_it_is(self, fleet: Fleet, page: str, depth: str) -> None:
        def standing(name: str, pool: str) -> Node:
            found = next(each for each in fleet.pools if each.name == pool)
            return msgspec.convert(standing_node(found, found.shapes[0], name), Node)

        nodes = [
            standing("ip-10-0-1-7.ec2.internal", "a100-1g-5gb"),
            standing("ip-10-0-1-8.ec2.internal", "a100-mixed"),
        ]
        tuning = {
            "slices": {"nvidia.com/mig-2g.10gb": 4},
            "metadata": {"annotations": {"gpu-slice/pools": "a100-mixed"}},
        }
        pods = [
            pod("train", "ip-10-0-1-7.ec2.internal", slices={"nvidia.com/mig-1g.5gb": 40}),
            pod("ada", "ip-10-0-1-8.ec2.internal", "notebooks", slices={"nvidia.com/mig-3g.20gb": 1}),
            *(pod(f"tune-{index}", "ip-10-0-1-8.ec2.internal", **tuning) for index in range(2)),
            *(pod(f"tune-{index}", minutes=42, **tuning) for index in range(2, 5)),
        ]
        found = looked(nodes, pods, fleet, **{"p4d.24xlarge": 21.96})
        shown = [*usage_table.pools(found, depth, None, draw=False), *usage_table.summary(found)]
        printed = "\n".join(map(click.unstyle, shown))
        option = "" if depth == "pod" else f" --depth {depth}"
        text = (Path(__file__).parents[2] / page).read_text()
        assert f"$ kubectl gpu-slice usage{option} --price p4d.24xlarge=21.96\n{printed}\n```" in text, printed


class TestPrices:
    @pytest.mark.parametrize(
        "text", ["p4d.24xlarge", "p4d.24xlarge=", "=5", "p4d.24xlarge=-1", "a=nan", "a=inf", "a=$5"]
    )
    def test_what_is_no_price_is_a_usage_error(self, text: str) -> None:
        result = CliRunner().invoke(main, ["usage", "--price", text])
        assert result.exit_code == 2
        assert "is not a price. Write it as in 'p4d.24xlarge=21.96'" in result.output

    def test_the_command_line_wins_over_the_fleet(self) -> None:
        assert prices_of(FLEET, {"g5.xlarge": 1.0}) == {"p4d.24xlarge": 20.0, "g5.xlarge": 1.0}
        assert prices_of(FLEET, {"p4d.24xlarge": 1.0}) == {"p4d.24xlarge": 1.0}

    def test_a_type_that_nobody_knows_is_a_usage_error(self) -> None:
        with pytest.raises(click.BadParameter, match="is no instance type of the catalogue"):
            prices_of(FLEET, {"p4d.24xlrge": 1.0})
