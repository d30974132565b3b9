"""Shadow: a pod that is decided and left as it is.

The mode of the fleet or of a namespace holds for everything about a pod.  A pool in shadow holds for pods that no other
pool serves: see `webhook.admission.resolve`.
"""

from __future__ import annotations

from webhook.admission.plan import plan
from webhook.admission.pod import Pod
from webhook.admission.resolve import satisfying
from webhook.admission.warnings import PodWarning, warning
from webhook.budget import Budget
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION, FIELD, parse


def is_tolerated(pod: Pod | None, fleet: Fleet, namespace: str | None) -> bool:
    """Whether a denied pod is admitted all the same.  *pod*: None if it cannot be read."""
    policy = fleet.policy(namespace)
    if policy.mode == "shadow" or not policy.shadow:
        return policy.mode == "shadow"
    value, budget = pod.annotations.get(ANNOTATION) if pod is not None else None, Budget()
    try:
        choices = [choice for part in parse(value, budget) for choice in part.choices] if isinstance(value, str) else []
        pools = {pool.name for choice in choices for pool, _ in satisfying(choice, fleet, budget)}
    except Denial:
        return False
    return bool(pools) and pools <= policy.shadow


def would_be_denied(denial: Denial) -> PodWarning:
    """What the author of such a pod is told."""
    where = "" if denial.field == FIELD else f"{denial.field}: "
    text = f"shadow: not enforced: denied ({denial.reason}): {where}{denial.problem}. {denial.hint}"
    return warning("shadow", text)


def is_left_alone(pod: Pod, fleet: Fleet, namespace: str | None) -> str:
    """What would become of a pod that is left as it is; empty if it is not in shadow."""
    try:
        decision = plan(pod, fleet, namespace)
    except Denial as denial:
        return f"denied: {denial}" if is_tolerated(pod, fleet, namespace) else ""
    return decision.given if decision.shadow else ""
