"""Checks of rights that a running installation needs: without them all works until something is to be renewed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook.cluster.check.facts import Facts
from webhook.cluster.check.install import KEEPER
from webhook.cluster.check.result import Check, Found, Problem
from webhook.cluster.objects import CLUSTER_BINDINGS, CLUSTER_ROLES, DEPLOYMENTS, ROLE_BINDINGS, ROLES, Document

KEEPERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("secrets", "webhook-ca", ("get", "update")),
    ("secrets", "webhook-tls", ("get", "update")),
    ("mutatingwebhookconfigurations", "gpu-slice", ("get", "patch")),
    ("validatingwebhookconfigurations", "gpu-slice-advice", ("get", "patch")),
)
"""Resource, name and verbs.  A test holds them to ``manifests/keeper/rbac.yaml``."""

READERS = ("configmaps", "fleet", ("get",))
"""The same of ``manifests/webhook/fleet-reader.yaml``."""


def _keeper(facts: Facts) -> Iterator[Found]:
    live = facts.one(DEPLOYMENTS, KEEPER)
    if live is None:
        return  # another check says so, or cert-manager does its work
    account = live["spec"]["template"]["spec"].get("serviceAccountName", "default")
    subjects = [
        {"kind": "ServiceAccount", "name": account, "namespace": facts.namespace},
        {"kind": "User", "name": f"system:serviceaccount:{facts.namespace}:{account}"},
        *({"kind": "Group", "name": name}
          for name in ("system:serviceaccounts", f"system:serviceaccounts:{facts.namespace}", "system:authenticated")),
    ]  # fmt: skip
    yield from (Problem(f"the keeper may not {refused}") for refused in _refused(facts, subjects, *KEEPERS))


def _readers(facts: Facts) -> Iterator[Found]:
    everybody = [{"kind": "Group", "name": "system:authenticated"}]
    for refused in _refused(facts, everybody, READERS):
        yield Problem(
            f"users may not {refused}: check, explain, usage and fit --cluster then need --fleet", warning=True
        )


def _refused(facts: Facts, subjects: list[dict[str, str]], *wanted: tuple[str, str, tuple[str, ...]]) -> Iterator[str]:
    """What nobody of *subjects* may do, as the end of a sentence."""
    rules = list(_rules(facts, subjects))
    for resource, name, verbs in wanted:
        missing = [verb for verb in verbs if not any(_allows(rule, verb, resource, name) for rule in rules)]
        if missing:
            yield f"{' and '.join(missing)} {resource} {name}"


def _rules(facts: Facts, subjects: list[dict[str, str]]) -> Iterator[Mapping[str, Any]]:
    roles = {("Role", each["metadata"]["name"]): each for each in facts.all(ROLES)}
    roles |= {("ClusterRole", each["metadata"]["name"]): each for each in facts.all(CLUSTER_ROLES)}
    for binding in (*facts.all(ROLE_BINDINGS), *facts.all(CLUSTER_BINDINGS)):
        if any(wanted.items() <= subject.items() for subject in binding.get("subjects") or () for wanted in subjects):
            reference = binding["roleRef"]
            role: Document = roles.get((reference["kind"], reference["name"])) or {}
            local = "namespace" in binding["metadata"]
            for rule in role.get("rules") or ():
                yield {**rule, "local": local}


def _allows(rule: Mapping[str, Any], verb: str, resource: str, name: str) -> bool:
    group = "admissionregistration.k8s.io" if resource.endswith("configurations") else ""
    return (
        {verb, "*"} & {*rule.get("verbs", ())} != set()
        and {resource, "*"} & {*rule.get("resources", ())} != set()
        and {group, "*"} & {*rule.get("apiGroups", ())} != set()
        and (not rule.get("resourceNames") or name in rule["resourceNames"])
        and not (rule["local"] and group)  # a RoleBinding is about one namespace
    )


CHECKS = (
    Check("keeper-access", "Certificates", "the keeper may renew certificates and caBundle",
          "Apply this file alone: kubectl apply -f manifests/keeper/rbac.yaml", _keeper, after=("keeper",)),
    Check("fleet-reader", "Webhook", "users may read the fleet",
          "Apply this file alone: kubectl apply -f manifests/webhook/fleet-reader.yaml", _readers),
)  # fmt: skip
