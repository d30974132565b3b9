"""Karpenter on the control plane.  Its nodes are of the kwok provider: objects, which nobody boots but these tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster import programs
from tests.cluster.cluster import Cluster, Document
from tests.cluster.control_plane import Starter, free_ports
from tests.cluster.nodes import ROOM, node
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU

CRDS = {
    "sigs.k8s.io/karpenter": ["pkg/apis/crds", "kwok/apis/crds"],
    "github.com/aws/karpenter-provider-aws": ["pkg/apis/crds"],
}
PRICES = {"p5en.48xlarge": 2.0}
"""Of what is not named: 1 for on-demand, and half of it for spot."""


def install_crds(cluster: Cluster) -> None:
    """Karpenter's own custom resources, and those of its providers for AWS and kwok."""
    for module, folders in CRDS.items():
        source = programs.sources(programs.karpenter_module(), module)
        for folder in folders:
            applied = cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(source / folder))
            assert applied.returncode == 0, applied.stderr
    names = ["nodepools.karpenter.sh", "nodeoverlays.karpenter.sh", "ec2nodeclasses.karpenter.k8s.aws"]
    ready = cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{each}" for each in names))
    assert ready.returncode == 0, ready.stderr


@contextmanager
def karpenter(cluster: Cluster, fleet: Fleet, folder: Path) -> Iterator[None]:
    """Karpenter with NodeOverlay switched on, which can buy the instance types of *fleet* and a plain one."""
    program = programs.karpenter()
    folder.mkdir(parents=True, exist_ok=True)
    types = folder / "instance-types.json"
    types.write_text(json.dumps([_plain(), *_instance_types(fleet)]))
    metrics, health = free_ports(2)
    environment = {"KUBECONFIG": str(cluster.plane.kubeconfig), "SYSTEM_NAMESPACE": "kube-system"}
    with ExitStack() as stack:
        process = Starter(stack, cluster.plane.logs, environment)(
            program,
            f"--instance-types-file-path={types}",
            "--feature-gates=NodeOverlay=true",
            "--disable-leader-election",
            f"--metrics-port={metrics}",
            f"--health-probe-port={health}",
            "--batch-idle-duration=200ms",
        )
        yield
        assert process.poll() is None, "Karpenter ended by itself"


def for_kwok(node_pool: Document) -> Document:
    """A NodePool whose nodes kwok makes: only the reference to its NodeClass is exchanged."""
    node_pool["spec"]["template"]["spec"]["nodeClassRef"] = {
        "group": "karpenter.kwok.sh",
        "kind": "KWOKNodeClass",
        "name": "default",
    }
    return node_pool


def boot_nodes(cluster: Cluster, fleet: Fleet) -> list[Document]:
    """The nodes that Karpenter launched; new ones get what the device plugin registers, and are ready."""
    pools = {pool.name: pool for pool in fleet.pools}
    found = [each for each in cluster.list("Node") if "karpenter.sh/nodepool" in each["metadata"]["labels"]]
    for each in found:
        if any(c["type"] == "Ready" and c["status"] == "True" for c in each["status"].get("conditions", ())):
            continue
        labels = each["metadata"]["labels"]
        pool = pools[labels["gpu-slice/pool"]]
        (shape, *_) = [s for s in pool.shapes if s.instance_type.name == labels["node.kubernetes.io/instance-type"]]
        status = node(pool, shape, each["metadata"]["name"])["status"]
        # A merge patch keeps what it does not name, and kwok's node has the GPUs of an uncut one.
        whole = {WHOLE_GPU: status["capacity"].get(WHOLE_GPU)}
        status |= {"capacity": status["capacity"] | whole, "allocatable": status["allocatable"] | whole}
        cluster.patch_status("Node", each["metadata"]["name"], {"status": status})
        taints = [t for t in each["spec"].get("taints", ()) if t["key"] != "node.kubernetes.io/not-ready"]
        cluster.patch("Node", each["metadata"]["name"], {"spec": {"taints": taints}})
    return found


def _instance_types(fleet: Fleet) -> Iterator[Document]:
    for each in {s.instance_type.name: s.instance_type for pool in fleet.pools for s in pool.shapes}.values():
        yield _instance_type(each.name, each.architecture, {WHOLE_GPU: str(each.gpus)})


def _plain() -> Document:
    return _instance_type("m5.4xlarge", "amd64", {})


def _instance_type(name: str, architecture: str, also: dict[str, str]) -> Document:
    def offering(capacity_type: str, price: float) -> Document:
        requirements = {"karpenter.sh/capacity-type": capacity_type, "topology.kubernetes.io/zone": "us-east-1a"}
        return {
            "Price": price * PRICES.get(name, 1.0),
            "Available": True,
            "Requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in requirements.items()],
        }

    return {
        "name": name,
        "architecture": architecture,
        "operatingSystems": ["linux"],
        "resources": ROOM | also,
        "offerings": [offering("spot", 0.5), offering("on-demand", 1.0)],
    }
