"""The AdmissionReview envelope: reads a review, decides about its pod, and writes the answer.

There are two kinds of refusal, for different readers.  A `Denial` goes into the response, for the pod's author.  A
`BadReview` becomes HTTP 400, for the cluster's operators: it counts as a failed call, and the failurePolicy decides.

Source: k8s.io/api ``admission/v1``; kubernetes/apiserver ``pkg/admission/plugin/webhook/request``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from webhook.admission.plan import UNANNOTATED, Plan, outcome
from webhook.admission.pod import Pod, malformed
from webhook.admission.shadow import would_be_denied
from webhook.errors import BadReview, Denial, quote
from webhook.slices.request import ANNOTATION

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

DENIED = 422
"""HTTP code in a denial, which the API server passes on: the object was understood and is invalid."""

LARGE = 64 * 1024
"""Bytes above which the values of a review are counted before it is decoded.  Most reviews have a tenth of this."""

MOST_VALUES = 50_000
"""Commas and brackets in a review, as a measure of its values: 7 MiB of ``{},{},…`` would become 150 MB, and to
decode 50,000 labels takes 15 ms.  A pod that people write has some hundreds."""

LONGEST_UID = 128
"""Characters.  The answer repeats it; an API server's has 36."""

LONGEST_NAMESPACE = 253
"""Characters.  Kubernetes allows 63."""

Planner: TypeAlias = Callable[[Pod, str | None], Plan]
"""Takes a pod and its namespace, and returns a plan."""

Tolerant: TypeAlias = Callable[[Pod | None, str | None], bool]
"""Whether a pod of a namespace is admitted although it is denied: see `webhook.admission.shadow.is_tolerated`."""


class _Wire(Struct, gc=False, rename="camel"):
    """A part of an AdmissionReview."""


class Request(_Wire):
    """What every request says."""

    uid: Annotated[str, Meta(min_length=1, max_length=LONGEST_UID)]
    namespace: Annotated[str, Meta(max_length=LONGEST_NAMESPACE)] | None = None
    operation: str | None = "CREATE"
    sub_resource: str | None = None


class Review(_Wire):
    """An AdmissionReview, without its request."""

    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]


class _Kind(_Wire):
    group: str | None = None
    kind: str | None = "Pod"


class _Envelope(Request):
    """A request without its object."""

    kind: _Kind | None = None

    @property
    def creates_a_pod(self) -> bool:
        """Whether it is a request to create a pod.  All other requests are allowed without a change."""
        kind = self.kind
        return (
            self.operation == "CREATE"
            and not self.sub_resource
            and (kind is None or (kind.kind == "Pod" and not kind.group))
        )


class _Request(_Envelope):
    object: Pod | None = None


class _Outside(Review):
    request: _Envelope


class _Review(Review):
    request: _Request


class _Status(_Wire):
    message: str
    status: str = "Failure"
    reason: str = "Invalid"
    code: int = DENIED


class Response(_Wire):
    """What is answered to a request."""

    uid: str
    allowed: bool
    patch: bytes | UnsetType = UNSET  # msgspec writes bytes in base64, as the API server reads them
    patch_type: Literal["JSONPatch"] | UnsetType = UNSET
    warnings: tuple[str, ...] | UnsetType = UNSET
    status: _Status | UnsetType = UNSET


class Answered(_Wire):
    """An AdmissionReview with its response."""

    response: Response
    api_version: str = API_VERSION
    kind: str = KIND


_read = msgspec.json.Decoder(_Review).decode
_read_outside = msgspec.json.Decoder(_Outside).decode
_read_anything = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


class Answer(Struct, frozen=True):
    """The answer to send, and the decision, for metrics and logs."""

    body: bytes
    """The AdmissionReview with the response."""
    uid: str
    namespace: str | None
    plan: Plan | None = None
    denial: Denial | None = None
    """Beside a plan in shadow: why the pod would be denied."""

    @property
    def outcome(self) -> str:
        """See `webhook.admission.plan.outcome`."""
        return outcome(self.plan, self.denial)


