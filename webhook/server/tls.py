"""TLS from a directory with ``tls.crt`` and ``tls.key``, whoever wrote them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

CERTIFICATE = "tls.crt"
KEY = "tls.key"


class BadCertificate(Exception):
    """The directory has no pair that can be served.  The text says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A pair that is ready to serve."""

    context: ssl.SSLContext
    not_after: datetime


def load(directory: Path) -> Serving:
    """Read the pair in *directory*.  Raises `BadCertificate`."""
    # One look at where a Secret volume's files are, so that certificate and key are of one generation.
    try:
        generation = (directory / CERTIFICATE).resolve(strict=True).parent
        certificate = x509.load_pem_x509_certificate((generation / CERTIFICATE).read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # the API server has it since Go 1.12
        context.set_alpn_protocols(["http/1.1"])  # all that the API server speaks to a webhook
        context.load_cert_chain(generation / CERTIFICATE, generation / KEY)
    except FileNotFoundError as error:
        raise BadCertificate(
            f"{error.filename}: no such file. `gpu-slice certs init --dir {directory}` makes a pair"
        ) from None
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{directory}: {error}") from error
    return Serving(context, certificate.not_valid_after_utc)
