"""The checks of what is rendered: what differs, NodeOverlays, and why an object is not ready."""

from __future__ import annotations

import copy as copies
import json
from typing import Any

import pytest

from tests.unit.check_facts import NODE_POOL, RENDERED, Document, done, facts, requires, told
from webhook.cluster.check import (
    Status,
)
from webhook.cluster.check.comparison import Comparison
from webhook.cluster.objects import (
    DAEMON_SETS,
    NODE_CLASSES,
    NODE_OVERLAYS,
    NODE_POOLS,
    Kind,
)


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
        pytest.param({"a": {}, "b": []}, {}, [], id="empty is as good as nothing"),
        pytest.param({"a": {}}, {"a": "x"}, ["a is 'x', and the fleet gives {}"], id="empty is not as good as a word"),
    ],
)
def test_what_differs_is_told_by_its_path(wanted: Document, live: Document, expected: list[str]) -> None:
    assert list(Comparison().differences(wanted, live)) == expected


OURS = next(document for document in RENDERED if document["kind"] == "NodeOverlay")


def overlay(name: str, weight: int | None, *requirements: Document, **capacity: str) -> Document:
    named = {
        "requirements": list(requirements),
        "capacity": {f"nvidia.com/{key}": each for key, each in capacity.items()},
    }
    return {"metadata": {"name": name}, "spec": named | ({} if weight is None else {"weight": weight})}


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
    assert "--only device-plugin | kubectl replace --save-config -f -" in problem.cure


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
