"""The checks of `gpu-slice check`, on clusters that are written down; `tests/cluster/test_check.py` has real ones."""

from __future__ import annotations

import copy as copies
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml
from click.testing import CliRunner

from tests.rendering import documents_of
from webhook.admission.plan import plan
from webhook.cli import check as command
from webhook.cli.files import load_fleet
from webhook.cli.main import main
from webhook.cluster import launching
from webhook.cluster.check import (
    CATEGORIES,
    CHECKS,
    Facts,
    Leaf,
    Line,
    Probe,
    Problem,
    Status,
    guard,
    registration,
    run,
)
from webhook.cluster.check.comparison import Comparison
from webhook.cluster.check.look import KINDS, NAMESPACED
from webhook.cluster.objects import (
    CLUSTER_BINDINGS,
    CLUSTER_POLICIES,
    CLUSTER_ROLES,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODE_CLAIMS,
    NODE_CLASSES,
    NODE_OVERLAYS,
    NODE_POOLS,
    NODES,
    PODS,
    QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    WEBHOOKS,
    Kind,
    Node,
    Pod,
)
from webhook.cluster.snapshot import TRUSTED, Listing, Snapshot
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ASSIGNED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "checks.md").read_text()
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
Document = dict[str, Any]

FLEET = load_fleet(b"""\
apiVersion: gpu-slice/v1
cluster: my-cluster
pools:
- name: a100
  gpu: a100-40gb
  partition: {mig: {1g.5gb: 7}}
  instanceTypes: [p4d.24xlarge]
- name: standing
  gpu: h100-80gb
  partition: {mig: {1g.10gb: 7}}
  instanceTypes: [p5.48xlarge]
  nodes: existing
namespaces:
  limited: {pools: [standing]}
  given: {default: 1g.5gb}
""")
SUBJECTS = ("device-plugin", "node-classes", "node-pools", "node-overlays", "quota")
RENDERED = tuple(document for subject in SUBJECTS for document in documents_of(FLEET, subject))


def facts(objects: dict[Kind[Any], Iterable[Any]] | None = None, fleet: Fleet = FLEET, **more: Any) -> Facts:
    """A cluster with *objects* and nothing else; what is of a typed kind is converted."""
    listings: dict[Kind[Any], Listing[Any]] = {kind: Listing() for kind in (*KINDS, *NAMESPACED, NODES, PODS)}
    for kind, items in (objects or {}).items():
        listings[kind] = Listing(tuple(items if kind.type is dict else msgspec.convert(list(items), list[kind.type])))
    return Facts(Snapshot(NOW, "v1.36.3", listings), fleet, RENDERED, **more)


def done(id: str, about: Facts) -> Line:
    """What becomes of one check, whatever comes first."""
    (check,) = [each for each in CHECKS if each.id == id]
    (line,) = run([check], about)
    return line


def told(line: Line) -> str:
    return " | ".join(problem.reason for problem in line.problems)


def test_ids_are_unique_and_what_comes_first_stands_first() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    for check in CHECKS:
        assert check.category in CATEGORIES
        assert all(ids.index(other) < ids.index(check.id) for other in check.after), check.id


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_the_page_explains_every_check(check: Any) -> None:
    section = re.search(rf"^### `{check.id}`\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    assert section is not None
    words, why, cure = section[1].strip().split("\n\n")
    assert words == f"√ {check.words}"
    assert len(why) > 40
    assert cure == f"What to do: {check.cure}"


def test_the_page_explains_no_other() -> None:
    assert re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE) == [check.id for check in CHECKS]


def test_the_rules_are_those_of_the_manifests() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/webhook/webhook.yaml").read_text())
    about = facts({WEBHOOKS: [manifest]})
    for id in ("webhook-registered", "webhook-fails-closed", "webhook-selects", "webhook-settings"):
        assert (done(id, about).status, told(done(id, about))) == (Status.GOOD, "")
    assert {entry["name"] for entry in manifest["webhooks"]} == set(registration.CONDITIONS)
    policy = yaml.safe_load((ROOT / "manifests/guard/policy.yaml").read_text())
    assert guard.digest(policy["spec"]) == guard.EXPRESSIONS
    keepers = next(yaml.safe_load_all((ROOT / "manifests/keeper/policy.yaml").read_text()))
    assert guard.digest(keepers["spec"]) == guard.KEEPERS


