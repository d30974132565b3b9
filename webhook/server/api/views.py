"""Previews and fleets as they are sent to programs: typed, for OpenAPI and for ``-o json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from webhook.admission.preview import Preview, shown
from webhook.fleet.file import FleetFile
from webhook.fleet.listing import Offered


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class DenialView(_View):
    """Why a pod would be refused."""

    message: str
    """The one line that the API server would show."""
    field: str
    """Path in the pod."""
    problem: str
    hint: str
    """What to write instead."""
    position: int | None
    """Index of the first bad character of the annotation, where there is one."""
    reason: str
    """A stable word."""


class PreviewView(_View):
    """What would happen to one pod, or to the pods of one workload."""

    kind: str
    name: str
    namespace: str | None
    template: str
    """Where the pod template stands; empty for a pod."""
    outcome: Literal["sliced", "unchanged", "untouched", "denied", "unknown", "unread"]
    why: str
    """Where nothing changes or nothing is known, why."""
    patch: list[dict[str, Any]]
    """RFC 6902 operations on the pod."""
    pod: dict[str, Any] | None
    """The pod as it would become."""
    warnings: list[str]
    advice: list[str]
    """What stands in the wrong place around the pod."""
    denial: DenialView | None


class FleetView(_View):
    """What this cluster offers."""

    cluster: str
    slices: list[Offered]
    file: Annotated[FleetFile, Field(description="The fleet file")]


def view(each: Preview) -> PreviewView:
    """A preview as it is sent, and as ``gpu-slice preview -o json`` prints it."""
    denial = each.denial
    return PreviewView(
        kind=each.subject.kind,
        name=each.subject.name,
        namespace=each.subject.namespace,
        template=each.subject.template,
        outcome=each.outcome,  # type: ignore[arg-type]  # pydantic checks it
        why=each.why,
        patch=[dict(operation) for operation in each.plan.patch] if each.plan else [],
        pod=shown(each.pod),
        warnings=list(each.plan.warnings) if each.plan else [],
        advice=list(each.subject.advice),
        denial=None
        if denial is None
        else DenialView(
            message=str(denial),
            field=denial.field,
            problem=denial.problem,
            hint=denial.hint,
            position=denial.position,
            reason=denial.reason,
        ),
    )
