"""Lifetimes and waiting times.  Rotation uses no other numbers, and no clock except the one it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from certs.authority import AUTHORITY_LIFETIME, LEAF_LIFETIME


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """Times that fit together.  ValueError if they do not."""

    wait: timedelta = timedelta(days=1)
    """Time between publishing an authority in ``caBundle`` and issuing with it.  By then every API server must know it:
    their informers lag by seconds, or longer if an API server is cut off from etcd.  Hours cost nothing."""

    urgent_wait: timedelta = timedelta(minutes=1)
    """The same, if the current leaf works now but will not for long."""

    handover: timedelta = timedelta(minutes=15)
    """Minimum time that an authority stays trusted after its leaf was replaced.  The kubelet delivers a Secret to its
    pods within 90 s (measured in cluster-api#10522), and the server checks every 2 s."""

    leaf_lifetime: timedelta = LEAF_LIFETIME
    leaf_renewal: timedelta = timedelta(days=30)
    """Age at which a leaf is replaced.  If the keeper fails, there are eleven months to notice."""

    authority_lifetime: timedelta = AUTHORITY_LIFETIME
    authority_renewal: timedelta = timedelta(days=365)
    """Age at which the next authority is made."""

    margin: timedelta = timedelta(days=1)
    """How long an authority is trusted after the last leaf that it can have issued has expired."""

    grace: timedelta = timedelta(days=15)
    """How late a renewal may be before it counts as overdue: enough for a weekend and a week to investigate."""

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.urgent_wait <= self.wait < self.leaf_renewal < self.leaf_lifetime:
            raise ValueError(
                f"policy: {self} is out of order. Choose urgent_wait <= wait < leaf_renewal < leaf_lifetime."
            )
        last_leaf_ends = self.authority_renewal + self.wait + self.leaf_lifetime
        if last_leaf_ends + self.margin > self.authority_lifetime:
            raise ValueError(
                f"policy: the last leaf of an authority may expire {last_leaf_ends} after the authority was made, and "
                f"authority_lifetime is {self.authority_lifetime}. Make authority_lifetime at least "
                f"{last_leaf_ends + self.margin}, which includes the margin."
            )