def test_an_installation_in_another_namespace_excludes_that_one() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/webhook/webhook.yaml").read_text().replace("[gpu-slice,", "[slices,"))
    assert done("webhook-selects", facts({WEBHOOKS: [manifest]}, namespace="slices")).status is Status.GOOD
    assert done("webhook-selects", facts({WEBHOOKS: [manifest]})).status is Status.FAILED


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, [], id="a default"),
        pytest.param({"a": "10"}, {"a": 10}, [], id="a number as text"),
        pytest.param({"a": []}, {}, [], id="nothing, left out"),
        pytest.param(
            {"limits": {"x": "1"}},
            {"limits": {"x": "1", "y": "2"}},
            ["limits.y is '2', and the fleet gives nothing"],
            id="one more in what is ours",
        ),
        pytest.param(
            {"spec": {}},
            {"spec": {"taints": [{"key": "a"}]}},
            ["spec.taints is […], and the fleet gives nothing"],
            id="what nobody fills in",
        ),
        pytest.param({"values": ["a", "b"]}, {"values": ["b", "a"]}, [], id="another order of values"),
        pytest.param(
            {"values": ["a"]},
            {"values": ["a", "b"]},
            ["values is ['a', 'b'], and the fleet gives ['a']"],
            id="one value more",
        ),
        pytest.param(
            {"t": [{"key": "a"}, {"key": "b"}]},
            {"t": [{"key": "b", "x": 1}, {"key": "a"}]},
            [],
            id="another order of things with names",
        ),
        pytest.param(
            {"t": [{"key": "a", "v": 1}]},
            {"t": [{"key": "a", "v": 2}]},
            ["t[a].v is 2, and the fleet gives 1"],
            id="a thing with a name",
        ),
        pytest.param({"t": [{"key": "a"}]}, {"t": []}, ["t[a] is missing"], id="a thing less"),
        pytest.param(
            {"t": [{"key": "a"}]},
            {"t": [{"key": "a"}, {"key": "b"}]},
            ["t[b] is there, and the fleet gives no such thing"],
            id="a thing more",
        ),
        pytest.param({"a": {"b": 1}}, {}, ["a is missing, and the fleet gives {…}"], id="gone"),
        pytest.param({"a": {"b": 1}}, {"a": [1]}, ["a is [1], and the fleet gives {…}"], id="of another kind"),
    ],
)
def test_what_differs_is_told_by_its_path(wanted: Document, live: Document, expected: list[str]) -> None:
    assert list(Comparison().differences(wanted, live)) == expected


def deployment(
    name: str = "karpenter", namespace: str = "kube-system", replicas: int = 2, **container: Any
) -> Document:
    image = container.pop("image", "public.ecr.aws/karpenter/controller:1.15.0")
    labels = container.pop("labels", {})
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {}, "spec": {"containers": [{"name": "controller", "image": image, **container}]}},
        },
        "status": {"availableReplicas": replicas},
    }


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


OURS = next(document for document in RENDERED if document["kind"] == "NodeOverlay")
NODE_POOL = next(document for document in RENDERED if document["kind"] == "NodePool")


def overlay(name: str, weight: int | None, *requirements: Document, **capacity: str) -> Document:
    named = {
        "requirements": list(requirements),
        "capacity": {f"nvidia.com/{key}": each for key, each in capacity.items()},
    }
    return {"metadata": {"name": name}, "spec": named | ({} if weight is None else {"weight": weight})}


def requires(key: str, operator: str, *values: str) -> Document:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("other", "good"),
    [
        pytest.param(overlay("z", 2, gpu="8"), False, id="a larger weight"),
        pytest.param(overlay("z", None, gpu="8"), True, id="a smaller weight"),
        pytest.param(overlay("z", 1, gpu="8"), False, id="the same weight, and later in the alphabet"),
        pytest.param(overlay("a", 1, gpu="8"), True, id="the same weight, and earlier in the alphabet"),
        pytest.param(overlay("z", 2, gpu="0"), True, id="the same amount"),
        pytest.param(overlay("z", 2, **{"mig-1g.5gb": "56000m"}), True, id="the same amount, written otherwise"),
        pytest.param(
            overlay("z", 2, requires("karpenter.k8s.aws/instance-cpu", "Gt", "64"), gpu="8"),
            False,
            id="a label that it has, and nobody knows its value",
        ),
        pytest.param(overlay("z", 2, **{"mig-2g.10gb": "4"}), False, id="slices that are not there"),
        pytest.param(overlay("z", 2, **{"efa": "4"}) | {}, False, id="something of NVIDIA"),
        pytest.param(
            overlay("z", 2, requires("karpenter.sh/nodepool", "In", "b"), gpu="8"), True, id="another NodePool"
        ),
        pytest.param(
            overlay("z", 2, requires("karpenter.sh/nodepool", "NotIn", "b"), gpu="8"), False, id="all but one"
        ),
        pytest.param(overlay("z", 2, requires("example.com/unknown", "Exists"), gpu="8"), True, id="an unknown label"),
        pytest.param(overlay("z", 2, requires("example.com/unknown", "DoesNotExist"), gpu="8"), False, id="none such"),
        pytest.param(overlay("z", 2, requires("karpenter.sh/capacity-type", "In", "spot"), gpu="8"), True, id="spot"),
        pytest.param(
            overlay("z", 2, requires("topology.kubernetes.io/zone", "In", "us-east-1a"), gpu="8"),
            False,
            id="a zone that it may have",
        ),
        pytest.param(
            overlay("z", 2, requires("karpenter.k8s.aws/instance-family", "In", "p4d"), gpu="8"), False, id="a family"
        ),
        pytest.param(
            overlay("z", 2, requires("gpu-slice/pool", "In", "a100"), gpu="8"),
            False,
            id="a label of the NodePool's template",
        ),
    ],
)
def test_karpenters_choice_among_overlays_is_repeated(other: Document, good: bool) -> None:
    line = done("node-overlay-applies", facts({NODE_OVERLAYS: [other, OURS], NODE_POOLS: [NODE_POOL]}))
    assert (line.status is Status.GOOD) == good
    assert good or "NodeOverlay z gives p4d.24xlarge of NodePool a100" in told(line)


