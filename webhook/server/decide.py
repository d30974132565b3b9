"""A review's way: bytes in, bytes out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec

from webhook.admission.plan import plan
from webhook.admission.review import Answer, answer
from webhook.errors import BadReview
from webhook.fleet.fleet import Fleet
from webhook.server.metrics import Metrics

_log = logging.getLogger("gpu_slice")


class NoFleet(Exception):
    """There is no fleet yet by which anything could be decided."""


class Decide:
    """Answers reviews by the fleet in use."""

    def __init__(self, fleet: Callable[[], Fleet | None], metrics: Metrics) -> None:
        self.fleet = fleet
        """The fleet in use; None while there is none."""
        self.metrics = metrics

    def __call__(self, body: bytes | bytearray) -> bytes:
        """The answer to the review in *body*.  Raises `BadReview` or `NoFleet`."""
        fleet = self.fleet()
        if fleet is None:
            raise NoFleet
        start = perf_counter()
        try:
            review = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadReview(f"the body is no AdmissionReview: {error}") from None
        except RecursionError:
            raise BadReview("the body is nested too deeply") from None
        decided = answer(review, lambda pod, namespace: plan(pod, fleet, namespace))
        sent = msgspec.json.encode(decided.body)
        took = perf_counter() - start
        self.metrics.duration.observe(took)
        self.metrics.count(decided)
        if _log.isEnabledFor(logging.DEBUG):
            _log_decision(decided, took)
        return sent


def _log_decision(decided: Answer, took: float) -> None:
    resolution = decided.plan.resolution if decided.plan is not None else None
    _log.debug(
        "decided",
        extra={
            "fields": {
                "uid": decided.uid,
                "namespace": decided.namespace,
                "outcome": decided.outcome,
                "reason": decided.denial.reason if decided.denial is not None else None,
                "resources": [f"{each.resource}:{each.count}" for each in resolution.assignments] if resolution else [],
                "pools": [pool.name for pool in resolution.pools] if resolution else [],
                "milliseconds": round(took * 1000, 3),
            }
        },
    )
