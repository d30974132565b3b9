"""The next step of a rotation.  At every moment, every served leaf is trusted by every API server.

    publish   a new authority is added to ``caBundle`` beside the old one
    wait      until every API server knows it: a day
    issue     the new authority issues a leaf; the kubelets deliver it to the servers at any time
    retire    the old authority is removed when the last leaf that it can have issued has expired

Both leaves are valid under every bundle in between, so lagging kubelets and API servers do no harm.  Each step is one
write to one object.  The keeper may be killed between any two steps, and the next keeper continues from what is stored.
An authority that is not in the records, because it is foreign or the records were lost, is adopted without a key, so
that it stays trusted while a leaf of it may be served.

This module uses no cluster and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import create_authority, issue_leaf
from certs.policy import RotationPolicy
from certs.situation import Situation, names_of, vouching
from certs.stored import Authority, Stored, bundled, certificates, identifier, made

__all__ = ["AUTHORITY_NAME", "Authority", "Kind", "RotationPolicy", "Step", "Stored", "next_step", "rotated"]

AUTHORITY_NAME = "gpu-slice"
"""The subject of every authority begins with this."""


class Kind(StrEnum):
    """The steps, with their names in metrics and logs."""

    ADOPT = "adopt"
    NEW_AUTHORITY = "new_authority"
    PUBLISH = "publish"
    MARK_PUBLISHED = "mark_published"
    ISSUE_LEAF = "issue_leaf"
    SUPERSEDE = "supersede"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Step:
    """One write: *after* differs from the stored state in the authorities, in the leaf, or in the bundle."""

    kind: Kind
    why: str
    after: Stored = field(repr=False)


def next_step(stored: Stored, now: datetime, policy: RotationPolicy, names: Sequence[str]) -> Step | None:
    """The next write; None if there is nothing to do.

    *names*: the names of the leaf, DNS names or addresses.  *now* needs a time zone.
    """
    at = Situation(stored, now, policy, names)
    for find in (_adopt, _new_authority, _forget_published, _publish, _mark_published, _issue, _supersede, _retire):
        if (step := find(at)) is not None:
            return step
    return None


def rotated(
    authorities: tuple[Authority, ...], now: datetime, policy: RotationPolicy, *, compromised: bool = False
) -> tuple[Authority, ...]:
    """*authorities* and a new one, which will issue the next leaf.

    *compromised*: the others lose their keys, and are no longer trusted as soon as no replica can need them.
    """
    others = authorities
    if compromised:
        others = tuple(replace(each, key=None, retire=min(each.retire or now, now)) for each in authorities)
    return (*others, _created(now, policy))


def _created(now: datetime, policy: RotationPolicy) -> Authority:
    pair = create_authority(AUTHORITY_NAME, now=now, lifetime=policy.authority_lifetime)
    return Authority(pair.certificate, pair.key)


def _records(at: Situation, kind: Kind, why: str, authorities: Sequence[Authority]) -> Step:
    return Step(kind, why, replace(at.stored, authorities=tuple(authorities)))


def _adopt(at: Situation) -> Step | None:
    """Adopt authorities that are already trusted, or that issued the leaf.  Other certificates in the ``ca.crt`` beside
    the leaf are not adopted: the file may be older than their retirement."""
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
    why = "no CA may issue"
    if at.issuers:
        newest = at.issuers[-1].parsed()
        if at.now >= made(newest) + at.policy.authority_renewal:
            why = f"{identifier(newest)}: its successor is due"
        elif newest.not_valid_after_utc < at.now + at.policy.leaf_lifetime:
            why = f"{identifier(newest)}: it expires before a new leaf would"
        else:
            return None
    return _records(at, Kind.NEW_AUTHORITY, why, [*at.stored.authorities, _created(at.now, at.policy)])


def _forget_published(at: Situation) -> Step | None:
    """An authority was removed from the bundle by another client, so its wait starts again.  This step comes before
    `_publish`: in the opposite order, a keeper killed between the two would leave a time that is too early."""
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
    # A time in the future comes from a wrong clock, and would keep the authority from issuing.
    seen = [
        each
        for each in at.stored.authorities
        if each.parsed() in (at.bundle or ()) and (each.published is None or each.published > at.now)
    ]
    if not seen:
        return None
    why = f"{', '.join(each.id for each in seen)}: in caBundle"
    after = [replace(each, published=at.now) if each in seen else each for each in at.stored.authorities]
    return _records(at, Kind.MARK_PUBLISHED, why, after)


def _issue(at: Situation) -> Step | None:
    issuer: Authority | None
    why: str | None
    if at.flaw is not None:  # nothing to lose: use the authority that most API servers know, or any
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
    return Step(Kind.ISSUE_LEAF, f"by {issuer.id}; the current leaf: {why}", after)


def _due(at: Situation) -> str | None:
    """Why a leaf is replaced although it can serve."""
    if at.now >= made(at.chain[0]) + at.policy.leaf_renewal:
        return "it is due for renewal"
    if at.ripe is not None and at.leaf_issuer not in at.issuers[at.issuers.index(at.ripe) :]:
        return "there is a newer CA"
    if names_of(at.chain[0]) != frozenset(at.names):
        return "it has other names than required"
    return None


def _supersede(at: Situation) -> Step | None:
    """An authority that no longer issues loses its key, so that it cannot be stolen.  Its last leaf was issued before
    *now*."""
    if at.flaw is not None or at.leaf_issuer not in at.issuers:
        return None
    older = at.stored.authorities[: at.stored.authorities.index(at.leaf_issuer)]
    past = [each for each in older if each.retire is None]
    if not past:
        return None
    retire = at.now + at.policy.leaf_lifetime + at.policy.margin
    after = [replace(each, key=None, retire=retire) if each in past else each for each in at.stored.authorities]
    return _records(at, Kind.SUPERSEDE, f"{', '.join(each.id for each in past)}: no longer issues", after)


def _retire(at: Situation) -> Step | None:
    """Forget authorities that are no longer trusted.  This happens some time after they left ``caBundle``, so that an
    old bundle restored from a copy is not adopted."""
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
    return _records(at, Kind.RETIRE, f"{', '.join(each.id for each in over)}: no longer trusted", after)
