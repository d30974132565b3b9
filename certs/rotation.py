"""What to do now, so that every leaf that anybody serves is trusted by everybody, at every moment.

    publish   a new authority goes into ``caBundle`` beside the old
    wait      until every API server knows it: a day
    issue     a leaf by the new authority; the kubelets bring it to the servers when they please
    retire    the old authority leaves when the last leaf that it can have issued has expired

Both leaves are good under every bundle in between, so lagging kubelets and API servers do no harm.  Each step is one
write to one object: whoever takes them may be killed between any two, and the next one goes on from what is stored.
What an authority of ours did not issue, or whose records were lost, is taken in without a key, so that it stays
trusted while a leaf of it may be served.

Nothing here knows a cluster or a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import create_authority, issue_leaf
from certs.policy import Policy
from certs.situation import Situation, names_of, vouching
from certs.stored import Authority, Stored, bundled, certificates, identifier, made

__all__ = ["AUTHORITY_NAME", "Authority", "Kind", "Policy", "Step", "Stored", "next_step", "rotated"]

AUTHORITY_NAME = "gpu-slice"
"""The beginning of the subject of each authority."""


class Kind(StrEnum):
    """The steps, as metrics and logs call them."""

    ADOPT = "adopt"
    NEW_AUTHORITY = "new_authority"
    PUBLISH = "publish"
    MARK_PUBLISHED = "mark_published"
    ISSUE_LEAF = "issue_leaf"
    SUPERSEDE = "supersede"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Step:
    """One write: *after* differs from what is stored in the authorities, or in the leaf, or in the bundle."""

    kind: Kind
    why: str
    after: Stored = field(repr=False)


def next_step(stored: Stored, now: datetime, policy: Policy, names: Sequence[str]) -> Step | None:
    """What is to be written next; None when there is nothing to do.

    *names*: those that the leaf is to be good for, DNS names or addresses.  *now* needs a time zone.
    """
    at = Situation(stored, now, policy, names)
    for find in (_adopt, _new_authority, _forget_published, _publish, _mark_published, _issue, _supersede, _retire):
        if (step := find(at)) is not None:
            return step
    return None


def rotated(
    authorities: tuple[Authority, ...], now: datetime, policy: Policy, *, compromised: bool = False
) -> tuple[Authority, ...]:
    """*authorities* and a new one, of which the next leaf will be.

    *compromised*: the others lose their keys, and their trust as soon as no replica can need it any more.
    """
    others = authorities
    if compromised:
        others = tuple(replace(each, key=None, retire=min(each.retire or now, now)) for each in authorities)
    return (*others, _created(now, policy))


def _created(now: datetime, policy: Policy) -> Authority:
    pair = create_authority(AUTHORITY_NAME, now=now, lifetime=policy.authority_lifetime)
    return Authority(pair.certificate, pair.key)


def _records(at: Situation, kind: Kind, why: str, authorities: Sequence[Authority]) -> Step:
    return Step(kind, why, replace(at.stored, authorities=tuple(authorities)))


def _adopt(at: Situation) -> Step | None:
    """Take in whoever is trusted already, or issued the leaf.  Of the ``ca.crt`` beside it no more than that: it may
    be older than the end of those in it."""
    issuer = vouching(at.chain, certificates(at.stored.leaf_bundle))
    known = {each.parsed() for each in at.stored.authorities}
    found = (at.bundle or frozenset()) | ({issuer} if issuer is not None else frozenset())
    retire = at.now + at.policy.leaf_lifetime + at.policy.margin
    adopted = [
        Authority(
            each.public_bytes(Encoding.PEM),
            published=at.now if each in (at.bundle or ()) else None,
            retire=retire,
        )
        for each in sorted(found - known, key=made)
        if at.now < each.not_valid_after_utc
    ]
    if not adopted:
        return None
    ids = ", ".join(each.id for each in adopted)
    return _records(at, Kind.ADOPT, f"{ids}: trusted, but not in the records", [*adopted, *at.stored.authorities])


def _new_authority(at: Situation) -> Step | None:
    why = "none may issue"
    if at.issuers:
        newest = at.issuers[-1].parsed()
        if at.now >= made(newest) + at.policy.authority_renewal:
            why = f"{identifier(newest)}: due for its successor"
        elif newest.not_valid_after_utc < at.now + at.policy.leaf_lifetime:
            why = f"{identifier(newest)}: ends before a leaf of it would"
        else:
            return None
    return _records(at, Kind.NEW_AUTHORITY, why, [*at.stored.authorities, _created(at.now, at.policy)])


def _forget_published(at: Situation) -> Step | None:
    """Somebody took it out of the bundle, so that the wait begins anew.  First this, then `_publish`: the other way
    round, whoever is killed between the two would leave a time that is too early."""
    if at.bundle is None:
        return None
    gone = [each for each in at.trusted if each.published is not None and each.parsed() not in at.bundle]
    if not gone:
        return None
    why = f"{gone[0].id}: no longer in caBundle"
    after = [replace(each, published=None) if each in gone else each for each in at.stored.authorities]
    return _records(at, Kind.MARK_PUBLISHED, why, after)


def _publish(at: Situation) -> Step | None:
    wanted = {each.parsed() for each in at.trusted}
    if at.bundle is None or wanted == at.bundle:
        return None
    parts = [("adds", wanted - at.bundle), ("removes", at.bundle - wanted)]
    why = "; ".join(f"{verb} {', '.join(sorted(map(identifier, who)))}" for verb, who in parts if who)
    return Step(Kind.PUBLISH, why, replace(at.stored, bundle=bundled(at.trusted)))


def _mark_published(at: Situation) -> Step | None:
    # A time that has not come yet is from a clock that was wrong, and would keep it from issuing.
    seen = [
        each
        for each in at.stored.authorities
        if each.parsed() in (at.bundle or ()) and (each.published is None or each.published > at.now)
    ]
    if not seen:
        return None
    why = f"{', '.join(each.id for each in seen)}: stands in caBundle"
    after = [replace(each, published=at.now) if each in seen else each for each in at.stored.authorities]
    return _records(at, Kind.MARK_PUBLISHED, why, after)


def _issue(at: Situation) -> Step | None:
    issuer: Authority | None
    why: str | None
    if at.flaw is not None:  # nothing to lose: the one that most API servers know, or any
        published = next((each for each in at.issuers if each.published is not None), None)
        issuer, why = at.ripe or published or at.issuers[0], at.flaw
    elif at.fading is not None:
        issuer, why = at.nearly_ripe, at.fading
    else:
        issuer, why = at.ripe, _due(at)
    if issuer is None or issuer.key is None or why is None:
        return None
    lifetime = min(at.policy.leaf_lifetime, issuer.parsed().not_valid_after_utc - at.now)
    leaf = issue_leaf(issuer.pair(), at.names, now=at.now, lifetime=lifetime)
    after = replace(at.stored, leaf=leaf, leaf_bundle=bundled(at.trusted))
    return Step(Kind.ISSUE_LEAF, f"by {issuer.id}, as to the present one: {why}", after)


def _due(at: Situation) -> str | None:
    """Why a leaf that serves well is replaced all the same."""
    if at.now >= made(at.chain[0]) + at.policy.leaf_renewal:
        return "it is due for renewal"
    if at.ripe is not None and at.leaf_issuer not in at.issuers[at.issuers.index(at.ripe) :]:
        return "there is a newer CA"
    if names_of(at.chain[0]) != frozenset(at.names):
        return "it has names that are not asked for"
    return None


def _supersede(at: Situation) -> Step | None:
    """Who will issue no more needs no key that could be stolen.  The last leaf of it is at most as young as now."""
    if at.flaw is not None or at.leaf_issuer not in at.issuers:
        return None
    older = at.stored.authorities[: at.stored.authorities.index(at.leaf_issuer)]
    past = [each for each in older if each.retire is None]
    if not past:
        return None
    retire = at.now + at.policy.leaf_lifetime + at.policy.margin
    after = [replace(each, key=None, retire=retire) if each in past else each for each in at.stored.authorities]
    return _records(at, Kind.SUPERSEDE, f"{', '.join(each.id for each in past)}: issues no more", after)


def _retire(at: Situation) -> Step | None:
    """Forget those that are trusted no more; a while later than that, so that a bundle which somebody puts back from
    a copy is not adopted."""
    if at.bundle is None:
        return None
    over = [
        each
        for each in at.stored.authorities
        if each.parsed() not in at.bundle
        and (at.has_ended(each) or (each.retire is not None and at.now >= each.retire + at.policy.wait))
    ]
    if not over:
        return None
    after = [each for each in at.stored.authorities if each not in over]
    return _records(at, Kind.RETIRE, f"{', '.join(each.id for each in over)}: trusted no more", after)
