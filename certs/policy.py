"""How long things last and wait.  Rotation knows no other numbers, and no other clock than it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from certs.authority import AUTHORITY_LIFETIME, LEAF_LIFETIME


@dataclass(frozen=True, slots=True)
class Policy:
    """A scale of times.  ValueError where they do not fit each other."""

    wait: timedelta = timedelta(days=1)
    """From when an authority was seen in ``caBundle`` until it issues.  By then every API server must know it: their
    informers lag by seconds, one that is cut off from etcd by more.  Hours cost nothing."""

    urgent_wait: timedelta = timedelta(minutes=1)
    """The same, where the present leaf still works but will not for long."""

    handover: timedelta = timedelta(minutes=15)
    """How long an authority stays trusted at least after its leaf was replaced.  The kubelet brings a Secret to its
    pods within 90 s (cluster-api#10522 timed it), and the server looks every 2 s."""

    leaf_lifetime: timedelta = LEAF_LIFETIME
    leaf_renewal: timedelta = timedelta(days=30)
    """Age at which a leaf is replaced: a keeper that died unseen leaves eleven months to notice."""

    authority_lifetime: timedelta = AUTHORITY_LIFETIME
    authority_renewal: timedelta = timedelta(days=365)
    """Age at which the next authority is made."""

    margin: timedelta = timedelta(days=1)
    """For how long an authority is trusted beyond the end of the last leaf that it can have issued."""

    grace: timedelta = timedelta(days=15)
    """How late a renewal may be before it counts as overdue: a week-end, and a week to look into it."""

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.urgent_wait <= self.wait < self.leaf_renewal < self.leaf_lifetime:
            raise ValueError(
                f"policy: {self} is out of order. Let urgent_wait <= wait < leaf_renewal < leaf_lifetime hold."
            )
        last_leaf_ends = self.authority_renewal + self.wait + self.leaf_lifetime
        if last_leaf_ends + self.margin > self.authority_lifetime:
            raise ValueError(
                f"policy: the last leaf of an authority may end {last_leaf_ends} after it was made, and the authority "
                f"after {self.authority_lifetime}. Let authority_lifetime be longer by {self.margin}, the margin."
            )
