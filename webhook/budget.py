"""How much work one review may cause, in steps.

A replica decides one review after the other, so an expensive pod delays all others.  Work that is not cheap and linear
in the pod spends steps first: the search for a pool, node affinity, suggestions, warnings, and loops over lists whose
length the caller chooses.
"""

from __future__ import annotations

from webhook.errors import Denial

MOST_STEPS = 20_000
"""Steps of one review.  A step takes 0.1 to 0.25 µs, so a review takes less than 5 ms.  An ordinary pod takes 10 to
2,000 steps, even on a fleet of hundreds of pools."""


UNLIMITED = 2**62
"""Steps for work that no caller causes."""


class OutOfSteps(Denial):
    """The pod takes more work to decide than one review may cause.  It is not known whether a pool could serve it."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"deciding this pod takes more than the {MOST_STEPS:,} steps that one review may take",
            field=field,
            hint="Name fewer containers, alternatives, node affinity expressions or tolerations",
            reason="too-large",
        )


class Budget:
    """The steps that one review has left."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int, field: str = "spec") -> None:
        """Take *steps*.  Raises `OutOfSteps` if fewer are left; *field* is for its message."""
        if self.left < steps:
            self.left = 0
            raise OutOfSteps(field)
        self.left -= steps

    def afford(self, steps: int) -> bool:
        """Take *steps* if they are left, and return whether they were: for optional work."""
        if self.left < steps:
            return False
        self.left -= steps
        return True
