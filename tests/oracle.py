"""A second opinion on what a resolution makes of a pod: written without patches, on a copy, the plain way."""

from __future__ import annotations

from copy import deepcopy

from webhook.admission.mutate import covers, toleration
from webhook.admission.pod import Pod
from webhook.admission.resolve import Resolution


def sliced(pod: Pod, asked: str, resolution: Resolution) -> Pod:
    """*pod* as it should become."""
    pod = deepcopy(pod)
    spec = pod["spec"]
    given = []
    for each in resolution.assignments:
        container = spec[each.container.section][each.container.index]
        container["resources"] = container.get("resources") or {}
        for name in ("limits", "requests"):
            section = dict(container["resources"].get(name) or {})
            if each.resource != "nvidia.com/gpu":
                section.pop("nvidia.com/gpu", None)
            if str(section.get(each.resource)) != str(each.count):
                section[each.resource] = str(each.count)
            container["resources"][name] = section
        given.append(f"{container['name']}={each.resource}:{each.count}")
    for taint in [taint for pool in resolution.pools for taint in pool.taints]:
        if not any(covers(each, taint) for each in spec.get("tolerations") or []):
            spec["tolerations"] = [*(spec.get("tolerations") or []), toleration(taint)]
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
