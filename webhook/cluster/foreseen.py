"""What the webhook would make of a pod that does not exist, as far as it would be asked about it."""

from __future__ import annotations

from dataclasses import replace

from webhook.admission.defaults import DEFAULT
from webhook.admission.preview import Preview
from webhook.cluster.asked import Asked
from webhook.cluster.asking import DEFAULTS, WEBHOOK, labels_of, not_asked
from webhook.cluster.explain import Around
from webhook.cluster.objects import Document
from webhook.cluster.shapes import readable
from webhook.errors import Denial

_UNSURE = ("not-visited", "webhook-ignored")
"""Causes that say nothing about a pod that is created now."""


def asked_of(document: Document, *, exists: bool = False) -> Asked:
    """The view of *document*; where that cannot be read, only of its annotations."""
    document = readable(document)
    try:
        return Asked.of(document, exists=exists)
    except (Denial, ValueError):
        metadata = document.get("metadata") or {}
        texts = {key: text for key, text in (metadata.get("annotations") or {}).items() if isinstance(text, str)}
        return Asked.of({"metadata": {**metadata, "annotations": texts}, "spec": {}}, exists=exists)


def as_previewed(around: Around, shown: Preview) -> Around:
    """*around* with what a preview says."""
    warnings = tuple(
        warning.text.removeprefix("gpu-slice: ") for warning in (shown.plan.warnings if shown.plan else ())
    )
    notes = tuple(str(note) for note in shown.subject.advice if note.code == "misplaced-annotation")
    return replace(around, changed=warnings, misplaced=notes, denial=None if shown.shadow else shown.denial)


def foreseen(shown: Preview, around: Around, namespace: str) -> tuple[Asked, Around]:
    """The pod of a preview as it would be created in *namespace*, and *around* with what the webhook would say."""
    plain = asked_of(_in(shown.subject.pod or {}, namespace))
    around = as_previewed(around, shown)
    if not _sees(shown, plain, around):
        return plain, replace(around, denial=None)
    return asked_of(_in(shown.pod or shown.subject.pod or {}, namespace)), around


def _in(pod: Document, namespace: str) -> Document:
    metadata = pod.get("metadata")
    return {**pod, "metadata": {**(metadata if isinstance(metadata, dict) else {}), "namespace": namespace}}


def _sees(shown: Preview, asked: Asked, around: Around) -> bool:
    """Whether the webhook would be asked about a pod like *asked*, as far as is known."""
    given = shown.plan is not None and shown.plan.resolution is not None
    if not asked.asks and not (given and DEFAULT in labels_of(around.namespace)):
        return not given
    webhook = WEBHOOK if asked.asks else DEFAULTS
    found = not_asked(asked, around.namespace, around.snapshot, around.here.own, webhook)
    return all(cause.id in _UNSURE for cause in found)
