"""The certificates that a cluster stores, as values, and the format of the authorities' records.

Secret webhook-ca                    authorities.json: a list of {certificate, key, published, retire}
Secret webhook-tls                   tls.crt and tls.key, the leaf; ca.crt, the CAs that its readers may trust
MutatingWebhookConfiguration         caBundle, the CAs that the API servers trust; the advice has a copy
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certs.authority import BACKDATE, KeyPair

RECORDS = "authorities.json"
"""The only key in the Secret of the authorities: with one key, a reader never sees half of a change."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]++-----END CERTIFICATE-----")


class BadRecords(Exception):
    """The authorities in the Secret cannot be read.  The message says what to do, and quotes nothing from them."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority, ours or foreign, and what is recorded about it."""

    certificate: bytes
    """PEM."""

    key: bytes | None = field(default=None, repr=False)
    """PEM; None if the authority is not ours, or may not issue any more."""

    published: datetime | None = None
    """When it was first seen in ``caBundle``, without a break since."""

    retire: datetime | None = None
    """When it need no longer be trusted.  None while it may issue."""

    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    def pair(self) -> KeyPair:
        """The pair to issue with.  ValueError if the key is missing."""
        if self.key is None:
            raise ValueError(f"authority {self.id}: it has no key, and may not issue.")
        return KeyPair(self.certificate, self.key)

    @property
    def id(self) -> str:
        """The beginning of the key's identifier, as in the subject of our own authorities."""
        return identifier(self.parsed())


@dataclass(frozen=True, slots=True)
class Stored:
    """The contents of all objects at one moment."""

    authorities: tuple[Authority, ...] = ()
    """Oldest first."""

    leaf: KeyPair | None = None
    leaf_bundle: bytes = b""
    """``ca.crt`` beside the leaf."""

    bundle: bytes | None = None
    """``caBundle``; None if there is no such webhook."""


def identifier(certificate: x509.Certificate) -> str:
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()[:16]


def made(certificate: x509.Certificate) -> datetime:
    """When it was issued, to the second.  For a foreign certificate: an hour after it became valid."""
    return certificate.not_valid_before_utc + BACKDATE


def certificates(bundle: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM bundle, without duplicates.  Other content is skipped, as the API server does."""
    result: dict[x509.Certificate, None] = {}
    for text in _PEM.findall(bundle):
        try:
            certificate = x509.load_pem_x509_certificate(text)
            certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            continue
        result[certificate] = None
    return tuple(result)


def bundled(authorities: Iterable[Authority]) -> bytes:
    """The authorities as a PEM bundle."""
    return b"".join(authority.parsed().public_bytes(Encoding.PEM) for authority in authorities)


def write_records(authorities: Iterable[Authority]) -> bytes:
    """The authorities in the format of the Secret."""
    rows = [
        {
            "certificate": authority.certificate.decode(),
            "key": authority.key.decode() if authority.key is not None else None,
            "published": authority.published.isoformat() if authority.published is not None else None,
            "retire": authority.retire.isoformat() if authority.retire is not None else None,
        }
        for authority in authorities
    ]
    return json.dumps(rows, indent=1).encode()


def read_records(text: bytes) -> tuple[Authority, ...]:
    """The authorities in *text*; none if it is empty.

    BadRecords: they cannot be read.  To continue as if there were none would discard keys that may still be valid.
    """
    if not text:
        return ()
    try:
        return tuple(_authority(row) for row in json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The cause is left out, because it might quote a key.
        raise BadRecords(
            f"{RECORDS}: cannot be read ({type(error).__name__}). Restore a good copy, or remove this key from the "
            f"Secret: then a new CA is made, and the current one stays trusted until its leaf expires."
        ) from None


def _authority(row: dict[str, str | None]) -> Authority:
    certificate, key = (row["certificate"] or "").encode(), row["key"]
    authority = Authority(certificate, key.encode() if key else None, _time(row["published"]), _time(row["retire"]))
    public = authority.parsed().public_key()
    if authority.key is not None and load_pem_private_key(authority.key, password=None).public_key() != public:
        raise ValueError("the key is not the certificate's")
    return authority


def _time(text: str | None) -> datetime | None:
    time = datetime.fromisoformat(text) if text is not None else None
    if time is not None and time.tzinfo is None:
        raise ValueError("the time has no zone")
    return time
