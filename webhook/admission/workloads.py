"""Workloads: the pods that an object creates, and advice about an annotation in the wrong place.

The webhook never changes a workload, only its pods.  So a preview of a Deployment is a preview of its pod.  An
annotation on the Deployment itself has no effect, and only this advice says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from webhook.admission.advice import advise
from webhook.admission.contents import (
    Contents,
    Object,
    Path,
    Stray,
    Template,
    annotations_of,
    last,
    mapping,
    search,
    write_path,
)
from webhook.errors import kind_of
from webhook.slices.request import ANNOTATION

Document: TypeAlias = dict[str, Any]
"""A pod or another object, as read from a file."""

DEEPEST_LIST = 8
"""Levels of Lists inside Lists.  Two are already unusual."""

NO_KIND = "an object without a kind"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is previewed: a pod, one of the pods that an object creates, or an object of which no pod is known."""

    kind: str
    name: str
    namespace: str | None
    pod: Document | None
    """The pod, or the one that the object creates; None if none is known."""
    template: str = ""
    """The path of the pod template, as in ``spec.template``; empty for a pod, and for an object without one."""
    advice: tuple[str, ...] = ()
    strays: tuple[Stray, ...] = ()
    """Where else the annotation stands, with no pod to preview for it."""
    controller: str | None = None
    """The kind that creates the pod; None for a pod that stands alone."""
    why: str = ""
    """Why there is no pod."""
    makes_no_pods: bool = False
    """Whether that is known."""
    readable: bool = True
    """Whether it was looked at."""

    @property
    def title(self) -> str:
        """As in ``Pod team-a/notebook``, or ``Deployment notebook, spec.template``."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}".strip() + (f", {self.template}" if self.template else "")


def subjects(document: Any, depth: int = 0, *, texts: bool = True) -> Iterator[Subject]:
    """The subjects in *document*: the pods that it makes, or itself if none is known; for a List those of its items.

    *texts*: whether to read the texts in it that mention the annotation, which takes much longer than all the rest.
    """
    if not isinstance(document, dict):
        yield Subject("a document that is no object", "", None, None, why=kind_of(document), readable=False)
        return
    items, kind = document.get("items"), document.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        if depth == DEEPEST_LIST:
            yield Subject(kind, "", None, None, why=f"Lists inside more than {DEEPEST_LIST} Lists", readable=False)
            return
        for item in items:
            yield from subjects(_typed(item, document, kind.removesuffix("List")), depth + 1, texts=texts)
        return
    yield from _subjects(search(document, texts=texts))


def _typed(item: Any, around: Mapping[str, Any], kind: str) -> Any:
    """An item of a typed list, such as a PodList, which an API server sends without its kind."""
    if not kind or not isinstance(item, dict) or "kind" in item:
        return item
    return {"apiVersion": around.get("apiVersion"), "kind": kind, **item}


def _subjects(contents: Contents) -> list[Subject]:
    root, templates = contents.object, contents.templates
    found = [_of(template, root) for template in templates] or [
        Subject(root.kind or NO_KIND, root.name, root.namespace, None, why=_why(root), makes_no_pods=root.makes_no_pods)
    ]
    advice: list[list[str]] = [[] for _ in found]
    strays: list[list[Stray]] = [[] for _ in found]
    under = _under(templates)
    for stray in contents.strays:
        concerned = [stray.template] if stray.template else _concerned(stray.place, under)
        if any(stray.place == annotations_of(template) for template in concerned) and stray.key == ANNOTATION:
            continue  # a controller gives it to the pods of a template that has none of its own
        lacking = [template for template in concerned if not _annotated(template)]
        covered = bool(concerned) and not lacking
        if covered and not (stray.key == ANNOTATION and last(stray.place) == "annotations"):
            continue
        index = templates.index((lacking or concerned)[0]) if concerned else 0
        strays[index].append(stray)
        if not covered:
            advice[index].append(advise(stray, lacking))
    advice[0] += [
        f"the text at {write_path(path)} mentions '{ANNOTATION}' and cannot be read: it is not checked"
        for path in contents.unread
    ]
    if contents.more:
        advice[0].append(f"'{ANNOTATION}' stands in more places than a preview looks at")
    return [
        replace(subject, advice=(*subject.advice, *notes), strays=tuple(others))
        for subject, notes, others in zip(found, advice, strays, strict=True)
    ]


def _under(templates: Sequence[Template]) -> dict[int, list[Template]]:
    """The templates under each mapping and list that holds one, by the identity of its path."""
    under: dict[int, list[Template]] = {}
    for template in templates:
        path = template.path
        while path is not None:
            under.setdefault(id(path), []).append(template)
            path = path[0]
        under.setdefault(id(None), []).append(template)
    return under


def _concerned(place: Path, under: Mapping[int, list[Template]]) -> list[Template]:
    """The templates that the author of a key at *place* most likely meant: those in the smallest part around it."""
    while id(place) not in under and place is not None:
        place = place[0]
    return under.get(id(place), [])


def _annotated(template: Template) -> bool:
    known = template.object.known
    metadata = template.object.metadata if known and known.ignored else mapping(template.value, "metadata")
    return ANNOTATION in mapping(metadata, "annotations")


def _why(root: Object) -> str:
    if root.makes_no_pods:
        return "it makes no pods"
    if not root.kind:
        return "it has no kind"
    if root.known is not None and root.known.templates:
        return "it has no pod template"
    return "a preview does not know how this kind makes pods"


def _of(template: Template, root: Object) -> Subject:
    """The subject of *template*, which stands in the object *root*."""
    around = template.object
    kind, name, namespace = around.kind or root.kind or NO_KIND, around.name or root.name, around.namespace
    advice: tuple[str, ...] = ()
    if kind == "Pod":
        pod = dict(template.value)
    else:
        metadata = {"generateName": f"{name}-", **({"namespace": namespace} if namespace else {})}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, **_metadata(template)},
            "spec": _spec(template),
        }
        if template.path is around.path:
            advice = (f"a preview does not know how a {kind} makes pods: this is the one that its spec describes",)
    controller = None if kind == "Pod" else kind
    return Subject(
        root.kind or NO_KIND, root.name, namespace, pod, write_path(template.path), advice, controller=controller
    )


def _metadata(template: Template) -> Mapping[str, Any]:
    known = template.object.known
    if known is None or not known.ignored:
        return mapping(template.value, "metadata")
    return {key: value for key, value in template.object.metadata.items() if key in ("labels", "annotations")}


def _spec(template: Template) -> Mapping[str, Any]:
    """The pod's spec, with the names that the controller gives to containers."""
    spec: Mapping[str, Any] = template.value["spec"]
    known, containers = template.object.known, spec["containers"]
    if known is None or not containers or not all(isinstance(container, dict) for container in containers):
        return spec
    if known.first_container:
        return {**spec, "containers": [{**containers[0], "name": template.object.name}, *containers[1:]]}
    if not known.only_container:
        return spec
    names = [known.only_container + (f"-{index}" if len(containers) > 1 else "") for index in range(len(containers))]
    named = [
        container if container.get("name") else {**container, "name": name}
        for name, container in zip(names, containers, strict=True)
    ]
    return {**spec, "containers": named}
