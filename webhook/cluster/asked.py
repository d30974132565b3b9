"""The pod that is explained: the API server's document, and what a scheduler must find for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from webhook.admission.node_affinity import NodeRules, node_rules
from webhook.admission.pod import EMPTY_SPEC, Spec, convert, is_gpu
from webhook.admission.pod import Pod as View
from webhook.admission.tolerations import covers
from webhook.budget import Budget
from webhook.cluster.objects import Document, Pod
from webhook.cluster.requests import Amounts, requests_of
from webhook.fleet.pool import Taint
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
        needs = held(msgspec.convert({"metadata": {"name": ""}, "spec": document.get("spec") or {}}, Pod))
        return cls(document, view, node_rules(view.spec or EMPTY_SPEC, Budget()), needs, exists)

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

    def tolerates(self, taint: Taint) -> bool:
        """Whether *taint* does not keep it off a node."""
        return any(covers(toleration, taint) for toleration in self.spec.tolerations or ())

    def condition(self, kind: str) -> Mapping[str, str]:
        """One condition of its status; empty if it has none."""
        return next((each for each in self.status.get("conditions") or () if each["type"] == kind), {})


def moment(text: str | None) -> datetime | None:
    """A time of the API server; None for one that this language does not know, such as one of the year 0."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else None


def held(pod: Pod) -> Amounts:
    """What *pod* holds of its node, or needs of one."""
    return {**requests_of(pod), "pods": Decimal(1)}
