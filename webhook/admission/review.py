"""The AdmissionReview envelope: unwrap the pod, ask for a plan, wrap the answer.

There are two ways to say no, and they reach different people.  A `Denial` goes into the response, so the API
server shows it to whoever created the pod.  A `BadReview` becomes HTTP 400, so it reaches whoever runs the
API server: it counts as a failed call, and the failurePolicy decides.

Source: k8s.io/api ``admission/v1``; kubernetes/apiserver ``pkg/admission/plugin/webhook/request``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from webhook.admission.plan import Plan, outcome
from webhook.admission.pod import Pod
from webhook.errors import BadReview, Denial, quote

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

DENIED = 422
"""HTTP code inside a denial, which the API server passes on: the object was understood and is invalid."""

Planner: TypeAlias = Callable[[Pod, str | None], Plan]
"""A pod and its namespace in, a plan out."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What to send, and what was decided, for those who count and log."""

    body: dict[str, Any]
    """The AdmissionReview to answer with."""
    uid: str
    namespace: str | None
    plan: Plan | None = None
    denial: Denial | None = None

    @property
    def outcome(self) -> str:
        """See `webhook.admission.plan.outcome`."""
        return outcome(self.plan, self.denial)


def answer(review: Any, planner: Planner) -> Answer:
    """Answer one decoded AdmissionReview.  Raises `BadReview` where there is nothing that could be answered."""
    request = _request(review)
    uid, namespace = request["uid"], request.get("namespace")
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    body = {"apiVersion": API_VERSION, "kind": KIND, "response": response}
    if not _creates_a_pod(request):
        return Answer(body, uid, namespace)
    pod = request.get("object")
    if not isinstance(pod, dict):
        raise BadReview("request.object: a pod is created, and none is there")
    try:
        plan = planner(pod, namespace)
    except Denial as denial:
        response["allowed"] = False
        response["status"] = {
            "status": "Failure", "code": DENIED, "reason": "Invalid", "message": str(denial)
        }  # fmt: skip
        return Answer(body, uid, namespace, denial=denial)
    if plan.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = plan.encoded
    if plan.warnings:
        response["warnings"] = plan.warnings
    return Answer(body, uid, namespace, plan=plan)


def _request(review: Any) -> dict[str, Any]:
    """The request in *review*, once it is certain that it can be answered."""
    if not isinstance(review, dict) or review.get("kind") != KIND or review.get("apiVersion") != API_VERSION:
        found = f"{review.get('apiVersion')!r} {review.get('kind')!r}" if isinstance(review, dict) else quote(review)
        raise BadReview(f"expected {API_VERSION} {KIND}, found {found[:200]}")
    request = review.get("request")
    if not isinstance(request, dict):
        raise BadReview("request: an AdmissionReview without a request")
    if not isinstance(request.get("uid"), str) or not request["uid"]:
        raise BadReview("request.uid: without it there is nothing to answer to")
    if not isinstance(request.get("namespace"), str | None):
        raise BadReview("request.namespace: not a text")
    return request


def _creates_a_pod(request: dict[str, Any]) -> bool:
    """Whether the request is one that we answer for; everything else is let through as it is."""
    kind = request.get("kind") or {}
    return (
        request.get("operation", "CREATE") == "CREATE"
        and not request.get("subResource")
        and (not isinstance(kind, dict) or (kind.get("kind", "Pod") == "Pod" and not kind.get("group")))
    )
