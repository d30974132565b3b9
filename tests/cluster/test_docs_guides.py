"""Every command of the guides for a cluster that stands, run as it stands there, one guide after the other.

The cluster has what its owner had before: a node group that is cut, and one with whole GPUs.  No Karpenter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.conftest import skip, told
from tests.cluster.nodes import ROOM, Node
from tests.cluster.page import Block, blocks, syntax, unseen
from tests.cluster.reader import ROOT, STUBS, Reader

GUIDES = ("adopt.md", "migrate.md", "quotas.md", "ci.md", "gpu-operator.md")
BLOCKS = [block for guide in GUIDES for block in blocks(ROOT / "docs" / guide)]
PLAYED = {"AWS", "helm"}
UNTRIED = {
    "a node": ("kubectl label node NAME", "kubectl get node NAME"),
    "running pods": ("gpu-slice check", "kubectl -n gpu-slice get configmap"),
}
"""What a block needs that is not run at all, and how its commands begin."""


def gpu_node(name: str, group: str, labels: dict[str, str], **capacity: str) -> Node:
    """A p4d of a managed node group, as EKS and GPU feature discovery label it."""
    room = ROOM | capacity
    common = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "node.kubernetes.io/instance-type": "p4d.24xlarge",
        "topology.kubernetes.io/zone": "us-west-2a",
        "eks.amazonaws.com/nodegroup": group,
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": common | labels},
        "spec": {"taints": []},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


CUT = {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig-1g.5gb.count": "56"}
NODES = (
    gpu_node("ip-10-0-1-1", "gpu-mig", CUT, **{"nvidia.com/mig-1g.5gb": "56"}),
    gpu_node("ip-10-0-1-2", "gpu-mig", CUT, **{"nvidia.com/mig-1g.5gb": "56"}),
    gpu_node("ip-10-0-2-1", "gpu-whole", {}, **{"nvidia.com/gpu": "8"}),
)


@pytest.fixture(scope="module", name="reader")
def _reader(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("guides")
    with ExitStack() as stack:
        try:
            found = stack.enter_context(control_plane_and_kubelet(folder / "control-plane"))
        except programs.BuildError as error:
            skip(error)
        told.logs = found.plane.logs
        for node in NODES:
            found.add_node(node)
        reader = Reader(found, tls, folder, BLOCKS, UNTRIED)
        stack.callback(reader.stop)
        yield reader


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_every_block_is_run_or_says_what_it_needs(block: Block) -> None:
    assert syntax(block.text) == ""
    assert block.needs in {"", *PLAYED, *UNTRIED}
    if block.needs in UNTRIED:
        assert all(line.startswith(UNTRIED[block.needs]) for line in block.text.splitlines())
    programs_named = {name for name in STUBS if re.search(rf"(^|[(|] ?){name} ", block.text, re.MULTILINE)}
    assert bool(programs_named) == (block.needs in PLAYED)


@pytest.mark.parametrize("guide", GUIDES)
def test_no_block_is_overlooked(guide: str) -> None:
    text = (ROOT / "docs" / guide).read_text()
    found = [block for block in blocks(ROOT / "docs" / guide) if block.where.startswith(guide)]
    opened = re.findall(r"^ *```(.*)$", text, re.MULTILINE)[::2]
    assert set(opened) <= {"sh", "text", "yaml"}
    assert opened.count("sh") == len(found)
    assert opened.count("text") == sum(bool(block.sees) for block in found)
    others = len(re.findall(r"^<!-- as ", text, re.MULTILINE))
    assert text.count("<!--") == others + sum(bool(block.needs) for block in found)


def test_a_section_of_another_page_is_read_in_its_place() -> None:
    places = [block.where.partition(":")[0] for block in blocks(ROOT / "docs" / "adopt.md")]
    assert places.count("eks.md") == 1
    assert places[0] == places[-1] == "adopt.md"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_does_what_the_guide_says(block: Block, reader: Reader) -> None:
    said = reader.read(block)

    assert unseen(block.sees, said) == [], said
