"""The pod that is explained: the API server's document, and what a scheduler must find for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from webhook.admission.node_affinity import NodeRules, node_rules
from webhook.admission.pod import EMPTY_SPEC, Spec, convert, is_gpu
from webhook.admission.pod import Pod as View
from webhook.budget import Budget
from webhook.cluster.objects import Container, Document, Pod
from webhook.slices.request import ANNOTATION, ASSIGNED


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A pod, or what a file or a template would become."""

    document: Document
    view: View
    rules: NodeRules
    needs: Mapping[str, Decimal]
    """What a node must have free, by resource."""
    exists: bool = True

    @classmethod
    def of(cls, document: Document, *, exists: bool = True) -> Asked:
        """Raises `Denial` for a document that no API server would store."""
        view = convert(document)
        spec = document.get("spec") or {}
        needs = total(
            [*map(_requests, spec.get("containers") or ())],
            [(_requests(each), each.get("restartPolicy") == "Always") for each in spec.get("initContainers") or ()],
        )
        for name, quantity in (spec.get("overhead") or {}).items():
            needs[name] = needs.get(name, Decimal()) + parse_quantity(quantity)
        return cls(document, view, node_rules(view.spec or EMPTY_SPEC, Budget()), needs | {"pods": Decimal(1)}, exists)

    @property
    def name(self) -> str:
        metadata = self.document["metadata"]
        return str(metadata.get("name") or metadata.get("generateName") or "")

    @property
    def namespace(self) -> str:
        return str(self.document["metadata"].get("namespace") or "default")

    @property
    def spec(self) -> Spec:
        return self.view.spec or EMPTY_SPEC

    @property
    def status(self) -> Mapping[str, Any]:
        return self.document.get("status") or {}

    @property
    def node(self) -> str:
        return str(self.document["spec"].get("nodeName") or "")

    @property
    def created(self) -> datetime | None:
        return moment(self.document["metadata"].get("creationTimestamp"))

    @property
    def asks(self) -> bool:
        return ANNOTATION in self.view.annotations

    @property
    def visited(self) -> bool:
        return ASSIGNED in self.view.annotations

    @property
    def slices(self) -> dict[str, int]:
        """The GPU resources that it asks for."""
        return {name: int(number) for name, number in self.needs.items() if is_gpu(name) and number}

    def condition(self, kind: str) -> Mapping[str, str]:
        """One condition of its status; empty if it has none."""
        return next((each for each in self.status.get("conditions") or () if each["type"] == kind), {})


def moment(text: str | None) -> datetime | None:
    """A time of the API server."""
    return datetime.fromisoformat(text) if text else None


def _requests(container: Mapping[str, Any]) -> Mapping[str, str]:
    resources = container.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def total(
    containers: Iterable[Mapping[str, Any]], before: Iterable[tuple[Mapping[str, Any], bool]]
) -> dict[str, Decimal]:
    """What a pod needs of its node.  *before*: its init containers, and whether each is a sidecar.

    Source: k8s.io/component-helpers ``resource/helpers.go``.
    """
    result: dict[str, Decimal] = {}
    sidecars: dict[str, Decimal] = {}
    largest: dict[str, Decimal] = {}
    for requests, sidecar in before:
        for name, quantity in requests.items():
            number = parse_quantity(quantity)
            if sidecar:
                sidecars[name] = sidecars.get(name, Decimal()) + number
            else:
                largest[name] = max(largest.get(name, Decimal()), number + sidecars.get(name, Decimal()))
    for requests in (sidecars, *containers):
        for name, quantity in requests.items():
            result[name] = result.get(name, Decimal()) + parse_quantity(quantity)
    for name, number in largest.items():
        result[name] = max(result.get(name, Decimal()), number)
    return result


def held(pod: Pod) -> dict[str, Decimal]:
    """What a pod holds of its node."""

    def requests(container: Container) -> dict[str, str]:
        return container.resources.limits | container.resources.requests

    spec = pod.spec
    return total(
        map(requests, spec.containers),
        [(requests(each), each.restart_policy == "Always") for each in spec.init_containers],
    ) | {"pods": Decimal(1)}
