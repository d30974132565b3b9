"""What a cluster holds of our certificates, as values, and the authorities as text.

Secret webhook-ca                    authorities.json: a list of {certificate, key, published, retire}
Secret webhook-tls                   tls.crt and tls.key, the leaf; ca.crt, whom its readers may trust
MutatingWebhookConfiguration         caBundle, whom the API servers trust
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
"""The key in the Secret of the authorities: one, so that nobody ever sees half of a change."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class BadRecords(Exception):
    """The authorities in the Secret cannot be read.  The text says what to do, and quotes nothing of them."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority, ours or somebody's, and what we know of it."""

    certificate: bytes
    """PEM."""

    key: bytes | None = field(default=None, repr=False)
    """PEM; None where it is not ours, or may not issue any more."""

    published: datetime | None = None
    """When it was first seen in ``caBundle``, without a break since."""

    retire: datetime | None = None
    """From when on it need not be trusted.  None while it may issue."""

    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    def pair(self) -> KeyPair:
        """To issue with.  ValueError where it has no key."""
        if self.key is None:
            raise ValueError(f"authority {self.id}: it has no key, and may not issue.")
        return KeyPair(self.certificate, self.key)

    @property
    def id(self) -> str:
        """As in the subject of those that we make: the beginning of the key's identifier."""
        return identifier(self.parsed())


@dataclass(frozen=True, slots=True)
class Stored:
    """All three objects, as they were at one moment."""

    authorities: tuple[Authority, ...] = ()
    """The oldest first."""

    leaf: KeyPair | None = None
    leaf_bundle: bytes = b""
    """``ca.crt`` beside the leaf."""

    bundle: bytes | None = None
    """``caBundle``; None where there is no such webhook."""


def identifier(certificate: x509.Certificate) -> str:
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()[:16]


def made(certificate: x509.Certificate) -> datetime:
    """When it was issued, to the second; of somebody else's, an hour after it became valid."""
    return certificate.not_valid_before_utc + BACKDATE


def certificates(bundle: bytes) -> tuple[x509.Certificate, ...]:
    """Those in a bundle of PEM, each once.  What is no certificate is passed over, as the API server does."""
    found: dict[x509.Certificate, None] = {}
    for each in _PEM.findall(bundle):
        try:
            certificate = x509.load_pem_x509_certificate(each)
            certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            continue
        found[certificate] = None
    return tuple(found)


def bundled(authorities: Iterable[Authority]) -> bytes:
    """A bundle of PEM."""
    return b"".join(each.parsed().public_bytes(Encoding.PEM) for each in authorities)


def write_records(authorities: Iterable[Authority]) -> bytes:
    """The authorities as the Secret holds them."""
    rows = [
        {
            "certificate": each.certificate.decode(),
            "key": each.key.decode() if each.key is not None else None,
            "published": each.published.isoformat() if each.published is not None else None,
            "retire": each.retire.isoformat() if each.retire is not None else None,
        }
        for each in authorities
    ]
    return json.dumps(rows, indent=1).encode()


def read_records(text: bytes) -> tuple[Authority, ...]:
    """The authorities in *text*; none in an empty one.

    BadRecords: they cannot be read.  Going on as if there were none would throw away keys that may still be good.
    """
    if not text:
        return ()
    try:
        return tuple(_authority(row) for row in json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Without the cause: it might quote a key.
        raise BadRecords(
            f"{RECORDS}: cannot be read ({type(error).__name__}). Put a good copy back; or remove this key from the "
            f"Secret: then a new authority is made, and the one that is trusted now stays so while its leaf lives."
        ) from None


def _authority(row: dict[str, str | None]) -> Authority:
    certificate, key = (row["certificate"] or "").encode(), row["key"]
    found = Authority(certificate, key.encode() if key else None, _time(row["published"]), _time(row["retire"]))
    public = found.parsed().public_key()
    if found.key is not None and load_pem_private_key(found.key, password=None).public_key() != public:
        raise ValueError("the key is not the certificate's")
    return found


def _time(text: str | None) -> datetime | None:
    found = datetime.fromisoformat(text) if text is not None else None
    if found is not None and found.tzinfo is None:
        raise ValueError("a time without zone")
    return found
