"""Every command of ``docs/eks.md`` and ``docs/recipes.md``, run as they stand there, in their order.

The API server, the scheduler, the webhook and Karpenter's provider for AWS are real, AWS is moto's.  What a page says
that one sees is looked for in what the commands say.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.cluster import programs, reader
from tests.cluster.aws.cloud import Cloud, cloud
from tests.cluster.aws.node import boot
from tests.cluster.aws.provider import controller
from tests.cluster.cluster import Cluster
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.conftest import skip, told
from tests.cluster.install import ADMISSION, CONFIGURATION, NAME
from tests.cluster.karpenter import install_crds
from tests.cluster.nodes import nodes
from tests.cluster.page import Block, blocks, syntax, unseen
from tests.cluster.reader import STUBS
from webhook.cli import files
from webhook.fleet.fleet import Fleet

ROOT = Path(__file__).parents[2]
PAGE = blocks(ROOT / "docs" / "eks.md")
RECIPES = blocks(ROOT / "docs" / "recipes.md")
BOTH = [*PAGE, *RECIPES]
"""The recipes go by the fleet file with which the page ends."""
PLAYED = {"AWS", "AWS and helm", "AWS and docker", "helm"}
"""What a block needs whose commands are looked at by `tests.cluster.aws.cli`."""
UNTRIED = {"a node": {"kubectl logs"}, "a package index": {"python3 -m venv", ".venv/bin/python -m pip", "export PATH"}}
"""What a block needs that is not run at all, and how its commands begin."""


def fleet_of(page: list[Block]) -> Fleet:
    """The fleet file as it is at the end of the page."""
    texts = [
        found[1]
        for each in page
        for found in re.finditer(r"my-cluster/fleet.yaml <<END\n(.*?)END\n", each.text, re.DOTALL)
    ]
    assert len(texts) == 2
    return files.load_fleet("".join(texts).replace("$CLUSTER", "my-cluster").encode())


class Reader(reader.Reader):
    """Follows the pages, while Karpenter launches and somebody boots what it launches."""

    def __init__(self, cluster: Cluster, cloud: Cloud, tls: Path, folder: Path) -> None:
        super().__init__(cluster, tls, folder, BOTH, UNTRIED)
        self.cloud = cloud
        self.pools = {pool.name: pool for pool in fleet_of(PAGE).pools}
        self.applied = 0

    def noticed(self) -> Callable[[str], bool]:
        """The first fleet has no slice of the kind that the probe asks for, the second has."""
        self.applied += 1
        return (lambda said: "is not offered" in said) if self.applied == 1 else (lambda said: said == "created")

    def boot(self, stopping: Event) -> None:
        """Boot what is launched."""
        booted = set()
        while not stopping.wait(0.5):
            for name, instance in self.cloud.instances().items():
                if instance["state"] == "running" and name not in booted:
                    booted.add(name)
                    boot(self.cluster, instance, self.pools[instance["tags"]["karpenter.sh/nodepool"]])


def karpenter(cluster: Cluster) -> None:
    """Karpenter's Deployment as its chart writes it; the controller itself runs beside the cluster."""
    labels = {"app.kubernetes.io/name": "karpenter"}
    container = {
        "name": "controller",
        "image": "a/b:1",
        "env": [{"name": "FEATURE_GATES", "value": "ReservedCapacity=true,NodeOverlay=true,StaticCapacity=false"}],
    }
    version = programs.version("karpenter-aws").removeprefix("v")
    cluster.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "karpenter",
                "namespace": "kube-system",
                "labels": labels | {"app.kubernetes.io/version": version},
            },
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
    )


