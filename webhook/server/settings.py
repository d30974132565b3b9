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


MOST_BODY = 7 * 1024 * 1024
"""Bytes of a review.  An API server takes objects of 3 MiB, and a review may carry two of them and some more;
controller-runtime has the same limit (``pkg/webhook/admission/http.go``)."""

KEEP_ALIVE = 120
"""Seconds that an idle connection is kept.  The API server's pool keeps 90 s: the server must be the longer
one, or a review is sent into a connection that is just being closed, and lost."""

GRACE = 10
"""Seconds that a stopping server gives to requests under way.  The API server waits for 2."""

POLL = 2.0
"""Seconds between two looks at the fleet file.  The kubelet takes about a minute to bring a new one."""
