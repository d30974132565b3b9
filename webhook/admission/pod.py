"""A pod as a decision sees it: the few fields that it reads, typed and decoded once.

This view is never written back, so a field that is not in it cannot be lost.  `UNSET` means that a field is absent, so
a patch must add it.  A field that is null or empty is present, and is replaced.  A field with a wrong type is refused
with its path.  Source: k8s.io/api ``core/v1/types.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from webhook.budget import Budget
from webhook.errors import Denial, kind_of, quote
from webhook.fleet.pool import WHOLE_GPU

NVIDIA = "nvidia.com/"

LONGEST_NAME = 63
"""Characters of a container's name: a DNS label."""

MOST_CONTAINERS = 1_000
"""Containers of a pod that asks for a slice.  A node runs some 110 to 737 pods in all."""

NOTHING: Mapping[str, int] = {}

Quantity: TypeAlias = str | int | float | bool | None
"""A quantity as users write it.  Only those of GPUs are read."""


class View(Struct, frozen=True, gc=False, rename="camel"):
    """A part of a pod.  Unknown fields are ignored."""


class Resources(View, frozen=True):
    limits: dict[str, Quantity] | UnsetType | None = UNSET
    requests: dict[str, Quantity] | UnsetType | None = UNSET


class SecurityContext(View, frozen=True):
    privileged: bool | None = None
    windows_options: dict[str, Any] | None = None


class PodSecurityContext(View, frozen=True):
    windows_options: dict[str, Any] | None = None


class Variable(View, frozen=True):
    name: str | None = None
    value: str | None = None


class Container(View, frozen=True):
    name: Annotated[str, Meta(min_length=1)]
    resources: Resources | UnsetType | None = UNSET
    security_context: SecurityContext | None = None
    restart_policy: str | None = None
    env: list[Variable] | None = None


class Toleration(View, frozen=True):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


class Expression(View, frozen=True):
    key: str
    operator: str | None = None
    values: list[str] | None = None


class Term(View, frozen=True):
    match_expressions: list[Expression] | UnsetType | None = UNSET
    match_fields: list[Expression] | None = None


class NodeSelector(View, frozen=True):
    node_selector_terms: list[Term] | None = None


class NodeAffinity(View, frozen=True, rename={"required": "requiredDuringSchedulingIgnoredDuringExecution"}):
    required: NodeSelector | UnsetType | None = UNSET


class Affinity(View, frozen=True):
    node_affinity: NodeAffinity | UnsetType | None = UNSET


class TopologySpread(View, frozen=True):
    when_unsatisfiable: str | None = None


class System(View, frozen=True):
    name: str | None = None


class Spec(View, frozen=True):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    tolerations: list[Toleration] | UnsetType | None = UNSET
    node_selector: dict[str, str] | UnsetType | None = UNSET
    affinity: Affinity | UnsetType | None = UNSET
    node_name: str | None = None
    topology_spread_constraints: list[TopologySpread] | None = None
    os: System | None = None
    security_context: PodSecurityContext | None = None
    resource_claims: list[Any] | None = None


class Owner(View, frozen=True):
    kind: str | None = None
    controller: bool | None = None


class Metadata(View, frozen=True):
    annotations: dict[str, Any] | None = None
    owner_references: list[Owner] | None = None


class Pod(View, frozen=True):
    metadata: Metadata | None = None
    spec: Spec | None = None

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The pod's annotations; empty if there are none.  In a file, values may be other than strings."""
        return (self.metadata.annotations if self.metadata is not None else None) or {}


EMPTY_SPEC = Spec()


def convert(document: Mapping[str, Any]) -> Pod:
    """The view of a pod that was read from a file.  Raises `Denial` if a field has a wrong type."""
    try:
        return msgspec.convert(document, Pod)
    except msgspec.ValidationError as error:
        raise malformed(str(error), document) from None


