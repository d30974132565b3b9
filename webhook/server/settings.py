"""Every setting of the server: its default, its unit, and why that default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How `webhook.server.run` serves.  The command line fills it."""

    tls_directory: Path
    """Has ``tls.crt`` and ``tls.key``."""
    fleet: Path | None = None
    """The fleet file; None for the built-in one."""
    host: str = ""
    """Address to listen on; empty for all of them, IPv6 too."""
    port: int = 10250
    """HTTPS.  EKS' restricted security group lets the control plane reach 443, 10250 and 53 only."""
    ops_port: int = 8080
    """Plain HTTP: health, metrics, and previews where asked for."""
    preview: bool = False
    """Previews, catalogue and fleet on the second port: for people, so not where nobody asked for them."""
    log_level: str = "info"
    names: tuple[str, ...] = ()
    """Host names for which a certificate must be good to be served; the API server asks for SERVICE.NAMESPACE.svc."""
    poll: float = 2.0
    """Seconds between two looks at the fleet file and the certificate.  The kubelet takes about a minute to bring
    new ones."""
    settle: float = 30.0
    """Seconds from SIGTERM in which new connections are answered in any case: until then an API server or a
    kube-proxy may not know yet that this replica leaves."""


MOST_BODY = 7 * 1024 * 1024
"""Bytes of a review.  An API server takes objects of 3 MiB, and a review may carry two of them and some more;
controller-runtime has the same limit (``pkg/webhook/admission/http.go``)."""
