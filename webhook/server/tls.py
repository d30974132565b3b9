"""TLS from a directory with ``tls.crt`` and ``tls.key``, whoever wrote them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

CERTIFICATE = "tls.crt"
KEY = "tls.key"

_TURNS = 4
"""A TLS 1.3 handshake is over after two turns of each side."""


class BadCertificate(Exception):
    """The directory has no pair that can be served.  The text says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A pair that is ready to serve: a handshake was made with it."""

    context: ssl.SSLContext
    not_after: float
    """When the certificate expires, as a Unix time."""


def load(directory: Path) -> Serving:
    """Read the pair in *directory*, and try it.  Raises `BadCertificate`."""
    # Resolved once, so that certificate and key are of one generation of a Secret volume.
    certificate = (directory / CERTIFICATE).resolve()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # the API server has it since Go 1.12
        context.set_alpn_protocols(["http/1.1"])  # all that the API server speaks to a webhook
        context.load_cert_chain(certificate, certificate.parent / KEY)
        return Serving(context, _try(context, certificate))
    except FileNotFoundError:
        raise BadCertificate(
            f"{directory}: no {CERTIFICATE} and {KEY}. `gpu-slice certs init --dir {directory}` makes a pair"
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise BadCertificate(f"{directory / CERTIFICATE}: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{directory}: {error}") from error


def _try(context: ssl.SSLContext, certificate: Path) -> float:
    """Shake hands in memory with a client that trusts this very certificate; when it expires."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.load_verify_locations(certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer need not be there
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there)
    server = context.wrap_bio(there, back, server_side=True)
    for side in (client, server) * _TURNS:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = client.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(found["notAfter"]))
