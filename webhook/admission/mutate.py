"""A resolution as operations on a pod: resources, tolerations, node selection, and the memory of it.

What already says so is left as it is, so doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from webhook.admission.node_affinity import AFFINITY, empty
from webhook.admission.patch import Operation, Patch
from webhook.admission.pod import Pod, annotations_of, mapping, sequence, whole
from webhook.admission.resolve import Assignment, Resolution
from webhook.fleet.file import TAINT_KEY, Taint
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, Pool

Toleration = dict[str, Any]


def mutate(pod: Pod, resolution: Resolution, memory: Mapping[str, str]) -> list[Operation]:
    """The operations that write *resolution* into *pod*, and *memory* among its annotations."""
    patch = Patch()
    annotations = annotations_of(pod)
    for key, value in memory.items():
        if annotations.get(key) != value:
            patch.put("/metadata/annotations", annotations, key, value)
    for assignment in resolution.assignments:
        _give(patch, assignment)
    spec = mapping(pod, "spec", "spec")
    _tolerate(patch, spec, resolution.pools)
    _select(patch, spec, resolution.labels)
    if resolution.one_of:
        _require(patch, spec, list(resolution.one_of))
    return patch.operations


def _give(patch: Patch, assignment: Assignment) -> None:
    """A container's slice into limits and requests, in the place of a whole GPU."""
    container, resource, count = assignment.container, assignment.resource, str(assignment.count)
    path = f"/spec/{container.section}/{container.index}"
    resources = container.raw.get("resources")
    if not resources:
        patch.put(path, container.raw, "resources", {"limits": {resource: count}, "requests": {resource: count}})
        return
    path = f"{path}/resources"
    for name in ("limits", "requests"):
        section = resources.get(name)
        if not section:
            patch.put(path, resources, name, {resource: count})
            continue
        if WHOLE_GPU in section and resource != WHOLE_GPU:
            patch.remove(f"{path}/{name}", WHOLE_GPU)
        there = section.get(resource)
        if there is None or whole(there, container.path) != assignment.count:
            patch.put(f"{path}/{name}", section, resource, count)


def _tolerate(patch: Patch, spec: Mapping[str, Any], pools: Iterable[Pool]) -> None:
    missing = missing_tolerations(spec, pools)
    if missing and not spec.get("tolerations"):
        patch.put("/spec", spec, "tolerations", missing)
        return
    for each in missing:
        patch.append("/spec/tolerations", each)


def _select(patch: Patch, spec: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    missing = missing_labels(spec, labels)
    there = spec.get("nodeSelector")
    if missing and not there:
        patch.put("/spec", spec, "nodeSelector", missing)
        return
    for key, value in missing.items():
        patch.put("/spec/nodeSelector", there or {}, key, value)


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


def lacks_pool(spec: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether *spec* does not yet single out the pools called *names*."""
    patch = Patch()
    _require(patch, spec, list(names))
    return bool(patch.operations)


def _require(patch: Patch, spec: Mapping[str, Any], names: list[str]) -> None:
    """Add ``gpu-slice/pool In names`` to each required term: Karpenter looks at the first alone."""
    if (spec.get("nodeSelector") or {}).get(POOL_LABEL) in names:
        return
    expression = {"key": POOL_LABEL, "operator": "In", "values": names}
    parent, path = spec, "/spec"
    value: Any = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    steps = AFFINITY.split(".")[1:]
    for index, step in enumerate(steps):
        if not parent.get(step):
            for inner in reversed(steps[index + 1 :]):
                value = {inner: value}
            patch.put(path, parent, step, value)
            return
        parent, path = parent[step], f"{path}/{step}"
    for index, term in enumerate(parent.get("nodeSelectorTerms") or []):
        there = term.get("matchExpressions")
        if empty(term) or expression in (there or []):  # an empty term matches no node, and must not begin to
            continue
        if there:
            patch.append(f"{path}/nodeSelectorTerms/{index}/matchExpressions", expression)
        else:
            patch.put(f"{path}/nodeSelectorTerms/{index}", term, "matchExpressions", [expression])
