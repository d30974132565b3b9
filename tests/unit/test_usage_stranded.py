"""Which free slices `usage` calls stranded because of pods that wait for others."""

from __future__ import annotations

import pytest

from tests.unit.test_usage import looked, node, pod

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
