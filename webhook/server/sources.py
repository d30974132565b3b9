"""Who is connected: what each address takes of the connections, handshakes and bytes that there are.

When something is used up, the address that takes most of it gives up some of its own, for the newcomer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from webhook.server.http import AGAIN, Refusal
from webhook.server.phase import CLOSING, HANDSHAKE, IDLE, SLOW
from webhook.server.settings import GREEDY, MEMORY_OF_COST, SILENT

if TYPE_CHECKING:
    from webhook.server.https import Connection
    from webhook.server.settings import Limits


class Source:
    """What one address takes."""

    __slots__ = ("address", "connections", "cost", "handshakes", "held")

    def __init__(self, address: str) -> None:
        self.address = address
        self.connections: set[Connection] = set()
        """Those that still shake hands included."""
        self.handshakes: dict[Connection, None] = {}
        """Those that still shake hands, the oldest first."""
        self.held = 0
        """Bytes of bodies on their way."""
        self.cost = 0.0
        """Seconds of a costly decision, less with each one after it."""

    def decided(self, seconds: float) -> None:
        """A decision of it took so long."""
        self.cost = max(seconds, self.cost * MEMORY_OF_COST)


class Sources:
    """All addresses that are connected to one port."""

    def __init__(self, limits: Limits, refused: Callable[[str], None]) -> None:
        """*refused* is told why a connection was refused or given up."""
        self.limits = limits
        self.refused = refused
        self.all: dict[str, Source] = {}
        self.connections = 0
        self.handshakes = 0
        self.held = 0

    def enter(self, connection: Connection, address: str) -> Source | None:
        """Let *connection* in, if need be in the place of another; None where it must go."""
        limits = self.limits
        shakes = connection.phase is HANDSHAKE
        source = self.all.get(address) or Source(address)
        if len(source.connections) >= limits.of_a_source:
            self.refused("source")
            if not self._give_up_silent(source):
                return None
        elif self.connections >= limits.connections:
            self.refused("total")
            greediest = max(self.all.values(), key=lambda each: len(each.connections))
            if len(greediest.connections) < GREEDY * (1 + len(source.connections)) or not self._give_up_any(greediest):
                return None
        if shakes and self.handshakes >= limits.handshakes:
            self.refused("handshakes")
            greediest = max(self.all.values(), key=lambda each: len(each.handshakes))
            self._give_up_silent(greediest)
        self.all[address] = source
        source.connections.add(connection)
        self.connections += 1
        if shakes:
            source.handshakes[connection] = None
            self.handshakes += 1
        return source

    def leave(self, connection: Connection, source: Source) -> None:
        """It is gone, or as good as gone."""
        if connection in source.connections:
            source.connections.remove(connection)
            self.connections -= 1
            if not source.connections:
                self.all.pop(source.address, None)

    def end_handshake(self, connection: Connection, source: Source) -> None:
        """It is over, well or not."""
        if connection in source.handshakes:
            del source.handshakes[connection]
            self.handshakes -= 1

    def hold(self, source: Source, count: int) -> None:
        """Count bytes of a body that is on its way, or no longer with a negative *count*.

        Where there are too many, the largest body of whom holds most is given up.
        """
        source.held += count
        self.held += count
        while count > 0 and self.held > self.limits.held:
            greediest = max(self.all.values(), key=lambda each: each.held)
            largest = max(greediest.connections, key=lambda each: each.held)
            if largest.phase in (IDLE, CLOSING):
                largest.abort()  # its last answer is not read
            else:
                largest.refuse(Refusal(503, "too much is on its way to this replica", headers=AGAIN))

    def _give_up_silent(self, source: Source) -> bool:
        """Give up the oldest connection of *source* that has not begun its handshake for a while.

        Whoever has begun is let go on: a review may already follow.
        """
        for each in source.handshakes:
            if each.is_silent and each.age > SILENT:
                each.abort()
                return True
        return False

    def _give_up_any(self, source: Source) -> bool:
        """Rather one that is slow than one that is silent, on which a review may just be coming; then the oldest."""
        candidates = [
            each for each in source.connections if each.phase is IDLE or (each.phase in SLOW and each.age > SILENT)
        ]
        if not candidates:
            return False
        min(candidates, key=lambda each: (each.phase is IDLE, each.deadline)).abort()
        return True
