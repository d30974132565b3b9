"""Checks of what is installed: Kubernetes, the fleet that is served, the replicas, the keeper."""

from __future__ import annotations

import re
from collections.abc import Iterator

from webhook.cluster.asking import CONFIGURATION
from webhook.cluster.check.comparison import Comparison
from webhook.cluster.check.facts import CannotLook, Facts
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.objects import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SECRETS,
    WEBHOOKS,
    Document,
    Pod,
    conditions,
)
from webhook.cluster.selectors import unmatched
from webhook.fleet.fleet import Fleet

OLDEST = (1, 30)
"""The first Kubernetes whose `matchConditions` and `ValidatingAdmissionPolicy` are stable."""

KEEPER, WEBHOOK = "keeper", "webhook"
KEPT = ("webhook-ca", "webhook-tls")
"""The Secrets that the keeper fills."""
LOST = (
    "The keeper fills it, and may not create it.  Apply this file alone: kubectl apply -f manifests/keeper/secrets.yaml"
)
AGAIN = (
    "Apply your own folder again (docs/eks.md step 7), or run helm upgrade.  Not manifests itself: it has neither your"
    " fleet nor your image."
)
"""How to put back what is installed, without a word about which part."""

IN_SHADOW = "Add components: [../manifests/shadow] to your folder and apply it, or run helm upgrade (docs/shadow.md)."
"""How to have the API server refuse nothing, too."""

_CORRECT = (
    "Correct the file, and apply your own folder or run helm upgrade.  Until then the replicas go on with the last good"
    " fleet, and a new one does not become ready.  Meanwhile, gpu-slice check --fleet FILE goes by another file."
)

INJECTED = "cert-manager.io/inject-ca-from"
"""The annotation by which cert-manager fills ``caBundle``."""


