"""Whether the pods of a DaemonSet would run on a node: its node selection and its tolerations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from webhook.admission.node_affinity import could_hold
from webhook.admission.pod import Term, Toleration
from webhook.admission.tolerations import covers
from webhook.cluster.check.overlays import Known
from webhook.fleet.pool import Taint

HARD = ("NoSchedule", "NoExecute")


def would_run(spec: Mapping[str, Any], labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
    """Whether a pod with *spec* could run on a node with these and no other labels and taints."""
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        terms = msgspec.convert(required.get("nodeSelectorTerms") or [], list[Term])
        if not any(could_hold(term, Known(labels)) for term in terms):
            return False
    return all(tolerated(taint, spec.get("tolerations") or ()) for taint in taints)


def tolerated(taint: Taint, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether *taint* keeps no pod with *tolerations* away."""
    if taint.effect not in HARD:
        return True
    return any(covers(msgspec.convert(dict(toleration), Toleration), taint) for toleration in tolerations)
