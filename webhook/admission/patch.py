"""A resolution as JSON Patch operations on a pod: resources, tolerations, node selection and two annotations.

Only ``add``, ``replace`` and ``remove``, in the order of the document.  The API server's library refuses to add to a
parent that is missing or null, and a patch that decodes but does not apply refuses the pod whatever the failurePolicy
(kubernetes/apiserver, mutating dispatcher).  So a missing parent is added with its content, and null is replaced.  What
the pod already has is left as it is, so a second visit changes nothing.  Source: RFC 6902, RFC 6901.
"""

from __future__ import annotations

from collections.abc import Container as Membership
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import UNSET

from webhook.admission.node_affinity import empty
from webhook.admission.pod import EMPTY_SPEC, Pod, Spec, Toleration, whole_number
from webhook.admission.resolve import Assignment, Resolution
from webhook.budget import Budget
from webhook.fleet.file import TAINT_KEY
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, Taint


class Operation(TypedDict):
    op: Literal["add", "replace", "remove"]
    path: str
    value: NotRequired[Any]


class Patch:
    """Operations in the order in which they were made."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def put(self, path: str, key: str, value: Any, *, exists: bool) -> None:
        """Set *key* of the mapping at *path* to *value*.  *exists*: the mapping has the key, even if it is null."""
        self.operations.append({"op": "replace" if exists else "add", "path": f"{path}/{escape(key)}", "value": value})

    def append(self, path: str, value: Any) -> None:
        """Add *value* to the end of the list at *path*."""
        self.operations.append({"op": "add", "path": f"{path}/-", "value": value})

    def remove(self, path: str, key: str) -> None:
        """Remove *key* from the mapping at *path*."""
        self.operations.append({"op": "remove", "path": f"{path}/{escape(key)}"})


def escape(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901): ``~`` first, then ``/``."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def write(pod: Pod, resolution: Resolution, record: Mapping[str, str], budget: Budget) -> list[Operation]:
    """The operations that write *resolution* into *pod*, and *record* among its annotations."""
    patch, spec = Patch(), pod.spec or EMPTY_SPEC
    annotations = pod.annotations
    for key, value in record.items():
        if annotations.get(key) != value:
            patch.put("/metadata/annotations", key, value, exists=key in annotations)
    for assignment in resolution.assignments:
        _give(patch, assignment)
    _tolerate(patch, spec, resolution, budget)
    _select(patch, spec, resolution.labels)
    if resolution.one_of:
        _require(patch, spec, resolution.one_of)
    return patch.operations


def _give(patch: Patch, assignment: Assignment) -> None:
    """Write a container's slice into limits and requests, and remove a whole GPU."""
    place, resource, count = assignment.container, assignment.resource, str(assignment.count)
    path = f"/spec/{place.section}/{place.index}"
    resources = place.container.resources
    if not resources:
        value = {"limits": {resource: count}, "requests": {resource: count}}
        patch.put(path, "resources", value, exists=resources is None)
        return
    path = f"{path}/resources"
    for name, section in (("limits", resources.limits), ("requests", resources.requests)):
        if not section:
            patch.put(path, name, {resource: count}, exists=section is not UNSET)
            continue
        if WHOLE_GPU in section and resource != WHOLE_GPU:
            patch.remove(f"{path}/{name}", WHOLE_GPU)
        if resource not in section or whole_number(section[resource], place.path) != assignment.count:
            patch.put(f"{path}/{name}", resource, count, exists=resource in section)


def _tolerate(patch: Patch, spec: Spec, resolution: Resolution, budget: Budget) -> None:
    missing = missing_tolerations(spec, resolution.taints, budget)
    missing += _of_resources(spec, resolution.assignments, budget)
    if not missing:
        return
    if not spec.tolerations:
        patch.put("/spec", "tolerations", missing, exists=spec.tolerations is not UNSET)
        return
    for toleration in missing:
        patch.append("/spec/tolerations", toleration)


