"""The loop that maintains the certificates of a cluster: it reads, decides, writes one step, and reads again.

`certs.rotation` decides what to do, and `certs.cluster` stores it.  The keeper remembers nothing between two turns, so
it may be killed at any moment, and two keepers do no harm.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from certs.authority import service_names
from certs.cluster import Conflict, Document, Names, Snapshot, Unreachable
from certs.metrics import KeeperMetrics
from certs.outlook import is_overdue
from certs.policy import RotationPolicy
from certs.rotation import Kind, Step, next_step
from certs.shipped import Shipped, Unreadable
from certs.stored import BadRecords, Stored

INTERVAL = 60.0
"""Seconds between two turns."""

SOON = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds until a failed turn is retried, one after the other; then `INTERVAL`."""

MOST_STEPS = 32
"""Steps in one turn.  A new cluster needs seven until it has a leaf; a conflict counts as a step."""

MOST_PATHS = 20
"""Paths in one log line at which the webhook configuration differs."""

_log = logging.getLogger("gpu_slice")


class Store(Protocol):
    """Where the certificates are stored: `certs.cluster.Cluster`."""

    names: Names

    def read(self) -> Snapshot: ...

    def write(self, snapshot: Snapshot, after: Stored) -> None: ...

    def read_advice(self) -> Document | None: ...

    def copy_bundle(self, bundle: bytes, advice: Document) -> bool: ...


def utc_now() -> datetime:
    """The wall clock: a timer would not count the time that a machine is suspended."""
    return datetime.now(UTC)


class Keeper:
    """Maintains the certificates of one store."""

    def __init__(
        self,
        store: Store,
        metrics: KeeperMetrics,
        *,
        service: str = "webhook",
        names: Sequence[str] = (),
        policy: RotationPolicy = RotationPolicy(),  # noqa: B008  # it is frozen
        interval: float = INTERVAL,
        clock: Callable[[], datetime] = utc_now,
        shipped: Shipped | None = None,
        advice: Shipped | None = None,
    ) -> None:
        """*names*: the names of the leaf; by default those of *service*.

        *shipped*, *advice*: what the webhook configuration and that of advice are compared with, if anything.
        """
        self.store = store
        self.metrics = metrics
        self.names = tuple(names) or service_names(service, store.names.namespace)
        self.policy = policy
        self.interval = interval
        self.clock = clock
        self.shipped = shipped
        self.advice = advice
        self.ended = threading.Event()
        self._seen: Stored | None = None
        self._last_problem = ""
        self._changes: dict[Shipped | None, dict[str, object]] = {}
        """What was last logged about each webhook configuration."""

    def run(self) -> None:
        """Take turns until `stop` is called."""
        failures = 0
        while not self.ended.is_set():
            failures = 0 if self.try_turn() else failures + 1
            self.metrics.turned()
            wait = self.interval if failures == 0 else min(self.interval, (*SOON, self.interval)[min(failures, 6) - 1])
            self.ended.wait(wait)

    def stop(self) -> None:
        """End `run` after the current step."""
        self.ended.set()

    def try_turn(self) -> bool:
        """Take one turn, and return whether it succeeded.  A problem is logged once while it stays the same."""
        try:
            self.turn()
        except (Unreachable, BadRecords, Conflict) as error:
            self._fail(str(error))
            return False
        except Exception as error:  # our bug: a restart would not fix it, and metrics report it only while we run
            self._fail(type(error).__name__, exc_info=True)
            return False
        finally:
            self._show()  # even after a failure: a renewal becomes overdue as time passes
        self.metrics.last_success.set(self.clock().timestamp())
        if self._last_problem:
            _log.info("the certificates are maintained again")
            self._last_problem = ""
        return True

    def _fail(self, problem: str, *, exc_info: bool = False) -> None:
        self.metrics.failures.inc()
        level = logging.DEBUG if problem == self._last_problem else logging.ERROR
        fields = {"problem": problem}
        _log.log(level, "the certificates cannot be maintained", extra={"fields": fields}, exc_info=exc_info)
        self._last_problem = problem

    def _show(self) -> None:
        if self._seen is not None:
            overdue = is_overdue(self._seen, self.clock(), self.policy, self.names)
            self.metrics.show(self._seen, self.clock(), overdue=overdue)

    def turn(self) -> None:
        """Take steps until none is left.  Raises `Unreachable`, `BadRecords`, or `Conflict` after many conflicts."""
        for _ in range(MOST_STEPS):
            try:
                if not self.step():
                    return
            except Conflict:
                self.metrics.conflicts.inc()
            if self.ended.is_set():
                return
        raise Conflict("Another client keeps writing the same objects. Let only the keeper own them.")

    def step(self) -> bool:
        """Write one step if one is due, and return whether it was.  Raises as `turn` does, and `Conflict` at once."""
        snapshot = self.store.read()
        self._seen = snapshot.stored
        self._compare(self.shipped, snapshot.configuration)
        step = next_step(snapshot.stored, self.clock(), self.policy, self.names)
        if step is None and snapshot.uneven:
            step = Step(Kind.PUBLISH, "every webhook gets the same", snapshot.stored)
        if step is None:
            if snapshot.stored.bundle is None:
                names = self.store.names
                raise Unreachable(
                    f"MutatingWebhookConfiguration {names.configuration}: it or its webhook {names.webhook} does not "
                    f"exist. Apply the folder again that has your fleet and image."
                )
            return self._follow(snapshot.stored)
        self.store.write(snapshot, step.after)
        self._tell(step)
        return True

    def _follow(self, stored: Stored) -> bool:
        """Give the advice the same ``caBundle``, and return whether it had another.

        It comes last, so whatever is wrong with it keeps nothing else up.  Where it lags, nobody is refused.
        """
        advice = self.store.read_advice()
        if advice is None:  # it may be left out
            self._changes.pop(self.advice, None)
            return False
        self._compare(self.advice, advice)
        if not self.store.copy_bundle(stored.bundle or b"", advice):
            return False
        self._tell(Step(Kind.PUBLISH, "the advice gets the same", stored))
        return True

    def _compare(self, shipped: Shipped | None, configuration: Document | None) -> None:
        """Show whether a webhook configuration is as it was shipped, and log it when that changes."""
        if shipped is None:
            return
        changed: dict[str, object] = {}
        try:
            if paths := shipped.differences(configuration):
                changed = {"file": shipped.path.name, "at": list(paths[:MOST_PATHS])}
        except Unreadable as error:
            changed = {"problem": str(error)}
        last = self._changes.get(shipped, {})
        self._changes[shipped] = changed
        self.metrics.as_shipped.set(not any(self._changes.values()))
        if changed == last:
            return
        if changed:
            _log.error("the webhook configuration is not as shipped", extra={"fields": changed})
        else:
            _log.info("the webhook configuration is as shipped again", extra={"fields": {"file": shipped.path.name}})

    def _tell(self, step: Step) -> None:
        self.metrics.steps.labels(step.kind.value).inc()
        level = logging.WARNING if step.kind is Kind.ADOPT else logging.INFO
        _log.log(level, step.kind.value.replace("_", " "), extra={"fields": {"why": step.why}})
