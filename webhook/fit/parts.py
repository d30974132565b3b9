"""How many pods an object without a pod template runs at once, such as an InferenceService."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from webhook.admission.contents import mapping
from webhook.admission.stand_ins import StandIn, stand_ins
from webhook.admission.workloads import Subject, subjects
from webhook.fit.replicas import number, running, stopped

_MORE = ("maxReplicas", "workerSpec", "worker", "scaling", "multiNode")
"""Fields of a part with which it may run more pods than the number says."""
_ENDED = ("COMPLETED", "FAILED")
"""States of a SparkApplication."""


class Counted(NamedTuple):
    """What stands for some pods, how many run at once, and a remark."""

    subject: Subject
    pods: int
    remark: str


def counted(document: Any) -> Iterator[Counted]:
    """The subjects in *document*, and what stands for pods that have no template."""
    for subject in subjects(document):
        found = [result for each in stand_ins(subject) if each.asks and (result := _counted(each))]
        yield from found or [Counted(subject, *running(subject))]


def _counted(found: StandIn) -> Counted | None:
    """How many pods *found* stands for; None if that is no number."""
    source, inner, around = found.subject.source, found.inner, found.around
    count = number(inner.get(found.part.number)) if found.part.number else 1
    if count is None or count < 0:
        return None
    ended = mapping(mapping(source, "status"), "applicationState").get("state") in _ENDED
    if ended or stopped(source) or stopped(mapping(source, "spec")) or around.get("enabled") is False:
        count = 0
    switches = (mapping(around, "dynamicAllocation"), mapping(around, "autoscalingConfig"), mapping(inner, "scale"))
    elastic = any(inner.get(field) for field in _MORE) or any(each.get("enabled") is True for each in switches)
    return Counted(
        found.subject,
        count,
        f"it has no pod template: counted as {count}" + (", and it may run more" if elastic else ""),
    )
