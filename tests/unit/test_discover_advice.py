"""What `fleet discover` says is to be done where the labels of nodes do not suffice."""

from __future__ import annotations

from tests.unit.test_discover import GROUP, P4D, found, node

SMALL, LARGE = {"nvidia.com/mig-1g.5gb": 56}, {"nvidia.com/mig-2g.10gb": 24}
BY_NAME = "Nothing tells these nodes from others with these labels"


def test_a_node_without_an_instance_type_is_to_be_given_one() -> None:
    told = "\n".join(found([node("a", {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}, SMALL)]).left)
    assert "kubectl label node NAME node.kubernetes.io/instance-type=my-a100-40gb'" in told


def test_it_is_in_a_pool_once_it_has_one() -> None:
    labels = {
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB",
        "nvidia.com/gpu.count": "8",
        "node.kubernetes.io/instance-type": "my-server",
    }
    discovered = found([node("a", labels, SMALL)])
    assert [pool["instanceTypes"] for pool in discovered.fleet["pools"]] == [["my-server"]]


def test_two_layouts_in_one_node_group_are_to_be_told_apart_by_name() -> None:
    discovered = found([node("a", {**P4D, **GROUP}, SMALL), node("b", {**P4D, **GROUP}, LARGE)])
    for index, pool in enumerate(discovered.fleet["pools"]):
        told = discovered.notes["pools", index]
        assert BY_NAME in told
        assert f"kubectl label node NAME gpu-slice/pool={pool['name']}" in told
        assert "and those to come" not in told


def test_two_layouts_that_a_label_tells_apart_are_not() -> None:
    told = str(
        found(
            [
                node("a", {**P4D, **GROUP, "nvidia.com/mig.config": "all-1g.5gb"}, SMALL),
                node("b", {**P4D, **GROUP, "nvidia.com/mig.config": "all-2g.10gb"}, LARGE),
            ]
        )
    )
    assert BY_NAME not in told
