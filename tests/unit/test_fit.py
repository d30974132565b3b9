"""`fit`: the fewest GPUs, the limits of pools, and which pods go where."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fit_needs import answer, cluster_of, owned, pod, pools_of, run
from tests.unit.test_packing import least
from webhook.admission.pod import convert
from webhook.cli import files
from webhook.fit.demand import PodCounts, demand_of, key_of, kind_of
from webhook.fit.fit import fit
from webhook.fit.problem import Bin, Item
from webhook.fleet.fleet import Fleet


def fleet_of(*pools: str, more: str = "") -> Fleet:
    return files.load_fleet(text_of(*pools, more=more).encode())


def text_of(*pools: str, more: str = "") -> str:
    lines = "".join(f"- {{{pool}}}\n" for pool in pools)
    return f"apiVersion: gpu-slice/v1\ncluster: test\n{more}pools:\n{lines}"


def demand(fleet: Fleet, counts: dict[str, int]) -> PodCounts:
    """The demand of pods with one container, by annotation."""
    return demand_of((kind, n) for value, n in counts.items() if (kind := kind_of(convert(pod(value)), fleet, None)))


A30 = "gpu: a30, taints: [], untainted: true, labels: {gpu: a30}"
TYPES = """catalogue:
  instanceTypes:
    one: {gpu: a30, gpus: 1, architecture: amd64}
    three: {gpu: a30, gpus: 3, architecture: amd64}