def test_an_overlay_that_karpenter_has_dropped_gives_nothing() -> None:
    dropped = {**OURS, "status": {"conditions": [{"type": "ValidationSucceeded", "status": "False"}]}}
    line = done("node-overlay-applies", facts({NODE_OVERLAYS: [dropped], NODE_POOLS: [NODE_POOL]}))
    assert "no NodeOverlay gives nvidia.com/mig-1g.5gb to p4d.24xlarge of NodePool a100" in told(line)


def ready(kind: str, *conditions: tuple[str, str, str]) -> Document:
    document = next(document for document in RENDERED if document["kind"] == kind)
    stated = [{"type": type, "status": status, "message": message} for type, status, message in conditions]
    return {**document, "status": {"conditions": stated}}


def rendered(kind: str) -> Document:
    return copies.deepcopy(next(each for each in RENDERED if each["kind"] == kind))


@pytest.mark.parametrize(
    ("change", "patch", "also"),
    [
        pytest.param({"limits": {"cpu": "0"}}, {"spec": {"limits": {"cpu": None}}}, False, id="a limit"),
        pytest.param(
            {"limits": {"cpu": "0", "memory": "1Gi"}, "replicas": 3},
            {"spec": {"limits": {"cpu": None, "memory": None}, "replicas": None}},
            False,
            id="several",
        ),
        pytest.param({"limits": {"cpu": "0"}, "weight": 99}, {"spec": {"limits": {"cpu": None}}}, True, id="and more"),
        pytest.param({"weight": 99}, None, False, id="none, but another value"),
    ],
)
def test_fields_that_were_added_are_taken_away_because_apply_leaves_them(
    change: Document, patch: Document | None, also: bool
) -> None:
    live = rendered("NodePool")
    live["spec"] |= change | ({"limits": live["spec"]["limits"] | change["limits"]} if "limits" in change else {})
    (problem,) = done("node-pool", facts({NODE_POOLS: [live]})).problems
    if patch is None:
        assert problem.cure == ""
        return
    command = f"Run kubectl patch nodepool a100 --type=merge -p '{json.dumps(patch)}': "
    assert problem.cure.startswith(command)
    assert ("kubectl apply -f -" in problem.cure) == also


def test_what_was_added_to_the_plugin_is_replaced() -> None:
    live = rendered("DaemonSet")
    live["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}
    (problem,) = done("plugin", facts({DAEMON_SETS: [live]})).problems
    assert "--only device-plugin | kubectl replace -f -" in problem.cure


@pytest.mark.parametrize(
    ("id", "kind", "conditions", "said"),
    [
        pytest.param(
            "node-class-ready",
            NODE_CLASSES,
            [("SubnetsReady", "False", "no subnets"), ("Ready", "False", "x")],
            "a100: SubnetsReady is False: no subnets",
            id="a part is missing",
        ),
        pytest.param(
            "node-class-ready",
            NODE_CLASSES,
            [("AMIsReady", "Unknown", ""), ("Ready", "Unknown", "later")],
            "a100: Ready is Unknown: later",
            id="Karpenter says nothing",
        ),
        pytest.param(
            "node-pool-ready",
            NODE_POOLS,
            [("NodeClassReady", "False", "no class"), ("Ready", "False", "")],
            "a100: NodeClassReady is False: no class",
            id="a NodePool",
        ),
        pytest.param("node-overlay-ready", NODE_OVERLAYS, [], "a100-8-gpus has no condition", id="not looked at"),
        pytest.param(
            "node-overlay-ready",
            NODE_OVERLAYS,
            [("ValidationSucceeded", "False", "conflict with another overlay"), ("Ready", "False", "")],
            "a100-8-gpus: ValidationSucceeded is False: conflict",
            id="a conflict",
        ),
        pytest.param(
            "node-overlay-ready",
            NODE_OVERLAYS,
            [("ValidationSucceeded", "True", ""), ("Ready", "True", "")],
            "",
            id="good",
        ),
    ],
)
def test_why_an_object_is_not_ready_is_told(id: str, kind: Kind[Any], conditions: Any, said: str) -> None:
    line = done(id, facts({kind: [ready(kind.name, *conditions)]}))
    assert (line.status is Status.GOOD) == (said == "")
    assert said in told(line)


def node(pool: str = "a100", type: str = "p4d.24xlarge", **more: Any) -> Document:
    shape = next(each for each in FLEET.pools if each.name == pool).shapes[0]
    labels = {key: value for key, value in shape.labels.items() if value is not None}
    taints = [{"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"}, *more.pop("taints", [])]
    allocatable = {key: str(count) for key, count in shape.capacity.items()} | more.pop("allocatable", {})
    joined = {"karpenter.sh/initialized": "true"} if pool == "a100" else {}
    labels |= joined | {"node.kubernetes.io/instance-type": type} | more.pop("labels", {})
    labels = {key: value for key, value in labels.items() if value is not None}
    return {
        "metadata": {"name": "n1", "labels": labels},
        "spec": {"taints": taints, **more},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


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
YOUNG, OLD = timedelta(minutes=3), timedelta(minutes=11)


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


def daemon_set(image: str, tolerations: Any = (), namespace: str = "gpu", **spec: Any) -> Document:
    container = {"name": "main", "image": image}
    return {
        "metadata": {"name": "other", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [container], "tolerations": list(tolerations), **spec}}},
    }


