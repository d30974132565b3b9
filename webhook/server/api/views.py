"""Previews and fleets as they are sent to programs: typed, for OpenAPI and for ``-o json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from webhook.admission.preview import Preview, shown
from webhook.admission.workloads import Subject
from webhook.codes import NoteCode, Reason, WarningCode
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
    code: Reason
    """Its code; ``docs/messages.md`` has a paragraph for each."""
    reason: Reason
    """The code, by the name that it has in metrics and logs."""


class MessageView(_View):
    """A warning about an admitted pod, or advice about what stands around it."""

    code: WarningCode | NoteCode
    """Its code; ``docs/messages.md`` has a paragraph for each."""
    message: str
    """One line."""


class PreviewView(_View):
    """What would happen to one pod, or to the pods of one workload."""

    kind: str
    name: str
    namespace: str | None
    template: str
    """Where the pod template stands; empty for a pod."""
    outcome: Literal["sliced", "unchanged", "untouched", "denied", "unknown", "unread"]
    shadow: bool
    """Whether that is only told: the webhook leaves the pod as it is."""
    why: str
    """Where nothing changes or nothing is known, why."""
    patch: list[dict[str, Any]]
    """RFC 6902 operations on the pod."""
    pod: dict[str, Any] | None
    """The pod as it would become."""
    warnings: list[MessageView]
    advice: list[MessageView]
    """What stands in the wrong place around the pod."""
    denial: DenialView | None


class FleetView(_View):
    """What this cluster offers."""

    cluster: str
    slices: list[Offered]
    file: Annotated[FleetFile, Field(description="The fleet file")]


def weight(subject: Subject) -> int:
    """Bytes of the JSON of its pod, or of the object where there is none."""
    return len(msgspec.json.encode(subject.source if subject.pod is None else subject.pod))


def view(each: Preview) -> PreviewView:
    """A preview as it is sent, and as ``gpu-slice preview -o json`` prints it."""
    denial = each.denial
    return PreviewView(
        kind=each.subject.kind,
        name=each.subject.name,
        namespace=each.subject.namespace,
        template=each.subject.template,
        outcome=each.outcome,  # type: ignore[arg-type]  # pydantic checks it
        shadow=each.shadow,
        why=each.why,
        patch=[dict(operation) for operation in each.plan.patch] if each.plan else [],
        pod=shown(each.pod),
        warnings=[MessageView(code=warning.code, message=warning.text) for warning in each.plan.warnings]
        if each.plan
        else [],
        advice=[MessageView(code=note.code, message=str(note)) for note in each.subject.advice],
        denial=None
        if denial is None
        else DenialView(
            message=str(denial),
            field=denial.field,
            problem=denial.problem,
            hint=denial.hint,
            position=denial.position,
            code=denial.reason,
            reason=denial.reason,
        ),
    )
