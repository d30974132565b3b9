"""What a denied annotation may be replaced by with one click: what the denial proposes, tried on the pod."""

from __future__ import annotations

import re
from dataclasses import replace

from webhook.admission.preview import Preview, decide
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet
from webhook.slices.misspelt import Misspelt
from webhook.slices.request import ANNOTATION, FIELD

_PROPOSED = re.compile(r"(?:Write|, or) '([^']+)'")
_SEPARATORS = ",|="


def correction(preview: Preview, fleet: Fleet, namespace: str) -> str:
    """The whole annotation with which the pod of *preview* is admitted; empty where none is known."""
    denial, value, subject = preview.denial, preview.value, preview.subject
    if denial is None or value is None or subject.pod is None or denial.field != FIELD:
        return ""
    for proposed in _PROPOSED.findall(denial.hint) if denial.hint.startswith("Write '") else ():
        meant = _within(value, denial.position or 0, proposed)
        if isinstance(denial, Misspelt) and "=" not in proposed:
            meant = denial.before + proposed + denial.after
        metadata = subject.pod["metadata"]
        annotations = {**metadata["annotations"], ANNOTATION: meant}
        pod = {**subject.pod, "metadata": {**metadata, "annotations": annotations}}
        try:
            if decide(replace(subject, pod=pod), fleet, namespace).resolution is not None:
                return meant
        except Denial:
            continue
    return ""


def _within(value: str, position: int, proposed: str) -> str:
    """*value* with *proposed* in place of the part around *position*, which may be one choice of several."""
    if "=" in proposed:
        return proposed
    start = max((value.rfind(each, 0, position) for each in _SEPARATORS), default=-1) + 1
    ends = [end for each in _SEPARATORS if (end := value.find(each, position)) >= 0]
    return value[:start] + proposed + value[min(ends, default=len(value)) :]
