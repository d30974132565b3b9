"""What takes a millisecond or more waits in a queue, so that everybody else is served in between.

The queue has a third of the time: half as long as the event loop was busy with others, but one thing at least.  So a
few that are costly hold nobody up, and many others do not hold up the costly ones for ever.  Those who wait take turns,
so that who has much to do does not hold up who has little.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from time import perf_counter

from webhook.server.settings import TURN


class Turns:
    """A queue of work, of several parties."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Callable[[], None]]] = {}
        """By party; the next one first."""
        self._count = 0
        self._called = False
        self._since = 0.0
        """When the others' turn began."""

    def __len__(self) -> int:
        return self._count

    def is_full(self, party: Hashable, most: int) -> bool:
        """Whether *most* wait, and *party* has its share of them."""
        if self._count < most:
            return False
        return len(self._waiting.get(party, ())) * len(self._waiting) >= self._count

    def add(self, party: Hashable, work: Callable[[], None]) -> None:
        """Do *work* when it is the turn of *party*."""
        self._waiting.setdefault(party, deque()).append(work)
        self._count += 1
        if not self._called:
            self._call(perf_counter())

    def _call(self, now: float) -> None:
        self._called, self._since = True, now
        asyncio.get_running_loop().call_soon(self._run)  # which is after a look at the network

    def _run(self) -> None:
        begun = now = perf_counter()
        share = (begun - self._since) * TURN
        try:
            while self._count and now - begun <= share:
                self._next()()
                now = perf_counter()
        finally:
            self._called = False
            if self._count:
                self._call(now)

    def _next(self) -> Callable[[], None]:
        party = next(iter(self._waiting))
        queue = self._waiting.pop(party)
        work = queue.popleft()
        if queue:
            self._waiting[party] = queue  # behind all others
        self._count -= 1
        return work
