"""Why a pod without the annotation has no slice, and what would give it one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from webhook.admission.defaults import DEFAULT
from webhook.admission.plan import UNANNOTATED, plan
from webhook.admission.pod import Metadata, is_gpu
from webhook.cluster.asked import Asked
from webhook.cluster.asking import DEFAULTS, labels_of, left_alone, not_asked
from webhook.cluster.causes import Cause
from webhook.cluster.objects import Document
from webhook.cluster.snapshot import Snapshot
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION

_NEVER = ("namespace-excluded", "namespace-opted-out")
_BEFORE = (*_NEVER, "mirror-pod", "webhook-missing")
"""Causes that come before a namespace's label."""


def without_annotation(
    asked: Asked,
    misplaced: Sequence[str],
    fleet: Fleet | None,
    namespace: Document | None,
    snapshot: Snapshot,
    own: str,
) -> Iterator[Cause]:
    """What to say of a pod without the annotation.

    *misplaced*: notes about one that stands elsewhere; *namespace*: the object, None if it may not be read; *own*:
    the webhook's.
    """
    if misplaced:
        yield Cause("annotation-misplaced", f"gpu-slice was not asked: {misplaced[0]}.", tuple(misplaced[1:]))
        return
    decision = UNANNOTATED if fleet is None else plan(asked.view, fleet, asked.namespace)
    if fleet is not None and decision.resolution is not None:
        yield from _default_not_given(asked, fleet, namespace, snapshot, own)
        return
    by_hand = [name for name in asked.slices if is_gpu(name) and (fleet is None or name in fleet.by_resource)]
    if by_hand:
        text = f"The pod asks for {by_hand[0]} by its resource and has no annotation '{ANNOTATION}'"
        yield Cause("by-hand", f"{text}, so it got neither the toleration nor the node selection of a pool.")
        return
    yield from (each for each in not_asked(asked, namespace, snapshot, own) if each.id in _NEVER)
    has = "".join(f"asks for {number} {name} and " for name, number in asked.slices.items())
    why = ", so it asks for no slice"
    if decision.why.startswith("it is not given") and DEFAULT in labels_of(namespace):
        why = f", and {decision.why}"
    text = f"The pod {has}has no annotation '{ANNOTATION}'{why}"
    yield Cause("no-annotation", f"{text}.", instead="" if fleet is None else _instead(asked, fleet))


def _default_not_given(
    asked: Asked, fleet: Fleet, namespace: Document | None, snapshot: Snapshot, own: str
) -> Iterator[Cause]:
    """Why a pod has not got the default of its namespace, which the webhook would give it."""
    found = [each for each in not_asked(asked, namespace, snapshot, own, DEFAULTS) if each.id != "not-visited"]
    before = [each for each in found if each.id in _BEFORE]
    text = f"The fleet file has the default {quote(fleet.policy(asked.namespace).default)} for namespace"
    if not before and namespace is not None and DEFAULT not in labels_of(namespace):
        text = f"{text} {asked.namespace}, which lacks the label {DEFAULT}"
        yield Cause("default-not-given", f"{text}, so gpu-slice is not asked about the pod.")
    elif told := {each.id for each in found} <= {"webhook-ignored"} and left_alone(asked, fleet):
        yield told
    elif found:
        yield from before or found
    else:
        why = "lacks it, or got it" if namespace is None else "got it"
        text = (
            f"{text} {asked.namespace}, which needs the label {DEFAULT}: the namespace {why} after the pod was created"
        )
        instead = "Delete the pod, so that it is created anew." if namespace is not None else ""
        yield Cause("default-not-given", f"{text}.", instead=instead)


def _instead(asked: Asked, fleet: Fleet) -> str:
    """What else to correct in a pod that would be denied with the annotation; empty if some slice is given to it."""
    policy, denied = fleet.policy(asked.namespace), None
    for slice in dict.fromkeys(str(offer) for pool, offer in fleet.offers if policy.permits(pool, offer)):
        annotations = {**asked.view.annotations, ANNOTATION: slice}
        metadata = replace(asked.view.metadata or Metadata(), annotations=annotations)
        try:
            plan(replace(asked.view, metadata=metadata), fleet, asked.namespace)
        except Denial as denial:
            denied = denied or denial
        else:
            return ""
    if denied is None:
        return ""
    text = (
        f"To get a slice, write the annotation {ANNOTATION} and correct {denied.field}, with which it would be denied"
    )
    return f"{text}: {denied.problem}."
