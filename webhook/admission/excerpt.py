"""The part of a pod that the decision hangs on: `webhook.admission.plan` sees nothing else.

A Deployment's pods differ in the names of volumes and in much else, but not in this.  So the server may remember
what it decided for an excerpt: whatever would change the decision is in it.  What is absent, null or malformed
in the pod is so in the excerpt, and every place in it is the same, so that the patch fits the pod.
"""

from __future__ import annotations

from typing import Any

from webhook.admission.pod import Pod

DEVICES = "NVIDIA_VISIBLE_DEVICES"

_METADATA = ("annotations", "ownerReferences")
_SPEC = ("initContainers", "containers", "tolerations", "nodeSelector", "affinity", "nodeName")
_CONTAINER = ("name", "resources", "securityContext", "restartPolicy", "env")


def excerpt(pod: Pod) -> Pod:
    """A pod that has only what bears on the decision."""
    part: Pod = {}
    if "metadata" in pod:
        part["metadata"] = _pick(pod["metadata"], _METADATA)
    if "spec" in pod:
        spec = part["spec"] = _pick(pod["spec"], _SPEC)
        if isinstance(spec, dict):
            for section in ("initContainers", "containers"):
                if isinstance(spec.get(section), list):
                    spec[section] = [_container(each) for each in spec[section]]
    return part


def _container(raw: Any) -> Any:
    part = _pick(raw, _CONTAINER)
    if isinstance(part, dict) and isinstance(part.get("env"), list):
        part["env"] = _variables(part["env"])
    return part


def _variables(environment: list[Any]) -> list[Any]:
    try:
        return [each for each in environment if each.get("name") == DEVICES]
    except AttributeError:  # not all of them are variables: `plan` says so
        return environment


def _pick(value: Any, keys: tuple[str, ...]) -> Any:
    return {key: value[key] for key in keys if key in value} if isinstance(value, dict) else value
