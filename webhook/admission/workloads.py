"""Workloads: the pods that an object creates, and advice about an annotation in the wrong place.

The webhook never changes a workload, only its pods.  So a preview of a Deployment is a preview of its pod.  An
annotation on the Deployment itself has no effect, and only this advice says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

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
    word,
    write_path,
)
from webhook.admission.notes import MOST_TARGETS, Note, note_on, with_article
from webhook.errors import kind_of
from webhook.slices.request import ANNOTATION

Document: TypeAlias = dict[str, Any]
"""A pod or another object, as read from a file."""

_NULL = {"annotations": "", "labels": "", "nodeSelector": "", "limits": "0", "requests": "0"}
"""What null means to an API server in a mapping of strings, or of quantities.  Elsewhere the field is absent."""

DEEPEST_LIST = 8
"""Levels of Lists inside Lists.  Two are already unusual."""

NO_KIND = "an object without a kind"
NO_OBJECT = "a document that is no object"


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
    advice: tuple[Note, ...] = ()
    strays: tuple[Stray, ...] = ()
    """Where else the annotation stands, with no pod to preview for it."""
    controller: str | None = None
    """The kind that creates the pod; None for a pod that stands alone."""
    why: str = ""
    """Why there is no pod."""
    makes_no_pods: bool = False
    """Whether that is known."""
    source: Any = None
    """The object that was looked at."""
    items: tuple[int, ...] = ()
    """Which item it is of its List, after the same of a List around that."""
    annotations: Path = None
    """Where the annotations of its pods stand in *source*; None if no pod is known."""
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
        yield from _of_no_object(document, depth, texts)
        return
    kind = document.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and _has_objects(document, kind):
        if depth == DEEPEST_LIST:
            yield Subject(
                word(kind), "", None, None, why=f"Lists inside more than {DEEPEST_LIST} Lists", readable=False
            )
            return
        for index, item in enumerate(document["items"] or ()):
            for subject in subjects(_typed(item, document, kind.removesuffix("List")), depth + 1, texts=texts):
                yield replace(subject, items=(index, *subject.items))
        return
    yield from _subjects(search(document, texts=texts), document)


def _of_no_object(document: Any, depth: int, texts: bool) -> Iterator[Subject]:
    """The subjects in a list, such as a patch; or a problem where an object was meant."""
    if depth or (ANNOTATION in repr(document) and not _is_patch(document)):
        why = f"{kind_of(document)}. Write one object, or a List"
        yield Subject(NO_OBJECT, "", None, None, why=why, readable=False)
    elif isinstance(document, list):
        for subject in _subjects(search(document, texts=texts), document):
            yield replace(subject, kind=NO_OBJECT, why="there is no pod in it")
    else:
        yield Subject(NO_OBJECT, "", None, None, why="there is no pod in it", makes_no_pods=True, source=document)


def _is_patch(document: Any) -> bool:
    """Whether it is a list of something else than objects, such as the operations of a JSON patch."""
    return isinstance(document, list) and not any(isinstance(each, dict) and "kind" in each for each in document)


def _has_objects(document: Mapping[str, Any], kind: str) -> bool:
    """Whether the items of a List are objects; a kind of somebody's own may be called AllowList."""
    items = document.get("items", 0)
    return items is None or (
        isinstance(items, list) and (kind == "List" or all(isinstance(item, dict) for item in items))
    )


def _typed(item: Any, around: Mapping[str, Any], kind: str) -> Any:
    """An item of a typed list, such as a PodList, which an API server sends without its kind."""
    if not kind or not isinstance(item, dict) or "kind" in item:
        return item
    return {"apiVersion": around.get("apiVersion"), "kind": kind, **item}


def _subjects(contents: Contents, source: Any) -> list[Subject]:
    root, templates = contents.object, contents.templates
    found = [_of(template, root) for template in templates] or [
        Subject(
            root.kind or NO_KIND,
            root.name,
            root.namespace,
            None,
            why=_why(root, contents),
            makes_no_pods=root.makes_no_pods,
        )
    ]
    advice: list[list[Note]] = [[] for _ in found]
    strays: list[list[Stray]] = [[] for _ in found]
    numbers = {id(template): number for number, template in enumerate(templates)}
    under = _under(templates)
    given = {annotations_of(each) for each in templates if each.object.known and each.object.known.ignored}
    for stray in contents.strays:
        meant = _meant(stray, under)
        if stray.key == ANNOTATION and stray.place in given:
            continue  # a controller gives it to the pods of a template that has none of its own
        covered = bool(meant.templates) and not meant.lacking
        if covered and (stray.key != ANNOTATION or last(stray.place) == "labels"):
            continue
        index = numbers[id((meant.lacking or meant.templates)[0])] if meant.templates else 0
        strays[index].append(stray)
        if not covered:
            advice[index].append(note_on(stray, meant.lacking[:MOST_TARGETS], only=len(meant.templates) == 1))
    advice[0] += [
        Note(
            "not-previewed",
            f"the text at {write_path(path)} mentions '{ANNOTATION}' and cannot be read: it is not checked",
        )
        for path in contents.unread
    ]
    if contents.more:
        advice[0].append(Note("not-previewed", f"'{ANNOTATION}' stands in more places than a preview looks at"))
    return [
        replace(subject, advice=(*subject.advice, *notes), strays=tuple(others), source=source)
        for subject, notes, others in zip(found, advice, strays, strict=True)
    ]