PLUGIN, ANY = "nvcr.io/nvidia/k8s-device-plugin:v0.20.0", [{"operator": "Exists"}]
STOCK = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
HERE = {"nodeSelectorTerms": [{"matchExpressions": [requires("nvidia.com/gpu.present", "In", "true")]}]}


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


@pytest.mark.parametrize(
    ("left", "status"),
    [
        pytest.param(timedelta(days=300), Status.GOOD, id="long"),
        pytest.param(timedelta(days=20), Status.WARNING, id="three weeks"),
        pytest.param(timedelta(days=5), Status.FAILED, id="days"),
        pytest.param(timedelta(days=-1), Status.FAILED, id="over"),
    ],
)
def test_a_certificate_is_good_for_a_month_at_least(left: timedelta, status: Status) -> None:
    assert done("leaf", facts(leaf=Leaf(NOW + left))).status is status


@pytest.mark.parametrize(
    ("probe", "status"),
    [
        pytest.param(Probe("1g.5gb -> main=nvidia.com/mig-1g.5gb:1"), Status.GOOD, id="sliced"),
        pytest.param(Probe(), Status.FAILED, id="not sliced"),
        pytest.param(
            Probe(refusal='admission webhook "pods.gpu-slice.io" denied the request: x'), Status.FAILED, id="denied"
        ),
        pytest.param(
            Probe(refusal="pods \"x\" is forbidden: ValidatingAdmissionPolicy 'gpu-slice' with"),
            Status.FAILED,
            id="guarded",
        ),
        pytest.param(Probe(refusal='pods "x" is forbidden: exceeded quota: q'), Status.UNKNOWN, id="a quota"),
        pytest.param(
            Probe(refusal='admission webhook "policy.example.com" denied the request'), Status.UNKNOWN, id="others"
        ),
        pytest.param("you may not create pods", Status.UNKNOWN, id="no right"),
    ],
)
def test_what_refuses_the_pod_that_is_tried(probe: Probe | str, status: Status) -> None:
    assert done("webhook-answers", facts(probe=probe)).status is status


def running(asked: str, given: str | None, pools: str = "a100", namespace: str = "default", **limits: str) -> Document:
    annotations = {"gpu-slice": asked} | ({"gpu-slice/assigned": given, "gpu-slice/pools": pools} if given else {})
    return {
        "metadata": {
            "name": "p",
            "namespace": namespace,
            "annotations": annotations,
            "creationTimestamp": (NOW - YOUNG).isoformat(),
        },
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "main", "resources": {"limits": limits, "requests": limits}}],
        },
        "status": {"phase": "Running"},
    }


SLICE = {"nvidia.com/mig-1g.5gb": "1"}
SLICED = running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", **SLICE)


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param(SLICED, "", id="the same"),
        pytest.param(running("1/7", "1/7 -> main=nvidia.com/mig-1g.5gb:1", **SLICE), "", id="a fraction"),
        pytest.param(
            running("2g.10gb", "2g.10gb -> main=nvidia.com/mig-2g.10gb:1", **{"nvidia.com/mig-2g.10gb": "1"}),
            "2g.10gb",
            id="a slice that is gone",
        ),
        pytest.param(
            running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", "old", **SLICE),
            "its slice was of old, and now is of a100",
            id="a pool that is gone",
        ),
        pytest.param(
            running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", namespace="limited", **SLICE),
            "limited",
            id="a namespace that may not use it any more",
        ),
    ],
)
def test_a_pod_that_the_fleet_would_not_give_the_same(pod: Document, said: str) -> None:
    line = done("pods-stale", facts({PODS: [pod]}))
    assert (line.status is Status.GOOD) == (said == "")
    assert said in told(line)


