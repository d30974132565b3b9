"""What comes next, when, and what should have come already.  Asked of rotation itself, so that they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from certs.policy import Policy
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


def next_look(stored: Stored, now: datetime, policy: Policy, names: Sequence[str]) -> Outlook:
    """The next thing that happens while nothing else changes; *now* where it is due already."""
    for when in [now, *sorted(each for each in _moments(Situation(stored, now, policy, names)) if each > now)]:
        # A second later, as some steps are due at a moment and others after it.
        if (step := next_step(stored, when + _SECOND, policy, names)) is not None:
            return Outlook(when, step.kind, step.why)
    raise AssertionError("certificates end, and so something is always to come")


def _moments(at: Situation) -> Iterator[datetime]:
    """When something may become due."""
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


def problems(stored: Stored, now: datetime, policy: Policy, names: Sequence[str]) -> tuple[str, ...]:
    """What does not work now, and what should have been renewed by now and was not; a sentence each."""
    at = Situation(stored, now, policy, names)
    return (*_broken(at), *_late(at))


def is_overdue(stored: Stored, now: datetime, policy: Policy, names: Sequence[str]) -> bool:
    """Whether something should have been renewed by now and was not: a CA, or a leaf that is there."""
    at = Situation(stored, now, policy, names)
    return any(_late(at)) or (stored.leaf is not None and at.flaw is not None)


def _broken(at: Situation) -> Iterator[str]:
    if at.bundle is None:
        yield "webhook configuration: is not there, so nobody calls the webhook. Apply the manifests."
    elif at.flaw is None and at.leaf_issuer is not None and at.leaf_issuer.parsed() not in at.bundle:
        yield "caBundle: lacks the CA of the leaf, so the API servers refuse it. A running keeper adds it."
    if at.flaw is not None:
        yield f"leaf: {at.flaw}. A running keeper issues another."


def _late(at: Situation) -> Iterator[str]:
    """A leaf is due when it is old *and* there was an authority to issue another: a while after it was made."""
    policy = at.policy
    if not at.issuers:
        yield "CA: none may issue. A running keeper makes another."
        return
    successor = made(at.issuers[-1].parsed()) + policy.authority_renewal
    if at.now > successor + policy.grace:
        yield f"CA: its successor was due on {successor:%Y-%m-%d}. Is the keeper running?"
    if at.flaw is None:
        due = max(made(at.chain[0]) + policy.leaf_renewal, made(at.issuers[0].parsed()) + policy.wait)
        if at.now > due + policy.grace:
            yield f"leaf: it was due for renewal on {due:%Y-%m-%d}. Is the keeper running?"
