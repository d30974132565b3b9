"""The checks of device plugins, ours, those of others and the GPU Operator's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.check_facts import RENDERED, Document, done, facts, node, requires, told
from webhook.cluster.check import (
    Status,
)
from webhook.cluster.objects import (
    CLUSTER_POLICIES,
    DAEMON_SETS,
    NODES,
)


def daemon_set(image: str, tolerations: Any = (), namespace: str = "gpu", **spec: Any) -> Document:
    container = {"name": "main", "image": image}
    return {
        "metadata": {"name": "other", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [container], "tolerations": list(tolerations), **spec}}},
    }


PLUGIN, ANY = "nvcr.io/nvidia/k8s-device-plugin:v0.20.0", [{"operator": "Exists"}]
STOCK = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("other", "good"),
    [
        pytest.param(daemon_set(PLUGIN, STOCK), True, id="a stock plugin, which the taint keeps away"),
        pytest.param(daemon_set(PLUGIN, ANY), False, id="one that tolerates everything"),
        pytest.param(daemon_set(PLUGIN, ANY, nodeSelector={"gpu-slice/pool": "others"}), True, id="for other nodes"),
        pytest.param(daemon_set(PLUGIN, ANY, nodeSelector={"nvidia.com/gpu": "a100"}), False, id="for our label"),
        pytest.param(
            daemon_set(
                PLUGIN,
                ANY,
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [{"matchExpressions": [requires("gpu-slice/pool", "DoesNotExist")]}]
                        }
                    }
                },
            ),
            True,
            id="kept away as the documents say",
        ),
        pytest.param(
            daemon_set("registry.k8s.io/dra-driver/k8s-dra-driver-gpu:v1", ANY), False, id="NVIDIA's DRA driver"
        ),
        pytest.param(
            daemon_set("example.com/aws-efa-k8s-device-plugin:v1", ANY), True, id="a plugin for network cards"
        ),
        pytest.param(daemon_set("example.com/log-agent:v1", ANY), True, id="no plugin"),
        pytest.param(
            daemon_set(
                PLUGIN,
                ANY,
                containers=[{"name": "gfd", "image": PLUGIN, "command": ["/usr/bin/gpu-feature-discovery"]}],
            ),
            True,
            id="GPU feature discovery, which is in the same image",
        ),
        pytest.param(
            daemon_set(PLUGIN, ANY, nodeSelector={"nvidia.com/gpu.present": "true"}),
            False,
            id="for every node with GPUs",
        ),
        pytest.param(
            daemon_set(
                "nvcr.io/nvidia/cloud-native/k8s-mig-manager:v0.14.0", ANY, nodeSelector={"gpu-slice/pool": "a100"}
            ),
            False,
            id="one that cuts ours",
        ),
        pytest.param(
            daemon_set(
                "nvcr.io/nvidia/cloud-native/k8s-mig-manager:v0.14.0", ANY, nodeSelector={"gpu-slice/pool": "standing"}
            ),
            True,
            id="one that cuts those of others",
        ),
        pytest.param(
            {"metadata": {"name": "other"}, "spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}},
            True,
            id="one without an image, which something fills in",
        ),
    ],
)
def test_another_plugin_is_one_where_it_would_run(other: Document, good: bool) -> None:
    assert (done("plugin-alone", facts({DAEMON_SETS: [other]})).status is Status.GOOD) == good


def test_a_tenants_plugin_is_a_warning_that_names_its_namespace() -> None:
    line = done("plugin-alone", facts({DAEMON_SETS: [daemon_set(PLUGIN, ANY)]}))
    assert line.status is Status.WARNING
    assert "gpu/other" in told(line)
    assert done("plugin-alone", facts({DAEMON_SETS: [daemon_set(PLUGIN, ANY, "gpu-operator")]})).status is Status.FAILED


def test_a_tenants_plugin_does_not_make_the_only_one_a_second() -> None:
    plugins = [daemon_set(PLUGIN, ANY, namespace, nodeSelector={"gpu-slice/pool": "standing"})
               for namespace in ("nvidia-device-plugin", "evil")]  # fmt: skip
    line = done("plugin-alone", facts({DAEMON_SETS: plugins}))
    assert line.status is Status.WARNING
    assert told(line).startswith("evil/other looks like one")


def test_a_tenants_plugin_does_not_turn_the_operator_into_a_second() -> None:
    other = daemon_set(PLUGIN, ANY, "evil", nodeSelector={"gpu-slice/pool": "standing"})
    about = facts({CLUSTER_POLICIES: [cluster_policy(daemonsets={"tolerations": ANY})], DAEMON_SETS: [other]})
    assert "standing" not in told(done("gpu-operator", about))


def cluster_policy(**spec: Any) -> Document:
    return {"metadata": {"name": "cluster-policy"}, "spec": spec}


@pytest.mark.parametrize(
    ("policy", "live", "good"),
    [
        pytest.param(cluster_policy(), node(), True, id="as its chart has it"),
        pytest.param(cluster_policy(daemonsets={"tolerations": ANY}), node(), True, id="the label keeps it away"),
        pytest.param(
            cluster_policy(daemonsets={"tolerations": ANY}),
            node(labels={"nvidia.com/gpu.deploy.operands": None}),
            False,
            id="nothing keeps it away",
        ),
        pytest.param(
            cluster_policy(
                daemonsets={"tolerations": ANY}, devicePlugin={"enabled": False}, migManager={"enabled": False}
            ),
            node(labels={"nvidia.com/gpu.deploy.operands": None}),
            True,
            id="without plugin and MIG manager",
        ),
    ],
)
def test_the_gpu_operator_is_a_problem_where_it_would_run(policy: Document, live: Document, good: bool) -> None:
    line = done("gpu-operator", facts({CLUSTER_POLICIES: [policy], NODES: [live]}))
    assert (line.status is Status.GOOD) == good


@pytest.mark.parametrize(("there", "said"), [(0, "describe daemonset gpu-slice-device-plugin-mixed"), (2, "")])
def test_a_plugin_of_which_no_pod_exists_is_described_itself(there: int, said: str) -> None:
    live = next(each for each in RENDERED if each["kind"] == "DaemonSet")
    status = {"desiredNumberScheduled": 2, "currentNumberScheduled": there, "numberAvailable": 0}
    (problem,) = done("plugin-runs", facts({DAEMON_SETS: [{**live, "status": status}]})).problems
    assert problem.reason.endswith("runs on 0 of 2 nodes")
    assert said in problem.cure
    assert bool(problem.cure) == bool(said)


@pytest.mark.parametrize(
    ("available", "ready", "status"),
    [
        pytest.param(2, ["True", "True"], Status.GOOD, id="on all"),
        pytest.param(
            1, ["True", "False"], Status.WARNING, id="not on the one that is down, of which another check tells"
        ),
        pytest.param(1, ["True", "True"], Status.FAILED, id="not on one that is up"),
        pytest.param(0, ["True", "Unknown"], Status.FAILED, id="on none, and one is down"),
    ],
)
def test_a_plugin_that_is_missing_where_a_node_is_down_is_a_warning(
    available: int, ready: list[str], status: Status
) -> None:
    live = next(each for each in RENDERED if each["kind"] == "DaemonSet")
    counts = {"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberAvailable": available}
    nodes = [node() for _ in ready]
    for number, (each, state) in enumerate(zip(nodes, ready, strict=True)):
        each["metadata"]["name"] = f"n{number}"
        each["status"]["conditions"] = [{"type": "Ready", "status": state}]
    line = done("plugin-runs", facts({DAEMON_SETS: [{**live, "status": counts}], NODES: nodes}))
    assert line.status is status
