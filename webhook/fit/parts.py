"""Pods that stand for those of an object without a pod template, such as an InferenceService, and how many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from webhook.admission.contents import mapping
from webhook.admission.kinds import METADATA, Part, find, spark_key
from webhook.admission.workloads import Subject, subjects
from webhook.errors import Denial
from webhook.fit.replicas import number, running, stopped
from webhook.slices.request import ANNOTATION, parse

_CHOOSES = ("nodeSelector", "affinity", "tolerations", "schedulerName")
"""Fields of a part that its pods have too."""
_MORE = ("maxReplicas", "workerSpec")
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
        found = list(_parts(subject)) if subject.strays else []
        yield from found or [Counted(subject, *running(subject))]


def _parts(subject: Subject) -> Iterator[Counted]:
    """What stands for the pods of *subject*, which has none of its own; nothing where too little is known."""
    source = subject.source if isinstance(subject.source, Mapping) else {}
    kind = find(source.get("apiVersion"), source.get("kind")) if subject.pod is None else None
    if kind is None or not kind.parts:
        return
    ended = mapping(mapping(source, "status"), "applicationState").get("state") in _ENDED
    none = ended or stopped(source) or stopped(mapping(source, "spec"))
    own = mapping(mapping(source, "metadata"), "annotations") if METADATA in kind.passed_on else {}
    for part in kind.parts:
        *around, name = part.path.split(".")
        outer: Mapping[str, Any] = source
        for step in around:
            outer = mapping(outer, step)
        inner = mapping(outer, name)
        conf = mapping(outer, "sparkConf").get(spark_key(name))
        annotations = {**own, **({ANNOTATION: conf} if conf else {}), **mapping(inner, "annotations")}
        count = number(inner.get(part.number)) if part.number else 1
        if not inner or not isinstance(annotations.get(ANNOTATION), str) or count is None or count < 0:
            continue
        elastic = any(inner.get(field) for field in _MORE) or mapping(outer, "dynamicAllocation").get("enabled") is True
        count = 0 if none else count
        remark = f"it has no pod template: counted as {count}" + (", and it may run more" if elastic else "")
        pod = _pod(part, inner, {ANNOTATION: annotations[ANNOTATION]})
        yield Counted(
            Subject(subject.kind, subject.name, subject.namespace, pod, part.path, controller=kind.name, source=source),
            count,
            remark,
        )


def _pod(part: Part, inner: Mapping[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    names = {part.container: None}
    with suppress(Denial):  # so is its preview
        names = dict.fromkeys(each.container or part.container for each in parse(annotations[ANNOTATION]))
    chosen = {field: inner[field] for field in _CHOOSES if field in inner}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"annotations": annotations},
        "spec": {**chosen, "containers": [{"name": name} for name in names]},
    }
