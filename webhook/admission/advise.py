"""Advice: what will become of the pods of a workload, as warnings to whoever applies it.

A workload is stored whatever its template asks for, and what is said about its pods is said to a controller.  So the
API server shows us workloads too.  They are always allowed, and never changed.

The API server passes warnings on as they are while those of one request have at most 4,096 characters.  Otherwise it
cuts each at 256, and drops the rest.  Source: kubernetes/apiserver ``pkg/endpoints/filters/warning.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from webhook.admission.plan import UNTOUCHED_NAMESPACES, plan
from webhook.admission.pod import convert
from webhook.admission.review import API_VERSION, KIND, annotated, is_too_large
from webhook.admission.warnings import LONGEST, warning
from webhook.admission.workloads import Subject, subjects
from webhook.budget import Budget, OutOfSteps
from webhook.errors import BadReview, Denial, printable
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION

LONGEST_PIECE = 256
"""Characters of a piece of a denial.  The denial of a pod may be four times as long."""

MOST_CHARACTERS = 3_000
"""Characters of all warnings: others, such as those of PodSecurity, need some of the 4,096."""

MOST_VALUES = 50_000
"""Values of a workload, a quarter of what a pod may have: read without types, each takes up to four times as long."""

STEPS_OF_A_TEMPLATE = 50
"""Steps for each template after the first, whatever it asks for."""

Outcome: TypeAlias = Literal["denied", "warned", "silent"]
"""In one word: ``denied`` if pods of the workload would be."""

_PREFIX = f"{ANNOTATION}: "
_MORE = warning("there is more to say about this workload than is shown")
_TOO_LARGE = warning(f"it has more than {MOST_VALUES:,} values, too many to say what will become of its pods")


class _Request(Struct, gc=False, rename="camel"):
    uid: Annotated[str, Meta(min_length=1)]
    namespace: str | None = None
    operation: str | None = "CREATE"
    sub_resource: str | None = None
    object: Raw = Raw(b"null")
    """Not decoded yet: it may be too large, or none of our business."""


class _Review(Struct, gc=False, rename="camel"):
    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    request: _Request


class _Response(Struct, gc=False, omit_defaults=True):
    uid: str
    allowed: Literal[True]
    warnings: tuple[str, ...] = ()


class _Answered(Struct, gc=False, rename="camel"):
    response: _Response
    api_version: str = API_VERSION
    kind: str = KIND


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
        told = [] if _is_passed_over(request) else _told(request, body, fleet)
    except RecursionError:
        raise BadReview("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadReview(f"the review cannot be answered: {error}") from None
    lines = _shown(line for line, _ in told)
    outcome: Outcome = "denied" if any(denied for _, denied in told) else "warned" if lines else "silent"
    return Advice(_write(_Answered(_Response(request.uid, True, lines))), outcome)


def _is_passed_over(request: _Request) -> bool:
    changes = request.operation in ("CREATE", "UPDATE") and not request.sub_resource
    return not changes or request.namespace in UNTOUCHED_NAMESPACES


def _told(request: _Request, body: bytes | bytearray, fleet: Fleet) -> list[tuple[str, bool]]:
    """What there is to say, each with whether it is a denial.

    All templates together have the steps of one decision, so a workload costs no more than a pod.
    """
    if is_too_large(body, MOST_VALUES) and is_too_large(bytes(request.object), MOST_VALUES):
        return [(_TOO_LARGE, False)]
    budget = Budget()
    told: list[tuple[str, bool]] = []
    try:
        for index, subject in enumerate(subjects(_read_anything(request.object))):
            if index:
                budget.spend(STEPS_OF_A_TEMPLATE)
            if subject.template:
                told += _about(subject, request.namespace, fleet, budget, first=not index)
    except OutOfSteps:  # of what the templates share: a pod of a later one may be decided with less
        told.append((_MORE, False))
    return told


def _about(
    subject: Subject, namespace: str | None, fleet: Fleet, budget: Budget, *, first: bool
) -> Iterator[tuple[str, bool]]:
    for text in subject.advice:
        yield from ((piece, False) for piece in pieces(text, LONGEST))
    if subject.pod is None or not annotated(subject.pod):
        return
    try:
        result = plan(convert(subject.pod), fleet, namespace, controller=subject.kind, budget=budget)
    except Denial as denial:
        if isinstance(denial, OutOfSteps) and not first:
            raise
        text = f"pods of {subject.template} would be denied: {denial}"
        yield from ((piece, True) for piece in pieces(text, LONGEST_PIECE))
    else:
        yield from ((line, False) for line in result.warnings)


def pieces(text: str, longest: int) -> Iterator[str]:
    """*text* in warnings of at most *longest* characters.  Where there is more than one, ``…`` marks the cuts."""
    text = _PREFIX + printable(text)
    while len(text) > longest:
        cut = text.rfind(" ", longest // 2, longest)
        cut = cut if cut > 0 else longest - 1
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
