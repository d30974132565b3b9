"""`gpu-slice check` on a cluster in which everything works, and on the same with one thing broken at a time."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import pytest
import yaml

from certs import authority
from tests.cluster.install import ADVICE, ADVISER, CONFIGURATION, NAME
from tests.cluster.world import FLEET, World, karpenter_deployment, nvidia_plugin, pod
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
Break = Callable[[World], AbstractContextManager[None]]
Document = dict[str, Any]

MIXED, TURNS = "gpu-slice-device-plugin-mixed", "gpu-slice-device-plugin-time-slicing-4"
SLICE = "nvidia.com/mig-1g.5gb"


def checked(world: World, *options: str) -> dict[str, Any]:
    """The report of `gpu-slice check` against the fleet file."""
    result = world.gpu_slice("check", "--fleet", str(world.fleet_file), "-o", "json", *options)
    assert result.exit_code in (0, 1, 3), result.output
    report = json.loads(result.stdout)
    states = {each["status"] for each in report["checks"]}
    assert result.exit_code == (1 if "failed" in states else 3 if "unknown" in states else 0)
    return report


def of(report: dict[str, Any], status: str) -> dict[str, str]:
    """The ids of the checks that ended so, with all that is said about each."""
    return {
        each["id"]: " | ".join([*(problem["reason"] for problem in each["problems"]), each["unknown"] or ""])
        for each in report["checks"]
        if each["status"] == status
    }


def test_everything_is_well_in_a_cluster_where_everything_works(live: World) -> None:
    result = live.gpu_slice("check")

    assert result.exit_code == 0, result.output
    marked = [line[0] for line in result.stdout.splitlines() if line[:2] in ("√ ", "‼ ", "× ", "? ")]
    assert len(marked) > 40
    assert set(marked) == {"√"}
    assert live.gpu_slice("check", "--pre").exit_code == 0
    assert live.gpu_slice("check", "-o", "short").stdout == result.stdout.splitlines()[-1] + "\n"


def changed(kind: str, name: str, change: Callable[[Document], object], namespace: str | None = None) -> Break:
    return lambda world: world.changed(kind, name, change, namespace)


def entry(change: Callable[[Document], object], kind: str = CONFIGURATION, name: str = NAME) -> Break:
    return changed(kind, name, lambda document: change(document["webhooks"][0]))


def without(kind: str, name: str, namespace: str | None = None) -> Break:
    return lambda world: world.without(kind, name, namespace)


def template(change: Callable[[Document], object]) -> Callable[[Document], object]:
    """A change of the first container of a workload."""
    return lambda document: change(document["spec"]["template"]["spec"]["containers"][0])


def karpenter(change: Callable[[Document], object]) -> Break:
    return changed("Deployment", "karpenter", template(change), "kube-system")


def variable(container: Document, name: str, value: str | None) -> None:
    container["env"] = [each for each in container["env"] if each["name"] != name]
    container["env"] += [{"name": name, "value": value}] if value is not None else []


def on_node(pool: str, change: Callable[[Document], object]) -> Break:
    return lambda world: world.changed("Node", world.node_of(pool), change)


def advertising(pool: str, **resources: str) -> Break:
    named = {f"nvidia.com/{key.replace('_', '-', 1).replace('_', '.')}": value for key, value in resources.items()}
    return lambda world: world.status("Node", world.node_of(pool), lambda status: status["allocatable"].update(named))


def with_also(*documents: Document) -> Break:
    return lambda world: world.with_also(*documents)


@contextmanager
def other_authority(world: World) -> Iterator[None]:
    """caBundle with the CA of somebody else."""
    now = datetime.now(UTC)
    foreign = base64.b64encode(authority.create_authority("foreign", now=now).certificate).decode()
    with entry(lambda each: each["clientConfig"].update(caBundle=foreign))(world):
        yield


def leaf(days: int) -> Break:
    """A leaf of the same CA with *days* left in the Secret."""

    def change(world: World) -> AbstractContextManager[None]:
        records = json.loads(
            base64.b64decode(world.get("Secret", "webhook-ca", "gpu-slice")["data"]["authorities.json"])
        )
        pair = authority.KeyPair(records[0]["certificate"].encode(), records[0]["key"].encode())
        begun = datetime.now(UTC) - timedelta(days=40)
        made = authority.issue_leaf(
            pair, ["webhook.gpu-slice.svc"], now=begun, lifetime=timedelta(days=40 + days, minutes=5)
        )
        data = {"tls.crt": base64.b64encode(made.certificate).decode(), "tls.key": base64.b64encode(made.key).decode()}
        return world.changed("Secret", "webhook-tls", lambda document: document["data"].update(data), "gpu-slice")

    return change


def overlay(weight: int, **capacity: str) -> Document:
    return {
        "apiVersion": "karpenter.sh/v1alpha1",
        "kind": "NodeOverlay",
        "metadata": {"name": "zz-of-another-team"},
        "spec": {
            "weight": weight,
            "requirements": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p4d.24xlarge"]}],
            "capacity": {f"nvidia.com/{key}": value for key, value in capacity.items()},
        },
    }


@contextmanager
def conflicting(world: World) -> Iterator[None]:
    """An overlay of the same weight, whose name comes first to Karpenter."""
    document = overlay(1)
    document["spec"]["capacity"] = {SLICE: "1"}

    def accepted() -> bool:
        conditions = world.get("NodeOverlay", "a100-8-gpus").get("status", {}).get("conditions", ())
        return all(each["status"] == "True" for each in conditions)

    with world.with_also(document):
        wait_for("Karpenter sees the conflict", lambda: not accepted())
        yield
    wait_for("Karpenter sees no conflict", accepted)


@contextmanager
def used_up(world: World) -> Iterator[None]:
    """A pool at its limit, for which a pod waits."""
    waits = pod("waits", "1g.5gb", nodeSelector={"example.com/none": "there"})
    with (
        world.status("NodePool", "a100", lambda status: status.update(resources={SLICE: "560"})),
        world.with_also(waits),
    ):
        yield


@contextmanager
def opted_out(world: World) -> Iterator[None]:
    """A namespace in which the webhook is not called, with a pod that asks for a slice."""
    about = {"name": "opted-out", "labels": {"gpu-slice/opt-out": ""}}
    world.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": about})
    with world.with_also(pod("missed", "1g.5gb", "opted-out")):
        yield
    world.cluster.delete("Namespace", "opted-out")


@contextmanager
def dead(world: World) -> Iterator[None]:
    """A webhook that nobody answers for."""
    with entry(lambda each: each["clientConfig"].update(url="https://127.0.0.1:1/mutate"))(world):
        yield


def newer(world: World) -> AbstractContextManager[None]:
    """The cluster has an older fleet than the file."""
    older = yaml.safe_load(FLEET)
    older["namespaces"] = {"elsewhere": {"pools": ["a100"]}}
    text = yaml.safe_dump(older)
    return world.changed(
        "ConfigMap", "fleet", lambda document: document["data"].update({"fleet.yaml": text}), "gpu-slice"
    )


QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "none", "namespace": "elsewhere"},
    "spec": {"hard": {"requests.nvidia.com/mig-1g.5gb": "0"}},
}


CLUSTER_POLICY_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "clusterpolicies.nvidia.com"},
    "spec": {
        "group": "nvidia.com",
        "scope": "Cluster",
        "names": {"kind": "ClusterPolicy", "plural": "clusterpolicies", "singular": "clusterpolicy"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@contextmanager
def operator(world: World) -> Iterator[None]:
    """The GPU Operator, tolerating every taint.  Labels keep it off the nodes that Karpenter launches."""
    policy = {
        "apiVersion": "nvidia.com/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "cluster-policy"},
        "spec": {"daemonsets": {"tolerations": [{"operator": "Exists"}]}},
    }
    world.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(CLUSTER_POLICY_CRD))
    applied = lambda: world.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy)).returncode == 0  # noqa: E731
    wait_for("the GPU Operator's kind is there", applied)
    yield
    world.cluster.kubectl("delete", "crd", "clusterpolicies.nvidia.com")


def second_karpenter() -> Document:
    document = karpenter_deployment()
    document["metadata"] |= {"name": "karpenter-too"}
    document["spec"]["replicas"] = 1
    return document


def misplaced() -> Document:
    document = karpenter_deployment()
    document["metadata"] = {"name": "notebook", "namespace": "default", "annotations": {"gpu-slice": "1g.5gb"}}
    document["spec"] |= {"replicas": 0}
    document["spec"]["template"]["spec"]["containers"] = [{"name": "main", "image": "a/b:1"}]
    return document


ROWS: dict[str, tuple[str, str, Break]] = {
    "the fleet file is newer": ("fleet", "namespaces", newer),
    "the cluster's fleet is none": ("fleet", "would refuse", changed(
        "ConfigMap", "fleet", lambda each: each["data"].update({"fleet.yaml": "pools: []"}), "gpu-slice")),
    "the cluster's fleet is gone": ("fleet", "there is no ConfigMap", without("ConfigMap", "fleet", "gpu-slice")),
    "one replica": ("replicas", "1 replica", changed(
        "Deployment", "webhook", lambda each: each["spec"].update(replicas=1), "gpu-slice")),
    "no budget": ("disruption-budget", "no PodDisruptionBudget", without(
        "PodDisruptionBudget", "webhook", "gpu-slice")),
    "a budget of nothing": ("disruption-budget", "can be drained", changed(
        "PodDisruptionBudget", "webhook", lambda each: each["spec"].update(maxUnavailable=0), "gpu-slice")),
    "an older fleet, in the cluster, of fewer slices": ("fleet", "pools[a100].limit.slices is 56", changed(
        "ConfigMap", "fleet", lambda each: each["data"].update(
            {"fleet.yaml": FLEET.replace("560", "56")}), "gpu-slice")),
    "no keeper": ("keeper", "there is no Deployment keeper", without("Deployment", "keeper", "gpu-slice")),
    "no webhook": ("webhook-registered", "there is no Mutating", without(CONFIGURATION, NAME)),
    "fails open": ("webhook-fails-closed", "failurePolicy of pods.gpu-slice.io is Ignore", entry(
        lambda each: each.update(failurePolicy="Ignore"))),
    "other conditions": ("webhook-selects", "matchConditions", entry(
        lambda each: each["matchConditions"][0].update(expression="'gpu' in object.metadata.annotations"))),
    "no namespace": ("webhook-selects", "namespaceSelector", entry(
        lambda each: each.update(namespaceSelector={"matchLabels": {"gpus": "here"}}))),
    "only some pods": ("webhook-selects", "objectSelector", entry(
        lambda each: each.update(objectSelector={"matchLabels": {"gpus": "here"}}))),
    "updates, and not creations": ("webhook-selects", "operations", entry(
        lambda each: each["rules"][0].update(operations=["UPDATE"]))),
    "never called again": ("webhook-settings", "reinvocationPolicy", entry(
        lambda each: each.update(reinvocationPolicy="Never"))),
    "waits for half a minute": ("webhook-settings", "timeoutSeconds", entry(
        lambda each: each.update(timeoutSeconds=30))),
    "another CA": ("ca-bundle", "no CA in caBundle", other_authority),
    "no CA": ("ca-bundle", "caBundle of pods.gpu-slice.io is empty", entry(
        lambda each: each["clientConfig"].pop("caBundle"))),
    "an expired leaf": ("leaf", "expired", leaf(-2)),
    "a leaf for three more days": ("leaf", "in 3 days", leaf(3)),
    "nobody answers": ("webhook-answers", "connection refused", dead),
    "advice that fails closed": ("advice", "failurePolicy Fail", entry(
        lambda each: each.update(failurePolicy="Fail"), ADVICE, ADVISER)),
    "advice with another CA": ("advice", "is not that of gpu-slice", entry(
        lambda each: each["clientConfig"].pop("caBundle"), ADVICE, ADVISER)),
    "no advice": ("advice", "there is no Validating", without(ADVICE, ADVISER)),
    "no guard": ("guard", "there is no Validating", without("ValidatingAdmissionPolicy", "gpu-slice")),
    "a guard that fails open": ("guard", "failurePolicy is Ignore", changed(
        "ValidatingAdmissionPolicy", "gpu-slice", lambda each: each["spec"].update(failurePolicy="Ignore"))),
    "a guard without its last rule": ("guard", "expressions", changed(
        "ValidatingAdmissionPolicy", "gpu-slice", lambda each: each["spec"]["validations"].pop())),
    "a guard that nobody asks": ("guard-bound", "no ValidatingAdmissionPolicyBinding",
                                 without("ValidatingAdmissionPolicyBinding", "gpu-slice")),
    "a guard that only warns": ("guard-bound", "Warn", changed(
        "ValidatingAdmissionPolicyBinding", "gpu-slice",
        lambda each: each["spec"].update(validationActions=["Warn", "Audit"]))),
    "no Karpenter": ("karpenter", "no Deployment", without("Deployment", "karpenter", "kube-system")),
    "two Karpenters": ("karpenter", "2 of them", with_also(second_karpenter())),
    "no rights for caBundle": ("keeper-access", "may not get and patch mutating", without(
        "ClusterRoleBinding", "gpu-slice-keeper")),
    "no rights for its Secrets": ("keeper-access", "secrets webhook-tls", without(
        "RoleBinding", "keeper", "gpu-slice")),
    "a node without disk space": ("node-usable", "disk-pressure:NoSchedule", on_node(
        "standing", lambda each: each["spec"]["taints"].append(
            {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}))),
    "an old Karpenter": ("karpenter-version", "1.12.3", karpenter(
        lambda each: each.update(image="public.ecr.aws/karpenter/controller:1.12.3"))),
    "the gate is off": ("karpenter-gate", "NodeOverlay=false", karpenter(
        lambda each: variable(each, "FEATURE_GATES", "NodeRepair=true,NodeOverlay=false"))),
    "the gate is not mentioned": ("karpenter-gate", "off, which is the default", karpenter(
        lambda each: variable(each, "FEATURE_GATES", None))),
    "an argument turns the gate off": ("karpenter-gate", "NodeOverlay=false", karpenter(
        lambda each: each.update(args=["--feature-gates", "NodeOverlay=false"]))),
    "a NodePool is gone": ("node-pool", "there is no NodePool shared", without("NodePool", "shared")),
    "a limit by hand": ("node-pool", "spec.limits", changed(
        "NodePool", "a100", lambda each: each["spec"].update(limits={SLICE: "56"}))),
    "a taint by hand": ("node-pool", "taints", changed(
        "NodePool", "a100", lambda each: each["spec"]["template"]["spec"]["taints"].append(
            {"key": "dedicated", "value": "me", "effect": "NoSchedule"}))),
    "another instance type by hand": ("node-pool", "requirements", changed(
        "NodePool", "a100", lambda each: each["spec"]["template"]["spec"]["requirements"][0].update(
            values=["p4d.24xlarge", "p5.48xlarge"]))),
    "the limit is reached": ("node-pool-limit", "560 in use", used_up),
    "another disk by hand": ("node-class", "blockDeviceMappings", changed(
        "EC2NodeClass", "shared", lambda each: each["spec"]["blockDeviceMappings"][0]["ebs"].update(
            volumeSize="100Gi"))),
    "an overlay is gone": ("node-overlay", "there is no NodeOverlay a100-8-gpus", without(
        "NodeOverlay", "a100-8-gpus")),
    "an overlay of another weight": ("node-overlay", "spec.weight", changed(
        "NodeOverlay", "a100-8-gpus", lambda each: each["spec"].update(weight=7))),
    "an overlay of more slices": ("node-overlay", "spec.capacity", changed(
        "NodeOverlay", "a100-8-gpus", lambda each: each["spec"]["capacity"].update({SLICE: "80"}))),
    "another team's overlay wins": ("node-overlay-applies", "zz-of-another-team", with_also(overlay(50, gpu="8"))),
    "another team's overlay conflicts": ("node-overlay-ready", "conflict with another overlay", conflicting),
    "no plugin": ("plugin", f"there is no DaemonSet {MIXED}", without("DaemonSet", MIXED, "kube-system")),
    "a plugin with another strategy": ("plugin", "MIG_STRATEGY", changed(
        "DaemonSet", MIXED, template(lambda each: variable(each, "MIG_STRATEGY", "single")), "kube-system")),
    "another configuration": ("plugin-config", "replicas is 8", changed(
        "ConfigMap", TURNS, lambda each: each["data"].update(
            {"config.yaml": each["data"]["config.yaml"].replace("replicas: 4", "replicas: 8")}), "kube-system")),
    "an old plugin": ("plugin-version", "v0.17.1", changed(
        "DaemonSet", MIXED, template(lambda each: each.update(image="nvcr.io/nvidia/k8s-device-plugin:v0.17.1")),
        "kube-system")),
    "a plugin that sees no slices": ("plugin-privileged", "is not privileged", changed(
        "DaemonSet", MIXED, template(lambda each: each.update(securityContext={"privileged": False})), "kube-system")),
    "two plugins": ("plugin-alone", "kube-system/too would run on the nodes of a100 beside ours",
                    with_also(nvidia_plugin("too", "a100"))),
    "two plugins on nodes of others": ("plugin-alone", "the nodes of standing",
                                       with_also(nvidia_plugin("too", "standing"))),
    "the GPU Operator": ("gpu-operator", "would run on the nodes of standing beside", operator),
    "a node that lets the GPU Operator in": ("node-labels", "gpu.deploy.operands", on_node(
        "a100", lambda each: each["metadata"]["labels"].pop("nvidia.com/gpu.deploy.operands"))),
    "no label": ("node-labels", "lacks the label nvidia.com/gpu=h100", on_node(
        "standing", lambda each: each["metadata"]["labels"].pop("nvidia.com/gpu"))),
    "no pool": ("node-labels", "lacks the label gpu-slice/pool", on_node(
        "standing", lambda each: each["metadata"]["labels"].pop("gpu-slice/pool"))),
    "a pool that there is not": ("node-labels", "no such pool", on_node(
        "standing", lambda each: each["metadata"]["labels"].update({"gpu-slice/pool": "sitting"}))),
    "no taint": ("node-taints", "lacks the taint", on_node("standing", lambda each: each["spec"].pop("taints"))),
    "a taint": ("node-taints", "dedicated=me:NoSchedule", on_node(
        "standing", lambda each: each["spec"]["taints"].append(
            {"key": "dedicated", "value": "me", "effect": "NoSchedule"}))),
    "a cordoned node": ("node-usable", "is cordoned", on_node(
        "standing", lambda each: each["spec"].update(unschedulable=True))),
    "fewer slices": ("node-slices", "has 49 nvidia.com/mig-1g.5gb, and its layout promises 56",
                     advertising("a100", **{"mig_1g.5gb": "49"})),
    "no slices": ("node-slices", "has 0", advertising("standing", **{"mig_1g.10gb": "0"})),
    "whole GPUs beside": ("node-whole-gpus", "has 8 nvidia.com/gpu", advertising("a100", gpu="8")),
    "an annotation on a Deployment": ("annotation-place", "is on the Deployment itself", with_also(misplaced())),
    "a keeper that may do anything": ("keeper-rights", "gpu-slice-keeper", without(
        "ValidatingAdmissionPolicy", "gpu-slice-keeper")),
    "a pod without a slice": ("pods-missed", "namespace opted-out is labelled", opted_out),
    "a quota of none": ("quotas", "forbids nvidia.com/mig-1g.5gb", with_also(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}}, QUOTA)),
}  # fmt: skip
"""What is broken: the check that is to fail, a part of its reason, and how it is broken."""


@pytest.mark.parametrize(("failing", "reason", "broken"), ROWS.values(), ids=ROWS)
def test_what_is_broken_fails_its_own_check_and_no_other(failing: str, reason: str, broken: Break, live: World) -> None:
    with broken(live):
        report = checked(live)

    assert list(of(report, "failed")) == [failing], of(report, "failed")
    assert reason in of(report, "failed")[failing]


def test_pods_that_a_new_policy_would_deny_are_told(live: World, tmp_path: Path) -> None:
    text = f"{FLEET}namespaces:\n  default: {{pools: [shared]}}\n"
    (tmp_path / "fleet.yaml").write_text(text)
    change = changed("ConfigMap", "fleet", lambda each: each["data"].update({"fleet.yaml": text}), "gpu-slice")
    with change(live):
        result = live.gpu_slice("check", "--fleet", str(tmp_path / "fleet.yaml"), "-o", "json")
    report = json.loads(result.stdout)

    assert list(of(report, "failed")) == ["pods-stale"]
    assert list(of(report, "warning")) == ["quotas"]
    assert "default/beside: " in of(report, "failed")["pods-stale"]
    assert "default/in-turns: " not in of(report, "failed")["pods-stale"]


GATE_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "karpenter-settings", "namespace": "kube-system"},
    "data": {"FEATURE_GATES": "NodeOverlay=true"},
}


def by_map(container: Document) -> None:
    variable(container, "FEATURE_GATES", None)
    container["envFrom"] = [{"configMapRef": {"name": "karpenter-settings"}}]


def by_key(container: Document) -> None:
    variable(container, "FEATURE_GATES", None)
    key = {"name": "karpenter-settings", "key": "FEATURE_GATES"}
    container["env"].append({"name": "FEATURE_GATES", "valueFrom": {"configMapKeyRef": key}})


LEGITIMATE: dict[str, Break] = {
    "by an argument": karpenter(lambda each: each.update(args=["--feature-gates=NodeOverlay=true"])),
    "by a ConfigMap": karpenter(by_map),
    "by a key of a ConfigMap": karpenter(by_key),
    "an image by digest alone": karpenter(
        lambda each: each.update(image=f"registry.example.com/karpenter/controller@sha256:{'0' * 64}")
    ),
    "more conditions of others": changed(
        "NodePool", "a100", lambda each: each["metadata"].update(annotations={"example.com/owner": "ml"})
    ),
    "an overlay of another team for its own nodes": with_also(
        overlay(50, gpu="8")
        | {"spec": {"requirements": [{"key": "karpenter.sh/nodepool", "operator": "In", "values": ["of-others"]}],
                    "weight": 50, "capacity": {"nvidia.com/gpu": "8"}}}
    ),
    "an overlay of another team for prices": with_also(
        overlay(50) | {"spec": {"requirements": overlay(50)["spec"]["requirements"], "weight": 50, "price": "3.5"}}
    ),
    "a device plugin that stays away": with_also(nvidia_plugin("of-others", "of-others")),
    "a quota that leaves some": with_also(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "with-some"}},  # "elsewhere" may still be going
        QUOTA | {
            "metadata": {"name": "some", "namespace": "with-some"},
            "spec": {"hard": {"requests.nvidia.com/mig-1g.5gb": "4"}},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("legitimate", LEGITIMATE.values(), ids=LEGITIMATE)
def test_what_others_may_well_do_fails_nothing(legitimate: Break, live: World) -> None:
    with live.with_also(GATE_MAP), legitimate(live):
        report = checked(live)

    assert (of(report, "failed"), of(report, "unknown")) == ({}, {})


def test_a_node_that_never_joins_fails_once_patience_is_over(live: World) -> None:
    before = {each["metadata"]["name"] for each in live.list("NodeClaim")}
    turns = [pod(f"turn-{number}", "shared") for number in range(4)]
    with live.with_also(*turns):

        def launched() -> str | None:
            claims = [each for each in live.list("NodeClaim") if each["metadata"]["name"] not in before]
            return next((each["metadata"]["name"] for each in claims if "providerID" in each.get("status", {})), None)

        name = wait_for("another node is launched", launched)
        patient, impatient = checked(live), checked(live, "--patience", "0s")
    for each in live.list("NodeClaim"):
        if each["metadata"]["name"] not in before:
            live.cluster.delete("NodeClaim", each["metadata"]["name"], api_version="karpenter.sh/v1")
    wait_for("it is gone", lambda: {each["metadata"]["name"] for each in live.list("NodeClaim")} == before)

    assert (of(patient, "failed"), list(of(patient, "warning"))) == ({}, ["node-claims"])
    assert list(of(impatient, "failed")) == ["node-claims"]
    assert f"{name} of shared is not Registered after" in of(impatient, "failed")["node-claims"]


READ = ["get", "list"]


def test_a_user_of_one_namespace_is_told_what_could_not_be_looked_at(live: World) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "resourcequotas"], "verbs": READ}]
    kubeconfig = live.user("default", rules)

    result = live.gpu_slice("check", "-o", "json", kubeconfig=kubeconfig)

    assert result.exit_code == 3, result.output
    report = json.loads(result.stdout)
    unknown = of(report, "unknown")
    assert of(report, "failed") == {}
    assert unknown["node-slices"].endswith("could not look: you may not list nodes")
    assert unknown["webhook-answers"].endswith("could not look: you may not create pods in namespace default")
    assert unknown["leaf"].endswith("you may not get Secret webhook-tls in namespace gpu-slice")
    assert "looked only at namespace default: you may not list pods in all namespaces" in unknown["pods-missed"]
    assert set(of(report, "good")) <= {"kubernetes-version", "fleet"}
    assert "could not look" in report["verdict"]


def test_a_user_of_one_namespace_still_learns_of_its_own_pods(live: World) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": READ}]
    with opted_out(live):
        kubeconfig = live.user("opted-out", rules)
        result = live.gpu_slice("check", "-o", "short", kubeconfig=kubeconfig)

    assert result.exit_code == 1
    assert "    opted-out/missed has no slice: " in result.stdout


def test_the_rights_on_the_page_suffice(live: World) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "checks.md").read_text(), re.DOTALL)
    (everywhere, ours) = yaml.safe_load_all(block)
    pods = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
    kubeconfig = live.user("default", pods, [*everywhere["rules"], *ours["rules"]])

    assert live.gpu_slice("check", kubeconfig=kubeconfig).exit_code == 0


def test_a_user_who_may_not_install_is_told_before(live: World) -> None:
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": READ}]
    kubeconfig = live.user("default", [], everything)

    result = live.gpu_slice("check", "--pre", "-o", "json", kubeconfig=kubeconfig)

    assert result.exit_code == 1
    assert "you may not create mutatingwebhookconfigurations" in of(json.loads(result.stdout), "failed")["rights"]


def test_it_waits_until_all_is_well(live: World) -> None:
    mended: list[Thread] = []
    with entry(lambda each: each.update(failurePolicy="Ignore"))(live):
        patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]
        command = ["patch", CONFIGURATION, NAME, "--type=json", "-p", json.dumps(patch)]
        mended.append(Timer(1.0, live.cluster.kubectl, command))
        mended[0].start()
        result = live.gpu_slice("check", "--wait", "30s", "-o", "short")
        mended[0].join()

    assert result.exit_code == 0, result.output


def test_an_api_server_that_is_not_there_is_no_answer(live: World) -> None:
    elsewhere = live.folder / "elsewhere"
    text = live.cluster.plane.kubeconfig.read_text().replace(live.cluster.plane.url, "https://127.0.0.1:1")
    elsewhere.write_text(text)

    result = live.gpu_slice("check", "--fleet", str(live.fleet_file), kubeconfig=elsewhere)

    assert result.exit_code == 3
    assert result.stderr.startswith("Error: the API server at https://127.0.0.1:1: ")
    assert result.stdout == ""


@pytest.fixture(scope="module", name="kubectl")
def _kubectl(live: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """kubectl, with the scripts of this package on the path."""
    folder = tmp_path_factory.mktemp("bin")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, entry_point in scripts.items():
        module, _, function = entry_point.partition(":")
        (folder / name).write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        (folder / name).chmod(0o755)
    path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return lambda *arguments: live.cluster.plane.run(*arguments, environment=path)


def test_it_is_a_plugin_of_kubectl(kubectl: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = kubectl("gpu-slice", "check", "-o", "short")
    told = kubectl("gpu-slice", "check", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"√ all \d+ checks passed\n", done.stdout)
    assert told.stdout.startswith("Usage: kubectl gpu-slice check [OPTIONS]\n")
    assert kubectl("gpu-slice", "check", "-o", "xml").returncode == 2


@pytest.mark.parametrize(
    ("words", "offered", "directive"),
    [
        pytest.param(["che"], ["check"], 4, id="a command"),
        pytest.param(["check", "-o", ""], ["json", "short", "table"], 4, id="a value"),
        pytest.param(["check", "--wa"], ["--wait"], 4, id="an option"),
        pytest.param(["check", "--fleet", ""], [], 0, id="a file, which the shell completes"),
    ],
)
def test_kubectl_completes_its_words(
    words: list[str], offered: list[str], directive: int, kubectl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    *lines, last = kubectl("__complete", "gpu-slice", *words).stdout.splitlines()

    assert sorted(line.partition("\t")[0] for line in lines) == offered
    assert last == f":{directive}"
