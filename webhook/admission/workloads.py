"""Workloads: the pod that a template describes, and advice about an annotation in the wrong place.

The webhook never changes a workload, only its pods.  So a preview of a Deployment is a preview of its pod.  An
annotation on the Deployment itself has no effect, and only this advice says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from webhook.errors import quote
from webhook.slices.request import ANNOTATION

Document: TypeAlias = dict[str, Any]
"""A pod or another object, as read from a file."""

DEEPEST_LIST = 8
"""Levels of Lists inside Lists.  Two are already unusual."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A document to preview: a pod, or an object that creates pods."""

    kind: str
    name: str
    namespace: str | None
    pod: Document | None
    """The pod, or the one that the object creates; None if it creates none."""
    template: str = ""
    """The path of the pod template, as in ``spec.template``; empty for a pod."""
    advice: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """As in ``Pod team-a/notebook``, or ``Deployment notebook, its pod``."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}".strip() + (", its pod" if self.template else "")


def subjects(document: Any, depth: int = 0) -> Iterator[Subject]:
    """The subjects in *document*: itself, or the items of a List."""
    if not isinstance(document, dict):
        yield Subject(kind=quote(document), name="", namespace=None, pod=None)
        return
    items = document.get("items")
    if str(document.get("kind", "")).endswith("List") and isinstance(items, list) and depth < DEEPEST_LIST:
        for item in items:
            yield from subjects(item, depth + 1)
        return
    yield _subject(document)


def _subject(document: Mapping[str, Any]) -> Subject:
    metadata = _mapping(document, "metadata")
    kind = str(document.get("kind") or "an object without a kind")
    name = str(metadata.get("name") or metadata.get("generateName") or "")
    namespace = metadata.get("namespace") if isinstance(metadata.get("namespace"), str) else None
    if kind == "Pod":
        advice = (*_indent_advice(document, "metadata"), *_label_advice(metadata, "metadata"))
        return Subject(kind, name, namespace, dict(document), advice=advice)
    where, template = _template(document)
    if template is None:
        return Subject(kind, name, namespace, None)
    inner = _mapping(template, "metadata")
    pod: Document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": f"{name}-", **({"namespace": namespace} if namespace else {}), **inner},
        "spec": template.get("spec"),
    }
    path = f"{where}.metadata"
    advice = (
        *_place_advice(kind, metadata, inner, where),
        *_indent_advice(template, path),
        *_label_advice(inner, path),
    )
    return Subject(kind, name, namespace, pod, where, advice)


def _template(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    """The pod template of a workload, and its path."""
    for where in ("spec.template", "spec.jobTemplate.spec.template", "template"):
        template: Mapping[str, Any] = document
        for step in where.split("."):
            template = _mapping(template, step)
        if isinstance(template.get("spec"), dict) and "containers" in template["spec"]:
            return where, template
    return "", None


def _place_advice(kind: str, metadata: Mapping[str, Any], inner: Mapping[str, Any], where: str) -> Iterator[str]:
    if ANNOTATION in _mapping(metadata, "annotations") and ANNOTATION not in _mapping(inner, "annotations"):
        yield (
            f"the annotation '{ANNOTATION}' is on the {kind} itself, where it has no effect: "
            f"move it to {where}.metadata.annotations"
        )


def _indent_advice(template: Mapping[str, Any], where: str) -> Iterator[str]:
    """The annotation one level too high: beside ``metadata``, or in it beside ``annotations``."""
    if ANNOTATION in _mapping(template, "annotations") or ANNOTATION in _mapping(template, "metadata"):
        yield f"'{ANNOTATION}' is one level too high, where it has no effect: move it to {where}.annotations"


def _label_advice(metadata: Mapping[str, Any], where: str) -> Iterator[str]:
    if ANNOTATION in _mapping(metadata, "labels") and ANNOTATION not in _mapping(metadata, "annotations"):
        yield f"'{ANNOTATION}' is a label, which has no effect: move it to {where}.annotations"


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}