def answer(body: bytes | bytearray, planner: Planner, tolerant: Tolerant | None = None) -> Answer:
    """Answer one AdmissionReview.  Raises `BadReview` if *body* is not a review that can be answered."""
    try:
        if is_too_large(body):
            envelope = _decoded(_read_outside, body).request
            return _denied(envelope, too_large(), tolerant) if envelope.creates_a_pod else _admitted(envelope, Plan())
        request = _decoded(_read, body).request
    except msgspec.ValidationError as error:
        return _misshapen(body, error, tolerant)
    if not request.creates_a_pod:
        return _admitted(request, Plan())
    if request.object is None:
        raise BadReview("request.object: the pod to create is missing")
    try:
        return _admitted(request, planner(request.object, request.namespace))
    except Denial as denial:
        # Its frames hold the review, and the answer that holds it: a cycle that would stay in memory.
        denial.with_traceback(None).__context__ = None
        return _denied(request, denial, tolerant, request.object)


_Value = TypeVar("_Value")


def _decoded(decode: Callable[[bytes | bytearray], _Value], body: bytes | bytearray) -> _Value:
    """*body* as JSON.  Raises `BadReview` if it is not JSON, `msgspec.ValidationError` if a field has a wrong type."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadReview(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadReview("the body is nested too deeply") from None


def _admitted(request: _Envelope, plan: Plan, denial: Denial | None = None) -> Answer:
    response = Response(request.uid, True)
    if plan.patch and not plan.shadow:
        response.patch, response.patch_type = _write(plan.patch), "JSONPatch"
    if plan.warnings:
        response.warnings = tuple(map(str, plan.warnings))
    return Answer(_write(Answered(response)), request.uid, request.namespace, plan, denial)


def _denied(request: _Envelope, denial: Denial, tolerant: Tolerant | None, pod: Pod | None = None) -> Answer:
    if tolerant is not None and tolerant(pod, request.namespace):
        return _admitted(request, Plan(warnings=(would_be_denied(denial),), shadow=True), denial)
    response = Response(request.uid, False, status=_Status(str(denial)))
    return Answer(_write(Answered(response)), request.uid, request.namespace, denial=denial)


def is_too_large(body: bytes | bytearray, most: int = MOST_VALUES, large: int = LARGE) -> bool:
    """Whether *body*, a review or an object as JSON, has more than *most* values.  Below *large* it is not asked."""
    return len(body) > large and body.count(b",") + body.count(b"{") + body.count(b"[") > most


def too_large() -> Denial:
    """The denial of such a pod."""
    problem = f"the pod has more than {MOST_VALUES:,} values, which is too many to look at"
    hint = "Make it smaller: move long lists of arguments or variables into a ConfigMap"
    return Denial(problem, field="pod", hint=hint, reason="too-large")


def _misshapen(body: bytes | bytearray, error: msgspec.ValidationError, tolerant: Tolerant | None) -> Answer:
    """Answer a review with a field of a wrong type, in the envelope or in the pod.

    A pod without the annotation is allowed without a change, whatever its fields.
    """
    try:
        review = _decoded(_read_anything, body)
    except msgspec.ValidationError as problem:  # a number that is out of range
        raise BadReview(f"the body is not JSON: {problem}") from None
    if not isinstance(review, dict) or (review.get("apiVersion"), review.get("kind")) != (API_VERSION, KIND):
        parts = (review.get("apiVersion"), review.get("kind")) if isinstance(review, dict) else (review,)
        raise BadReview(f"expected {API_VERSION} {KIND}, not {' '.join(map(quote, parts))}")
    try:
        request = _decoded(_read_outside, body).request
    except msgspec.ValidationError as problem:
        raise BadReview(f"the review cannot be answered: {problem}") from None
    if not request.creates_a_pod:
        return _admitted(request, Plan())
    pod: Any = review["request"].get("object")
    if not isinstance(pod, dict):
        raise BadReview("request.object: the pod to create is not a mapping")
    if not annotated(pod):
        return _admitted(request, UNANNOTATED)
    return _denied(request, malformed(str(error).replace("$.request.object", "$"), pod), tolerant)


def annotated(pod: dict[str, Any]) -> bool:
    """Whether *pod*, an unchecked document, has the annotation.  If its metadata has a wrong type, it may have it."""
    inner: Any = pod
    for key in ("metadata", "annotations"):
        inner = inner.get(key)
        if not isinstance(inner, dict):
            return inner is not None
    return ANNOTATION in inner
