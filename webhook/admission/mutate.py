"""A resolution written into a pod: resources, tolerations, node selection, and the memory of it.

The pod that came is never changed: what changes is copied on the way down, and everything else is the very
same object in both, which is also what keeps the patch small.  What already says so is left as it is, so
doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from webhook.admission.nodes import AFFINITY, empty
from webhook.admission.pod import Pod, mapping, sequence, whole
from webhook.admission.resolve import Assignment, Resolution
from webhook.fleet.file import TAINT_KEY, Taint
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, Pool

Toleration = dict[str, Any]


def mutate(pod: Pod, resolution: Resolution, memory: Mapping[str, str]) -> Pod:
    """*pod* with *resolution* in it, and *memory* among its annotations."""
    metadata = mapping(pod, "metadata", "metadata")
    annotations = mapping(metadata, "annotations", "metadata.annotations")
    spec = dict(mapping(pod, "spec", "spec"))
    for assignment in resolution.assignments:
        container = assignment.container
        section = list(spec[container.section])
        section[container.index] = _give(container.raw, assignment)
        spec[container.section] = section
    if missing := missing_tolerations(spec, resolution.pools):
        spec["tolerations"] = [*sequence(spec, "tolerations", "spec.tolerations"), *missing]
    if labels := missing_labels(spec, resolution.labels):
        spec["nodeSelector"] = {**mapping(spec, "nodeSelector", "spec.nodeSelector"), **labels}
    if resolution.one_of:
        _require(spec, list(resolution.one_of))
    if any(annotations.get(key) != value for key, value in memory.items()):
        metadata = {**metadata, "annotations": {**annotations, **memory}}
    return {**pod, "metadata": metadata, "spec": spec}


def _give(raw: Mapping[str, Any], assignment: Assignment) -> dict[str, Any]:
    """A container with its slice in limits and requests, in the place of a whole GPU."""
    resources = dict(raw.get("resources") or {})
    for key in ("limits", "requests"):
        section = resources.get(key) or {}
        path = f"{assignment.container.path}.resources.{key}[{assignment.resource}]"
        there = section.get(assignment.resource)
        if there is None or whole(there, path) != assignment.count or (WHOLE_GPU in section != assignment.resource):
            kept = {name: value for name, value in section.items() if name != WHOLE_GPU}
            resources[key] = {**kept, assignment.resource: str(assignment.count)}
    return {**raw, "resources": resources}


def missing_tolerations(spec: Mapping[str, Any], pools: Iterable[Pool]) -> list[Toleration]:
    """What *spec* must add to tolerate every taint of *pools*."""
    there = sequence(spec, "tolerations", "spec.tolerations")
    missing: list[Toleration] = []
    for pool in pools:
        for taint in pool.taints:
            if not any(covers(each, taint) for each in (*there, *missing)):
                missing.append(toleration(taint))
    return missing


def toleration(taint: Taint) -> Toleration:
    """What tolerates *taint*: any value of our own key, whose value says nothing, and else no more than it."""
    if taint.key == TAINT_KEY:
        return {"key": taint.key, "operator": "Exists"}
    if not taint.value:
        return {"key": taint.key, "operator": "Exists", "effect": taint.effect}
    return {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}


def covers(each: Mapping[str, Any], taint: Taint) -> bool:
    """Whether a toleration covers *taint* for good.  Source: k8s.io/component-helpers ``scheduling/corev1``."""
    if each.get("effect") and each["effect"] != taint.effect:
        return False
    if each.get("tolerationSeconds") is not None and taint.effect == "NoExecute":
        return False
    operator, key = each.get("operator") or "Equal", each.get("key") or ""
    if operator == "Exists":
        return key in ("", taint.key)
    return operator == "Equal" and key == taint.key and (each.get("value") or "") == taint.value


def missing_labels(spec: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, str]:
    """The part of *labels* that the nodeSelector of *spec* does not have."""
    there = mapping(spec, "nodeSelector", "spec.nodeSelector")
    return {key: value for key, value in labels.items() if there.get(key) != value}


def _require(spec: dict[str, Any], names: list[str]) -> None:
    """Add ``gpu-slice/pool In names`` to each required term: Karpenter looks at the first alone."""
    expression = {"key": POOL_LABEL, "operator": "In", "values": names}
    if (spec.get("nodeSelector") or {}).get(POOL_LABEL) in names:
        return
    key = AFFINITY.rpartition(".")[2]
    affinity = spec.get("affinity") or {}
    node = affinity.get("nodeAffinity") or {}
    required = node.get(key)
    if required is None:
        required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    else:
        terms = [_with(term, expression) for term in required.get("nodeSelectorTerms") or []]
        required = {**required, "nodeSelectorTerms": terms}
    spec["affinity"] = {**affinity, "nodeAffinity": {**node, key: required}}


def _with(term: dict[str, Any], expression: dict[str, Any]) -> dict[str, Any]:
    there = term.get("matchExpressions") or []
    if empty(term) or expression in there:  # an empty term matches no node, and must not begin to
        return term
    return {**term, "matchExpressions": [*there, expression]}
