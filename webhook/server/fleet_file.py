"""The fleet file on disk, looked at again and again.  A bad one is refused, and the old one goes on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from webhook.admission.resolve import prepare
from webhook.errors import BadFleet
from webhook.fleet.fleet import Fleet
from webhook.fleet.shadow import in_shadow
from webhook.server.metrics import Metrics

_log = logging.getLogger("gpu_slice")


class FleetWatch:
    """Holds the fleet in use.  Looks at the bytes and not at times: a ConfigMap volume swaps symlinks."""

    def __init__(self, path: Path, load: Callable[[bytes], Fleet], metrics: Metrics) -> None:
        self.path = path
        self.load = load
        self.metrics = metrics
        self.current: Fleet | None = None
        self._seen: bytes | int | None = None
        """What the last look found: the file's bytes, or the number of the error that reading it gave."""

    def look(self) -> None:
        """Read the file, and take it if it is new and good."""
        try:
            text = self.path.read_bytes()
        except OSError as error:
            if self._seen != error.errno:
                self._seen = error.errno
                self._refuse(f"{self.path}: {error.strerror}")
            return
        if text == self._seen:
            return
        try:
            fleet = self.load(text)
            prepare(fleet)  # what fails here would fail for every review
        except BadFleet as error:
            self._seen = text
            self._refuse("; ".join(map(str, error.problems)))
            return
        except Exception:
            # A fault of ours, of which the log tells by `run.look_again`; the next look tries again.
            self._seen = None
            self.metrics.fleet_loaded.set(0)
            raise
        self.current, self._seen = fleet, text
        self.metrics.fleet_loaded.set(1)
        shadow = in_shadow(fleet.file)
        self.metrics.in_shadow.set(bool(shadow))
        self.metrics.fleet_info.clear()
        self.metrics.fleet_info.labels(hashlib.sha256(text).hexdigest()[:12]).set(1)
        self.metrics.promise(fleet)
        self.metrics.fleet_reloads.labels("taken").inc()
        self.metrics.fleet_generation.inc()
        _log.info("fleet taken", extra={"fields": {"pools": [pool.name for pool in fleet.pools], "shadow": shadow}})

    def _refuse(self, problem: str) -> None:
        self.metrics.fleet_loaded.set(0)
        self.metrics.fleet_reloads.labels("refused").inc()
        goes_on = "the old one goes on" if self.current else "not ready until there is a good one"
        _log.error("fleet refused: %s", goes_on, extra={"fields": {"problem": problem}})
