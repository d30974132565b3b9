"""Waiting for what is expected, instead of sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T], *, seconds: float = 180) -> T:
    """The first true answer of *condition*.  Raises TimeoutError, with its last answer, after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s; last seen: {answer!r}")
        time.sleep(0.05)