@pytest.mark.parametrize(
    ("pod", "good"),
    [
        pytest.param(running("1g.5gb", None), False, id="in a namespace of users"),
        pytest.param(running("1g.5gb", None, namespace="kube-system"), True, id="in one that is never touched"),
        pytest.param(running("1g.5gb", None) | {"status": {"phase": "Succeeded"}}, True, id="one that has ended"),
        pytest.param(
            {"metadata": {"name": "p", "annotations": {"gpu-slice": "x", "kubernetes.io/config.mirror": "y"}}},
            True,
            id="a mirror pod",
        ),
    ],
)
def test_a_pod_without_the_slice_that_it_asks_for(pod: Document, good: bool) -> None:
    assert (done("pods-missed", facts({PODS: [pod]})).status is Status.GOOD) == good


def workload(kind: str = "Deployment", **metadata: Any) -> Document:
    inner = metadata.pop("inner", {})
    template = {"metadata": inner, "spec": {"containers": [{"name": "main", "image": "a/b:1"}]}}
    return {"kind": kind, "metadata": {"name": "w", "namespace": "default", **metadata}, "spec": {"template": template}}


ASKED = {"annotations": {"gpu-slice": "1g.5gb"}}


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        pytest.param({DEPLOYMENTS: [workload(inner=ASKED)]}, "", id="in the template"),
        pytest.param({DEPLOYMENTS: [workload(**ASKED)]}, "is on the Deployment itself", id="on the workload"),
        pytest.param({DEPLOYMENTS: [workload(inner={"labels": {"gpu-slice": "1g.5gb"}})]}, "is a label", id="a label"),
        pytest.param(
            {DEPLOYMENTS: [workload(inner={"annotations": {"gpu_slice": "1g.5gb"}})]}, "is not read", id="misspelt"
        ),
        pytest.param(
            {DAEMON_SETS: [workload("DaemonSet", **ASKED)]}, "is on the DaemonSet itself", id="of a DaemonSet"
        ),
        pytest.param(
            {PODS: [running("1g.5gb", None) | {"metadata": {"name": "p", "labels": {"gpu-slice": "x"}}}]},
            "is a label",
            id="a label of a pod",
        ),
        pytest.param({PODS: [SLICED]}, "", id="a pod as it should be"),
        pytest.param({DEPLOYMENTS: [workload(labels={"app.kubernetes.io/name": "gpu-slice"})]}, "", id="our own"),
    ],
)
def test_an_annotation_where_nobody_reads_it(objects: Any, said: str) -> None:
    line = done("annotation-place", facts(objects))
    assert (line.status is Status.GOOD) == (said == "")
    assert said in told(line)


def test_a_pod_that_is_tried_where_the_webhook_is_not_called_tells_nothing() -> None:
    opted_out = [{"metadata": {"name": "team", "labels": {"gpu-slice/opt-out": ""}}}]
    for namespace in ("team", "kube-system"):
        about = facts({NAMESPACES: opted_out}, probe=Probe(namespace=namespace))
        assert done("webhook-answers", about).status is Status.UNKNOWN
    assert (
        done("webhook-answers", facts({NAMESPACES: opted_out}, probe=Probe(namespace="other"))).status is Status.FAILED
    )


def test_of_many_pods_five_are_named() -> None:
    pods = [running("1g.5gb", None) for _ in range(40)]
    line = done("pods-missed", facts({PODS: pods}))
    assert (len(line.problems), line.total) == (40, 40)
    text = printed(line)
    assert sum("has no slice" in each for each in text) == 5
    assert "    and 35 more (-o json has them)" in text


def printed(line: Line) -> list[str]:
    return [click.unstyle(str(each)) for each in command.table([line], "", "docs/checks.md", short=False)]


@pytest.mark.parametrize("number", [8, 3_000])
def test_many_pods_of_one_namespace_hide_none_of_another(number: int) -> None:
    pods = [running("1g.5gb", None, namespace="evil") for _ in range(number)]
    line = done("pods-missed", facts({PODS: [*pods, running("1g.5gb", None, namespace="victim")]}))
    assert line.total == number + 1
    assert len(line.problems) == min(number + 1, 1_000)
    assert line.problems[1].namespace == "victim"
    text = printed(line)
    assert any("victim/p has no slice" in each for each in text)
    assert f"    and {number - 4} more (-o json has them)" in text


def test_of_six_pods_none_is_left_out_for_a_line_that_says_so() -> None:
    text = printed(done("pods-missed", facts({PODS: [running("1g.5gb", None)] * 6})))
    assert sum("has no slice" in each for each in text) == 6


def test_warnings_do_not_push_failures_out() -> None:
    found = [Problem(str(number), warning=True, namespace="evil") for number in range(3_000)]
    check = replace(CHECKS[0], look=lambda _: [*found, Problem("real")])
    (line,) = run([check], facts())
    assert (line.status, line.problems[0].reason) == (Status.FAILED, "real")


