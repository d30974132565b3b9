"""The checks of Karpenter itself: version, feature gate, limits, and who may say so."""

from __future__ import annotations

import copy as copies
from dataclasses import replace

import pytest

from tests.unit.check_facts import FLEET, NODE_POOL, SLICED, Document, deployment, done, facts, told
from webhook.cli.files import load_fleet
from webhook.cluster import launching
from webhook.cluster.check import (
    CHECKS,
    Facts,
    Status,
    run,
)
from webhook.cluster.objects import (
    DEPLOYMENTS,
    NODE_POOLS,
    PODS,
)
from webhook.cluster.snapshot import TRUSTED

CHART = {"app.kubernetes.io/name": "karpenter"}


@pytest.mark.parametrize(
    ("karpenter", "status", "said"),
    [
        pytest.param(deployment(image="karpenter/controller:v1.13.0"), Status.GOOD, "v1.13.0", id="the oldest"),
        pytest.param(deployment(image="karpenter/controller:1.12.9"), Status.FAILED, "1.12.9", id="older"),
        pytest.param(deployment(image="karpenter/controller:0.37.8"), Status.FAILED, "0.37.8", id="much older"),
        pytest.param(
            deployment(image="karpenter/controller@sha256:00", labels={"app.kubernetes.io/version": "1.12.1"}),
            Status.FAILED,
            "1.12.1",
            id="a digest, and a label",
        ),
        pytest.param(
            deployment(
                image="registry.example.com/mirror/k@sha256:00", labels={**CHART, "helm.sh/chart": "karpenter-1.14.0"}
            ),
            Status.GOOD,
            "1.14.0",
            id="a mirror, and the chart's label",
        ),
        pytest.param(
            deployment(image="karpenter/controller@sha256:1.15"), Status.WARNING, "neither", id="nothing tells"
        ),
    ],
)
def test_karpenters_version_is_found_where_it_stands(karpenter: Document, status: Status, said: str) -> None:
    line = done("karpenter-version", facts({DEPLOYMENTS: [karpenter]}))
    assert line.status is status
    assert said in told(line) + "".join(line.notes)


