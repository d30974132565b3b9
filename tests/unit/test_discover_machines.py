"""`fleet discover` on machines of one's own, to which no cloud gives an instance type."""

from __future__ import annotations

import pytest

from tests.unit.test_discover import found, node

TYPE = "node.kubernetes.io/instance-type"
H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.count": "8"}
A100 = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.count": "8"}
FOUR = {**A100, "nvidia.com/gpu.count": "4"}
SINGLE = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "nvidia.com/gpu.count": "56"}
MINE = {TYPE: "my-server"}


def machines(**given: str) -> list[tuple[str, dict[str, str], dict[str, int]]]:
    named = {name: {TYPE: value} for name, value in given.items()}
    return [
        ("one", H100 | named.get("one", {}), {"nvidia.com/mig-1g.10gb": 56}),
        ("two", A100 | named.get("two", {}), {"nvidia.com/mig-1g.5gb": 56}),
        ("three", FOUR | named.get("three", {}), {"nvidia.com/mig-1g.5gb": 28}),
        ("four", SINGLE | named.get("four", {}), {"nvidia.com/gpu": 56}),
    ]


NAMES = {"one": "8x-h100-80gb", "two": "8x-a100-40gb", "three": "4x-a100-40gb", "four": "8x-a100-40gb"}


def test_each_kind_of_machine_is_to_have_a_name_of_its_own() -> None:
    discovered = found([node(*machine) for machine in machines()])
    for name, kind in NAMES.items():
        (line,) = [line for line in discovered.left if name in line.partition(":")[0].split(", ")]
        assert f"kubectl label node NAME {TYPE}={kind}'" in line
        assert "another for each kind of machine" in line


def test_what_it_says_is_followed() -> None:
    discovered = found([node(*machine) for machine in machines(**NAMES)])
    assert discovered.left == ()
    assert discovered.fleet["catalogue"]["instanceTypes"] == {
        "8x-h100-80gb": {"gpu": "h100-80gb", "gpus": 8, "architecture": "amd64"},
        "8x-a100-40gb": {"gpu": "a100-40gb", "gpus": 8, "architecture": "amd64"},
        "4x-a100-40gb": {"gpu": "a100-40gb", "gpus": 4, "architecture": "amd64"},
    }


def test_one_name_for_several_kinds_of_machines_is_no_instance_type() -> None:
    discovered = found([node(*machine) for machine in machines(one="my-server", two="my-server", three="my-server")])
    assert not any("Write 'gpu:" in line for line in discovered.left)
    (line,) = [line for line in discovered.left if "several kinds" in line]
    assert line == (
        "three, two: in no pool, because several kinds of machine have the instance type my-server. Give each a name "
        f"of its own, as by 'kubectl label --overwrite node NAME {TYPE}=4x-a100-40gb' and 8x-a100-40gb, and look again."
    )


def test_machines_of_one_kind_may_be_cut_in_several_ways() -> None:
    discovered = found(
        [node("a", A100 | MINE, {"nvidia.com/mig-1g.5gb": 56}), node("b", A100 | MINE, {"nvidia.com/mig-2g.10gb": 24})]
    )
    assert [pool["instanceTypes"] for pool in discovered.fleet["pools"]] == [["my-server"], ["my-server"]]


def test_slices_that_are_called_gpus_are_counted_as_if_each_gpu_were_full() -> None:
    discovered = found([node("a", SINGLE | MINE, {"nvidia.com/gpu": 56})])
    assert discovered.fleet["catalogue"]["instanceTypes"]["my-server"]["gpus"] == 8
    assert discovered.fleet["pools"][0]["partition"] == {"mig": {"1g.5gb": 7}}
    assert "Taken to be 8 GPUs, each with as many slices as fit" in discovered.notes["pools", 0]


@pytest.mark.parametrize("count", [55, 6])
def test_those_that_do_not_fill_gpus_are_for_a_pool_by_hand(count: int) -> None:
    discovered = found([node("a", SINGLE | MINE, {"nvidia.com/gpu": count})])
    assert discovered.fleet["pools"] == []
    assert "write its pool by hand, and the machine under catalogue.instanceTypes" in discovered.left[0]