def test_what_a_tenant_writes_stays_on_its_line_and_is_cut() -> None:
    pools = "old\n√ all checks passed\x1b[2J" + "x" * 200_000
    (problem,) = done(
        "pods-stale", facts({PODS: [running("1g.5gb", SLICED["metadata"]["annotations"][ASSIGNED], pools, **SLICE)]})
    ).problems
    assert problem.reason.isprintable()
    assert len(problem.reason) < 600


def test_pods_that_are_alike_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("webhook.cluster.check.pods.plan", lambda *about: asked.append(about) or plan(*about))
    old = running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", "old", **SLICE)
    limited = running("1g.5gb", "1g.5gb -> main=nvidia.com/mig-1g.5gb:1", namespace="limited", **SLICE)
    line = done("pods-stale", facts({PODS: [SLICED, old, limited] * 50}))
    assert (line.total, len(asked)) == (100, 3)


def quota(namespace: str, **hard: str) -> Document:
    named = {f"requests.nvidia.com/{key}": value for key, value in hard.items()}
    return {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": named}}


def names(*namespaces: str, **labels: str) -> list[Document]:
    return [{"metadata": {"name": name, "labels": labels}} for name in namespaces]


@pytest.mark.parametrize(
    ("quotas", "status"),
    [
        pytest.param([quota("default", **{"mig-1g.5gb": "0"})], Status.FAILED, id="none of what the fleet allows"),
        pytest.param([quota("default", **{"mig-1g.5gb": "8"})], Status.GOOD, id="some"),
        pytest.param([quota("default", **{"mig-7g.40gb": "0"})], Status.GOOD, id="none of what nobody offers"),
        pytest.param([quota("limited", **{"mig-1g.5gb": "0"})], Status.GOOD, id="none of what the fleet denies"),
    ],
)
def test_quotas_and_the_fleet(quotas: list[Document], status: Status) -> None:
    assert done("quotas", facts({QUOTAS: quotas, NAMESPACES: names("default")})).status is status


def test_a_namespace_that_may_not_use_a_slice_and_has_no_quota_is_a_warning() -> None:
    line = done("quotas", facts({NAMESPACES: names("limited")}))
    assert (line.status, told(line)) == (
        Status.WARNING,
        "nothing keeps limited from nvidia.com/mig-1g.5gb, which the fleet denies it",
    )


def test_a_default_needs_its_label() -> None:
    assert done("namespace-defaults", facts({NAMESPACES: names("given")})).status is Status.FAILED
    labelled = [{"metadata": {"name": "given", "labels": {"gpu-slice/default": ""}}}]
    assert done("namespace-defaults", facts({NAMESPACES: labelled})).status is Status.GOOD


@pytest.mark.parametrize(("replicas", "status"), [(3, Status.GOOD), (2, Status.WARNING), (1, Status.FAILED)])
def test_how_many_replicas_are_enough(replicas: int, status: Status) -> None:
    single = {("Deployment", "gpu-slice", "webhook"): deployment("webhook", "gpu-slice", replicas)}
    assert done("replicas", facts(single=single)).status is status


PATCH = "may not get and patch mutatingwebhookconfigurations gpu-slice"
KEEPER = {("Deployment", "gpu-slice", "keeper"): {
    **deployment("keeper", "gpu-slice", 1),
    "spec": {"replicas": 1, "template": {"metadata": {}, "spec": {"serviceAccountName": "keeper", "containers": []}}},
}}  # fmt: skip


def rights(*without: tuple[str, str]) -> dict[Kind[Any], list[Document]]:
    """What ``manifests`` gives, but for some objects, each by kind and name."""
    files = ("keeper/rbac.yaml", "webhook/fleet-reader.yaml")
    shipped = [each for file in files for each in yaml.safe_load_all((ROOT / "manifests" / file).read_text())]
    kinds = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_BINDINGS)
    return {
        kind: [
            each
            for each in shipped
            if each["kind"] == kind.name and (kind.name, each["metadata"]["name"]) not in without
        ]
        for kind in kinds
    }


@pytest.mark.parametrize(
    ("without", "keepers", "readers"),
    [
        pytest.param([], "", "", id="nothing"),
        pytest.param([("ClusterRoleBinding", "gpu-slice-keeper")],
                     PATCH, "", id="its cluster-wide binding"),
        pytest.param([("ClusterRole", "gpu-slice-keeper")],
                     PATCH, "", id="its cluster-wide role"),
        pytest.param([("RoleBinding", "keeper")],
                     "may not get and update secrets webhook-tls",
                     "", id="its binding"),
        pytest.param([("Role", "keeper")], "may not get and update secrets webhook-ca", "", id="its role"),
        pytest.param([("RoleBinding", "fleet-reader")], "", "users may not get configmaps fleet", id="the readers'"),
        pytest.param([("Role", "fleet-reader")], "", "users may not get configmaps fleet", id="the readers' role"),
    ],
)  # fmt: skip
def test_a_right_that_is_missing_is_told_before_the_certificate_expires(
    without: list[tuple[str, str]], keepers: str, readers: str
) -> None:
    about = facts(rights(*without), single=KEEPER)
    keeper, reader = done("keeper-access", about), done("fleet-reader", about)
    assert (keeper.status, reader.status) == (
        Status.FAILED if keepers else Status.GOOD,
        Status.WARNING if readers else Status.GOOD,
    )
    assert keepers in told(keeper)
    assert readers in told(reader)