_PROBLEM = re.compile(r"(?P<reason>.*?)(?: - at `(?P<key>key in )?\$(?P<path>[^`]*)`)?\Z", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[A-Za-z]+)|\[(?P<index>\d+|\.\.\.)\]")
_EXPECTED = {
    "object": "a mapping",
    "array": "a list",
    "str": "a string",
    "bool": "true or false",
    "int": "a whole number",
}


def malformed(problem: str, document: Mapping[str, Any]) -> Denial:
    """The *problem* that msgspec reports for *document*, a pod, as a `Denial` with the path and the value.

    msgspec stops at the first wrong field, so a mapping with several is read again in the order of its keys.  It does
    not name the key of a mapping whose value is wrong, so the first such value is searched for.
    """
    try:
        document = msgspec.json.decode(msgspec.json.encode(document, order="sorted"))
        msgspec.convert(document, Pod)
    except msgspec.ValidationError as error:
        problem = str(error)
    except RecursionError:
        pass  # it is nested without end, and its first mistake in any order will do
    parts = _PROBLEM.match(problem)
    reason, steps = (parts["reason"], _STEP.findall(parts["path"] or "")) if parts else (problem, [])
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", reason):
        steps.append((missing[1], ""))
    kinds = [kind for kind in _EXPECTED if re.match(rf"Expected `[^`]*\b{kind}\b", reason)]
    expected = _EXPECTED[kinds[0]] if kinds and "float" not in reason.partition(", got")[0] else "a quantity, such as 1"
    path = ""
    value: Any = document
    for name, index in steps:
        if name:
            path, value = f"{path}.{name}", value.get(name) if isinstance(value, Mapping) else None
        elif index == "..." and isinstance(value, Mapping):
            wanted = str if expected == "a string" else (str, int, float, type(None))
            key = min((str(key) for key, inner in value.items() if not isinstance(inner, wanted)), default="")
            path, value = f"{path}[{key}]", value.get(key)
        elif isinstance(value, list) and index.isdigit():
            path, value = f"{path}[{index}]", value[int(index)]
    if path.endswith(".name") and (value == "" or value is None):
        return Denial(
            f"{quote(value)} is not a name", field=path[1:], hint="Write the container's name", reason="malformed"
        )
    return Denial(
        kind_of(value),
        field=path[1:] or "pod",
        hint=f"Write {expected}"
        + (": put it in quotes" if expected == "a string" and isinstance(value, int | float) else ""),
        reason="malformed",
    )


class Place(Struct, frozen=True, gc=False):
    """A container, its position in the pod, and the GPU resources that it asks for."""

    container: Container
    index: int
    init: bool
    """Whether it is an init container.  A sidecar is one, too."""
    asks: Mapping[str, int]
    """GPU resources by name, from limits and requests, without those of zero."""

    @property
    def name(self) -> str:
        return self.container.name

    @property
    def section(self) -> str:
        return "initContainers" if self.init else "containers"

    @property
    def path(self) -> str:
        return f"spec.{self.section}[{self.index}]"

    @property
    def sidecar(self) -> bool:
        """Whether it is an init container that keeps running while the others run."""
        return self.init and self.container.restart_policy == "Always"


def places(spec: Spec, budget: Budget) -> list[Place]:
    """The init containers, then the containers.  Raises `Denial` if there are no containers, or too many."""
    result = []
    for section, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        if not containers:
            continue
        init = section == "initContainers"
        if len(containers) > MOST_CONTAINERS:
            raise Denial(
                f"the list has {len(containers)} entries",
                field=f"spec.{section}",
                hint=f"A pod that asks for a slice may have at most {MOST_CONTAINERS}",
                reason="too-large",
            )
        budget.spend(4 * len(containers))
        for index, container in enumerate(containers):
            if len(container.name) > LONGEST_NAME:
                raise Denial(
                    f"the name has {len(container.name)} characters",
                    field=f"spec.{section}[{index}].name",
                    hint=f"Write a name of at most {LONGEST_NAME}",
                    reason="malformed",
                )
            asks = _asks(container.resources, section, index, budget) if container.resources else NOTHING
            result.append(Place(container, index, init, asks))
    if not result or result[-1].init:
        raise Denial("the pod has no containers", field="spec.containers", hint="Add one", reason="malformed")
    return result


