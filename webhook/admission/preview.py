"""Previews: what the webhook would do to a pod, or to the pods of a workload, before anything is created.

A preview uses the webhook's own `plan`.  Another library applies the patch, so a preview shows what an API server would
make of it, and not what we meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jsonpatch
import msgspec

from webhook.admission.containers import refused_names
from webhook.admission.plan import UNANNOTATED, Plan, outcome, plan
from webhook.admission.pod import convert
from webhook.admission.review import annotated, is_too_large, too_large
from webhook.admission.workloads import Document, Subject, subjects
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What would happen to one document."""

    subject: Subject
    plan: Plan | None = None
    pod: Document | None = None
    """The resulting pod; None if there is no pod, or it is denied."""
    denial: Denial | None = None

    @property
    def outcome(self) -> str:
        """See `webhook.admission.plan.outcome`."""
        return outcome(self.plan, self.denial)


def preview(document: Any, fleet: Fleet, namespace: str = DEFAULT_NAMESPACE) -> Iterator[Preview]:
    """Preview *document*, or each item of a List.  *namespace* is used for those that name none."""
    for subject in subjects(document):
        if subject.pod is None:
            yield Preview(subject)
            continue
        try:
            result = decide(subject, fleet, namespace)
        except Denial as denial:
            yield Preview(subject, denial=denial)
        else:
            if result.resolution is not None:
                subject = replace(subject, advice=(*subject.advice, *refused_names(subject.pod)))
            yield Preview(subject, result, jsonpatch.apply_patch(subject.pod, result.patch))


def decide(subject: Subject, fleet: Fleet, namespace: str) -> Plan:
    """The plan for the pod of *subject*.  Raises `Denial`."""
    if subject.pod is None or not annotated(subject.pod):
        return UNANNOTATED
    if is_too_large(msgspec.json.encode(subject.pod)):
        raise too_large()
    return plan(
        convert(subject.pod),
        fleet,
        subject.namespace or namespace,
        controller=subject.kind if subject.template else None,
    )
