"""A plan shown before anything is created: per pod, or per workload, what the webhook would do.

It is the webhook's own `plan`.  What is shown is its patch applied by another library, so that what people
read is what an API server makes of the patch, and not what we meant by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonpatch

from webhook.admission.plan import UNANNOTATED, Plan, outcome, plan
from webhook.admission.pod import convert
from webhook.admission.review import annotated
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
    """The pod as it would become; None where there is none, or it is denied."""
    denial: Denial | None = None

    @property
    def outcome(self) -> str:
        """See `webhook.admission.plan.outcome`."""
        return outcome(self.plan, self.denial)


def preview(document: Any, fleet: Fleet, namespace: str = DEFAULT_NAMESPACE) -> Iterator[Preview]:
    """Preview *document*, or each item of a List.  *namespace* is for those that name none."""
    for subject in subjects(document):
        if subject.pod is None:
            yield Preview(subject)
            continue
        try:
            result = decide(subject, fleet, namespace)
        except Denial as denial:
            yield Preview(subject, denial=denial)
        else:
            yield Preview(subject, result, jsonpatch.apply_patch(subject.pod, result.patch))


def decide(subject: Subject, fleet: Fleet, namespace: str) -> Plan:
    """The plan for the pod of *subject*.  Raises `Denial`."""
    if subject.pod is None or not annotated(subject.pod):
        return UNANNOTATED
    return plan(
        convert(subject.pod),
        fleet,
        subject.namespace or namespace,
        controller=subject.kind if subject.template else None,
    )
