"""The next step and its time, and what is overdue.  Both come from `certs.rotation`, so that they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from certs.policy import RotationPolicy
from certs.rotation import Kind, next_step
from certs.situation import Situation
from certs.stored import Stored, made

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next step, and when it is due."""

    when: datetime
    kind: Kind
    why: str


def next_look(stored: Stored, now: datetime, policy: RotationPolicy, names: Sequence[str]) -> Outlook:
    """The next step if nothing else changes.  If it is already due, its time is *now*."""
    for when in [now, *sorted(each for each in _moments(Situation(stored, now, policy, names)) if each > now)]:
        # A second later, because some steps are due at a moment and others only after it.
        if (step := next_step(stored, when + _SECOND, policy, names)) is not None:
            return Outlook(when, step.kind, step.why)
    raise AssertionError("every certificate expires, so there is always a next step")


def _moments(at: Situation) -> Iterator[datetime]:
    """The times at which a step may become due."""
    policy = at.policy
    for each in at.stored.authorities:
        certificate = each.parsed()
        yield certificate.not_valid_before_utc
        yield certificate.not_valid_after_utc
        yield certificate.not_valid_after_utc - policy.wait
        yield certificate.not_valid_after_utc - policy.leaf_lifetime
        yield made(certificate) + policy.authority_renewal
        if each.published is not None:
            yield each.published + policy.wait
            yield each.published + policy.urgent_wait
        if each.retire is not None:
            yield each.retire
            yield each.retire - policy.wait
            yield each.retire + policy.wait
    if at.chain:
        yield at.chain[0].not_valid_before_utc
        yield at.chain[0].not_valid_after_utc
        yield at.chain[0].not_valid_after_utc - policy.wait
        yield made(at.chain[0]) + policy.leaf_renewal
        yield made(at.chain[0]) + policy.handover


def problems(stored: Stored, now: datetime, policy: RotationPolicy, names: Sequence[str]) -> tuple[str, ...]:
    """What is broken and what is overdue, one sentence for each."""
    at = Situation(stored, now, policy, names)
    return (*_broken(at), *_late(at))


def is_overdue(stored: Stored, now: datetime, policy: RotationPolicy, names: Sequence[str]) -> bool:
    """Whether the renewal of a CA or of an existing leaf is overdue."""
    at = Situation(stored, now, policy, names)
    return any(_late(at)) or (stored.leaf is not None and at.flaw is not None)


def _broken(at: Situation) -> Iterator[str]:
    if at.bundle is None:
        yield "webhook configuration: it does not exist, so the webhook is not called. Apply the manifests."
    elif at.flaw is None and at.leaf_issuer is not None and at.leaf_issuer.parsed() not in at.bundle:
        yield "caBundle: it lacks the CA of the leaf, so the API servers refuse the leaf. A running keeper adds the CA."
    if at.flaw is not None:
        yield f"leaf: {at.flaw}. A running keeper issues another."


def _late(at: Situation) -> Iterator[str]:
    """A leaf is due when it is old *and* an authority could issue another, which is some time after that was made."""
    policy = at.policy
    if not at.issuers:
        yield "CA: no CA may issue. A running keeper makes one."
        return
    successor = made(at.issuers[-1].parsed()) + policy.authority_renewal
    if at.now > successor + policy.grace:
        yield f"CA: its successor was due on {successor:%Y-%m-%d}. Is the keeper running?"
    if at.flaw is None:
        due = max(made(at.chain[0]) + policy.leaf_renewal, made(at.issuers[0].parsed()) + policy.wait)
        if at.now > due + policy.grace:
            yield f"leaf: it was due for renewal on {due:%Y-%m-%d}. Is the keeper running?"
