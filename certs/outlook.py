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
    for when in [now, *sorted(moment for moment in _moments(Situation(stored, now, policy, names)) if moment > now)]:
        # A second later, because some steps are due at a moment and others only after it.
        if (step := next_step(stored, when + _SECOND, policy, names)) is not None:
            return Outlook(when, step.kind, step.why)
    raise AssertionError("every certificate expires, so there is always a next step")


def _moments(situation: Situation) -> Iterator[datetime]:
    """The times at which a step may become due."""
    policy = situation.policy
    for authority in situation.stored.authorities:
        certificate = authority.parsed()
        yield certificate.not_valid_before_utc
        yield certificate.not_valid_after_utc
        yield certificate.not_valid_after_utc - policy.wait
        yield certificate.not_valid_after_utc - policy.leaf_lifetime
        yield made(certificate) + policy.authority_renewal
        if authority.published is not None:
            yield authority.published + policy.wait
            yield authority.published + policy.urgent_wait
        if authority.retire is not None:
            yield authority.retire
            yield authority.retire - policy.wait
            yield authority.retire + policy.wait
    if situation.chain:
        yield situation.chain[0].not_valid_before_utc
        yield situation.chain[0].not_valid_after_utc
        yield situation.chain[0].not_valid_after_utc - policy.wait
        yield made(situation.chain[0]) + policy.leaf_renewal
        yield made(situation.chain[0]) + policy.handover


def problems(stored: Stored, now: datetime, policy: RotationPolicy, names: Sequence[str]) -> tuple[str, ...]:
    """What is broken and what is overdue, one sentence for each."""
    situation = Situation(stored, now, policy, names)
    return (*_broken(situation), *_late(situation))


def is_overdue(stored: Stored, now: datetime, policy: RotationPolicy, names: Sequence[str]) -> bool:
    """Whether the renewal of a CA or of an existing leaf is overdue."""
    situation = Situation(stored, now, policy, names)
    return any(_late(situation)) or (stored.leaf is not None and situation.flaw is not None)


def _broken(situation: Situation) -> Iterator[str]:
    if situation.bundle is None:
        yield "webhook configuration: it does not exist, so the webhook is not called. Apply the manifests."
    elif (
        situation.flaw is None
        and situation.leaf_issuer is not None
        and situation.leaf_issuer.parsed() not in situation.bundle
    ):
        yield "caBundle: it lacks the CA of the leaf, so the API servers refuse the leaf. A running keeper adds the CA."
    if situation.flaw is not None:
        yield f"leaf: {situation.flaw}. A running keeper issues another."


def _late(situation: Situation) -> Iterator[str]:
    """What is overdue.  A leaf is due when it is old *and* an authority may issue another one."""
    policy = situation.policy
    if not situation.issuers:
        yield "CA: no CA may issue. A running keeper makes one."
        return
    successor = made(situation.issuers[-1].parsed()) + policy.authority_renewal
    if situation.now > successor + policy.grace:
        yield f"CA: its successor was due on {successor:%Y-%m-%d}. Is the keeper running?"
    if situation.flaw is None:
        due = max(made(situation.chain[0]) + policy.leaf_renewal, made(situation.issuers[0].parsed()) + policy.wait)
        if situation.now > due + policy.grace:
            yield f"leaf: it was due for renewal on {due:%Y-%m-%d}. Is the keeper running?"
