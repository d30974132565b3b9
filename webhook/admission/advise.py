"""Advice: what will become of the pods of a workload, as warnings to whoever applies it.

A workload is stored whatever its template asks for, and what is said about its pods is said to a controller.  So the
API server shows us workloads too.  They are always allowed, and never changed.

The API server passes warnings on as they are while those of one request have at most 4,096 characters.  Otherwise it
cuts each at 256, and drops the rest.  Source: kubernetes/apiserver ``pkg/endpoints/filters/warning.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct

from webhook.admission.plan import UNTOUCHED_NAMESPACES, plan
from webhook.admission.pod import convert
from webhook.admission.preview import judge
from webhook.admission.review import Answered, Request, Response, Review, annotated, is_too_large
from webhook.admission.shadow import is_tolerated
from webhook.admission.warnings import LONGEST
from webhook.admission.workloads import subjects
from webhook.budget import MOST_STEPS, Budget, OutOfSteps
from webhook.errors import BadReview, Denial, printable
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION

LONGEST_PIECE = 256
"""Characters of a piece of a denial.  The denial of a pod may be four times as long."""

MOST_CHARACTERS = 3_000
"""Characters of all warnings: others, such as those of PodSecurity, need some of the 4,096."""

MOST_READ = 50_000
"""Values of a review that is decoded whole.  That of an update holds the workload twice."""

MOST_VALUES = 5_000
"""Values of a workload that is looked at, in any place.  To search one takes some 2 µs, so this takes as long as a
decision may.  Those that people write have some hundreds."""

MOST_TEMPLATES = 100
"""Pod templates of such a workload.  Each takes some 20 µs more."""

MOST_JUDGED = 8
"""Values outside a template whose spelling is checked.  People write one."""

Outcome: TypeAlias = Literal["denied", "warned", "silent"]
"""In one word: ``denied`` if pods of the workload would be."""

_PREFIX = f"{ANNOTATION}: "
_MORE = f"{_PREFIX}there is more to say about this workload than is shown"
_TOO_LARGE = f"{_PREFIX}the workload is too large to say what will become of its pods"


class _Request(Request):
    object: Raw = Raw(b"null")
    """Not decoded yet: it may be too large, or none of our business."""


class _Review(Review):
    request: _Request


_read = msgspec.json.Decoder(_Review).decode
_read_anything = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


class Advice(Struct, frozen=True):
    """What is said about one workload."""

    body: bytes
    """The AdmissionReview with the response."""
    outcome: Outcome


def advise(body: bytes | bytearray, fleet: Fleet) -> Advice:
    """Answer the AdmissionReview of a workload.  Raises `BadReview` if *body* is not a review that can be answered."""
    try:
        request = _read(body).request
        told = [] if _is_passed_over(request) else list(_told(request, body, fleet))
    except RecursionError:
        raise BadReview("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadReview(f"the review cannot be answered: {error}") from None
    lines = _shown(line for line, _ in told)
    outcome: Outcome = "denied" if any(denied for _, denied in told) else "warned" if lines else "silent"
    return Advice(_write(Answered(Response(request.uid, True, warnings=lines or UNSET))), outcome)


def _is_passed_over(request: _Request) -> bool:
    changes = request.operation in ("CREATE", "UPDATE") and not request.sub_resource
    return not changes or request.namespace in UNTOUCHED_NAMESPACES


def _told(request: _Request, body: bytes | bytearray, fleet: Fleet) -> Iterator[tuple[str, bool]]:
    """What there is to say, each with whether it is a denial.

    All templates together have the steps of one decision, so a workload costs no more than a pod.
    """
    if is_too_large(body, MOST_READ):
        yield _TOO_LARGE, False
        return
    document = _read_anything(request.object)
    if not isinstance(document, dict) or document.get("kind") == "Pod":
        return
    written = _write(_without_bookkeeping(document))
    if is_too_large(written, MOST_VALUES, 0) or written.count(b'"containers"') > MOST_TEMPLATES:
        yield _TOO_LARGE, False
        return
    budget = Budget()
    for subject in subjects(document, texts=False):
        left = budget.left
        for note in subject.advice:
            yield from ((piece, False) for piece in pieces(note, LONGEST))
        for stray in subject.strays[:MOST_JUDGED]:
            wrong = judge(stray, subject, fleet, request.namespace or "default", budget)
            if wrong is not None and wrong.denial is not None and not isinstance(wrong.denial, OutOfSteps):
                yield from ((piece, False) for piece in pieces(str(wrong.denial), LONGEST_PIECE))
        pod = None
        try:
            if subject.pod is not None and annotated(subject.pod):
                pod = convert(subject.pod)
                result = plan(pod, fleet, request.namespace, controller=subject.controller, budget=budget)
                yield from ((str(line), False) for line in result.warnings)
        except Denial as denial:
            if left < MOST_STEPS and isinstance(denial, OutOfSteps):  # a pod of this template alone may be decided
                yield _MORE, False
                return
            text = f"pods of {subject.template or subject.kind} would be denied: {denial}"
            shadow = is_tolerated(pod, fleet, request.namespace)
            text = f"shadow: not enforced: {text}" if shadow else text
            yield from ((piece, not shadow) for piece in pieces(text, LONGEST_PIECE))


def _without_bookkeeping(document: dict[str, Any]) -> dict[str, Any]:
    """*document* without what API servers and clients keep in it, which may be as long as all the rest."""
    document.pop("status", None)
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
        if isinstance(metadata.get("annotations"), dict):
            metadata["annotations"].pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return document


def pieces(text: str, longest: int) -> Iterator[str]:
    """*text* in warnings of at most *longest* characters.  Where there is more than one, ``…`` marks the cuts."""
    text = _PREFIX + printable(text)
    while len(text) > longest:
        least = longest // 2
        cut = max(text.rfind(end, least, longest - 1) for end in (": ", ". ", ", ")) + 1
        cut = cut or max(text.rfind(" ", least, longest), 0) or longest - 1
        yield f"{text[:cut]}…"
        text = f"{_PREFIX}…{text[cut:]}"
    yield text


def _shown(lines: Iterable[str]) -> tuple[str, ...]:
    """*lines*, each once, as many as there is room for."""
    shown: dict[str, None] = {}
    room = MOST_CHARACTERS - len(_MORE)
    for line in lines:
        if line in shown:
            continue
        room -= len(line)
        if room < 0:
            shown[_MORE] = None
            break
        shown[line] = None
    return tuple(shown)
