"""Stand-ins: pods that stand for those of an object without a pod template, such as an InferenceService.

Each has what is known of the pods of one part: the annotation, the rules for nodes, and the GPUs that it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from webhook.admission.contents import mapping
from webhook.admission.kinds import METADATA, Part, find, spark_key
from webhook.admission.workloads import Subject
from webhook.errors import Denial
from webhook.fleet.pool import WHOLE_GPU
from webhook.slices.request import ANNOTATION, FIELD, parse

_CHOOSES = ("nodeSelector", "affinity", "tolerations", "schedulerName")
"""Fields of a part that its pods have too."""
_TERMS = "nodeSelectorTerms"
"""The field of a VLLMRuntime for those of its pods' required node affinity."""


class StandIn(NamedTuple):
    """A pod that stands for those of a part."""

    subject: Subject
    """With the pod, which has no annotation if those of its part have none."""
    part: Part
    around: Mapping[str, Any]
    """The mapping that holds the part."""
    inner: Mapping[str, Any]
    """The part."""
    place: str
    """The path of the mapping from which it has its annotation; empty if it has none."""

    @property
    def asks(self) -> bool:
        """Whether it has the annotation."""
        return bool(self.place)

    def field(self, field: str) -> str:
        """Where in the object *field* of the pod is written."""
        path = self.subject.template
        if field == FIELD:
            return f"{self.place}[{self._key}]"
        field = field.removeprefix("spec.")
        if field.startswith("containers") and not _written(self.part, self.inner).get("containers"):
            return f"{path}.{self.part.resources}"
        if field.startswith("affinity") and _TERMS in self.inner:
            return f"{path}.{_TERMS}"
        return f"{path}.{self.part.pod}.{field}" if self.part.pod else f"{path}.{field}"

    @property
    def _key(self) -> str:
        """The key of its annotation."""
        return spark_key(self.part.path.rpartition(".")[2]) if self.place.endswith("sparkConf") else ANNOTATION


def stand_ins(subject: Subject) -> Iterator[StandIn]:
    """One for each part of *subject* that is written, with the annotation or without.

    None if it has pod templates, or if it is not known how its kind makes pods.
    """
    source = subject.source if isinstance(subject.source, dict) else {}
    kind = find(source.get("apiVersion"), source.get("kind")) if subject.pod is None else None
    for part in kind.parts if kind is not None else ():
        for path, around, inner in _parts(source, part.path.split("."), ""):
            conf = spark_key(part.path.rpartition(".")[2])
            written = [(f"{path}.{part.annotations}", _at(inner, part.annotations).get(ANNOTATION))]
            written.append((f"{path.rpartition('.')[0]}.sparkConf", _at(around, "sparkConf").get(conf)))
            if kind is not None and METADATA in kind.passed_on:
                written.append((METADATA, _at(source, METADATA).get(ANNOTATION)))
            place, value = next(((place, value) for place, value in written if isinstance(value, str)), ("", None))
            pod = _pod(part, inner, {} if value is None else {ANNOTATION: value})
            stands_in = Subject(
                subject.kind, subject.name, subject.namespace, pod, path, controller=subject.kind, source=source
            )
            yield StandIn(stands_in, part, around, inner, place)


def _parts(value: Any, steps: list[str], path: str) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """The path, the mapping around it and the mapping itself, for all that *steps* lead to from *value*."""
    step, *others = steps
    if step == "*":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _parts(item, others, f"{path}[{index}]")
        return
    inner = value.get(step) if isinstance(value, dict) else None
    path = f"{path}.{step}".lstrip(".")
    if others:
        yield from _parts(inner, others, path)
    elif isinstance(inner, dict) and inner:
        yield path, value, inner


def _at(value: Any, path: str) -> Mapping[str, Any]:
    """The mapping at *path*; empty if there is none."""
    for step in path.split("."):
        value = mapping(value, step)
    return value if isinstance(value, dict) else {}


def _written(part: Part, inner: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is written of the spec of its pods."""
    return mapping(inner, part.pod) if part.pod else inner


def _pod(part: Part, inner: Mapping[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    written = _written(part, inner)
    chosen = {field: written[field] for field in _CHOOSES if field in written}
    if terms := written.get(_TERMS):
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        chosen["affinity"] = {"nodeAffinity": required}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"annotations": annotations},
        "spec": {**chosen, "containers": _containers(part, written, inner, annotations)},
    }


def _containers(
    part: Part, written: Mapping[str, Any], inner: Mapping[str, Any], annotations: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Those that are written, and those that the annotation names."""
    found = written.get("containers")
    containers: dict[str, dict[str, Any]] = {}
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict) and isinstance(name := each.get("name", part.container), str):
            containers[name] = {"name": name, "resources": mapping(each, "resources")}
    if not containers:
        containers[part.container] = {"name": part.container, "resources": _resources(_at(inner, part.resources))}
    with suppress(Denial):  # so is its preview
        for name in (each.container for each in parse(annotations.get(ANNOTATION, ""))):
            only = containers.pop(part.container) if name and not found and part.container in containers else {}
            containers.setdefault(name or next(iter(containers)), {**only, "name": name})
    return list(containers.values())


def _resources(written: Mapping[str, Any]) -> dict[str, Any]:
    """The GPUs of *written*: what a container has, or a field of the operator's own."""
    if "quantity" in written:  # the GPU of a driver or an executor of Spark
        return {"limits": {str(written.get("name")): written["quantity"]}}
    if written.get("gpu"):  # a VLLMRuntime's
        return {"limits": {str(written.get("gpuType") or WHOLE_GPU): written["gpu"]}}
    return {field: written[field] for field in ("limits", "requests") if field in written}
