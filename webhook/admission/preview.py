"""Previews: what the webhook would do to a pod, or to the pods of a workload, before anything is created.

A preview uses the webhook's own `plan`.  Another library applies the patch, so a preview shows what an API server would
make of it, and not what we meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import Any

import jsonpatch
import msgspec

from webhook import documents
from webhook.admission.containers import refused_names
from webhook.admission.contents import Stray, mapping
from webhook.admission.defaults import DEFAULT
from webhook.admission.kinds import METADATA, find
from webhook.admission.notes import Note
from webhook.admission.plan import UNANNOTATED, UNTOUCHED_NAMESPACES, Plan, outcome, plan
from webhook.admission.pod import Container, Metadata, Pod, Spec, convert
from webhook.admission.review import annotated, is_too_large, too_large
from webhook.admission.shadow import is_tolerated
from webhook.admission.stand_ins import StandIn, stand_ins
from webhook.admission.workloads import Document, Subject, subjects
from webhook.budget import Budget
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.slices import request
from webhook.slices.request import ANNOTATION, FIELD

DEFAULT_NAMESPACE = "default"

CONTEXT = 2
"""Lines of a diff around a change."""

MOST_LINES = 2_000
"""Lines of a pod that are compared with as many others.  `difflib` takes a time that grows faster than its lines."""

_PLACEHOLDER = re.compile(r"\{\{|\$\{|\$\(")
"""Helm and Argo, Flux and OpenShift, Tekton fill these in later."""
_OF_HELM = re.compile(r"\{\{-? *[.$]")
_OF_ARGO = re.compile(
    r"\{\{(?:=| *(?:inputs|outputs|workflow|item|steps|tasks|pod|node|retries|lastRetry|cronworkflow)\b)[^{}]*\}\}"
)
"""Source: https://argo-workflows.readthedocs.io/en/latest/variables/."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What would happen to one pod, or why that is not known."""

    subject: Subject
    plan: Plan | None = None
    pod: Document | None = None
    """The resulting pod; None if there is no pod, or it is denied."""
    denial: Denial | None = None
    value: str | None = None
    """The annotation that is denied."""
    misplaced: bool = False
    """Whether what is denied stands where nobody reads it, so that the webhook is never asked about it."""
    shadow: bool = False
    """Whether it is only told: the webhook leaves the pod as it is."""
    problem: str = ""
    """Why it could not be previewed, for a document that cannot be read or is not complete yet."""

    @property
    def outcome(self) -> str:
        """See `webhook.admission.plan.outcome`; and ``unknown`` if it is not known whether there is a pod, ``unread``
        if the document could not be read."""
        if self.problem:
            return "unread"
        if self.denial is None and self.plan is None and not self.subject.makes_no_pods:
            return "unknown"
        if self.misplaced:
            return "untouched"
        return outcome(self.plan, self.denial)

    @property
    def why(self) -> str:
        """Why nothing is changed; empty if something is, or the pod is denied."""
        return self.problem or ("" if self.denial else self.plan.why if self.plan else self.subject.why)


