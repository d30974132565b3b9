"""A second opinion on what a resolution makes of a pod: written without patches, on a copy, the plain way.

It imports nothing of the product.  A decision is what it is given: which container gets what, the pools, and the labels
that select them.  How tolerations and taints match is Kubernetes' own rule, and the taints are those that the fleet
file states.
"""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any

import yaml

Document = dict[str, Any]

SHARED_TAINT = {"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"}
"""The taint of a pool whose entry names none."""


def sliced(pod: Document, asked: str, resolution: Any, fleet: str | bytes) -> Document:
    """*pod* as it should become.  *fleet*: the text of the fleet file."""
    pod = deepcopy(pod)
    spec = pod["spec"]
    given = []
    for assignment in resolution.assignments:
        container = spec[assignment.container.section][assignment.container.index]
        container["resources"] = container.get("resources") or {}
        for name in ("limits", "requests"):
            section = dict(container["resources"].get(name) or {})
            if assignment.resource != "nvidia.com/gpu" and str(section.get("nvidia.com/gpu")) != "0":
                section.pop("nvidia.com/gpu", None)
            if str(section.get(assignment.resource)) != str(assignment.count):
                section[assignment.resource] = str(assignment.count)
            container["resources"][name] = section
        given.append(f"{container['name']}={assignment.resource}:{assignment.count}")
    resources = [assignment.resource for assignment in resolution.assignments]
    for taint in taints_of(fleet, [pool.name for pool in resolution.pools]):
        _tolerate(spec, taint, toleration_of(taint))
    for resource in resources:
        # The API server's plugin adds this very toleration, whatever else the pod tolerates.
        toleration = {"key": resource, "operator": "Exists", "effect": "NoSchedule"}
        existing = spec.get("tolerations") or []
        if toleration not in [{key: value for key, value in each.items() if value} for each in existing]:
            spec["tolerations"] = [*existing, toleration]
    if resolution.labels:
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **resolution.labels}
    if resolution.one_of and (spec.get("nodeSelector") or {}).get("gpu-slice/pool") not in resolution.one_of:
        wanted = {"key": "gpu-slice/pool", "operator": "In", "values": list(resolution.one_of)}
        spec["affinity"] = spec.get("affinity") or {}
        node = spec["affinity"]["nodeAffinity"] = spec["affinity"].get("nodeAffinity") or {}
        required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
        if not required:
            required = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
            node["requiredDuringSchedulingIgnoredDuringExecution"] = required
        for term in required["nodeSelectorTerms"]:
            if (term.get("matchExpressions") or term.get("matchFields")) and wanted not in (
                term.get("matchExpressions") or []
            ):
                term["matchExpressions"] = [*(term.get("matchExpressions") or []), wanted]
    pod["metadata"]["annotations"]["gpu-slice/assigned"] = f"{asked} -> {', '.join(given)}"
    pod["metadata"]["annotations"]["gpu-slice/pools"] = ", ".join(pool.name for pool in resolution.pools)
    return pod


def _tolerate(spec: Document, taint: Document, toleration: Document) -> None:
    """Add *toleration* to *spec*, unless one that it has tolerates *taint* for good."""
    existing = spec.get("tolerations") or []
    if not any(tolerates_for_good(each, taint) for each in existing):
        spec["tolerations"] = [*existing, toleration]


def taints_of(fleet: str | bytes, names: list[str]) -> list[Document]:
    """The taints of the pools called *names*, in that order."""
    taints = _taints_by_pool(fleet)
    return [taint for name in names for taint in taints[name]]


@lru_cache
def _taints_by_pool(fleet: str | bytes) -> dict[str, list[Document]]:
    document = yaml.safe_load(fleet)
    entries = [{**(document.get("defaults") or {}), **entry} for entry in document["pools"]]
    return {entry["name"]: entry.get("taints", [SHARED_TAINT]) for entry in entries}


def toleration_of(taint: Document) -> Document:
    """What the webhook adds for *taint*: no more than it says, but for our own key, whose value says nothing."""
    key, value, effect = taint["key"], taint.get("value", ""), taint.get("effect", "NoSchedule")
    if key == "nvidia.com/gpu-shared":
        return {"key": key, "operator": "Exists"}
    return {
        "key": key,
        **({"operator": "Equal", "value": value} if value else {"operator": "Exists"}),
        "effect": effect,
    }


def tolerates(toleration: Document, taint: Document) -> bool:
    """Whether *toleration* matches *taint*.  Source: k8s.io/api core/v1 ``Toleration.ToleratesTaint``.

    ``Lt`` and ``Gt`` match nothing, as on a cluster whose gate TaintTolerationComparisonOperators is off.
    """
    effect, key = toleration.get("effect") or "", toleration.get("key") or ""
    operator, value = toleration.get("operator") or "Equal", toleration.get("value") or ""
    if not key and operator != "Exists":  # the API server refuses such a pod
        return False
    if effect and effect != taint.get("effect", "NoSchedule"):
        return False
    if key and key != taint["key"]:
        return False
    return operator == "Exists" or (operator == "Equal" and value == taint.get("value", ""))


def tolerates_for_good(toleration: Document, taint: Document) -> bool:
    """Whether a pod with *toleration* may stay: one with ``tolerationSeconds`` is evicted when they are over."""
    evicts = taint.get("effect") == "NoExecute" and toleration.get("tolerationSeconds") is not None
    return tolerates(toleration, taint) and not evicts
