"""Reads what the checks are about.  Nothing here writes: the pod that is tried is created as a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from webhook.cluster.check.facts import NO_FLEET, Address, CannotLook, Facts, Probe
from webhook.cluster.check.install import KEEPER, KEPT, WEBHOOK
from webhook.cluster.check.registration import SHIPPED, entries_of
from webhook.cluster.karpenter import settings
from webhook.cluster.objects import (
    BINDINGS,
    BUDGETS,
    CLUSTER_BINDINGS,
    CLUSTER_POLICIES,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODE_CLAIMS,
    NODE_CLASSES,
    NODE_OVERLAYS,
    NODE_POOLS,
    NODES,
    PODS,
    POLICIES,
    QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    STATEFUL_SETS,
    VALIDATORS,
    WEBHOOKS,
    Document,
    Kind,
)
from webhook.cluster.reader import Reader, Refused
from webhook.cluster.snapshot import TRUSTED, Snapshot
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION, ASSIGNED

KINDS: tuple[Kind[Document], ...] = (
    BINDINGS, CLUSTER_BINDINGS, CLUSTER_POLICIES, CLUSTER_ROLES, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, NAMESPACES,
    NODE_CLAIMS, NODE_CLASSES, NODE_OVERLAYS, NODE_POOLS, STATEFUL_SETS, POLICIES, QUOTAS, VALIDATORS, WEBHOOKS,
)  # fmt: skip

NAMESPACED = (BUDGETS, ROLE_BINDINGS, ROLES)
"""What is read of our namespace alone; while Karpenter removes a node, budgets of all namespaces."""

FOR_INSTALLATION: tuple[Kind[Any], ...] = (
    CLUSTER_POLICIES, DAEMON_SETS, DEPLOYMENTS, NODE_CLAIMS, NODE_OVERLAYS, NODE_POOLS, NODES, WEBHOOKS,
)  # fmt: skip
"""What is looked at before one: no pods, of which there are many."""

NEEDED: tuple[tuple[str, Kind[Document]], ...] = (
    ("create", NAMESPACES), ("create", WEBHOOKS), ("create", VALIDATORS), ("create", POLICIES), ("create", BINDINGS),
    ("create", DEPLOYMENTS), ("create", DAEMON_SETS), ("create", NODE_POOLS), ("create", NODE_CLASSES),
    ("create", NODE_OVERLAYS),
)  # fmt: skip
"""What an installation needs, and not everybody may."""


def look(
    reader: Reader,
    fleet: Fleet | None,
    rendered: tuple[Document, ...],
    namespace: str,
    patience: timedelta,
    *,
    before: bool,
    trusted: Iterable[str] = (),
) -> Facts:
    """What the checks of *fleet* need.  Raises `webhook.cluster.reader.Unreachable`.

    *trusted*: more namespaces where only administrators write.

    The fleet in the cluster and the certificate are left to the caller, who can read their texts.
    """
    snapshot = reader.read(FOR_INSTALLATION if before else (NODES, PODS, *KINDS))
    if not before:
        listings = {**snapshot.listings, **{kind: reader.list(kind, namespace) for kind in NAMESPACED}}
        if any("deletionTimestamp" in claim["metadata"] for claim in snapshot.items(NODE_CLAIMS)):
            every = reader.list(BUDGETS)
            listings |= {BUDGETS: every} if not every.problem else {}
        snapshot = Snapshot(snapshot.when, snapshot.version, listings)
    snapshot = replace(snapshot, trusted=TRUSTED.union([namespace], trusted))
    facts = Facts(snapshot, fleet, rendered, namespace)
    wanted = [(CONFIG_MAPS, namespace, "fleet"), (CONFIG_MAPS, namespace, SHIPPED), (DEPLOYMENTS, namespace, WEBHOOK),
              (DEPLOYMENTS, namespace, KEEPER)]  # fmt: skip
    made = facts.made("ConfigMap") if fleet is not None else ()
    wanted += [(CONFIG_MAPS, each["metadata"]["namespace"], each["metadata"]["name"]) for each in made]
    wanted += [(CONFIG_MAPS, *address) for address in settings(snapshot)]
    single: dict[Address, Document | str | None] = {
        (kind.name, where, name): reader.find(kind, name, where) for kind, where, name in wanted
    }
    if before:
        refused = tuple(_refused(reader))
        return Facts(snapshot, fleet, rendered, namespace, single, refused=refused, patience=patience)
    single |= {(SECRETS.name, namespace, name): reader.find(SECRETS, name, namespace, metadata=True) for name in KEPT}
    probe = _try(reader, fleet) if _is_registered(facts) else None
    return Facts(snapshot, fleet, rendered, namespace, single, probe=probe, patience=patience)


def _is_registered(facts: Facts) -> bool:
    try:
        return bool(entries_of(facts))
    except CannotLook:  # the pod that is tried tells
        return True


def _refused(reader: Reader) -> Iterator[str]:
    for verb, kind in NEEDED:
        if not reader.may(verb, kind):
            yield f"{verb} {kind.plural}"


def leaf_secret(reader: Reader, namespace: str) -> Document | str | None:
    """The Secret with the certificate that is served, or why it cannot be read."""
    return reader.find(SECRETS, "webhook-tls", namespace)


def _try(reader: Reader, fleet: Fleet | None) -> Probe | str:
    """What becomes of a pod that asks for the first slice that its namespace may use."""
    if fleet is None:
        return NO_FLEET
    policy = fleet.policy(reader.namespace)
    permitted = [(pool.name in policy.shadow, offer) for pool, offer in fleet.offers if policy.permits(pool, offer)]
    shadow, asked = min(permitted, key=lambda each: each[0], default=(False, None))
    if asked is None:
        return f"namespace {reader.namespace} may use no slice; name another with -n"
    # An architecture other than amd64 has to be named, or the GPU.
    try:
        stored = reader.try_create(PODS, _pod(f"{asked}@{asked.gpu.name}"), reader.namespace)
    except Refused as refused:
        if refused.no_pods:
            return f"you may not create pods in namespace {reader.namespace}"
        return Probe("", str(refused), reader.namespace, shadow)
    return Probe(
        ((stored.get("metadata") or {}).get("annotations") or {}).get(ASSIGNED, ""), "", reader.namespace, shadow
    )


def _pod(asked: str) -> Document:
    """A pod that the strictest Pod Security Standard admits."""
    container = {
        "name": "main",
        "image": "example.com/none:1",
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    secure = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "gpu-slice-check-", "annotations": {ANNOTATION: asked}},
        "spec": {"restartPolicy": "Never", "securityContext": secure, "containers": [container]},
    }