@pytest.mark.parametrize(
    ("container", "status"),
    [
        pytest.param(
            {"env": [{"name": "FEATURE_GATES", "value": "NodeRepair=true,NodeOverlay=true"}]},
            Status.GOOD,
            id="by the environment",
        ),
        pytest.param({"env": [{"name": "FEATURE_GATES", "value": "NodeOverlay=True"}]}, Status.GOOD, id="in capitals"),
        pytest.param({"args": ["--feature-gates=NodeOverlay=true"]}, Status.GOOD, id="by an argument"),
        pytest.param(
            {"command": ["karpenter", "-feature-gates", "NodeOverlay=true"]}, Status.GOOD, id="by the command"
        ),
        pytest.param(
            {
                "env": [{"name": "FEATURE_GATES", "value": "NodeOverlay=true"}],
                "args": ["--feature-gates=NodeRepair=true"],
            },
            Status.FAILED,
            id="an argument wins",
        ),
        pytest.param(
            {"env": [{"name": "FEATURE_GATES", "value": "NodeOverlay=true,NodeOverlay=false"}]},
            Status.FAILED,
            id="the last wins",
        ),
        pytest.param({}, Status.FAILED, id="not at all"),
        pytest.param(
            {"env": [{"name": "FEATURE_GATES", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]},
            Status.WARNING,
            id="where nobody can look",
        ),
        pytest.param({"envFrom": [{"secretRef": {"name": "x"}}]}, Status.WARNING, id="in a Secret"),
    ],
)
def test_the_gate_is_found_where_it_stands(container: Document, status: Status) -> None:
    assert done("karpenter-gate", facts({DEPLOYMENTS: [deployment(**container)]})).status is status


OVERLAYS_ON = {"env": [{"name": "FEATURE_GATES", "value": "NodeOverlay=true"}]}
FAKE = deployment("autoscaler", "evil", labels=CHART, image="registry.k8s.io/pause:3.10", **OVERLAYS_ON)
ABOUT_KARPENTER = ("karpenter", "karpenter-version", "karpenter-gate", "claims-beside")


def statuses(about: Facts) -> list[Status]:
    return [done(id, about).status for id in ABOUT_KARPENTER]


@pytest.mark.parametrize(
    "fake",
    [
        pytest.param(FAKE, id="by its label"),
        pytest.param(deployment("karpenter", "evil", image="a/b:1", **OVERLAYS_ON), id="by its name"),
        pytest.param(deployment("other", "evil", **OVERLAYS_ON), id="by its image"),
    ],
)
def test_a_tenants_deployment_does_not_stand_in_for_karpenter(fake: Document) -> None:
    for real in ([], [deployment(replicas=0, **OVERLAYS_ON)]):
        about = facts({DEPLOYMENTS: [*real, fake]})
        assert statuses(about) == [Status.FAILED, Status.UNKNOWN, Status.WARNING, Status.UNKNOWN]
        said = "kube-system/karpenter is scaled to 0 replicas" if real else "no Deployment of Karpenter runs"
        assert said in told(done("karpenter", about))


def test_a_tenants_deployment_does_not_spoil_karpenter() -> None:
    off = deployment(
        "karpenter", "evil", image="karpenter/controller:0.1.0", env=[{"name": "IGNORE_DRA_REQUESTS", "value": "false"}]
    )
    down = off | {"status": {}}
    real = deployment(**OVERLAYS_ON)
    for fake in (off, down):
        about = facts({DEPLOYMENTS: [real, fake]})
        assert statuses(about) == [Status.WARNING, Status.GOOD, Status.GOOD, Status.GOOD]
        (problem,) = done("karpenter", about).problems
        assert problem.reason.startswith("evil/karpenter looks like one")
        assert problem.cure.endswith("--trust evil")


def test_a_namespace_that_the_user_names_is_trusted() -> None:
    about = facts({DEPLOYMENTS: [deployment(namespace="nodes", **OVERLAYS_ON)]})
    trusting = replace(about, snapshot=replace(about.snapshot, trusted=TRUSTED | {"nodes"}))
    assert done("karpenter", about).status is Status.FAILED
    assert statuses(trusting) == [Status.GOOD] * 4


@pytest.mark.parametrize("namespace", ["kube-system", "karpenter"])
def test_karpenter_is_found_where_it_is_usually_installed(namespace: str) -> None:
    assert statuses(facts({DEPLOYMENTS: [deployment(namespace=namespace, **OVERLAYS_ON)]})) == [Status.GOOD] * 4


@pytest.mark.parametrize(
    ("limits", "used", "reached"),
    [
        pytest.param({"nvidia.com/mig-1g.5gb": "560"}, {"nvidia.com/mig-1g.5gb": "504"}, False, id="room for one"),
        pytest.param({"nvidia.com/mig-1g.5gb": "560"}, {"nvidia.com/mig-1g.5gb": "505"}, True, id="too little room"),
        pytest.param({"nodes": "2"}, {"nodes": "2"}, True, id="nodes"),
        pytest.param({"nodes": "0"}, {}, True, id="no nodes"),
        pytest.param({"cpu": "1k"}, {"cpu": "960"}, False, id="cpu left"),
        pytest.param({"cpu": "1k"}, {"cpu": "1000"}, True, id="cpu"),
        pytest.param({"memory": "1Ti"}, {"memory": "1024Gi"}, True, id="memory, in another unit"),
        pytest.param({"cpu": "96000m"}, {"cpu": "96"}, True, id="cpu in thousandths"),
        pytest.param({"nvidia.com/mig-1g.5gb": "1k"}, {"nvidia.com/mig-1g.5gb": "999"}, True, id="slices in thousands"),
    ],
)
def test_a_limit_is_reached_for_check_as_for_explain(limits: Document, used: Document, reached: bool) -> None:
    live = NODE_POOL | {"spec": NODE_POOL["spec"] | {"limits": limits}, "status": {"resources": used}}
    assert (done("node-pool-limit", facts({NODE_POOLS: [live]})).status is Status.GOOD) != reached
    causes = launching._limits(FLEET.pools[0], live, ())
    assert bool(list(causes)) == reached


def test_a_pod_that_only_says_so_does_not_wait_for_a_limit() -> None:
    live = NODE_POOL | {"spec": NODE_POOL["spec"] | {"limits": {"nodes": "0"}}}
    waiting = copies.deepcopy(SLICED)
    del waiting["spec"]["nodeName"]
    forged = waiting | {"spec": {"containers": [{"name": "main"}]}}
    assert done("node-pool-limit", facts({NODE_POOLS: [live], PODS: [forged]})).status is Status.WARNING
    line = done("node-pool-limit", facts({NODE_POOLS: [live], PODS: [forged, waiting]}))
    assert (line.status, "1 pod waits, such as default/p" in told(line)) == (Status.FAILED, True)


def test_karpenter_is_not_asked_for_where_it_launches_nothing() -> None:
    existing = load_fleet(
        b"apiVersion: gpu-slice/v1\npools:\n- {name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, "
        b"instanceTypes: [p4d.24xlarge], nodes: existing}\n"
    )
    lines = run(CHECKS, facts(fleet=existing))
    assert not any(line.check.category == "Karpenter" for line in lines)


def test_a_karpenter_that_is_there_is_not_to_be_installed() -> None:
    (asleep,) = done("karpenter", facts({DEPLOYMENTS: [deployment(replicas=0)]})).problems
    assert asleep.reason == "kube-system/karpenter is scaled to 0 replicas"
    assert asleep.cure == "Run kubectl -n kube-system scale deployment karpenter --replicas=2"
    broken = deployment()
    broken["status"] = {}
    (down,) = done("karpenter", facts({DEPLOYMENTS: [broken]})).problems
    assert down.cure.startswith("Run kubectl -n kube-system describe deployment karpenter,")
    assert done("karpenter", facts({DEPLOYMENTS: [deployment(), deployment("old", replicas=0)]})).problems == ()
