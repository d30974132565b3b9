"""Nodes that Karpenter removes, and what keeps them: pods whose eviction is forbidden."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from webhook.cluster.check.facts import Facts
from webhook.cluster.check.result import Found, Problem
from webhook.cluster.objects import BUDGETS, PODS, Document, Pod
from webhook.cluster.selectors import unmatched
from webhook.fleet.pool import Pool

DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
_DURATION = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

LEAVE = (
    "kubectl get pdb -A shows budgets that allow no disruption.  A pool's terminationGracePeriod would end the wait."
)
ENDS = "A pool's terminationGracePeriod would end the wait."


def check_leaving(claim: Document, pool: Pool, facts: Facts) -> Iterator[Found]:
    """A node that Karpenter removes, if something has kept it for longer than it may take to join."""
    name, node = claim["metadata"]["name"], (claim.get("status") or {}).get("nodeName", "")
    age = facts.now - datetime.fromisoformat(claim["metadata"]["deletionTimestamp"])
    if age < facts.patience:
        return
    pods: tuple[Pod, ...] = facts.snapshot.items(PODS)
    staying = [
        pod
        for pod in pods
        if node and pod.spec.node_name == node and not pod.ended
        and not any(owner.kind in ("DaemonSet", "Node") for owner in pod.metadata.owner_references)
    ]  # fmt: skip
    told = f"{name} of {pool.name} is being deleted for {int(age.total_seconds())} s"
    if not staying:
        yield Problem(told, warning=True)
        return
    told += f", and {len(staying)} pod{'s are' if len(staying) > 1 else ' is'} still there"
    for pod in staying:
        if kept := _kept(pod, facts):
            why, cure = kept
            yield Problem(f"{told}: {why}", f"{cure}  {ENDS}", warning=True)
            return
    yield Problem(f"{told}, such as {_named(staying[0])}", LEAVE, warning=True)


def _named(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


def _kept(pod: Pod, facts: Facts) -> tuple[str, str] | None:
    """What forbids the eviction of *pod*, and what to do; None if nothing that can be seen."""
    metadata = pod.metadata
    if metadata.deletion_timestamp is not None:
        return None
    if (value := metadata.annotations.get(DO_NOT_DISRUPT)) is not None and _holds(value, pod, facts.now):
        why = f"{_named(pod)} has the annotation {DO_NOT_DISRUPT}={value}"
        return why, f"Let it end, or remove the annotation: kubectl annotate pod {metadata.name} -n " + (
            f"{metadata.namespace} {DO_NOT_DISRUPT}-"
        )
    if pod.status.phase == "Pending":  # for which the API server asks no budget
        return None
    budgets = [
        budget
        for budget in facts.snapshot.items(BUDGETS)
        if budget["metadata"].get("namespace") == metadata.namespace
        and (selector := budget["spec"].get("selector")) is not None
        and not unmatched(selector, metadata.labels)
    ]
    names = [budget["metadata"]["name"] for budget in budgets]
    if len(budgets) > 1:
        why = f"PodDisruptionBudgets {' and '.join(names)} select {_named(pod)}, and nothing with two is evicted"
        return why, f"Keep one: kubectl get pdb -n {metadata.namespace}"
    if budgets and _forbids(budgets[0], pod):
        why = f"PodDisruptionBudget {metadata.namespace}/{names[0]} forbids the eviction of {_named(pod)}"
        return why, f"kubectl describe pdb {names[0]} -n {metadata.namespace} shows how many pods it wants."
    return None


def _holds(value: str, pod: Pod, now: datetime) -> bool:
    """Whether the annotation still holds: for ever with ``true``, and with a duration as long as that after the start.

    Source: Karpenter v1.14.1 ``pkg/utils/pod/scheduling.go``, ``IsDoNotDisruptActive``.
    """
    duration, created = _DURATION.fullmatch(value), pod.metadata.creation_timestamp
    if duration is None or created is None:
        return value == "true" or duration is not None
    hours, minutes, seconds = (int(part or 0) for part in duration.groups())
    return now - created < timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _forbids(budget: Document, pod: Pod) -> bool:
    """Whether the API server refuses the eviction of a pod that one budget selects.

    Source: Kubernetes v1.36 ``pkg/registry/core/pod/storage/eviction.go``.
    """
    status = budget.get("status") or {}
    if status.get("disruptionsAllowed", 0) > 0:
        return False
    if pod.status.ready.status == "True":
        return True
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    healthy, wanted = (status.get(key, 0) for key in ("currentHealthy", "desiredHealthy"))
    return not (wanted > 0 and healthy >= wanted)