def _asks(resources: Resources, section: str, index: int, budget: Budget) -> Mapping[str, int]:
    asks: dict[str, int] = {}
    for kind, quantities in (("limits", resources.limits), ("requests", resources.requests)):
        if not quantities:
            continue
        budget.spend(2 + len(quantities))
        gpus = [name for name in quantities if name.startswith(NVIDIA) and is_gpu(name)]
        for name in sorted(gpus) if gpus else ():  # in one order, and so is what a denial names first
            quantity = quantities[name]
            budget.spend(4 if isinstance(quantity, int) or len(str(quantity)) < 4 else 40)
            field = f"spec.{section}[{index}].resources.{kind}[{name}]"
            count = whole_number(quantity, field)
            if asks.setdefault(name, count) != count:
                raise Denial(
                    f"the limit is {asks[name]} and the request is {count}",
                    field=field,
                    hint="Write the same number in both, or the limit alone",
                    reason="conflict",
                )
    return {name: count for name, count in sorted(asks.items()) if count} if asks else NOTHING


def is_gpu(resource: str) -> bool:
    """Whether it is a resource that the device plugin advertises for a GPU or a part of one."""
    return (
        resource == WHOLE_GPU
        or resource.startswith("nvidia.com/mig-")
        or (resource.startswith(NVIDIA) and resource.endswith(".shared"))
    )


_SUFFIX = {"": 1, "k": 1000, "Ki": 1024} | {
    letter + more: base**power for power, letter in enumerate("MGTPE", 2) for base, more in ((1000, ""), (1024, "i"))
}
_QUANTITY = re.compile(r"\+?([0-9]{1,12})(?:\.([0-9]{0,9}))?([eE][+]?[0-9]{1,2}|m|[kMGTPE]|[KMGTPE]i)?\Z")


def whole_number(quantity: Quantity, field: str) -> int:
    """A Kubernetes quantity that is a whole number, as extended resources must be."""
    if isinstance(quantity, int) and not isinstance(quantity, bool) and 0 <= quantity < 10**12:
        return quantity
    parts = _QUANTITY.match(quantity) if isinstance(quantity, str) else None
    if parts is None:
        raise _not_whole(field, quantity)
    if parts.end(1) == len(parts.string):
        return int(parts[1])
    number = Decimal(f"{parts[1]}.{parts[2] or '0'}")
    suffix = parts[3] or ""
    if suffix == "m":
        number /= 1000
    elif suffix in _SUFFIX:
        number *= _SUFFIX[suffix]
    else:
        number *= 10 ** int(suffix[1:])
    if number != int(number):
        raise _not_whole(field, quantity)
    return int(number)


def _not_whole(field: str, quantity: Quantity) -> Denial:
    hint = "Write a whole number of GPUs, such as 1"
    return Denial(f"{quote(quantity)} is not a whole number", field=field, hint=hint, reason="malformed")


def needed(asks: Iterable[tuple[Place, str, int]]) -> dict[str, int]:
    """What a node needs for the complete pod, by resource, from (container, resource, count) in the pod's order.

    Containers and sidecars run together.  Any other init container runs alone, with the sidecars before it.
    Source: k8s.io/component-helpers ``resource/helpers.go``.
    """
    together: dict[str, int] = {}
    before: dict[str, int] = {}
    largest: dict[str, int] = {}
    for place, resource, count in asks:
        if place.init and not place.sidecar:
            largest[resource] = max(largest.get(resource, 0), count + before.get(resource, 0))
            continue
        together[resource] = together.get(resource, 0) + count
        if place.sidecar:
            before[resource] = before.get(resource, 0) + count
    for resource, count in largest.items():
        together[resource] = max(together.get(resource, 0), count)
    return together
