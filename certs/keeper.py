"""The loop that keeps the certificates of a cluster: reads, decides, writes one step, and reads again.

What to do is `certs.rotation`'s, how it is stored `certs.cluster`'s.  Nothing is remembered between two turns, so a
keeper may be killed at any moment, and two of them do no harm.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from certs.authority import service_names
from certs.cluster import Conflict, Document, Names, Snapshot, Unreachable
from certs.metrics import Metrics
from certs.outlook import is_overdue
from certs.policy import Policy
from certs.rotation import Step, next_step
from certs.shipped import Shipped, Unreadable
from certs.stored import BadRecords, Stored

INTERVAL = 60.0
"""Seconds between two turns."""

SOON = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds until a turn that failed is tried again; from then on `INTERVAL`."""

MOST_STEPS = 32
"""In one turn.  Seven lead from nothing to a leaf; a conflict counts as one."""

MOST_PATHS = 20
"""Places in a line of the log at which the webhook configuration differs."""

_log = logging.getLogger("gpu_slice")


class Store(Protocol):
    """What is kept in order: `certs.cluster.Cluster`."""

    names: Names

    def read(self) -> Snapshot: ...

    def write(self, snapshot: Snapshot, after: Stored) -> None: ...


def utc_now() -> datetime:
    """The wall clock: a timer would not count the time that a machine slept."""
    return datetime.now(UTC)


class Keeper:
    """Keeps one store in order."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        service: str = "webhook",
        names: Sequence[str] = (),
        policy: Policy = Policy(),  # noqa: B008  # it is frozen
        interval: float = INTERVAL,
        clock: Callable[[], datetime] = utc_now,
        shipped: Shipped | None = None,
    ) -> None:
        """*names*: what the leaf is to be good for; those of *service* where there are none.

        *shipped*: what the webhook configuration is compared with, if it is to be.
        """
        self.store = store
        self.metrics = metrics
        self.names = tuple(names) or service_names(service, store.names.namespace)
        self.policy = policy
        self.interval = interval
        self.clock = clock
        self.shipped = shipped
        self.ended = threading.Event()
        self._seen: Stored | None = None
        self._said = ""
        self._changed: dict[str, object] = {}
        """What was said last of the webhook configuration."""

    def run(self) -> None:
        """Turn after turn, until `stop`."""
        failures = 0
        while not self.ended.is_set():
            failures = 0 if self.try_turn() else failures + 1
            self.metrics.turned()
            wait = self.interval if failures == 0 else min(self.interval, (*SOON, self.interval)[min(failures, 6) - 1])
            self.ended.wait(wait)

    def stop(self) -> None:
        """End `run` after the step that is being taken."""
        self.ended.set()

    def try_turn(self) -> bool:
        """One turn; whether it came to its end.  What went wrong is logged, once while it stays the same."""
        try:
            self.turn()
        except (Unreachable, BadRecords, Conflict) as error:
            self._fail(str(error))
            return False
        except (
            Exception
        ) as error:  # a fault of ours; a restart would not cure it, and metrics tell of it only while we live
            self._fail(type(error).__name__, exc_info=True)
            return False
        finally:
            self._show()  # also after a failure: time passes, and what is not renewed gets overdue
        self.metrics.last_success.set(self.clock().timestamp())
        if self._said:
            _log.info("the certificates are looked after again")
            self._said = ""
        return True

    def _fail(self, problem: str, *, exc_info: bool = False) -> None:
        self.metrics.failures.inc()
        level = logging.DEBUG if problem == self._said else logging.ERROR
        fields = {"problem": problem}
        _log.log(level, "the certificates could not be looked after", extra={"fields": fields}, exc_info=exc_info)
        self._said = problem

    def _show(self) -> None:
        if self._seen is not None:
            overdue = is_overdue(self._seen, self.clock(), self.policy, self.names)
            self.metrics.show(self._seen, self.clock(), overdue=overdue)

    def turn(self) -> None:
        """Steps until nothing is left to do.  Raises `Unreachable`, `BadRecords`, or `Conflict` after many of them."""
        for _ in range(MOST_STEPS):
            try:
                if not self.step():
                    return
            except Conflict:
                self.metrics.conflicts.inc()
            if self.ended.is_set():
                return
        raise Conflict("Somebody else writes the same objects, again and again. Let nobody but the keeper own them.")

    def step(self) -> bool:
        """One write, if one is due; whether it was.  Raises as `turn`, and `Conflict` at once."""
        snapshot = self.store.read()
        self._seen = snapshot.stored
        self._compare(snapshot.configuration)
        step = next_step(snapshot.stored, self.clock(), self.policy, self.names)
        if step is None:
            if snapshot.stored.bundle is None:
                names = self.store.names
                raise Unreachable(
                    f"MutatingWebhookConfiguration {names.configuration}: it, or its webhook {names.webhook}, is not "
                    f"there. Apply manifests/webhook again."
                )
            return False
        self.store.write(snapshot, step.after)
        self._tell(step)
        return True

    def _compare(self, configuration: Document | None) -> None:
        """Show whether the webhook configuration is as it was shipped, and log it when that changes."""
        if self.shipped is None:
            return
        changed: dict[str, object] = {}
        try:
            if paths := self.shipped.differences(configuration):
                changed = {"at": list(paths[:MOST_PATHS])}
        except Unreadable as error:
            changed = {"problem": str(error)}
        self.metrics.as_shipped.set(not changed)
        if changed == self._changed:
            return
        if changed:
            _log.error("the webhook configuration is not as shipped", extra={"fields": changed})
        else:
            _log.info("the webhook configuration is as shipped again")
        self._changed = changed

    def _tell(self, step: Step) -> None:
        self.metrics.steps.labels(step.kind.value).inc()
        _log.info(step.kind.value.replace("_", " "), extra={"fields": {"why": step.why}})