def test_a_right_may_be_given_in_another_way() -> None:
    admin = {"metadata": {"name": "admin"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    account = {"kind": "ServiceAccount", "name": "keeper", "namespace": "gpu-slice"}
    binding = {"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "admin"}, "subjects": [account]}
    assert (
        done("keeper-access", facts({CLUSTER_ROLES: [admin], CLUSTER_BINDINGS: [binding]}, single=KEEPER)).problems
        == ()
    )
    here = {**binding, "metadata": {"name": "x", "namespace": "gpu-slice"}}
    line = done("keeper-access", facts({CLUSTER_ROLES: [admin], ROLE_BINDINGS: [here]}, single=KEEPER))
    assert told(line) == f"the keeper {PATCH}"


def test_a_verb_less_is_told() -> None:
    given = rights()
    given[ROLES][0]["rules"][0]["verbs"] = ["get"]
    assert "may not update secrets webhook-ca" in told(done("keeper-access", facts(given, single=KEEPER)))


@pytest.mark.parametrize("check", ["replicas", "keeper"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"replicas": 3, "updatedReplicas": 3}, Status.GOOD, id="done"),
        pytest.param({"replicas": 4, "updatedReplicas": 1, "unavailableReplicas": 1}, Status.WARNING, id="goes on"),
        pytest.param(
            {"replicas": 4, "updatedReplicas": 1, "unavailableReplicas": 1,
             "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
            Status.FAILED, id="is stuck",
        ),
        pytest.param(
            {"replicas": 3, "updatedReplicas": 0,
             "conditions": [{"type": "Progressing", "status": "False"},
                            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]},
            Status.FAILED, id="no new pod is created",
        ),
    ],
)  # fmt: skip
def test_a_rollout_that_does_not_end(check: str, status: Document, expected: Status) -> None:
    name = "webhook" if check == "replicas" else "keeper"
    live = deployment(name, "gpu-slice", 3)
    live["status"] |= status
    owner = {"kind": "ReplicaSet", "name": f"{name}-5d9f"}
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    pod = {"metadata": {"name": "new", "namespace": "gpu-slice", "ownerReferences": [owner]},
           "status": {"phase": "Pending", "conditions": [unscheduled]}}  # fmt: skip
    waits = status.get("unavailableReplicas")
    line = done(check, facts({PODS: [pod] if waits else []}, single={("Deployment", "gpu-slice", name): live}))
    assert line.status is expected
    assert ("Pod new is not scheduled: 0/3 nodes are available" in told(line)) == bool(waits)
    assert ("exceeded quota" in told(line)) == ("quota" in str(status))


def test_a_karpenter_that_is_there_is_not_to_be_installed() -> None:
    (asleep,) = done("karpenter", facts({DEPLOYMENTS: [deployment(replicas=0)]})).problems
    assert asleep.reason == "kube-system/karpenter is scaled to 0 replicas"
    assert asleep.cure == "Run kubectl -n kube-system scale deployment karpenter --replicas=2"
    broken = deployment()
    broken["status"] = {}
    (down,) = done("karpenter", facts({DEPLOYMENTS: [broken]})).problems
    assert down.cure.startswith("Run kubectl -n kube-system describe deployment karpenter,")
    assert done("karpenter", facts({DEPLOYMENTS: [deployment(), deployment("old", replicas=0)]})).problems == ()


@pytest.mark.parametrize(("there", "said"), [(0, "describe daemonset gpu-slice-device-plugin-mixed"), (2, "")])
def test_a_plugin_of_which_no_pod_exists_is_described_itself(there: int, said: str) -> None:
    live = next(each for each in RENDERED if each["kind"] == "DaemonSet")
    status = {"desiredNumberScheduled": 2, "currentNumberScheduled": there, "numberAvailable": 0}
    (problem,) = done("plugin-runs", facts({DAEMON_SETS: [{**live, "status": status}]})).problems
    assert problem.reason.endswith("runs on 0 of 2 nodes")
    assert said in problem.cure
    assert bool(problem.cure) == bool(said)


def copied(called: str = "copy", **service: str) -> Document:
    calls = {"namespace": "elsewhere", "name": "none"} | service
    entry = {"name": "pods.gpu-slice.io", "clientConfig": {"service": calls}}
    return {"kind": "MutatingWebhookConfiguration", "metadata": {"name": called}, "webhooks": [entry]}


def test_a_second_configuration_is_named() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/webhook/webhook.yaml").read_text())
    assert done("webhook-alone", facts({WEBHOOKS: [manifest]})).status is Status.GOOD
    (problem,) = done("webhook-alone", facts({WEBHOOKS: [manifest, copied()]})).problems
    assert problem.reason == "MutatingWebhookConfiguration copy has an entry pods.gpu-slice.io, as ours has"
    assert problem.cure == "If nobody needs it: kubectl delete mutatingwebhookconfiguration copy"
    renamed = copied(namespace="gpu-slice", name="webhook")
    renamed["webhooks"][0]["name"] = "other.io"
    assert told(done("webhook-alone", facts({WEBHOOKS: [manifest, renamed]}))).endswith("copy calls our Service")


def test_another_webhook_that_fails_is_named_with_its_configuration() -> None:
    other = copied("policies")
    other["webhooks"][0]["name"] = "validate.policies.io"
    refusal = 'Internal error occurred: failed calling webhook "validate.policies.io": no endpoints'
    line = done("webhook-answers", facts({WEBHOOKS: [other]}, probe=Probe("", refusal)))
    assert line.status is Status.UNKNOWN
    assert line.unknown.endswith("no endpoints (of MutatingWebhookConfiguration policies)")


@pytest.mark.parametrize("check", ["replicas", "keeper"])
def test_what_is_scaled_to_nothing_is_scaled_up_again(check: str) -> None:
    name = "webhook" if check == "replicas" else "keeper"
    single = {("Deployment", "gpu-slice", name): deployment(name, "gpu-slice", 0)}
    (problem,) = done(check, facts(single=single)).problems
    assert problem.reason == "it is scaled to 0 replicas"
    assert problem.cure.startswith(f"Run kubectl -n gpu-slice scale deployment {name} --replicas=")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_no_cure_replaces_the_fleet_or_the_image(check: Any) -> None:
    assert not re.search(r"apply -k manifests(/webhook|/keeper)?(?![/\w])", check.cure)
    for file in re.findall(r"manifests/\S+\.yaml", check.cure):
        assert (ROOT / file).exists()


def test_what_may_not_be_read_is_unknown_and_no_failure() -> None:
    about = facts()
    listings = {**about.snapshot.listings, NODES: Listing(problem="you may not list nodes")}
    line = done("node-slices", Facts(Snapshot(NOW, "v1.36.3", listings), FLEET))
    assert (line.status, line.unknown) == (Status.UNKNOWN, "could not look: you may not list nodes")


def test_what_follows_from_a_failure_is_not_told_twice() -> None:
    lines = {line.check.id: line for line in run(CHECKS, facts())}
    assert lines["webhook-registered"].status is Status.FAILED
    for id in ("webhook-selects", "webhook-answers", "ca-bundle"):
        assert lines[id].unknown == "not looked at, because 'webhook-registered' comes first"


def test_a_cluster_without_anything_is_no_traceback() -> None:
    assert all(line.status in Status for line in run(CHECKS, facts()))
    assert all(line.status in Status for line in run(CHECKS, facts(), before=True))


@pytest.mark.parametrize("text", ["5", "m", "5 m", "1d", "-5m"])
def test_a_time_without_a_unit_is_a_usage_error(text: str) -> None:
    result = CliRunner().invoke(main, ["check", "--wait", text])
    assert result.exit_code == 2
    assert "is no duration. Write a number and a unit, such as 90s, 5m or 1h" in result.stderr


def test_the_readme_shows_a_report_as_it_is_printed() -> None:
    slices = "ip-10-0-1-7 of a100-1g-5gb has 49 nvidia.com/mig-1g.5gb, and its layout promises 56"
    gate = done("karpenter-gate", facts({DEPLOYMENTS: [deployment(args=["--feature-gates=NodeOverlay=false"])]}))
    told_of = {
        "karpenter-gate": (gate.status, gate.problems, ""),
        "node-overlay-ready": (Status.UNKNOWN, (), "not looked at, because 'karpenter-gate' comes first"),
        "node-slices": (Status.FAILED, (Problem(slices),), ""),
    }
    lines = []
    for check in CHECKS:
        status, problems, unknown = told_of.get(check.id, (Status.GOOD, (), ""))
        lines += [] if check.only_before else [Line(check, status, problems, unknown=unknown)]

    table = command.table(lines, command.verdict(lines)[1], command.PAGE, short=True)
    printed = click.unstyle("\n".join(table))

    assert f"```text\n$ kubectl gpu-slice check -o short\n{printed}\n```" in (ROOT / "docs" / "live.md").read_text()


def test_views_have_what_the_checks_read() -> None:
    assert msgspec.convert(node(), Node).status.allocatable["nvidia.com/mig-1g.5gb"] == "56"
    assert msgspec.convert(SLICED, Pod).spec.containers[0].resources.limits == SLICE
