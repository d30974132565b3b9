"""The tolerations that a pod needs for its slice, and which of them it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from webhook.admission.pod import Spec, Toleration
from webhook.budget import Budget
from webhook.fleet.file import TAINT_KEY
from webhook.fleet.pool import Pool, Taint


class Need(Struct, frozen=True, gc=False):
    """A toleration that a pod needs."""

    toleration: Toleration
    taints: tuple[Taint, ...]
    """What it is for.  Empty: it is for no taint of a pool, and must be there exactly as it is."""
    written: dict[str, Any]
    """The same as JSON."""


def needs_of(pools: Iterable[Pool], resources: Iterable[str]) -> tuple[Need, ...]:
    """What a pod needs that gets *resources* of *pools*, each toleration once.

    For a resource it is the toleration that the API server's plugin ExtendedResourceToleration would add.  EKS has it
    enabled.  The plugin adds it unless the pod has exactly that toleration, and its change would cause a second call
    of the webhook.  Source: k8s.io/kubernetes ``plugin/pkg/admission/extendedresourcetoleration``.
    """
    taints: dict[Toleration, dict[Taint, None]] = {}
    for pool in pools:
        for taint in pool.taints:
            taints.setdefault(toleration_of(taint), {})[taint] = None
    for resource in resources:
        taints[Toleration(resource, "Exists", None, "NoSchedule")] = {}
    return tuple(Need(toleration, tuple(covered), _json(toleration)) for toleration, covered in taints.items())


def _json(toleration: Toleration) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(toleration).items() if value is not None}


def toleration_of(taint: Taint) -> Toleration:
    """The toleration for *taint*: for our own key with any value and effect, otherwise for exactly this taint.

    Templates carry it for years, and may meet nodes that others tainted with this key in their own way.  The price: a
    namespace's whitelist (PodTolerationRestriction) must name the key as widely, and a NoExecute taint of this key
    evicts no sliced pod.  A pod that itself tolerates what its pools have gets no wider one.
    """
    if taint.key == TAINT_KEY:
        return Toleration(taint.key, "Exists")
    if not taint.value:
        return Toleration(taint.key, "Exists", None, taint.effect)
    return Toleration(taint.key, "Equal", taint.value, taint.effect)


def missing_tolerations(
    spec: Spec, needs: Sequence[Need], budget: Budget
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Which of *needs* the pod does not have: those to put before its tolerations, and those to add after them.

    The first toleration that covers a taint decides how long the pod may stay, so one with tolerationSeconds would have
    it evicted from a node whose taint stays.  Source: k8s.io/kubernetes ``pkg/apis/core/v1/helper/helpers.go``,
    ``GetMatchingTolerations``, which the taint eviction controller uses.
    """
    existing = spec.tolerations
    if not existing:
        return [], [need.written for need in needs]
    before, after = [], []
    for need in needs:
        budget.spend((1 + 2 * len(existing)) * (1 + len(need.taints)), "spec.tolerations")
        if not need.taints:
            if need.toleration not in existing:
                after.append(need.written)
            continue
        missing = ends = False
        for taint in need.taints:
            for toleration in existing:
                if toleration.key in (taint.key, None, "") and covers(toleration, taint):
                    ends = ends or (taint.effect == "NoExecute" and toleration.toleration_seconds is not None)
                    break
            else:
                missing = True
        if ends:
            before.append(need.written)
        elif missing:
            after.append(need.written)
    return before, after


def covers(toleration: Toleration, taint: Taint) -> bool:
    """Whether *toleration* covers *taint*.  Source: component-helpers ``scheduling/corev1``."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    operator, key = toleration.operator or "Equal", toleration.key or ""
    if operator == "Exists":
        return key in ("", taint.key)
    return operator == "Equal" and key == taint.key and (toleration.value or "") == taint.value
