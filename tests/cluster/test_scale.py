"""From no node to a bound pod: the real Karpenter launches what the rendered companions promise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kubernetes.dynamic.exceptions import NotFoundError

from tests.cluster.cluster import Cluster, Document
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.conftest import empty
from tests.cluster.install import Installation
from tests.cluster.karpenter import boot_nodes, for_kwok, install_crds, karpenter
from tests.rendering import documents_of
from tests.running import Running
from tests.stories import FLEETS
from tests.waiting import wait_for
from webhook.cli import files
from webhook.fleet.fleet import Fleet

OVERLAY = ("NodeOverlay", "karpenter.sh/v1alpha1")
LATE = "late"
"""The pool whose overlay is not there from the beginning."""
CLAIM = ("NodeClaim", "karpenter.sh/v1")


@pytest.fixture(scope="module", name="offered")
def _fleet() -> Fleet:
    return files.fleet_at(FLEETS["scale"])


@pytest.fixture(scope="module", name="bare")
def _bare(cluster: object, offered: Fleet, tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without nodes, with Karpenter, all companions and the webhook.

    *cluster* is asked for so that it is skipped where that is.
    """
    folder = tmp_path_factory.mktemp("scale")
    with control_plane_and_kubelet(folder / "control-plane") as found:
        install_crds(found)
        server = Running(tls, "--fleet", str(FLEETS["scale"]))
        with karpenter(found, offered, folder):
            found.create(
                {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}}
            )
            for each in documents_of(offered, "node-overlays"):
                if LATE not in str(each):
                    found.create(each)
            for each in documents_of(offered, "node-pools"):
                found.create(for_kwok(each))
            installation = Installation(found)
            installation.guard()
            installation.point_at(server.port, tls / "ca.crt", lambda said: "ValidatingAdmission" not in said)
            yield found
        server.stop()


@pytest.fixture(autouse=True, name="emptied")
def _emptied(bare: Cluster, offered: Fleet) -> Iterator[None]:
    """Each test begins without nodes."""
    yield
    empty(bare, "default")

    def gone() -> bool:
        claims = bare.list(CLAIM[0], api_version=CLAIM[1])
        for (kind, api), each in [(CLAIM, each) for each in claims] + [
            (("Node", "v1"), each) for each in bare.list("Node")
        ]:
            # Not waiting for Karpenter to drain what is empty.
            with suppress(NotFoundError):
                bare.patch(kind, each["metadata"]["name"], {"metadata": {"finalizers": None}}, api=api)
            bare.delete(kind, each["metadata"]["name"], api_version=api)
        return not claims

    wait_for("the nodes are gone", gone)


def pod(name: str, asked: str | None = None, limits: dict[str, str] | None = None, **spec: object) -> Document:
    annotations = {"gpu-slice": asked} if asked else {}
    containers = [{"name": "main", "image": "a/b:1", "resources": {"limits": limits or {}}}]
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def bound(bare: Cluster, offered: Fleet, name: str) -> Document:
    """The node that a pod is bound to; Karpenter's new ones are booted meanwhile."""

    def node() -> Document | None:
        boot_nodes(bare, offered)
        there = bare.get("Pod", name, "default")["spec"].get("nodeName")
        return bare.get("Node", there) if there else None

    return wait_for(f"pod {name} is bound", node)


def karpenter_says(bare: Cluster, name: str) -> str:
    """What Karpenter says of a pod for which it launches nothing; waits for it."""

    def said() -> str:
        events = bare.list("Event", "default", field_selector=f"involvedObject.name={name}")
        mine = [
            each["message"]
            for each in events
            if "karpenter" in str(each.get("source", "")) + str(each.get("reportingComponent", ""))
        ]
        return mine[-1] if mine else ""

    return wait_for(f"Karpenter says something of {name}", said)


@pytest.mark.parametrize(
    ("asked", "pool", "instance_type"),
    [
        pytest.param("1g.5gb", "light", "p4d.24xlarge", id="a slice of MIG"),
        pytest.param("3g.40gb", "layout", "p4de.24xlarge", id="of a layout of several"),
        pytest.param("1g.10gb+me", "layout", "p4de.24xlarge", id="with media engines"),
        pytest.param("1g.10gb@h100", "single", "p5.48xlarge", id="called nvidia.com/gpu under single"),
        pytest.param("shared@a10g", "turns", "g5.xlarge", id="time-sliced"),
        pytest.param("shared@l4", "mps", "g6.xlarge", id="by MPS"),
    ],
)
def test_a_pod_of_each_kind_has_a_node_launched_for_it(asked, pool, instance_type, bare, offered) -> None:
    bare.create(pod("asking", asked))

    node = bound(bare, offered, "asking")

    labels = node["metadata"]["labels"]
    assert labels["gpu-slice/pool"] == labels["karpenter.sh/nodepool"] == pool
    assert labels["node.kubernetes.io/instance-type"] in (instance_type, "g5.12xlarge")
    (there,) = [each for each in offered.pools if each.name == pool]
    assert dict(there.labels).items() <= labels.items()
    assert "nvidia.com/gpu.present" not in labels
    assert {"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"} in node["spec"]["taints"]
    assert len(boot_nodes(bare, offered)) == 1


