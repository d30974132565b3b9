"""A second opinion on what a resolution makes of a pod, and on which slices fit on one GPU: written the plain way.

It imports nothing of the product, nor reads its catalogue.  A decision is what it is given: which container gets
what, the pools, and the labels that select them.  How tolerations and taints match is Kubernetes' own rule, and the
taints are those that the fleet file states.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from itertools import product
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
    """Add *toleration* to *spec*, unless it tolerates *taint* for good.  The first that matches decides for how long.

    Source: k8s.io/kubernetes ``pkg/apis/core/v1/helper``, ``GetMatchingTolerations``.
    """
    existing = spec.get("tolerations") or []
    first = next((each for each in existing if tolerates(each, taint)), None)
    if first is None:
        spec["tolerations"] = [*existing, toleration]
    elif not tolerates_for_good(first, taint):
        spec["tolerations"] = [toleration, *existing]


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


# Compute slices | starts : memory slices | decoders encoders JPEG OFA.  The A100 and the A30 as NVIDIA's captures in
# go-nvml have them, the H200 as a real one answers, the RTX PRO 6000 as `nvidia-smi mig -lgip` and `-lgipp` print it;
# engines also from NVIDIA's MIG User Guide.  The last line is the whole GPU.
_LAYOUTS = {
    "a100-40gb": """
        1g.5gb           1 | 0,1,2,3,4,5,6:1 | 0 0 0 0
        1g.5gb+me        1 | 0,1,2,3,4,5,6:1 | 1 0 1 1
        1g.10gb          1 | 0,2,4,6:2       | 1 0 0 0
        2g.10gb          2 | 0,2,4:2         | 1 0 0 0
        3g.20gb          3 | 0,4:4           | 2 0 0 0
        4g.20gb          4 | 0:4             | 2 0 0 0
        7g.40gb          7 | 0:8             | 5 0 1 1
    """,
    "h200": """
        1g.18gb          1 | 0,1,2,3,4,5,6:1 | 1 0 1 0
        1g.18gb+me       1 | 0,1,2,3,4,5,6:1 | 1 0 1 1
        1g.35gb          1 | 0,2,4,6:2       | 1 0 1 0
        2g.35gb          2 | 0,2,4:2         | 2 0 2 0
        3g.71gb          3 | 0,4:4           | 3 0 3 0
        4g.71gb          4 | 0:4             | 4 0 4 0
        7g.141gb         7 | 0:8             | 7 0 7 1
    """,
    "a30": """
        1g.6gb           1 | 0,1,2,3:1       | 0 0 0 0
        1g.6gb+me        1 | 0,1,2,3:1       | 1 0 1 1
        2g.12gb          2 | 0,2:2           | 2 0 0 0
        2g.12gb+me       2 | 0,2:2           | 2 0 1 1
        4g.24gb          4 | 0:4             | 4 0 1 1
    """,
    "rtx-pro-6000": """
        1g.24gb          1 | 0,3,6,9:3       | 1 1 1 0
        1g.24gb+me       1 | 0,3,6,9:3       | 1 1 1 1
        1g.24gb+gfx      1 | 0,3,6,9:3       | 1 1 1 0
        1g.24gb+me.all   1 | 0,3,6,9:3       | 4 4 4 1
        1g.24gb-me       1 | 0,3,6,9:3       | 0 0 0 0
        2g.48gb          2 | 0,6:6           | 2 2 2 0
        2g.48gb+gfx      2 | 0,6:6           | 2 2 2 0
        2g.48gb+me.all   2 | 0,6:6           | 4 4 4 1
        2g.48gb-me       2 | 0,6:6           | 0 0 0 0
        4g.96gb+gfx      4 | 0:12            | 4 4 4 1
        4g.96gb          4 | 0:12            | 4 4 4 1
    """,
}
LAYOUTS: dict[str, dict[str, tuple[int, list[int], int, list[int]]]] = {}
"""By GPU and profile: compute slices, starts, memory slices, and engines of four kinds."""
for _gpu, _table in _LAYOUTS.items():
    LAYOUTS[_gpu] = {}
    for _line in _table.strip().splitlines():
        _head, _places, _engines = _line.split("|")
        _name, _compute = _head.split()
        _starts, _size = _places.strip().split(":")
        _numbers = list(map(int, _starts.split(","))), int(_size), list(map(int, _engines.split()))
        LAYOUTS[_gpu][_name] = (int(_compute), *_numbers)


def slices_fit(gpu: str, names: Sequence[str]) -> bool:
    """Whether slices called *names* fit on one GPU together: every start of every slice is tried."""
    profiles = [LAYOUTS[gpu][name] for name in names]
    compute, _, _, engines = list(LAYOUTS[gpu].values())[-1]
    if sum(profile[0] for profile in profiles) > compute:
        return False
    if any(sum(profile[3][kind] for profile in profiles) > engines[kind] for kind in range(4)):
        return False
    for starts in product(*(profile[1] for profile in profiles)):
        used = [start + step for start, profile in zip(starts, profiles, strict=True) for step in range(profile[2])]
        if len(used) == len(set(used)):
            return True
    return False