class _Meant(NamedTuple):
    """The templates for which an annotation somewhere in a document is most likely meant."""

    templates: list[Template]
    lacking: list[Template]
    """Those without an annotation."""


def _under(templates: Sequence[Template]) -> dict[int, _Meant]:
    """The templates under each mapping and list that holds one, by the identity of its path."""
    under: dict[int, _Meant] = {}
    for template in templates:
        annotated = _annotated(template)
        path: Path = (template.path, "")
        while path is not None:
            path = path[0]
            meant = under.setdefault(id(path), _Meant([], []))
            meant.templates.append(template)
            if not annotated:
                meant.lacking.append(template)
    return under


def _meant(stray: Stray, under: Mapping[int, _Meant]) -> _Meant:
    """The template around *stray*, or those in the smallest part of its object around it."""
    if stray.template is not None:
        return _Meant([stray.template], [] if _annotated(stray.template) else [stray.template])
    place = stray.place
    while id(place) not in under and place is not stray.object.path and place is not None:
        place = place[0]
    return under.get(id(place), _Meant([], []))


def _annotated(template: Template) -> bool:
    known = template.object.known
    metadata = template.object.metadata if known and known.ignored else mapping(template.value, "metadata")
    return ANNOTATION in mapping(metadata, "annotations")


def _why(root: Object, contents: Contents) -> str:
    if root.makes_no_pods:
        return "it makes no pods"
    if not root.kind:
        values = "; if these are the values of a Helm chart, preview what 'helm template' prints"
        return "nothing is known of its pods" + (values if contents.strays else "")
    if root.known is not None and root.known.templates and not root.known.settings:  # Spark needs no template
        return "it has no pod template"
    if root.known is not None and root.known.printed_by:
        return f"it stands for what {root.known.printed_by} prints: preview that"
    return "a preview does not know how this kind makes pods"


def _of(template: Template, root: Object) -> Subject:
    """The subject of *template*, which stands in the object *root*."""
    around = template.object
    kind, name, namespace = around.kind or root.kind or NO_KIND, around.name or root.name, around.namespace
    advice: tuple[Note, ...] = ()
    if kind == "Pod":
        pod = _stored(template.value)
    else:
        metadata = {"generateName": f"{name}-", **({"namespace": namespace} if namespace else {})}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, **_stored(_metadata(template))},
            "spec": _stored(_spec(template)),
        }
        if template.path is around.path:
            text = (
                f"a preview does not know how {with_article(kind)} makes pods: this is the one that its spec describes"
            )
            advice = (Note("not-previewed", text),)
    return Subject(
        root.kind or NO_KIND,
        root.name,
        namespace,
        pod,
        write_path(template.path),
        advice,
        controller=None if kind == "Pod" else kind,
        annotations=annotations_of(template),
    )


def _metadata(template: Template) -> Mapping[str, Any]:
    known, metadata = template.object.known, template.object.metadata
    if known is None or not known.ignored:
        return mapping(template.value, "metadata")
    annotations = {
        key: value
        for key, value in mapping(metadata, "annotations").items()
        if not any(part in key for part in known.dropped)
    }
    labels = mapping(metadata, "labels")
    return {"annotations": annotations, **({"labels": labels} if labels else {})}


def _spec(template: Template) -> Mapping[str, Any]:
    """The pod's spec, with the names that the controller gives to containers."""
    spec: Mapping[str, Any] = template.value["spec"]
    known, containers = template.object.known, spec["containers"]
    if known is None or not known.only_container or not containers:
        return spec
    if not all(isinstance(container, dict) for container in containers):
        return spec
    names = [known.only_container + (f"-{index}" if len(containers) > 1 else "") for index in range(len(containers))]
    named = [
        container if container.get("name") else {**container, "name": name}
        for name, container in zip(names, containers, strict=True)
    ]
    return {**spec, "containers": named}


def _stored(value: Any, field: str = "") -> Any:
    """*value*, at *field*, as an API server understands the nulls in it."""
    if isinstance(value, list):
        return [_stored(item) for item in value]
    if not isinstance(value, dict):
        return value
    null = _NULL.get(field)
    return {key: null if item is None else _stored(item, key) for key, item in value.items()}