def test_the_cheaper_way_of_buying_is_taken(bare, offered) -> None:
    bare.create(pod("asking", "1g.5gb"))
    assert bound(bare, offered, "asking")["metadata"]["labels"]["karpenter.sh/capacity-type"] == "spot"


@pytest.mark.parametrize(("pods", "nodes"), [(56, 1), (57, 2)])
def test_56_slices_need_one_p4d_and_57_two(pods: int, nodes: int, bare, offered) -> None:
    template = {"metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": pod("x")["spec"]}
    template["spec"]["restartPolicy"] = "Never"
    many = {"parallelism": pods, "completions": pods, "template": template}
    metadata = {"name": "many", "namespace": "default"}
    bare.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": many})

    def claimed() -> int:
        """Nodes that are launched; not booted before all pods were counted, as a kwok node shows only their slices."""
        return len(bare.list("Pod", "default")) == pods and len(bare.list(CLAIM[0], api_version=CLAIM[1]))

    wait_for(f"{nodes} nodes are launched", lambda: claimed() == nodes)

    def bound_to() -> set[str] | None:
        boot_nodes(bare, offered)
        found = [each["spec"].get("nodeName") for each in bare.list("Pod", "default")]
        return set(found) if all(found) else None

    assert len(wait_for(f"{pods} pods are bound", bound_to)) == nodes
    assert len(boot_nodes(bare, offered)) == nodes


def test_a_pod_that_wants_a_whole_gpu_gets_no_cut_node(bare) -> None:
    tolerations = [{"operator": "Exists"}]
    bare.create(
        pod("whole", limits={"nvidia.com/gpu": "1"}, tolerations=tolerations, nodeSelector={"gpu-slice/pool": "light"})
    )

    assert "no instance type" in karpenter_says(bare, "whole")
    assert bare.list(CLAIM[0], api_version=CLAIM[1]) == []


def test_a_pod_that_does_not_tolerate_the_taint_gets_no_node(bare) -> None:
    bare.create(pod("raw", limits={"nvidia.com/mig-1g.5gb": "1"}))

    assert "did not tolerate taint" in karpenter_says(bare, "raw")
    assert bare.list(CLAIM[0], api_version=CLAIM[1]) == []


def test_of_two_pools_for_one_slice_the_heavier_is_launched_though_it_costs_more(bare, offered) -> None:
    bare.create(pod("asking", "1g.18gb"))
    assert bound(bare, offered, "asking")["metadata"]["labels"]["gpu-slice/pool"] == "dear"


def test_an_emptied_node_goes(bare, offered) -> None:
    bare.create(pod("asking", "1g.5gb"))
    node = bound(bare, offered, "asking")["metadata"]["name"]

    bare.delete("Pod", "asking", "default")

    wait_for("the empty node is gone", lambda: bare.get("Node", node) is None)


def test_without_its_overlay_a_pod_waits_and_with_it_a_node_is_launched(bare, offered) -> None:
    bare.create(pod("early", "1g.23gb"))
    assert "no instance type" in karpenter_says(bare, "early")

    (overlay,) = [each for each in documents_of(offered, "node-overlays") if LATE in str(each)]
    bare.create(overlay)

    assert bound(bare, offered, "early")["metadata"]["labels"]["gpu-slice/pool"] == LATE
    settled(bare)
    # Two of `turns`, whose types have one GPU and four.
    assert len(bare.list("NodeOverlay", api_version=OVERLAY[1])) == len(offered.pools) + 1


def settled(bare: Cluster) -> None:
    """Karpenter has taken note of every overlay, and refused none: it writes a condition into each."""

    def ready() -> bool:
        return all(
            any(c["type"] == "Ready" and c["status"] == "True" for c in each.get("status", {}).get("conditions", ()))
            for each in bare.list("NodeOverlay", api_version=OVERLAY[1])
        )

    wait_for("overlays are ready", ready)
