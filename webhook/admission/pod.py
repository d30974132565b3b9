"""Reading a pod that is a plain dict, as it came over the wire or out of a file.

An API server sends well-formed pods; a file, or an attacker, need not.  So each step that takes a value out
of the pod says what it expects there, and refuses anything else with the path.  Absent, null and empty are
the same.  Nothing here changes the pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from webhook.errors import Denial, kind_of, quote
from webhook.fleet.pool import WHOLE_GPU

Pod: TypeAlias = dict[str, Any]

NVIDIA = "nvidia.com/"
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a mirror pod: the kubelet's image of a static pod."""

MOST_CONTAINERS = 1_000
"""Containers of a pod.  A node runs some 110 to 737 pods; a review of 7 MiB could name 150,000 containers, and hold
up all others for half a second."""

_SUFFIX = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_QUANTITY = re.compile(r"\+?([0-9]{1,12})(?:\.([0-9]{0,9}))?(m|k|Ki|M|Mi|G|Gi|[eE][+]?[0-9])?\Z")


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """One container of a pod: where it stands, and what it asks of a GPU."""

    section: str
    """``containers`` or ``initContainers``."""
    index: int
    name: str
    raw: Mapping[str, Any]
    asks: Mapping[str, int]
    """GPU resources by name, as limits and requests have them; those of zero left out."""

    @property
    def path(self) -> str:
        return f"spec.{self.section}[{self.index}]"

    @property
    def initial(self) -> bool:
        """Whether it is an init container, a restartable one among them."""
        return self.section == "initContainers"

    @property
    def sidecar(self) -> bool:
        """Whether it is an init container that goes on beside the others."""
        return self.initial and self.raw.get("restartPolicy") == "Always"


def malformed(path: str, value: object, expected: str) -> Denial:
    """A `Denial` for a value of the wrong kind."""
    return Denial(
        f"{quote(value)} is {kind_of(value)}" if type(value) is not str else f"{quote(value)} is not {expected}",
        field=path,
        hint=f"Write {expected}",
        reason="malformed",
    )


def mapping(parent: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
    """The map at *key*, empty where there is none.  *path* is that of the map, for the message."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(path, value, "a map")
    return value


def sequence(parent: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """The list of maps at *key*, empty where there is none."""
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(path, value, "a list")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise malformed(f"{path}[{index}]", item, "a map")
    return value


def annotations_of(pod: Pod) -> dict[str, Any]:
    """The pod's annotations, empty where there are none."""
    return mapping(mapping(pod, "metadata", "metadata"), "annotations", "metadata.annotations")


def containers(pod: Pod) -> list[Container]:
    """The init containers, then the containers.  Raises `Denial` where there is none, or one has no name."""
    spec = mapping(pod, "spec", "spec")
    found = [*_section(spec, "initContainers"), *_section(spec, "containers")]
    if not found or found[-1].initial:
        raise Denial("the pod has no containers", field="spec.containers", hint="Add one", reason="malformed")
    return found


def _section(spec: Mapping[str, Any], section: str) -> Iterator[Container]:
    there = sequence(spec, section, f"spec.{section}")
    if len(there) > MOST_CONTAINERS:
        raise Denial(
            f"there are {len(there)} of them",
            field=f"spec.{section}",
            hint=f"A pod that asks for a slice may have at most {MOST_CONTAINERS}",
            reason="capacity",
        )
    for index, raw in enumerate(there):
        path = f"spec.{section}[{index}]"
        name = raw.get("name")
        if not isinstance(name, str) or not name:
            raise malformed(f"{path}.name", name, "a name")
        yield Container(section, index, name, raw, _asks(raw, f"{path}.resources"))


def _asks(raw: Mapping[str, Any], path: str) -> dict[str, int]:
    resources = raw.get("resources")
    if not resources:
        return {}
    found: dict[str, int] = {}
    resources = mapping(raw, "resources", path)
    for section in ("limits", "requests"):
        for name, quantity in mapping(resources, section, f"{path}.{section}").items():
            if not name.startswith(NVIDIA) or not is_gpu(name):
                continue
            count = whole(quantity, f"{path}.{section}[{name}]")
            if found.setdefault(name, count) != count:
                raise Denial(
                    f"limit and request differ, {found[name]} and {count}",
                    field=f"{path}.{section}[{name}]",
                    hint="Write the same number in both, or the limit alone",
                    reason="conflict",
                )
    return {name: count for name, count in found.items() if count}


def is_gpu(resource: str) -> bool:
    """Whether the device plugin advertises such a resource for a GPU or a part of one."""
    return (
        resource == WHOLE_GPU
        or resource.startswith("nvidia.com/mig-")
        or (resource.startswith(NVIDIA) and resource.endswith(".shared"))
    )


def whole(quantity: object, path: str) -> int:
    """A Kubernetes quantity that is a whole number, as extended resources must be."""
    if isinstance(quantity, int) and not isinstance(quantity, bool) and 0 <= quantity < 10**12:
        return quantity
    found = _QUANTITY.match(quantity) if isinstance(quantity, str) else None
    if found is None:
        raise _no_number(path, quantity)
    number = Decimal(f"{found[1]}.{found[2] or '0'}")
    suffix = found[3] or ""
    if suffix == "m":
        number /= 1000
    elif suffix[:1] in ("e", "E"):
        number *= 10 ** int(suffix[1:])
    else:
        number *= _SUFFIX[suffix]
    if number != int(number):
        raise _no_number(path, quantity)
    return int(number)


def _no_number(path: str, quantity: object) -> Denial:
    hint = "Write a whole number of GPUs, such as 1"
    return Denial(f"{quote(quantity)} is no whole number", field=path, hint=hint, reason="malformed")


def effective(containers: Iterable[tuple[Container, str, int]]) -> dict[str, int]:
    """What a node must have for the whole pod, by resource, from (container, resource, count).

    Containers and sidecars run together; each other init container runs alone, with the sidecars before it.
    Source: k8s.io/component-helpers ``resource/helpers.go``.
    """
    together: dict[str, int] = {}
    before: dict[str, int] = {}
    largest: dict[str, int] = {}
    for container, resource, count in containers:  # init containers come first, in order
        if container.initial and not container.sidecar:
            alone = count + before.get(resource, 0)
            largest[resource] = max(largest.get(resource, 0), alone)
            continue
        together[resource] = together.get(resource, 0) + count
        if container.sidecar:
            before[resource] = before.get(resource, 0) + count
            largest[resource] = max(largest.get(resource, 0), before[resource])
    for resource, count in largest.items():
        together[resource] = max(together.get(resource, 0), count)
    return together
