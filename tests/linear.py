"""Whether work ends: a bound in seconds of processor time, for what takes milliseconds unless it is quadratic."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooMuchWork(BaseException):
    """No `Exception`, which the code under test may catch."""


@contextmanager
def ending(seconds: float = 2) -> Iterator[None]:
    """Interrupt what takes more than *seconds* of processor time, even inside a regular expression.

    It is no measurement: what is tested takes a hundredth of that, or ten times as much.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooMuchWork(f"more than {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