@pytest.fixture(scope="module", name="reader")
def _reader(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("docs")
    fleet = fleet_of(PAGE)
    with ExitStack() as stack:
        try:
            programs.karpenter_aws()
            found = stack.enter_context(control_plane_and_kubelet(folder / "control-plane"))
            install_crds(found)
        except programs.BuildError as error:
            skip(error)
        told.logs = found.plane.logs
        found.add_node(nodes(fleet)[0])
        karpenter(found)
        aws = stack.enter_context(cloud(found.plane.logs, fleet))
        stack.enter_context(controller(found, aws, fleet, folder / "home"))
        made = Reader(found, aws, tls, folder)
        stopping = Event()
        thread = Thread(target=made.boot, args=(stopping,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stopping.set)
        stack.callback(made.stop)
        yield made


@pytest.mark.parametrize("block", BOTH, ids=lambda block: block.where)
def test_every_block_is_run_or_says_what_it_needs(block: Block) -> None:
    assert syntax(block.text) == ""
    assert block.needs in {"", *PLAYED, *UNTRIED}
    if block.needs in UNTRIED:
        assert all(line.startswith(tuple(UNTRIED[block.needs])) for line in block.text.splitlines())
    programs_named = {name for name in STUBS if re.search(rf"(^|[(|] ?){name} ", block.text, re.MULTILINE)}
    assert bool(programs_named) == (block.needs in PLAYED)


@pytest.mark.parametrize("page", ["eks.md", "recipes.md"])
def test_no_block_is_overlooked(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    opened = re.findall(r"^ *```(.*)$", text, re.MULTILINE)[::2]
    found = blocks(ROOT / "docs" / page)
    assert set(opened) <= {"sh", "text", "yaml", "json"}
    assert opened.count("sh") == len(found)
    assert opened.count("text") == sum(bool(block.sees) for block in found)
    assert text.count("<!--") == sum(bool(block.needs) for block in found)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("aws ec2 create-tagz --resources a", "ec2 has no create-tagz"),
        ("aws ec2 create-tags --resources a", "needs {'tags'}"),
        ("aws eks describe-cluster --name a --nam b", "has no option {'nam'}"),
        ("aws eks describe-cluster --name a --query clusters[].name", "answers ['cluster'], and not clusters"),
        ("helm upgrade a b --reuse-value", "no option {'reuse-value'}"),
    ],
)
def test_a_command_that_does_not_exist_is_refused(command: str, refusal: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.aws.cli", *command.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert refusal in done.stderr


def test_what_is_not_seen_is_found() -> None:
    said = "NAME   READY   AGE\na-x    True    2s\n"
    assert unseen("a-… True …\nNAME READY …\n", said) == []
    assert unseen("a-… False …\nb-… True …\n", said) == ["a-… False …", "b-… True …"]


@pytest.mark.parametrize("block", PAGE, ids=lambda block: block.where)
def test_a_block_does_what_the_page_says(block: Block, reader: Reader) -> None:
    said = reader.read(block)

    assert unseen(block.sees, said) == [], said


def test_nothing_is_left_when_the_page_ends(reader: Reader) -> None:
    reader.read(PAGE[-1])

    for kind, api in [
        ("NodePool", "karpenter.sh/v1"),
        ("NodeClaim", "karpenter.sh/v1"),
        ("EC2NodeClass", "karpenter.k8s.aws/v1"),
        ("NodeOverlay", "karpenter.sh/v1alpha1"),
    ]:
        assert reader.cluster.list(kind, api_version=api) == []
    assert [each["metadata"]["name"] for each in reader.cluster.list("Node")] == ["cpu-1"]
    assert {each["state"] for each in reader.cloud.instances().values()} <= {"shutting-down", "terminated"}
    assert reader.cluster.get(CONFIGURATION, NAME, api_version=ADMISSION) is None
    assert reader.cluster.list("DaemonSet", "kube-system", api_version="apps/v1") == []


@pytest.mark.parametrize("block", RECIPES, ids=lambda block: block.where)
def test_a_recipe_does_what_the_page_says(block: Block, reader: Reader) -> None:
    said = reader.read(block)

    assert unseen(block.sees, said) == [], said
