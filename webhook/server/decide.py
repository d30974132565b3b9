"""A review's bytes in, the answer's bytes out: what the HTTPS port calls for ``/mutate`` and ``/advise``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

from webhook.admission.advise import advise
from webhook.admission.plan import Plan, plan
from webhook.admission.pod import Pod
from webhook.admission.resolve import Plain, prepare
from webhook.admission.review import Answer, answer
from webhook.admission.shadow import is_tolerated
from webhook.fleet.fleet import Fleet
from webhook.server.metrics import Metrics

_log = logging.getLogger("gpu_slice")


class NoFleet(Exception):
    """There is no fleet yet, so nothing can be decided."""


class Decide:
    """Decides reviews by the fleet in use.  It remembers nothing from one review to the next."""

    def __init__(self, fleet: Callable[[], Fleet | None], metrics: Metrics) -> None:
        self.fleet = fleet
        """The fleet in use; None while there is none."""
        self.metrics = metrics
        self.prepared: Fleet | None = None
        self.plain: Plain = {}

    def plan(self, pod: Pod, namespace: str | None) -> Plan:
        """The decision about one pod, by the fleet that is prepared."""
        if self.prepared is None:
            raise NoFleet
        return plan(pod, self.prepared, namespace, plain=self.plain)

    def tolerant(self, pod: Pod | None, namespace: str | None) -> bool:
        """See `webhook.admission.shadow.is_tolerated`."""
        return self.prepared is not None and is_tolerated(pod, self.prepared, namespace)

    def __call__(self, body: bytes | bytearray) -> bytes:
        """The answer to the review in *body*.

        Raises `NoFleet`, or `webhook.errors.BadReview` where *body* is not a review.  Anything else is our fault.
        """
        fleet = self.fleet()
        if fleet is None:
            raise NoFleet
        if fleet is not self.prepared:
            self.prepared, self.plain = fleet, prepare(fleet)

        start = perf_counter()
        answered = answer(body, self.plan, self.tolerant)
        took = perf_counter() - start
        self.metrics.count(answered, took)
        if _log.isEnabledFor(logging.DEBUG):
            _log_decision(answered, took)
        return answered.body

    def advise(self, body: bytes | bytearray) -> bytes:
        """The answer to the review of a workload in *body*.  Raises as a decision does."""
        fleet = self.fleet()
        if fleet is None:
            raise NoFleet
        advice = advise(body, fleet)
        self.metrics.advice.labels(advice.outcome).inc()
        return advice.body


def _log_decision(answered: Answer, took: float) -> None:
    resolution = answered.plan.resolution if answered.plan is not None else None
    _log.debug(
        "decided",
        extra={
            "fields": {
                "uid": answered.uid,
                "namespace": answered.namespace,
                "outcome": answered.outcome,
                "shadow": answered.plan is not None and answered.plan.shadow,
                "reason": answered.denial.reason if answered.denial is not None else None,
                "resources": [f"{part.resource}:{part.count}" for part in resolution.assignments] if resolution else [],
                "pools": [pool.name for pool in resolution.pools] if resolution else [],
                "milliseconds": round(took * 1000, 3),
            }
        },
    )
