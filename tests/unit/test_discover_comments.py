"""What `fleet discover` says of nodes that others made, cordoned or share in a way that a fleet does not have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.test_discover import G5, GROUP, P4D, TAINT, found, node, pools
from webhook.cluster.objects import Node
from webhook.fleet import fleet as fleets

A100 = {**P4D, **GROUP, "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}
GKE = {
    "node.kubernetes.io/instance-type": "a2-highgpu-1g",
    "cloud.google.com/gke-nodepool": "mig",
    "cloud.google.com/gke-accelerator": "nvidia-tesla-a100",
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB",
    "nvidia.com/gpu.count": "1",
}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
WHOLE = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
CUT = {"nvidia.com/mig-1g.5gb": 56}
SHARES = {"nvidia.com/mig-1g.5gb.replicas": "4", "nvidia.com/mig-1g.5gb.sharing-strategy": "time-slicing"}
SINGLE = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"
PARTITION = "cloud.google.com/gke-gpu-partition-size"


def cordoned(name: str, *taints: dict[str, str]) -> Node:
    made = node(name, A100, CUT, (*taints, CORDON))
    return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, unschedulable=True))


def test_cordoned_nodes_are_named_as_such_and_belong_to_their_pool() -> None:
    told = str(found([node("a", A100, CUT), cordoned("b", TAINT), cordoned("c", TAINT)]))
    assert "# 3 nodes: a, b, c.\n# Cordoned now: b, c.\n" in told
    assert "taints" not in told
    assert "untainted" not in told


@pytest.mark.parametrize(
    "passing",
    ["ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler", "aws-node-termination-handler/spot-itn"],
)
def test_the_taint_of_a_node_that_is_about_to_go_is_no_taint_of_its_pool(passing: str) -> None:
    going = {"key": passing, "value": "1", "effect": "NoSchedule"}
    assert "taints" not in pools([node("a", A100, CUT, (TAINT, going))])["gpus"]


@pytest.mark.parametrize(
    ("labels", "offered", "said"),
    [
        pytest.param({}, {"nvidia.com/gpu": 56}, "Time-slicing and neither MPS nor MIG slices", id="unnamed, as GPUs"),
        pytest.param({}, {"nvidia.com/gpu.shared": 56}, "Time-slicing and neither MPS nor MIG", id="unnamed, renamed"),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"},
            {"nvidia.com/gpu": 56},
            "Time-slicing and not MPS: nothing says which.",
            id="a product without MIG",
        ),
        pytest.param(
            {"nvidia.com/gpu.sharing-strategy": "time-slicing"}, {"nvidia.com/gpu": 56}, "", id="time-slicing, as told"
        ),
    ],
)
def test_a_guess_about_a_gpu_that_can_be_cut_names_all_that_it_excludes(
    labels: dict[str, str], offered: dict[str, int], said: str
) -> None:
    told = str(found([node("a", {**P4D, **GROUP, **labels}, offered)]))
    assert "timeSlicing:" in told
    guesses = re.findall("# (Time-slicing.*)", told)
    assert [said in guess for guess in guesses] == ([True] if said else [])


def test_a_guess_about_a_gpu_without_mig_does_not_speak_of_mig() -> None:
    told = str(found([node("a", {**G5, **GROUP}, {"nvidia.com/gpu.shared": 4})]))
    assert "# Time-slicing and not MPS: nothing says which.\n" in told


@pytest.mark.parametrize(
    ("labels", "offered"),
    [
        pytest.param({**A100, **SHARES}, {"nvidia.com/mig-1g.5gb": 224}, id="more than fit"),
        pytest.param(
            {**A100, "nvidia.com/mig-3g.20gb.replicas": "2"}, {"nvidia.com/mig-3g.20gb": 16}, id="as many as would fit"
        ),
        pytest.param(A100, {"nvidia.com/mig-1g.5gb.shared": 224}, id="renamed"),
        pytest.param(
            {**A100, "nvidia.com/gpu.product": f"{SINGLE}-SHARED", "nvidia.com/gpu.replicas": "4"},
            {"nvidia.com/gpu": 224},
            id="single",
        ),
        pytest.param({**A100, "nvidia.com/gpu.product": f"{SINGLE}-SHARED"}, {"nvidia.com/gpu": 224}, id="by its name"),
        pytest.param(
            {**A100, "nvidia.com/gpu.product": SINGLE, "nvidia.com/gpu.replicas": "2"},
            {"nvidia.com/gpu": 112},
            id="single, by its replicas",
        ),
        pytest.param(
            {**A100, "nvidia.com/gpu.product": SINGLE}, {"nvidia.com/gpu.shared": 112}, id="single and renamed"
        ),
        pytest.param(
            {**GKE, PARTITION: "1g.5gb", "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"},
            {"nvidia.com/gpu": 14},
            id="on GKE",
        ),
    ],
)
def test_slices_that_pods_share_are_in_no_pool(labels: dict[str, str], offered: dict[str, int]) -> None:
    made = found([node("a", labels, offered)])
    assert made.fleet["pools"] == []
    assert made.left == (
        "a: in no pool, because it lets several pods share a MIG slice, and a pool's slices are for one pod each.",
    )


def test_slices_of_one_pod_each_are_not_taken_for_shared_ones() -> None:
    one = {"nvidia.com/mig-1g.5gb.replicas": "1", "nvidia.com/mig-1g.5gb.sharing-strategy": "none"}
    assert pools([node("a", {**A100, **one}, CUT)])["gpus"]["partition"] == {"mig": {"1g.5gb": 7}}
    single = {"nvidia.com/gpu.product": SINGLE, "nvidia.com/gpu.replicas": "1"}
    assert pools([node("a", {**A100, **single}, {"nvidia.com/gpu": 56})])["gpus"]["strategy"] == "single"


@pytest.mark.parametrize("state", ["pending", "rebooting", "failed"])
def test_a_node_that_the_mig_manager_has_not_cut_yet_is_told_so(state: str) -> None:
    (line,) = found([node("a", {**A100, "nvidia.com/mig.config.state": state}, {})]).left
    assert line == (
        f"a: in no pool, because it offers no slices and no GPUs: nvidia.com/mig.config.state is '{state}'."
    )


class TestGke:
    def test_slices_that_gke_calls_gpus_are_read_from_its_label(self) -> None:
        made = found([node("a", {**GKE, PARTITION: "1g.5gb"}, {"nvidia.com/gpu": 7}, (WHOLE,))])
        (pool,) = made.fleet["pools"]
        assert pool["name"] == "mig"
        assert pool["partition"] == {"mig": {"1g.5gb": 7}}
        assert pool["strategy"] == "single"
        assert pool["labels"] == {"cloud.google.com/gke-nodepool": "mig"}
        told = str(made)
        assert f"# Cut into 1g.5gb, because the label {PARTITION} says so.\n" in told
        assert "tolerates on EKS and GKE.\n" in told
        assert "No taint keeps other pods away" not in told
        assert "AWS" not in told

    def test_a_partition_that_the_gpu_does_not_have_is_told(self) -> None:
        (line,) = found([node("a", {**GKE, PARTITION: "1g.99gb"}, {"nvidia.com/gpu": 7})]).left
        assert line.endswith(f"it has the label {PARTITION}=1g.99gb, which is no profile of a100-40gb.")

    @pytest.mark.parametrize(("way", "partition"), [("time-sharing", "timeSlicing"), ("mps", "mps")])
    def test_how_pods_share_a_gpu_is_read_from_its_label(self, way: str, partition: str) -> None:
        labels = {**GKE, "cloud.google.com/gke-gpu-sharing-strategy": way}
        made = found([node("a", labels, {"nvidia.com/gpu": 4})])
        assert made.fleet["pools"][0]["partition"] == {partition: {"replicas": 4, "renamed": False}}
        assert "nothing says which" not in str(made)

    def test_a_type_that_nobody_knows_is_named_where_nothing_tells_its_gpu(self) -> None:
        labels = {key: value for key, value in GKE.items() if key != "nvidia.com/gpu.product"}
        (line,) = found([node("a", labels, {"nvidia.com/gpu": 1})]).left
        assert line == (
            "a: in no pool, because it is a a2-highgpu-1g, which is not in the catalogue, and has no label "
            "nvidia.com/gpu.product."
        )


class TestManyGroups:
    @pytest.fixture(name="built")
    def _built(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many pools each fleet had that was built."""
        built: list[int] = []
        build: Callable[..., Any] = fleets.build

        def counting(draft: Any, catalogue: Any) -> Any:
            built.append(len(draft.pools))
            return build(draft, catalogue)

        monkeypatch.setattr(fleets, "build", counting)
        return built

    def test_a_fleet_is_built_once_however_many_groups_there_are(self, built: list[int]) -> None:
        made = found([node(f"n{index}", {**P4D, **GROUP, "eks.amazonaws.com/nodegroup": f"g{index}"}, CUT)
                      for index in range(30)])  # fmt: skip
        assert len(made.fleet["pools"]) == 30
        assert built == [30]

    def test_those_that_make_no_pool_are_named_and_the_others_stay(self, built: list[int]) -> None:
        def of(index: int) -> Node:
            odd = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"} if index % 3 == 0 else {}
            return node(f"n{index}", {**P4D, "eks.amazonaws.com/nodegroup": f"g{index}", **odd},
                        {"nvidia.com/gpu" if odd else "nvidia.com/mig-1g.5gb": 56},
                        [{"key": "a b" if index == 4 else "team", "effect": "NoSchedule"}])  # fmt: skip

        made = found([of(index) for index in range(9)])
        assert [pool["name"] for pool in made.fleet["pools"]] == [f"g{index}" for index in range(9) if index != 4]
        assert made.left[0] == "n4: in no pool, because of this:"
        assert "'a b'" in made.left[1]
        assert len(built) == 3  # all, the one that is wrong by itself, and all others

    def test_what_two_say_of_one_instance_type_is_told_of_the_second(self, built: list[int]) -> None:
        def of(name: str, product: str) -> Node:
            return node(name, {
                "node.kubernetes.io/instance-type": "x1.large", "eks.amazonaws.com/nodegroup": name,
                "nvidia.com/gpu.product": product, "nvidia.com/gpu.count": "1",
            }, {"nvidia.com/gpu.shared": 4})  # fmt: skip

        made = found([of("a", "NVIDIA-A10G"), of("b", "NVIDIA-L4")])
        assert [pool["name"] for pool in made.fleet["pools"]] == ["a"]
        assert "b: in no pool, because several kinds of machine have the instance type x1.large" in made.left[0]
        assert "instance-type=1x-l4'" in made.left[0]
        assert built
