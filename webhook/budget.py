"""How much work one review may cause, in steps.

A replica decides one review after the other, so a pod that is expensive to decide delays everybody's.  Whatever is not
linear in the pod and cheap spends steps before it works: the search for a pool, node affinity, suggestions, warnings,
walks over lists that a caller makes long.
"""

from __future__ import annotations

from webhook.errors import Denial

MOST_STEPS = 20_000
"""Steps of one review.  A step takes 0.1 to 0.25 µs, so all of them together stay below 5 ms.  A pod that people write
takes 10 to 2,000, even on a fleet of hundreds of pools."""


UNLIMITED = 2**62
"""Steps for work that no caller causes."""


class OutOfSteps(Denial):
    """The pod takes more work to decide than one review may cause; nothing is known about where it would run."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"deciding this pod takes more than the {MOST_STEPS:,} steps that one review may take",
            field=field,
            hint="Name fewer containers, alternatives, node affinity expressions or tolerations",
            reason="too-large",
        )


class Budget:
    """The steps that are left of one review."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int, field: str = "spec") -> None:
        """Take *steps*.  Raises `OutOfSteps` where fewer are left; *field* is what the message points at."""
        if self.left < steps:
            self.left = 0
            raise OutOfSteps(field)
        self.left -= steps

    def afford(self, steps: int) -> bool:
        """Take *steps* if they are left: for what can be left out."""
        if self.left < steps:
            return False
        self.left -= steps
        return True