def _of_resources(spec: Spec, assignments: Iterable[Assignment], budget: Budget) -> list[dict[str, str]]:
    """The tolerations that the API server's plugin ExtendedResourceToleration would add.  EKS has it enabled.

    The plugin adds one unless the pod has exactly that toleration.  Its change would cause a second call of the
    webhook.  Source: k8s.io/kubernetes ``plugin/pkg/admission/extendedresourcetoleration``.
    """
    missing: dict[str, dict[str, str]] = {}
    for resource in dict.fromkeys(assignment.resource for assignment in assignments):
        budget.spend(len(spec.tolerations or ()), "spec.tolerations")
        written = Toleration(key=resource, operator="Exists", effect="NoSchedule")
        if written not in (spec.tolerations or ()):
            missing[resource] = {"key": resource, "operator": "Exists", "effect": "NoSchedule"}
    return list(missing.values())


def missing_tolerations(spec: Spec, taints: Iterable[Taint], budget: Budget) -> list[dict[str, str]]:
    """The tolerations that *spec* lacks for *taints*."""
    existing, missing = list(spec.tolerations or ()), []
    for taint in taints:
        budget.spend(1 + 2 * len(existing), "spec.tolerations")
        if not any(covers(toleration, taint) for toleration in existing):
            missing.append(toleration_of(taint))
            existing.append(msgspec.convert(missing[-1], Toleration))
    return missing


def toleration_of(taint: Taint) -> dict[str, str]:
    """The toleration for *taint*: for our own key with any value, otherwise for exactly this taint."""
    if taint.key == TAINT_KEY:
        return {"key": taint.key, "operator": "Exists"}
    if not taint.value:
        return {"key": taint.key, "operator": "Exists", "effect": taint.effect}
    return {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}


def covers(toleration: Toleration, taint: Taint) -> bool:
    """Whether *toleration* covers *taint*, with no time limit.  Source: component-helpers ``scheduling/corev1``."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.toleration_seconds is not None and taint.effect == "NoExecute":
        return False
    operator, key = toleration.operator or "Equal", toleration.key or ""
    if operator == "Exists":
        return key in ("", taint.key)
    return operator == "Equal" and key == taint.key and (toleration.value or "") == taint.value


def _select(patch: Patch, spec: Spec, labels: Mapping[str, str]) -> None:
    missing = missing_labels(spec, labels)
    if missing and not spec.node_selector:
        patch.put("/spec", "nodeSelector", missing, exists=spec.node_selector is not UNSET)
        return
    existing: Membership[str] = spec.node_selector or ()
    for key, value in missing.items():
        patch.put("/spec/nodeSelector", key, value, exists=key in existing)


def missing_labels(spec: Spec, labels: Mapping[str, str]) -> dict[str, str]:
    """The part of *labels* that the nodeSelector of *spec* does not have."""
    selector = spec.node_selector or {}
    return {key: value for key, value in labels.items() if selector.get(key) != value}


def lacks_pool(spec: Spec, names: Sequence[str]) -> bool:
    """Whether *spec* does not yet select the pools called *names*."""
    patch = Patch()
    _require(patch, spec, names)
    return bool(patch.operations)


def _require(patch: Patch, spec: Spec, names: Sequence[str]) -> None:
    """Add ``gpu-slice/pool In names`` to each required term: Karpenter reads only the first."""
    if spec.node_selector and spec.node_selector.get(POOL_LABEL) in names:
        return
    expression = {"key": POOL_LABEL, "operator": "In", "values": list(names)}
    required_key = "requiredDuringSchedulingIgnoredDuringExecution"
    required: Any = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = spec.affinity
    if not affinity:
        value = {"nodeAffinity": {required_key: required}}
        patch.put("/spec", "affinity", value, exists=affinity is None)
        return
    node = affinity.node_affinity
    if not node:
        patch.put("/spec/affinity", "nodeAffinity", {required_key: required}, exists=node is None)
        return
    path = "/spec/affinity/nodeAffinity"
    if not node.required:
        patch.put(path, required_key, required, exists=node.required is None)
        return
    path = f"{path}/{required_key}/nodeSelectorTerms"
    for index, term in enumerate(node.required.node_selector_terms or ()):
        existing = term.match_expressions
        if empty(term):  # it matches no node, and must still match none
            continue
        if existing:
            if not any(
                part.key == POOL_LABEL and part.operator == "In" and part.values == list(names) for part in existing
            ):
                patch.append(f"{path}/{index}/matchExpressions", expression)
        else:
            patch.put(f"{path}/{index}", "matchExpressions", [expression], exists=existing is not UNSET)
