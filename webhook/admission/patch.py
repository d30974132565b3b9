"""A resolution as JSON Patch operations on a pod: resources, tolerations, node selection and two annotations.

Only ``add``, ``replace`` and ``remove``, in the order of the document.  The API server's library refuses to add to a
parent that is missing or null, and a patch that decodes but does not apply refuses the pod whatever the failurePolicy
(kubernetes/apiserver, mutating dispatcher).  So a missing parent is added with its content, and null is replaced.  What
the pod already has is left as it is, so a second visit changes nothing.  Source: RFC 6902, RFC 6901.
"""

from __future__ import annotations

from collections.abc import Container as Membership
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from msgspec import UNSET

from webhook.admission.node_affinity import empty
from webhook.admission.pod import EMPTY_SPEC, Pod, Spec, whole_number
from webhook.admission.resolve import Assignment, Resolution
from webhook.admission.tolerations import missing_tolerations
from webhook.budget import Budget
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.slices.request import ASSIGNED, POOLS


class Operation(TypedDict):
    op: Literal["add", "replace", "remove"]
    path: str
    value: NotRequired[Any]


class Patch:
    """Operations in the order in which they were made."""

    __slots__ = ("operations",)

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def put(self, pointer: str, value: Any, *, exists: bool) -> None:
        """Set the value at *pointer*.  *exists*: something is there already, even if it is null."""
        self.operations.append({"op": "replace" if exists else "add", "path": pointer, "value": value})

    def append(self, pointer: str, value: Any) -> None:
        """Add *value* to the end of the list at *pointer*."""
        self.operations.append({"op": "add", "path": f"{pointer}/-", "value": value})

    def remove(self, pointer: str) -> None:
        """Remove what is at *pointer*."""
        self.operations.append({"op": "remove", "path": pointer})


def escape(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901): ``~`` first, then ``/``."""
    return key.replace("~", "~0").replace("/", "~1")


_WHOLE_GPU = escape(WHOLE_GPU)
_ASSIGNED = f"/metadata/annotations/{escape(ASSIGNED)}"
_POOLS = f"/metadata/annotations/{escape(POOLS)}"


def write(pod: Pod, resolution: Resolution, record: str, budget: Budget) -> list[Operation]:
    """The operations that write *resolution* into *pod*, and *record* into its annotation `ASSIGNED`."""
    patch, spec, annotations = Patch(), pod.spec or EMPTY_SPEC, pod.annotations
    if annotations.get(ASSIGNED) != record:
        patch.put(_ASSIGNED, record, exists=ASSIGNED in annotations)
    if annotations.get(POOLS) != resolution.names:
        patch.put(_POOLS, resolution.names, exists=POOLS in annotations)
    for assignment in resolution.assignments:
        _give(patch, assignment)
    before, after = missing_tolerations(spec, resolution.needs, budget)
    if after and not spec.tolerations:
        patch.put("/spec/tolerations", after, exists=spec.tolerations is not UNSET)
    else:
        for toleration in before:
            patch.put("/spec/tolerations/0", toleration, exists=False)
        for toleration in after:
            patch.append("/spec/tolerations", toleration)
    if resolution.labels:
        _select(patch, spec, resolution.labels)
    if resolution.one_of:
        _require(patch, spec, resolution.one_of)
    return patch.operations


def _give(patch: Patch, assignment: Assignment) -> None:
    """Write a container's slice into limits and requests, and remove a whole GPU.

    A zero stays: a LimitRange with ``max: {nvidia.com/gpu: "0"}`` writes it, and refuses a pod that lacks it.
    """
    place, resource, number = assignment.container, assignment.offer.resource, assignment.choice.count
    count, pointer = str(number), f"/spec/{place.section}/{place.index}/resources"
    resources = place.container.resources
    if not resources:
        value = {"limits": {resource: count}, "requests": {resource: count}}
        patch.put(pointer, value, exists=resources is None)
        return
    step = escape(resource)
    for name, section in (("limits", resources.limits), ("requests", resources.requests)):
        if not section:
            patch.put(f"{pointer}/{name}", {resource: count}, exists=section is not UNSET)
            continue
        if WHOLE_GPU in section and WHOLE_GPU in place.asks and resource != WHOLE_GPU:
            patch.remove(f"{pointer}/{name}/{_WHOLE_GPU}")
        exists = resource in section
        if not exists or whole_number(section[resource], place.path) != number:
            patch.put(f"{pointer}/{name}/{step}", count, exists=exists)


def _select(patch: Patch, spec: Spec, labels: Mapping[str, str]) -> None:
    missing = missing_labels(spec, labels)
    if missing and not spec.node_selector:
        patch.put("/spec/nodeSelector", missing, exists=spec.node_selector is not UNSET)
        return
    existing: Membership[str] = spec.node_selector or ()
    for key, value in missing.items():
        patch.put(f"/spec/nodeSelector/{escape(key)}", value, exists=key in existing)


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
        patch.put("/spec/affinity", value, exists=affinity is None)
        return
    node = affinity.node_affinity
    if not node:
        patch.put("/spec/affinity/nodeAffinity", {required_key: required}, exists=node is None)
        return
    path = "/spec/affinity/nodeAffinity"
    if not node.required:
        patch.put(f"{path}/{required_key}", required, exists=node.required is None)
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
            patch.put(f"{path}/{index}/matchExpressions", [expression], exists=existing is not UNSET)