def version(text: str) -> tuple[int, ...] | None:
    """The first two or three numbers of a version, such as ``v1.36.3`` or ``1.33+``.

    >>> version("controller:1.15.0@sha256:00"), version("latest")
    ((1, 15, 0), None)
    """
    found = re.search(r"(?<![\w.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else None


def _kubernetes(facts: Facts) -> Iterator[Found]:
    found = version(facts.snapshot.version)
    if found is None:
        raise CannotLook("the API server does not say its version")
    if found < OLDEST:
        yield Problem(f"it is {facts.snapshot.version}")
    yield Note(facts.snapshot.version)


def _rights(facts: Facts) -> Iterator[Found]:
    for refused in facts.refused:
        yield Problem(f"you may not {refused}")


def _name_is_free(facts: Facts) -> Iterator[Found]:
    live = facts.named(WEBHOOKS, CONFIGURATION)
    labels = (live or {}).get("metadata", {}).get("labels") or {}
    if live is not None and labels.get("app.kubernetes.io/name") != "gpu-slice":
        yield Problem(f"MutatingWebhookConfiguration {CONFIGURATION} belongs to somebody else")


def _fleet(facts: Facts) -> Iterator[Found]:
    facts.one(CONFIG_MAPS, "fleet")
    if facts.served is None:
        yield Problem(f"there is no ConfigMap fleet in namespace {facts.namespace}")
    elif isinstance(facts.served, str):
        yield from (Problem(f"the webhook would refuse it: {text}", _CORRECT) for text in facts.served.splitlines())
    elif changed := list(_changed(facts.served, facts.fleet)):
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        yield Problem(f"in the cluster {changed[0]}{more}")


def _changed(served: Fleet, wanted: Fleet) -> Iterator[str]:
    before, after = (fleet.file.model_dump(by_alias=True, exclude_defaults=True) for fleet in (served, wanted))
    yield from Comparison("the file gives", exact=True).differences(after, before)


def _replicas(facts: Facts) -> Iterator[Found]:
    live = facts.one(DEPLOYMENTS, WEBHOOK)
    if live is None:
        yield Problem(f"there is no Deployment {WEBHOOK} in namespace {facts.namespace}")
        return
    wanted, ready = _counts(live)
    if wanted and ready < wanted:
        yield Problem(f"{ready} of {wanted} replicas are available{_why(facts, live)}")
    if wanted == 0:
        yield _scaled_down(live, 3)
        return
    yield from _rollout(facts, live)
    if wanted < 2:
        yield Problem("it has 1 replica: while it restarts, annotated pods are refused")
    elif wanted < 3:
        yield Problem("it has 2 replicas: in a rollout, with a node lost, none may answer", warning=True)


def _counts(deployment: Document) -> tuple[int, int]:
    status = deployment.get("status") or {}
    return deployment["spec"].get("replicas", 1), status.get("availableReplicas") or 0


def scale(deployment: Document, replicas: int) -> str:
    """The command that gives a Deployment *replicas*."""
    metadata = deployment["metadata"]
    return f"kubectl -n {metadata.get('namespace')} scale deployment {metadata['name']} --replicas={replicas}"


def _scaled_down(deployment: Document, replicas: int) -> Problem:
    return Problem("it is scaled to 0 replicas", f"Run {scale(deployment, replicas)}")


def _rollout(facts: Facts, live: Document) -> Iterator[Found]:
    """A rollout that does not end: the old replicas answer, and may be the last that start."""
    status, name, (wanted, _) = live.get("status") or {}, live["metadata"]["name"], _counts(live)
    new = status.get("updatedReplicas", wanted)
    if new >= wanted and status.get("replicas", wanted) <= wanted and not status.get("unavailableReplicas"):
        return
    progress = conditions(live).get("Progressing", {})
    stuck = progress.get("status") == "False" or bool(live["spec"].get("paused"))
    told = f"the rollout of {name} {'is stuck' if stuck else 'goes on'}: {new} of {wanted} replicas are new"
    yield Problem(told + _why(facts, live), warning=not stuck)


def _why(facts: Facts, live: Document) -> str:
    """Why a pod of a Deployment does not run, as the end of a sentence; empty if nobody says."""
    name, told = live["metadata"]["name"], conditions(live).get("ReplicaFailure", {}).get("message", "")
    pods: tuple[Pod, ...] = facts.snapshot.items(PODS) if PODS in facts.snapshot.listings else ()
    for pod in pods:
        ours = any(re.fullmatch(rf"{name}-\w+", owner.name) for owner in pod.metadata.owner_references)
        if ours and pod.metadata.namespace == facts.namespace:
            for condition in pod.status.conditions:
                if condition.type == "PodScheduled" and condition.status == "False":
                    told = f"Pod {pod.metadata.name} is not scheduled: {condition.message}"
    return f". {told}" if told else ""


def _budget(facts: Facts) -> Iterator[Found]:
    live = facts.one(DEPLOYMENTS, WEBHOOK)
    labels = live["spec"]["template"]["metadata"].get("labels") or {} if live else {}
    chosen = [
        budget
        for budget in facts.all(BUDGETS)
        if budget["metadata"].get("namespace") == facts.namespace
        and (selector := budget["spec"].get("selector")) is not None
        and not unmatched(selector, labels)
    ]
    if not chosen:
        yield Problem("no PodDisruptionBudget selects the replicas: a drain may end all of them at once")
    if len(chosen) > 1:
        names = " and ".join(budget["metadata"]["name"] for budget in chosen)
        yield Problem(f"PodDisruptionBudgets {names} select the same replicas: Kubernetes then evicts none of them")
        return
    wanted = _counts(live)[0] if live else 0
    for budget in chosen:
        name, going = budget["metadata"]["name"], _may_go(budget["spec"], wanted)
        if going <= 0:
            yield Problem(f"PodDisruptionBudget {name} lets no replica go: no node that has one can be drained")
        elif going >= wanted:
            yield Problem(f"PodDisruptionBudget {name} lets all replicas go at once")


def _may_go(budget: Document, replicas: int) -> int:
    """How many of *replicas* may be evicted at once.

    Source: Kubernetes ``pkg/controller/disruption/disruption.go``, which rounds percentages up, and lets none go where
    neither field is set.
    """
    most, least = budget.get("maxUnavailable"), budget.get("minAvailable")
    if most is not None:
        return _share(most, replicas)
    return replicas - _share(least, replicas) if least is not None else 0


def _share(value: int | str, replicas: int) -> int:
    text = str(value)
    return -(-int(text[:-1]) * replicas // 100) if text.endswith("%") else int(text)


def _keeper(facts: Facts) -> Iterator[Found]:
    live = facts.one(DEPLOYMENTS, KEEPER)
    if live is None:
        annotations = (facts.named(WEBHOOKS, CONFIGURATION) or {}).get("metadata", {}).get("annotations") or {}
        if INJECTED in annotations:
            yield Note("by cert-manager")
            return
        yield Problem(f"there is no Deployment {KEEPER} in namespace {facts.namespace}")
        return
    wanted, ready = _counts(live)
    if wanted == 0:
        yield _scaled_down(live, 1)
    elif ready < 1:
        told = f"{ready} of {wanted} replicas are available: nobody renews the certificates"
        yield Problem(told + _why(facts, live))
    else:
        yield from _rollout(facts, live)
    for name in KEPT:
        if is_lost(facts, name):
            yield Problem(f"there is no Secret {name} in namespace {facts.namespace}", LOST)
        elif isinstance(found := facts.single.get((SECRETS.name, facts.namespace, name)), str):
            yield Note(found)


def is_lost(facts: Facts, name: str) -> bool:
    """Whether a Secret of ours is not there, as far as somebody could look."""
    return facts.single.get((SECRETS.name, facts.namespace, name), "") is None


CHECKS = (
    Check(
        "kubernetes-version", "Kubernetes", "Kubernetes is 1.30 or later",
        "Upgrade the control plane: older releases have no stable matchConditions and ValidatingAdmissionPolicy.",
        _kubernetes, before=True,
    ),
    Check(
        "rights", "Kubernetes", "you may create what is installed",
        "Ask an administrator to install gpu-slice, or for these rights.",
        _rights, before=True, only_before=True,
    ),
    Check(
        "name-free", "Kubernetes", "no other webhook has our name",
        "Rename or remove that configuration first: the keeper and the guard rely on the name.",
        _name_is_free, before=True, only_before=True,
    ),
    Check(
        "fleet", "Webhook", "the webhook serves this fleet",
        "Apply the folder that makes ConfigMap fleet of your file (docs/eks.md step 7), and what gpu-slice renders.",
        _fleet,
    ),
    Check(
        "replicas", "Webhook", "enough replicas are available",
        "Run kubectl -n gpu-slice describe deployment webhook, and read the pods' events and logs.",
        _replicas,
    ),
    Check(
        "disruption-budget", "Webhook", "a drain leaves replicas that answer",
        "Apply this file alone: kubectl apply -f manifests/webhook/pdb.yaml.  It lets one replica at a time go.",
        _budget, after=("replicas",),
    ),
    Check(
        "keeper", "Certificates", "something renews the certificates",
        f"{AGAIN}  Then read kubectl -n gpu-slice logs deployment/keeper.",
        _keeper,
    ),
)  # fmt: skip
