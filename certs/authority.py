"""A certificate authority, and the leaf certificates that it issues.  The clock is an argument; nothing is stored.

The extensions satisfy the strictest verifiers.  OpenSSL's ``X509_V_FLAG_X509_STRICT``, which Python 3.13 and
later turn on by default, refuses an authority that limits its path length without ``keyCertSign``, and a
certificate without key identifiers.  Go, which the API server verifies with, reads names only from the subject
alternative names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3 * 365)
"""Three years.  A successor is due after one year.  Both are then trusted until the last leaf of the old one has
expired.  Two years would be enough; the third allows for a late renewal."""

LEAF_LIFETIME = timedelta(days=365)
"""One year, renewed every month: the keeper may be down for eleven months before a leaf expires."""

BACKDATE = timedelta(hours=1)
"""A certificate is valid from this long before it was issued, because the verifier's clock may be behind ours.
Skews of 5 to 30 seconds were observed (istio#32176); OPA's cert-controller also backdates by an hour."""

LONGEST_AUTHORITY_NAME = 47
"""Characters.  RFC 5280 allows 64 in a common name (ub-common-name); a space and the key identifier take 17."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)

_NO_KEY_USAGE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes

    key: bytes = field(repr=False)
    """PKCS #8, not encrypted.  The repr omits it, so that no log or traceback shows it."""

    def parsed(self) -> x509.Certificate:
        """The parsed certificate.  ValueError if it is not PEM."""
        return x509.load_pem_x509_certificate(self.certificate)


def service_names(service: str, namespace: str) -> tuple[str, str]:
    """The DNS names of a Service.  The API server uses the first, pods often the second.

    >>> service_names("webhook", "gpu-slice")
    ('webhook.gpu-slice.svc', 'webhook.gpu-slice.svc.cluster.local')
    """
    short = f"{service}.{namespace}.svc"
    return short, f"{short}.cluster.local"


def create_authority(name: str, *, now: datetime, lifetime: timedelta = AUTHORITY_LIFETIME) -> KeyPair:
    """A new authority, which may sign leaves but no other authority.

    *now* needs a time zone.  The authority is valid from an hour before *now* until *lifetime* after it.

    Its subject is *name* and the beginning of its key's identifier, so no two generations have the same subject.
    While both are trusted, a verifier that finds issuers by subject cannot pick the wrong one.

    ValueError: the name is empty or too long, the time has no zone, or the lifetime is not above zero.
    """
    if not 1 <= len(name) <= LONGEST_AUTHORITY_NAME:
        raise ValueError(
            f"authority: the name {name[:80]!r} has {len(name)} characters. Give it 1 to {LONGEST_AUTHORITY_NAME}."
        )
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {identifier.digest.hex()[:16]}")])
    usage = x509.KeyUsage(**{**_NO_KEY_USAGE, "key_cert_sign": True, "crl_sign": True})
    builder = (
        _builder(key, subject=subject, issuer=subject, now=now, lifetime=lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue_leaf(
    authority: KeyPair, names: Sequence[str], *, now: datetime, lifetime: timedelta = LEAF_LIFETIME
) -> KeyPair:
    """A serving certificate for *names*: DNS names and IP addresses, in the order given.

    *now* needs a time zone.  The leaf is valid from an hour before *now* until *lifetime* after it.  It has no
    subject, because a Service's name may be longer than the 64 characters of a common name, and no verifier
    reads it.  RFC 5280, 4.2.1.6 then requires the alternative names to be critical.

    ValueError: there are no names, or one is neither a DNS name nor an address; the time has no zone; the lifetime
    is not above zero, or ends after the authority's; the authority may not sign, or its key is of another certificate.
    """
    issuer, issuer_key = _open_authority(authority)
    if isinstance(names, str) or not names:
        raise ValueError(f"leaf: {names!r} is not a list of names. Give at least one DNS name or IP address.")

    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(key, subject=x509.Name([]), issuer=issuer.subject, now=now, lifetime=lifetime)
    end = _end(now, lifetime)
    if end > issuer.not_valid_after_utc:
        raise ValueError(
            f"leaf: it would be valid until {end:%Y-%m-%d %H:%M} UTC, its authority only until "
            f"{issuer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC. "
            f"Give it a shorter lifetime, or create a new authority."
        )

    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_KEY_USAGE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _open_authority(authority: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = authority.parsed()
    key = load_pem_private_key(authority.key, password=None)
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("authority: the certificate may not sign others. Use one made by create_authority.")
    if key.public_key() != certificate.public_key():
        raise ValueError("authority: the key is not the certificate's. Give the key that belongs to it.")
    return certificate, key


def _builder(
    key: ec.EllipticCurvePrivateKey,
    *,
    subject: x509.Name,
    issuer: x509.Name,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    if now.tzinfo is None:
        raise ValueError(f"certificate: the time {now} has no zone. Give one, as in datetime.now(UTC).")
    if lifetime <= timedelta(0):
        raise ValueError(f"certificate: a lifetime of {lifetime} is not above zero. Give a longer one.")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())  # 159 bits; RFC 5280, 4.1.2.2 allows 20 octets
        .not_valid_before(now - BACKDATE)
        .not_valid_after(_end(now, lifetime))
    )


def _end(now: datetime, lifetime: timedelta) -> datetime:
    return (now.astimezone(UTC) + lifetime).replace(microsecond=0)  # X.509 has whole seconds only


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    is_mistyped_address = name.rpartition(".")[2].isdigit()  # such as 127.0.0.256: no top-level domain is a number
    if is_mistyped_address or not _DNS_NAME.fullmatch(name):
        raise ValueError(f"leaf: {name[:80]!r} is neither a DNS name nor an IP address. Write a.b.svc or 127.0.0.1.")
    return x509.DNSName(name)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