"""
SIZES = {"1g.6gb": 1, "2g.12gb": 2, "4g.24gb": 4}
"""Memory slices of an A30, which has four.  An instance of two starts at an even one."""


def layouts() -> list[dict[str, int]]:
    """Every way to cut an A30 with these three."""
    several = (each for n in range(1, 5) for each in combinations_with_replacement(SIZES, n))
    return [dict(Counter(each)) for each in several if sum(map(SIZES.__getitem__, each)) <= 4]


@given(
    st.dictionaries(st.sampled_from(["1g.6gb", "2x1g.6gb", "3x1g.6gb", "2g.12gb", "4g.24gb"]), st.integers(1, 3)),
    st.sampled_from(["one", "three"]),
)
def test_a_fit_is_as_good_as_the_best_of_all(counts: dict[str, int], kind: str) -> None:
    gpus = {"one": 1, "three": 3}[kind]
    if gpus == 1:
        counts = {value: n for value, n in counts.items() if "x" not in value}
    cut = [{"1g.6gb": 4}, {"2g.12gb": 2}, {"4g.24gb": 1}]
    fleet = fleet_of(
        *(f"name: p{n}, {A30}, partition: {{mig: {json.dumps(each)}}}, instanceTypes: [{kind}], limit: {{nodes: 99}}"
          for n, each in enumerate(cut)), more=TYPES,
    )  # fmt: skip
    items = []
    for value, n in counts.items():
        number, _, profile = value.rpartition("x")
        items.append(Item({profile: int(number or 1)}, n, frozenset({0})))

    def fewest(ways: list[dict[str, int]], nodes: int) -> int:
        bins = [Bin(0, "any", {name: n * nodes for name, n in way.items()}, nodes) for way in ways]
        return least(bins, items, {})[1]

    found = fit(demand(fleet, counts), fleet)

    assert found.current.gpus == fewest(cut, gpus)
    assert found.best.gpus == fewest(layouts(), gpus)
    assert found.current.exact
    assert found.best.exact
    assert found.ideal <= found.best.gpus
    if not any("x" in value for value in counts):
        assert found.ideal == fewest(layouts(), 1), "GPU by GPU, where every pod fits on one"


def test_the_least_of_all_in_dollars_is_exact_where_a_price_is_no_multiple_of_the_gpus() -> None:
    fleet = fleet_of(
        *(f"name: {kind}, {A30}, partition: {{mig: {{4g.24gb: 1}}}}, instanceTypes: [{kind}], limit: {{nodes: 99}}"
          for kind in ("one", "three")), more=TYPES,
    )  # fmt: skip
    found = fit(demand(fleet, {"4g.24gb": 2}), fleet, {"one": 4.0, "three": 10.0})

    assert found.ideal == pytest.approx(2 * 10 / 3, abs=1e-9)


def test_a_pod_that_names_its_gpu_may_go_to_another_layout_of_it_whatever_the_architecture() -> None:
    """So it is admitted, as it would be in the pool that there is."""
    cuts = ({"1g.23gb": 7}, {"2g.47gb": 3})
    fleet = fleet_of(
        *(f"name: p{n}, gpu: gb200, partition: {{mig: {json.dumps(cut)}}}, instanceTypes: [p6e-gb200.36xlarge], "
          "limit: {nodes: 9}" for n, cut in enumerate(cuts))
    )  # fmt: skip
    kind = kind_of(convert(pod("1g.23gb@gb200")), fleet, None)

    assert kind is not None
    assert kind.served == {(0, 0)}
    assert kind.possible == {(0, 0), (1, 0)}


def test_pods_go_where_the_fewest_gpus_are_needed() -> None:
    found = answer("--need", "1g.5gb=120", "--need", "2g.10gb=30")

    assert pools_of(found) == {"a100-1g-5gb": 1, "a100-mixed": 4}
    assert (found["gpus"], found["nodes"], found["exact"], found["bound"]) == (40, 5, True, 40)
    assert pools_of(found["best"]) == {"a100-40gb-1x2g-10gb-5x1g-5gb": 4}
    assert found["saves"] == {"gpus": 8, "nodes": 1, "dollarsPerHour": None}
    assert found["leastOfAll"] == 26, "the 180 compute slices of 26 GPUs"
    assert [pool["exact"] for pool in found["pools"]] == [True, True]


def test_with_prices_dollars_are_saved() -> None:
    types = [f"name: {name}, gpu: a100-40gb, partition: {{mig: {{1g.5gb: 7}}}}, instanceTypes: [{kind}]"
             for name, kind in (("large", "p4d.24xlarge"), ("small", "one.large"))]  # fmt: skip
    more = "catalogue: {instanceTypes: {one.large: {gpu: a100-40gb, gpus: 1, architecture: amd64}}}\n"
    fleet = fleet_of(*types, more=more)
    wanted = demand(fleet, {"1g.5gb": 28})

    assert {each.pool for each in fit(wanted, fleet).current.pools} == {"small"}
    cheap = fit(wanted, fleet, {"p4d.24xlarge": 32.7726, "one.large": 9.0}).current
    assert [(each.pool, each.nodes, each.dollars) for each in cheap.pools] == [("large", 1, 32.7726)]
    assert cheap.dollars == cheap.bound == 32.7726


def test_pods_beyond_the_limits_are_named_with_the_pools_that_are_too_small() -> None:
    result = run("--need", "1g.10gb=100", "--need", "3g.20gb=100", "--need", "1g.5gb=10")
    found = answer("--need", "1g.10gb=100", "--need", "3g.20gb=100", "--need", "1g.5gb=10")

    assert result.exit_code == 1
    assert result.stdout.startswith("20 of 210 pods do not fit: ")
    assert "No room for 20 pods with 1 x 3g.20gb, because of the limit of a100-mixed.\n" in result.stdout
    assert found["left"] == [{"pods": 20, "slices": {"3g.20gb": 1}, "pools": ["a100-mixed"]}]
    assert not found["fits"]
    assert pools_of(found["unlimited"])["a100-mixed"] == 13


def test_a_limit_is_one_for_all_instance_types_of_a_pool() -> None:
    fleet = fleet_of(
        f"name: a, {A30}, partition: {{mig: {{1g.6gb: 4}}}}, instanceTypes: [one, three], limit: {{nodes: 1}}",
        more=TYPES,
    )
    kinds = [
        kind_of(convert(pod("1g.6gb", nodeSelector={"node.kubernetes.io/instance-type": name})), fleet, None)
        for name in ("one", "three")
    ]

    found = fit(dict.fromkeys(kinds, 1), fleet)

    assert (found.current.nodes, sum(found.current.left.values())) == (1, 1)
    assert (found.unlimited.nodes, found.fits) == (2, False)


def test_a_limit_in_slices_counts_all_slices_of_a_node() -> None:
    assert answer("--need", "1g.5gb=720")["fits"], "ten nodes with 56, by the limit of 560, and ten with 16"
    assert answer("--need", "1g.5gb=721")["left"][0]["pods"] == 1


def test_nodes_that_karpenter_does_not_launch_have_no_limit() -> None:
    pool = "name: own, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], nodes: existing"
    fleet = fleet_of(pool)

    assert fit(demand(fleet, {"1g.5gb": 5600}), fleet).current.nodes == 100


def test_a_pod_is_on_one_node_and_so_are_all_its_containers() -> None:
    fleet = fleet_of(
        "name: a, gpu: a100-40gb, partition: {mig: {3g.20gb: 1, 1g.5gb: 4}}, instanceTypes: [p4d.24xlarge]"
    )
    two = pod("main=9x1g.5gb, other=3g.20gb")
    two["spec"]["containers"].append({"name": "other", "image": "example/other:1"})
    kind = kind_of(convert(two), fleet, None)

    found = fit({kind: 6}, fleet).current

    assert found.nodes == 2, "32 slices of a node have room for three of nine"
    assert kind.size == 10


def test_pods_that_must_run_apart_do_not_share_nodes() -> None:
    pool = "name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], zones: [z-1a, z-1b]"
    fleet = fleet_of(pool.replace("z-", "us-east-"))
    kinds = [
        kind_of(convert(pod("1g.5gb", nodeSelector={"topology.kubernetes.io/zone": zone})), fleet, None)
        for zone in ("us-east-1a", "us-east-1b")
    ]

    assert fit(dict.fromkeys(kinds, 1), fleet).current.nodes == 2
    assert fit({kinds[0]: 2}, fleet).current.nodes == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"metadata": {"labels": {"a": "b"}}}, True, id="another label"),
        pytest.param({"spec": {"nodeName": "somewhere"}}, True, id="on a node"),
        pytest.param({"spec": {"tolerations": [{"operator": "Exists"}]}}, True, id="another toleration"),
        pytest.param({"spec": {"containers": [{"name": "main", "env": [{"name": "RANK", "value": "7"}]}]}}, True,
                     id="another variable"),
        pytest.param({"spec": {"nodeSelector": {"team": "ml"}}}, False, id="another node"),
        pytest.param({"spec": {"containers": [{"name": "main"}, {"name": "sidecar"}]}}, False, id="another container"),
    ],
)  # fmt: skip
def test_pods_that_differ_in_nothing_that_matters_are_decided_once(change: dict[str, Any], same: bool) -> None:
    first, second = pod("1g.5gb"), pod("1g.5gb")
    for field, value in change.items():
        second[field] |= value

    assert (key_of(convert(first), None) == key_of(convert(second), None)) is same


def test_a_default_of_the_namespace_is_counted_too() -> None:
    fleet = files.load_fleet(files.default_fleet_text() + b"namespaces: {team-a: {default: 1g.5gb}}\n")
    whole = pod("") | {"metadata": {"name": "whole"}}
    whole["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}

    assert kind_of(convert(whole), fleet, "team-a") == kind_of(convert(pod("1g.5gb")), fleet, "team-a")
    assert kind_of(convert(whole), fleet, "team-b") is None


def test_a_default_is_counted_with_a_remark_on_the_label_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(files.default_fleet_text() + b"namespaces: {team-a: {default: 1g.5gb}}\n")
    plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain", "namespace": "team-a"},
             "spec": {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}}  # fmt: skip
    cluster_of(monkeypatch, plain, owned(plain, "again", namespace="team-a"))

    for arguments, text in (["-"], yaml.safe_dump(plain)), (["--cluster"], None):
        result = run(*arguments, "--fleet", str(path), text=text)
        assert result.stdout.startswith(("1 pod fits", "2 pods fit"))
        assert result.stderr.count("this holds if namespace 'team-a' has the label gpu-slice/default") == 1
        assert "by hand" not in result.stderr


def test_a_pod_that_names_its_pool_is_in_no_new_one() -> None:
    fleet = files.fleet_at(None)
    counts = {"1g.5gb": 8, "2g.10gb": 9}
    pinned = [kind_of(convert(pod(value, nodeSelector={"gpu-slice/pool": "a100-mixed"})), fleet, None) for value in
              counts]  # fmt: skip

    assert fit(dict(zip(pinned, counts.values(), strict=True)), fleet).best.nodes == 2
    assert fit(demand(fleet, counts), fleet).best.nodes == 1


def test_a_namespace_keeps_to_its_pools() -> None:
    more = "namespaces: {default: {pools: [b]}}\n"
    fleet = fleet_of(
        *(f"name: {name}, gpu: a100-40gb, partition: {{mig: {{{layout}}}}}, instanceTypes: [p4d.24xlarge]"
          for name, layout in (("a", "1g.5gb: 7"), ("b", "1g.5gb: 4"))), more=more,
    )  # fmt: skip

    found = fit(demand(fleet, {"1g.5gb": 40}), fleet)

    assert [(each.pool, each.nodes) for each in found.current.pools] == [("b", 2)]
    assert [(each.pool, each.nodes, dict(each.layout)) for each in found.best.pools] == [("b", 1, {"1g.5gb": 7})]


@pytest.mark.parametrize(
    ("pool", "need", "expected"),
    [
        pytest.param("strategy: single, partition: {mig: {1g.5gb: 4}}", "1g.5gb=50", {"1g.5gb": 7},
                     id="single: one profile"),
        pytest.param("strategy: single, ami: bottlerocket@v1.52.0, partition: {mig: {1g.5gb: 7}}", "1g.5gb=57", None,
                     id="Bottlerocket: as many as fit"),
        pytest.param("partition: {mig: {4g.20gb: 1, 1g.5gb: 1}}", "1g.5gb=50", {"1g.5gb": 7}, id="mixed"),
        pytest.param("partition: {timeSlicing: {replicas: 4}}", "shared=100", None, id="time slices are not cut"),
    ],
)  # fmt: skip
def test_only_layouts_that_the_pool_may_have_are_proposed(
    pool: str, need: str, expected: dict[str, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text_of(f"name: a, gpu: a100-40gb, instanceTypes: [p4d.24xlarge], {pool}"))

    best = answer("--need", need, "--fleet", str(path))["best"]

    assert [each["perGpu"] for each in best["pools"] if "like" in each] == ([expected] if expected else [])


def test_a_million_pods_are_one_kind() -> None:
    found = answer("--need", "1g.5gb=999000", "--need", "2g.10gb=1000")["unlimited"]

    assert found["exact"]
    assert found["gpus"] == found["bound"]
