"""The checks of nodes and NodeClaims."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml

from tests.unit.check_facts import NOW, OLD, ROOT, YOUNG, Document, done, facts, node, told
from webhook.cli.files import load_fleet
from webhook.cluster.check import (
    Status,
)
from webhook.cluster.objects import (
    NODE_CLAIMS,
    NODES,
    PODS,
)

PASSING = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("live", "failing", "said"),
    [
        pytest.param(node(), None, "", id="as it should be"),
        pytest.param(node("standing", "p5.48xlarge"), None, "", id="an existing one"),
        pytest.param(node(taints=[PASSING]), "node-usable", "disrupted:NoSchedule", id="one that Karpenter replaces"),
        *(
            pytest.param(node(taints=[{"key": key, "effect": effect}]), "node-usable", f"{key}:{effect}, so no", id=key)
            for key, effect in (
                ("node.kubernetes.io/disk-pressure", "NoSchedule"),
                ("node.kubernetes.io/memory-pressure", "NoSchedule"),
                ("node.kubernetes.io/pid-pressure", "NoSchedule"),
                ("node.kubernetes.io/network-unavailable", "NoSchedule"),
                ("node.kubernetes.io/out-of-service", "NoExecute"),
                ("node.kubernetes.io/unschedulable", "NoSchedule"),
                ("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule"),
            )
        ),
        pytest.param(
            node(
                taints=[{"key": "karpenter.sh/unregistered", "effect": "NoExecute"}],
                labels={"karpenter.sh/nodepool": "a100", "karpenter.sh/initialized": None},
            ),
            None,
            "",
            id="a taint of a node that boots",
        ),
        pytest.param(
            node(unschedulable=True, taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
            "node-usable",
            "is cordoned",
            id="cordoned, as the API server has it",
        ),
        pytest.param(
            node(taints=[{"key": "nvidia.com/mig-1g.5gb", "effect": "NoSchedule"}]),
            None,
            "",
            id="a taint that every pod with the slice tolerates",
        ),
        pytest.param(
            node(taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]),
            "node-taints",
            "nvidia.com/gpu",
            id="a taint of whole GPUs",
        ),
        pytest.param(node(taints=[{"key": "a", "effect": "PreferNoSchedule"}]), None, "", id="a soft taint"),
        pytest.param(node(allocatable={"nvidia.com/mig-1g.5gb": "55"}), "node-slices", "55", id="a slice less"),
        pytest.param(node(allocatable={"nvidia.com/mig-1g.5gb": "57"}), "node-slices", "57", id="a slice more"),
        pytest.param(node(type="p4de.24xlarge"), "node-slices", "p4de.24xlarge, which is not", id="another type"),
        pytest.param(node(allocatable={"nvidia.com/gpu": "1"}), "node-whole-gpus", "1 nvidia.com/gpu", id="whole GPUs"),
        pytest.param(node(allocatable={"nvidia.com/mig-3g.20gb": "1"}), "node-whole-gpus", "mig-3g.20gb", id="others"),
        pytest.param(node(allocatable={"nvidia.com/gpu.shared": "4"}), "node-whole-gpus", "gpu.shared", id="shares"),
        pytest.param(node(allocatable={"nvidia.com/gpu": "0"}), None, "", id="none of them"),
        pytest.param(
            node(allocatable={"nvidia.com/mig-1g.5gb": "0"}, labels={"karpenter.sh/initialized": None}),
            None,
            "",
            id="one that still boots",
        ),
        pytest.param(
            node(labels={"gpu-slice/pool": None}),
            "node-labels",
            "gpu-slice/pool=a100",
            id="a label less, of a node that Karpenter launched",
        ),
        pytest.param(
            node(labels={"nvidia.com/gpu": "h100"}),
            "node-labels",
            "nvidia.com/gpu=h100, and not a100",
            id="another label",
        ),
        pytest.param(node(unschedulable=True), "node-usable", "cordoned", id="cordoned"),
    ],
)
def test_a_node_is_held_against_its_pool(live: Document, failing: str | None, said: str) -> None:
    about = facts({NODES: [live]})
    lines = [done(id, about) for id in ("node-labels", "node-taints", "node-usable", "node-slices", "node-whole-gpus")]
    assert [line.check.id for line in lines if line.status is not Status.GOOD] == ([failing] if failing else [])
    assert said in " | ".join(map(told, lines))


def claim(age: timedelta, **conditions: Document) -> Document:
    stated = [{"type": type, "status": "True"} | given for type, given in conditions.items()]
    return {
        "metadata": {
            "name": "a100-x",
            "labels": {"karpenter.sh/nodepool": "a100"},
            "creationTimestamp": (NOW - age).isoformat().replace("+00:00", "Z"),
        },
        "status": {"conditions": stated, "nodeName": "n1"},
    }


MISSING = {
    "status": "Unknown",
    "reason": "ResourceNotRegistered",
    "message": 'Resource "nvidia.com/mig-1g.5gb" was requested',
}
PLUGINS = [{"kind": "DaemonSet", "name": "gpu-slice-device-plugin-mixed", "controller": True}]
RUNNING = {
    "metadata": {"name": "plugin", "namespace": "kube-system", "ownerReferences": PLUGINS},
    "spec": {"nodeName": "n1"},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
STARTING = RUNNING | {"status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("given", "plugin", "status", "said"),
    [
        pytest.param(claim(OLD, Launched={}, Registered={}, Initialized={}), RUNNING, Status.GOOD, "", id="joined"),
        pytest.param(
            claim(YOUNG, Launched={}, Registered={"status": "Unknown"}),
            RUNNING,
            Status.WARNING,
            "not Registered after 180 s",
            id="booting",
        ),
        pytest.param(
            claim(OLD, Launched={}, Registered={"status": "Unknown", "message": "Node not registered"}),
            RUNNING,
            Status.FAILED,
            "not Registered after 660 s: Node not registered",
            id="never registered",
        ),
        pytest.param(
            claim(OLD, Launched={"status": "False", "message": "no capacity"}),
            RUNNING,
            Status.FAILED,
            "not Launched after 660 s: no capacity",
            id="never launched",
        ),
        pytest.param(
            claim(YOUNG, Launched={}, Registered={}, Initialized=MISSING),
            STARTING,
            Status.WARNING,
            "nvidia.com/mig-1g.5gb",
            id="its plugin starts",
        ),
        pytest.param(
            claim(YOUNG, Launched={}, Registered={}, Initialized=MISSING),
            RUNNING,
            Status.FAILED,
            'not Initialized after 180 s: Resource "nvidia.com/mig-1g.5gb" was requested',
            id="its plugin runs, and has registered nothing",
        ),
        pytest.param(
            claim(YOUNG, Launched={}, Registered={}, Initialized=MISSING),
            RUNNING | {"metadata": RUNNING["metadata"] | {"namespace": "evil"}},
            Status.WARNING,
            "nvidia.com/mig-1g.5gb",
            id="a tenant's pod names the plugin as its owner",
        ),
    ],
)
def test_a_node_that_does_not_join(given: Document, plugin: Document, status: Status, said: str) -> None:
    line = done("node-claims", facts({NODE_CLAIMS: [given], NODES: [node()], PODS: [plugin]}))
    assert line.status is status
    assert said in told(line)


@pytest.mark.parametrize(("pool", "status"), [("a100", Status.WARNING), ("standing", Status.FAILED)])
def test_a_node_that_karpenter_drains_is_a_warning_and_one_that_nobody_replaces_a_failure(
    pool: str, status: Status
) -> None:
    type = "p4d.24xlarge" if pool == "a100" else "p5.48xlarge"
    own = {"karpenter.sh/nodepool": "a100"} if pool == "a100" else {}
    assert done("node-usable", facts({NODES: [node(pool, type, taints=[PASSING], labels=own)]})).status is status


@pytest.mark.parametrize("launched", [True, False])
def test_a_node_that_was_relabelled_is_one_failure_that_names_its_pool(launched: bool) -> None:
    by = {"karpenter.sh/nodepool": "a100"} if launched else {}
    live = node(labels={"gpu-slice/pool": "standing", **by})
    ids = ("node-labels", "node-taints", "node-usable", "node-slices", "node-whole-gpus", "plugin-alone")
    failed = [line for line in (done(id, facts({NODES: [live]})) for id in ids) if line.problems]
    (problem,) = [problem for line in failed for problem in line.problems]
    assert problem.reason.startswith("n1 is labelled gpu-slice/pool=standing, and is a node of a100")
    assert problem.cure == "Run kubectl label node n1 gpu-slice/pool=a100 --overwrite"


TYPE, OLD_TYPE = "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param({TYPE: None, OLD_TYPE: "p4d.24xlarge"}, "", id="the old label alone"),
        pytest.param({TYPE: None, OLD_TYPE: "m5.large"}, "n1 of a100 is a m5.large, which is not", id="another type"),
        pytest.param({TYPE: "m5.large", OLD_TYPE: "p4d.24xlarge"}, "n1 of a100 is a m5.large, which is not", id="both"),
        pytest.param({TYPE: None, OLD_TYPE: None}, f"n1 of a100 lacks the label {TYPE}", id="neither"),
    ],
)
def test_the_type_of_a_node_is_that_of_its_label(labels: Document, said: str) -> None:
    line = done("node-slices", facts({NODES: [node(labels=labels)]}))
    assert told(line).startswith(said)
    assert bool(line.problems) == bool(said)


@pytest.mark.parametrize("labels", [{TYPE: "p4d.24xlarge"}, {TYPE: None, OLD_TYPE: "p4d.24xlarge"}])
def test_a_node_that_two_pools_are_cut_for_was_relabelled_from_neither(labels: Document) -> None:
    """A node that nobody launched, whose label names a third pool."""
    text = yaml.safe_load((ROOT / "tests" / "fleets" / "single.yaml").read_text())
    third = {"name": "third", "gpu": "h100-80gb", "partition": {"mig": {"1g.10gb": 7}},
             "instanceTypes": ["p5.48xlarge"], "nodes": "existing"}  # fmt: skip
    twin = {"gpu": "a100-40gb", "partition": {"mig": {"1g.5gb": 7}}, "instanceTypes": ["p4d.24xlarge"]}
    text["pools"] = [third, {"name": "one", **twin}, {"name": "two", **twin, "labels": {"a": "b"}}]
    fleet = load_fleet(yaml.safe_dump(text).encode())
    live = node(labels={"gpu-slice/pool": "third", **labels})
    assert "relabelled" not in told(done("node-labels", facts({NODES: [live]}, fleet)))
    (problem,) = done("node-slices", facts({NODES: [live]}, fleet)).problems
    assert problem.reason == "n1 of third is a p4d.24xlarge, which is not among its instanceTypes"


def test_a_cordoned_node_is_told_once() -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    assert (
        told(done("node-usable", facts({NODES: [node(unschedulable=True, taints=[taint])]})))
        == "n1 of a100 is cordoned"
    )


@pytest.mark.parametrize(
    ("age", "owner", "said"),
    [
        pytest.param(YOUNG, "ReplicaSet", "", id="it drains"),
        pytest.param(OLD, "ReplicaSet", "deleted for 660 s, and 1 pod is still there, such as web/p", id="by a pod"),
        pytest.param(OLD, "DaemonSet", "deleted for 660 s", id="by nobody's pod"),
    ],
)
def test_a_node_that_cannot_leave_is_told_before_it_is_missed(age: timedelta, owner: str, said: str) -> None:
    leaving = claim(OLD, Launched={}, Registered={}, Initialized={})
    leaving["metadata"]["deletionTimestamp"] = (NOW - age).isoformat()
    owners = [{"kind": owner, "name": "o"}]
    pod = {"metadata": {"name": "p", "namespace": "web", "ownerReferences": owners}, "spec": {"nodeName": "n1"}}
    line = done("node-claims", facts({NODE_CLAIMS: [leaving], PODS: [pod]}))
    assert line.status is (Status.WARNING if said else Status.GOOD)
    assert told(line).endswith(said)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("aws-node-termination-handler/spot-itn", "AWS takes it back"),
        ("ToBeDeletedByClusterAutoscaler", "the Cluster Autoscaler is removing it"),
    ],
)
def test_nobody_is_told_to_uncordon_a_node_that_is_to_go(key: str, words: str) -> None:
    line = done(
        "node-usable", facts({NODES: [node(unschedulable=True, taints=[{"key": key, "effect": "NoSchedule"}])]})
    )
    assert len(line.problems) == 2
    for problem in line.problems:
        assert line.cure(problem).startswith(f"Wait for another node: {words}")
