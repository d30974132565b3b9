"""The stored state at one moment: which authorities are trusted, which may issue, what is wrong with the leaf."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.policy import RotationPolicy
from certs.stored import Authority, Stored, certificates, made


@dataclass(frozen=True)
class Situation:
    """*names*: the names that the leaf must have."""

    stored: Stored
    now: datetime
    policy: RotationPolicy
    names: Sequence[str]

    @cached_property
    def bundle(self) -> frozenset[x509.Certificate] | None:
        """The certificates that API servers are told to trust; None if there is no such webhook."""
        return None if self.stored.bundle is None else frozenset(certificates(self.stored.bundle))

    @cached_property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The leaf, and the certificates after it in its file."""
        return certificates(self.stored.leaf.certificate) if self.stored.leaf is not None else ()

    @cached_property
    def leaf_issuer(self) -> Authority | None:
        """The authority that issued the leaf, trusted or not."""
        issuer = vouching(self.chain, [authority.parsed() for authority in reversed(self.stored.authorities)])
        return next((authority for authority in self.stored.authorities if authority.parsed() == issuer), None)

    @cached_property
    def trusted(self) -> tuple[Authority, ...]:
        """The authorities that belong in ``caBundle``."""
        return tuple(authority for authority in self.stored.authorities if self._is_trusted(authority))

    def _is_trusted(self, authority: Authority) -> bool:
        if self.has_ended(authority):
            return False
        if authority.retire is None or self.now < authority.retire:
            return True
        # If the keeper was down, this time may pass before the leaf was replaced or the new one reached all replicas.
        if not self.chain or self.bundle is None or authority.parsed() not in self.bundle:
            return False
        leaf = self.chain[0]
        serves = authority == self.leaf_issuer and self.now < leaf.not_valid_after_utc
        return serves or self.now < made(leaf) + self.policy.handover

    def has_ended(self, authority: Authority) -> bool:
        return self.now >= authority.parsed().not_valid_after_utc

    @cached_property
    def issuers(self) -> tuple[Authority, ...]:
        """The authorities that may issue, published or not."""
        return tuple(
            authority
            for authority in self.stored.authorities
            if authority.key is not None
            and authority.retire is None
            and authority.parsed().not_valid_before_utc <= self.now
            and self.now < authority.parsed().not_valid_after_utc - self.policy.wait
        )

    @cached_property
    def ripe(self) -> Authority | None:
        """The newest issuer that every API server knows."""
        return next((issuer for issuer in reversed(self.issuers) if self._is_known(issuer, urgent=False)), None)

    @cached_property
    def nearly_ripe(self) -> Authority | None:
        """If none is ripe, the oldest issuer that API servers should know, for when there is no time to be sure."""
        return self.ripe or next((issuer for issuer in self.issuers if self._is_known(issuer, urgent=True)), None)

    def _is_known(self, authority: Authority, *, urgent: bool) -> bool:
        wait = self.policy.urgent_wait if urgent else self.policy.wait
        return authority.published is not None and authority.published + wait <= self.now

    @cached_property
    def flaw(self) -> str | None:
        """Why the leaf cannot serve; None if it can."""
        if self.stored.leaf is None:
            return "there is none"
        if not self.chain or not _fits(self.chain[0], self.stored.leaf.key):
            return "it cannot be read, or has another key"
        leaf = self.chain[0]
        if self.now >= leaf.not_valid_after_utc:
            return "it has expired"
        if self.now < leaf.not_valid_before_utc:
            return "it is not valid yet"
        if missing := [name for name in self.names if name not in names_of(leaf)]:
            return f"it is not for {missing[0]}"
        if self.leaf_issuer not in self.trusted:
            return "no trusted CA issued it"
        bundle = certificates(self.stored.leaf_bundle)
        if self.stored.leaf_bundle.strip() and vouching(self.chain, bundle) is None:
            return "no CA in the ca.crt beside it issued it"  # the server would refuse it
        return None

    @cached_property
    def fading(self) -> str | None:
        """Why a leaf that can serve now will not for long; None if it will."""
        if self.flaw is not None or self.leaf_issuer is None:
            return None
        soon = self.now + self.policy.wait
        if self.chain[0].not_valid_after_utc <= soon:
            return "it expires soon"
        if self.leaf_issuer.retire is not None and self.leaf_issuer.retire <= soon:
            return "its CA will soon no longer be trusted"
        return None


def vouching(chain: Sequence[x509.Certificate], trusted: Iterable[x509.Certificate]) -> x509.Certificate | None:
    """The certificate in *trusted* that issued the first of *chain*, directly or through the others in it."""
    trusted, intermediates = tuple(trusted), list(chain)
    subject = intermediates.pop(0) if intermediates else None
    while subject is not None:
        for certificate in trusted:
            if certificate == subject or _issued(subject, certificate):
                return certificate
        issuer = next((certificate for certificate in intermediates if _issued(subject, certificate)), None)
        if issuer is not None:
            intermediates.remove(issuer)
        subject = issuer
    return None


def _issued(subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _fits(certificate: x509.Certificate, key: bytes) -> bool:
    try:
        return load_pem_private_key(key, password=None).public_key() == certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The alternative names of *certificate*: DNS names and addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    addresses = names.get_values_for_type(x509.IPAddress)
    return frozenset(names.get_values_for_type(x509.DNSName)) | frozenset(map(str, addresses))