def shown(value: Any) -> Any:
    """A pod, or a part of one, as an API server shows it: without fields that are null."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: shown(item) for key, item in value.items() if item is not None}


def difference(before: Document, after: Document, title: str) -> Iterator[str]:
    """A pod before and after, as the lines of a unified diff of its YAML.

    Of a long pod only the fields that change are compared, and of very many of those the first.
    """
    old, new = (documents.write(pod).splitlines() for pod in (before, after))
    if max(len(old), len(new)) > MOST_LINES:
        title = f"{title} (only what changes)"
        old, new = (documents.write(pod).splitlines() for pod in _changed(before, after))
    yield from unified_diff(old[:MOST_LINES], new[:MOST_LINES], title, f"{title}, as admitted", n=CONTEXT, lineterm="")
    if max(len(old), len(new)) > MOST_LINES:
        yield f"@@ more than {MOST_LINES:,} lines: the others are not compared @@"


def _changed(before: Any, after: Any) -> tuple[Any, Any]:
    """What differs of *before* and *after*, which do; an object or a list item keeps its name."""
    if isinstance(before, dict) and isinstance(after, dict):
        same = {key for key in before if key != "name" and key in after and before[key] == after[key]}
        old, new = ({key: each[key] for key in each if key not in same} for each in (before, after))
        for key in old.keys() & new.keys() - {"name"}:
            old[key], new[key] = _changed(old[key], new[key])
        return old, new
    if isinstance(before, list) and isinstance(after, list):
        pairs = [_changed(*pair) for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
        both = min(len(before), len(after))
        return [old for old, _ in pairs] + before[both:], [new for _, new in pairs] + after[both:]
    return before, after


def preview(document: Any, fleet: Fleet, namespace: str = DEFAULT_NAMESPACE) -> Iterator[Preview]:
    """Preview *document*, or each item of a List.  *namespace* is used for those that name none."""
    for subject in subjects(document):
        yield from previews(subject, fleet, namespace)


def unread(problem: str) -> Preview:
    """The preview of a document that cannot be read."""
    return Preview(Subject("", "", None, None), problem=problem)


def previews(subject: Subject, fleet: Fleet, namespace: str = DEFAULT_NAMESPACE) -> Iterator[Preview]:
    """The preview of *subject*, and one of its object for each value that stands elsewhere and is wrong."""
    unread = {note.field for note in subject.advice if note.code == "misplaced-annotation"}
    wrong = [
        replace(bad, misplaced=stray.field in unread and bad.denial is not None)
        for stray in subject.strays
        if (bad := judge(stray, subject, fleet, namespace))
    ]
    notes = [_later(stray.value, stray.field) for stray in subject.strays if _is_argos(stray.value, subject)]
    if subject.strays and subject.pod is None:
        standing = [each for each in stand_ins(subject) if each.asks]
        notes += _shared(standing)
        if not wrong:
            wrong = [
                bad for each in standing if (bad := _stands_in(each, subject, fleet, namespace)).denial is not None
            ]
    subject = replace(subject, advice=(*subject.advice, *notes))
    result = _preview(subject, fleet, namespace)
    if wrong and not subject.template and result.outcome in ("untouched", "unknown"):
        wrong[0] = replace(wrong[0], subject=subject)
    else:
        yield result
    yield from wrong


def _stands_in(found: StandIn, subject: Subject, fleet: Fleet, namespace: str) -> Preview:
    """The preview of a pod that stands for some of *subject*, with fields of that."""
    result = _preview(found.subject, fleet, namespace)
    if result.denial is not None:
        result.denial.field = found.field(result.denial.field)
    return replace(result, subject=replace(subject, advice=(), strays=()))


def _shared(found: Sequence[StandIn]) -> Iterator[Note]:
    """That the annotation of an object gives each of its parts a slice, also one that needs none."""
    parts = [each for each in found if each.place == METADATA]
    if len(parts) > 1:
        paths = ", ".join(each.subject.template for each in parts)
        text = f"'{ANNOTATION}' at {METADATA} gives a slice to the pods of each of {paths}"
        one = f"{parts[0].subject.template}.{parts[0].part.annotations}"
        yield Note("not-previewed", f"{text}. To give it to one alone, write it there, as in {one}", FIELD)


def _preview(subject: Subject, fleet: Fleet, namespace: str) -> Preview:
    if subject.pod is None:
        return Preview(subject, problem="" if subject.readable else subject.why)
    value = mapping(mapping(subject.pod, "metadata"), "annotations").get(ANNOTATION)
    if _is_argos(value, subject):
        advice = (*subject.advice, _later(value, _inside(subject)))
        return Preview(replace(subject, pod=None, advice=advice, why="what its pods get is known when it runs"))
    if problem := _incomplete(value, FIELD):
        return Preview(subject, problem=problem)
    try:
        result = decide(subject, fleet, namespace)
    except Denial as denial:
        if _is_partial(subject, denial):
            return _of_partial(value, subject, fleet, namespace)
        if _PLACEHOLDER.search(f"{denial.problem} {denial.hint}"):
            return Preview(subject, problem=f"{denial.field}: {denial.problem}; something is not filled in there yet")
        return Preview(
            subject,
            denial=denial,
            value=value if isinstance(value, str) else None,
            shadow=_is_tolerated(subject, fleet, namespace),
        )
    notes: list[Note] = []
    if result.resolution is not None:
        notes = [Note("container-name", text, field) for field, text in refused_names(subject.pod)]
        if not annotated(subject.pod):
            where = subject.namespace or namespace
            text = f"this holds if namespace {quote(where)} has the label {DEFAULT}, which a preview cannot see"
            notes.append(Note("namespace-label", text, _inside(subject)))
    elif value is not None and (where := subject.namespace or namespace) in UNTOUCHED_NAMESPACES:
        notes = [Note("misplaced-annotation", f"'{ANNOTATION}' has no effect in namespace '{where}'", _inside(subject))]
    subject = replace(subject, advice=(*subject.advice, *notes))
    return Preview(subject, result, jsonpatch.apply_patch(subject.pod, result.patch), shadow=result.shadow)


def _is_tolerated(subject: Subject, fleet: Fleet, namespace: str) -> bool:
    """Whether the pod of *subject*, which is denied, is admitted all the same."""
    try:
        pod = convert(subject.pod) if subject.pod is not None else None
    except Denial:
        pod = None
    return is_tolerated(pod, fleet, subject.namespace or namespace)


def _is_partial(subject: Subject, denial: Denial) -> bool:
    """Whether *denial* is about containers that something else adds: an operator, or what a patch is for."""
    containers = mapping(subject.pod, "spec").get("containers")
    if not subject.template or not isinstance(containers, list | None):
        return False  # a pod of its own is complete
    unknown = find(None, subject.controller) is None
    if not containers:
        return denial.field in ("spec.containers", FIELD) and unknown
    return denial.reason == "no-such-container" and (unknown or not any("image" in each for each in containers))


def _of_partial(value: Any, subject: Subject, fleet: Fleet, namespace: str) -> Preview:
    """The preview of a template that lacks containers, with an annotation."""
    if wrong := _of_value(value, FIELD, subject, fleet, namespace):
        return replace(wrong, subject=subject)
    text = f"the template is partial, so nothing but the value of '{ANNOTATION}' is checked"
    advice = (*subject.advice, Note("not-previewed", text, _inside(subject)))
    return Preview(replace(subject, pod=None, advice=advice, why="a preview does not know the containers that it gets"))


def _inside(subject: Subject) -> str:
    """The field of the annotation in the object around the pod."""
    return f"{subject.template}.{FIELD}" if subject.template else FIELD


def decide(subject: Subject, fleet: Fleet, namespace: str) -> Plan:
    """The plan for the pod of *subject*.  Raises `Denial`."""
    if subject.pod is None:
        return UNANNOTATED
    if not annotated(subject.pod) and fleet.policy(subject.namespace or namespace).default is None:
        return UNANNOTATED
    if is_too_large(msgspec.json.encode(subject.pod)):
        raise too_large()
    return plan(convert(subject.pod), fleet, subject.namespace or namespace, controller=subject.controller)


def judge(stray: Stray, subject: Subject, fleet: Fleet, namespace: str, budget: Budget | None = None) -> Preview | None:
    """What is wrong with a value for which there is no pod; None if a pod could have it."""
    if stray.beside or _is_argos(stray.value, subject):
        return None
    subject = replace(subject, pod=None, template="", advice=(), strays=())
    return _of_value(stray.value, stray.field, subject, fleet, namespace, budget)


def _of_value(
    value: Any, field: str, subject: Subject, fleet: Fleet, namespace: str, budget: Budget | None = None
) -> Preview | None:
    """What is wrong with *value*, at *field*; None if a pod could have it."""
    if problem := _incomplete(value, field):
        return Preview(subject, problem=problem)
    try:
        names = [each.container for each in request.parse(value)] if isinstance(value, str) else []
        containers = [Container(name=name or "main") for name in names] or [Container(name="main")]
        pod = Pod(Metadata({ANNOTATION: value}), Spec(containers))
        plan(pod, fleet, subject.namespace or namespace, budget=budget)
    except Denial as denial:
        denial.field = field
        return Preview(subject, denial=denial, value=value if isinstance(value, str) else None)
    return None


def _is_argos(value: Any, subject: Subject) -> bool:
    """Whether Argo alone fills in what *value* lacks, when it runs the object."""
    source = subject.source if isinstance(subject.source, dict) else {}
    if not isinstance(value, str) or not str(source.get("apiVersion")).startswith("argoproj.io/"):
        return False
    rest = _OF_ARGO.sub("", value)
    return rest != value and not _PLACEHOLDER.search(rest)


def _later(value: object, field: str) -> Note:
    return Note("not-previewed", f"{field}: Argo fills in {quote(value)} when it runs, so it is not checked", field)


def _incomplete(value: Any, field: str) -> str:
    """Why *value* cannot be checked yet; empty if it can."""
    if not isinstance(value, str) or not _PLACEHOLDER.search(value):
        return ""
    hint = ". Preview what 'helm template' prints" if _OF_HELM.search(value) else ", so it is not checked"
    return f"{field}: {quote(value)} is not filled in yet{hint}"
