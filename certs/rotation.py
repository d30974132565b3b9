"""The next step of a rotation.  At every moment, every served leaf is trusted by every API server.

    publish   a new authority is added to ``caBundle`` beside the old one
    wait      until every API server knows it: a day
    issue     the new authority issues a leaf; the kubelets deliver it to the servers at any time
    retire    the old authority is removed when the last leaf that it can have issued has expired

Both leaves are valid under every bundle in between, so lagging kubelets and API servers do no harm.  Each step is one
write to one object.  The keeper may be killed between any two steps, and the next keeper continues from what is stored.
An authority that is not in the records, because it is foreign or the records were lost, is adopted without a key, so
that it stays trusted while a server may still use its leaf.

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
    situation = Situation(stored, now, policy, names)
    for find in (_adopt, _new_authority, _forget_published, _publish, _mark_published, _issue, _supersede, _retire):
        if (step := find(situation)) is not None:
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
        others = tuple(
            replace(authority, key=None, retire=min(authority.retire or now, now)) for authority in authorities
        )
    return (*others, _created(now, policy))


def _created(now: datetime, policy: RotationPolicy) -> Authority:
    pair = create_authority(AUTHORITY_NAME, now=now, lifetime=policy.authority_lifetime)
    return Authority(pair.certificate, pair.key)


def _records(situation: Situation, kind: Kind, why: str, authorities: Sequence[Authority]) -> Step:
    return Step(kind, why, replace(situation.stored, authorities=tuple(authorities)))


def _adopt(situation: Situation) -> Step | None:
    """Adopt authorities that are already trusted, or that issued the leaf.  Other certificates in the ``ca.crt`` beside
    the leaf are not adopted: the file may be older than their retirement."""
    issuer = vouching(situation.chain, certificates(situation.stored.leaf_bundle))
    known = {authority.parsed() for authority in situation.stored.authorities}
    in_use = (situation.bundle or frozenset()) | ({issuer} if issuer is not None else frozenset())
    retire = situation.now + situation.policy.leaf_lifetime + situation.policy.margin
    adopted = [
        Authority(
            certificate.public_bytes(Encoding.PEM),
            published=situation.now if certificate in (situation.bundle or ()) else None,
            retire=retire,
        )
        for certificate in sorted(in_use - known, key=made)
        if situation.now < certificate.not_valid_after_utc
    ]
    if not adopted:
        return None
    ids = ", ".join(authority.id for authority in adopted)
    return _records(
        situation, Kind.ADOPT, f"{ids}: trusted, but not in the records", [*adopted, *situation.stored.authorities]
    )


def _new_authority(situation: Situation) -> Step | None:
    why = "no CA may issue"
    if situation.issuers:
        newest = situation.issuers[-1].parsed()
        if situation.now >= made(newest) + situation.policy.authority_renewal:
            why = f"{identifier(newest)}: its successor is due"
        elif newest.not_valid_after_utc < situation.now + situation.policy.leaf_lifetime:
            why = f"{identifier(newest)}: it expires before a new leaf would"
        else:
            return None
    return _records(
        situation, Kind.NEW_AUTHORITY, why, [*situation.stored.authorities, _created(situation.now, situation.policy)]
    )


def _forget_published(situation: Situation) -> Step | None:
    """An authority was removed from the bundle by another client, so its wait starts again.  This step comes before
    `_publish`: in the opposite order, a keeper killed between the two would leave a time that is too early."""
    if situation.bundle is None:
        return None
    removed = [
        authority
        for authority in situation.trusted
        if authority.published is not None and authority.parsed() not in situation.bundle
    ]
    if not removed:
        return None
    why = f"{removed[0].id}: no longer in caBundle"
    after = [
        replace(authority, published=None) if authority in removed else authority
        for authority in situation.stored.authorities
    ]
    return _records(situation, Kind.MARK_PUBLISHED, why, after)


def _publish(situation: Situation) -> Step | None:
    wanted = {authority.parsed() for authority in situation.trusted}
    if situation.bundle is None or wanted == situation.bundle:
        return None
    parts = [("adds", wanted - situation.bundle), ("removes", situation.bundle - wanted)]
    why = "; ".join(f"{verb} {', '.join(sorted(map(identifier, changed)))}" for verb, changed in parts if changed)
    return Step(Kind.PUBLISH, why, replace(situation.stored, bundle=bundled(situation.trusted)))


def _mark_published(situation: Situation) -> Step | None:
    # A time in the future comes from a wrong clock, and would keep the authority from issuing.
    published = [
        authority
        for authority in situation.stored.authorities
        if authority.parsed() in (situation.bundle or ())
        and (authority.published is None or authority.published > situation.now)
    ]
    if not published:
        return None
    why = f"{', '.join(authority.id for authority in published)}: in caBundle"
    after = [
        replace(authority, published=situation.now) if authority in published else authority
        for authority in situation.stored.authorities
    ]
    return _records(situation, Kind.MARK_PUBLISHED, why, after)


def _issue(situation: Situation) -> Step | None:
    issuer: Authority | None
    why: str | None
    if (
        situation.flaw is not None
    ):  # the leaf does not work anyway: use the authority that most API servers know, or any
        published = next((authority for authority in situation.issuers if authority.published is not None), None)
        issuer, why = situation.ripe or published or situation.issuers[0], situation.flaw
    elif situation.fading is not None:
        issuer, why = situation.nearly_ripe, situation.fading
    else:
        issuer, why = situation.ripe, _due(situation)
    if issuer is None or issuer.key is None or why is None:
        return None
    lifetime = min(situation.policy.leaf_lifetime, issuer.parsed().not_valid_after_utc - situation.now)
    leaf = issue_leaf(issuer.pair(), situation.names, now=situation.now, lifetime=lifetime)
    after = replace(situation.stored, leaf=leaf, leaf_bundle=bundled(situation.trusted))
    return Step(Kind.ISSUE_LEAF, f"by {issuer.id}; the current leaf: {why}", after)


def _due(situation: Situation) -> str | None:
    """Why a leaf is replaced although it can serve."""
    if situation.now >= made(situation.chain[0]) + situation.policy.leaf_renewal:
        return "it is due for renewal"
    if (
        situation.ripe is not None
        and situation.leaf_issuer not in situation.issuers[situation.issuers.index(situation.ripe) :]
    ):
        return "there is a newer CA"
    if names_of(situation.chain[0]) != frozenset(situation.names):
        return "it has other names than required"
    return None


def _supersede(situation: Situation) -> Step | None:
    """An authority that no longer issues loses its key, so that it cannot be stolen.  Its last leaf was issued before
    *now*."""
    if situation.flaw is not None or situation.leaf_issuer not in situation.issuers:
        return None
    older = situation.stored.authorities[: situation.stored.authorities.index(situation.leaf_issuer)]
    superseded = [authority for authority in older if authority.retire is None]
    if not superseded:
        return None
    retire = situation.now + situation.policy.leaf_lifetime + situation.policy.margin
    after = [
        replace(authority, key=None, retire=retire) if authority in superseded else authority
        for authority in situation.stored.authorities
    ]
    why = f"{', '.join(authority.id for authority in superseded)}: no longer issues"
    return _records(situation, Kind.SUPERSEDE, why, after)


def _retire(situation: Situation) -> Step | None:
    """Forget authorities that are no longer trusted.  This happens some time after they left ``caBundle``, so that an
    old bundle restored from a copy is not adopted."""
    if situation.bundle is None:
        return None
    retired = [
        authority
        for authority in situation.stored.authorities
        if authority.parsed() not in situation.bundle
        and (
            situation.has_ended(authority)
            or (authority.retire is not None and situation.now >= authority.retire + situation.policy.wait)
        )
    ]
    if not retired:
        return None
    after = [authority for authority in situation.stored.authorities if authority not in retired]
    why = f"{', '.join(authority.id for authority in retired)}: no longer trusted"
    return _records(situation, Kind.RETIRE, why, after)
