"""Who may ask on the second port: programs and our own page, and no other site through somebody's browser."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request

_OWN = (".svc", ".svc.cluster.local", ".localhost")
"""How names end that no other site can own."""


def asked_as(hosts: Collection[str]) -> Any:
    """What refuses names that another site may own, let mean this address, and be of one origin with; not *hosts*."""
    known = {host.lower() for host in hosts}

    async def check(request: Request) -> None:
        try:
            name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
            if "." in name and name not in known and not name.endswith(_OWN):
                ip_address(name)
        except ValueError:
            raise HTTPException(
                403,
                "this Host is not known. Ask for an IP address, localhost, or SERVICE.NAMESPACE.svc, or serve with"
                " --preview-host",
            ) from None

    return Depends(check)


def posted_as(kind: str) -> Any:
    """What refuses all bodies but those of *kind*, which no form can send and no script of another site may."""

    async def check(request: Request) -> None:
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HTTPException(403, "no other site may ask here")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
            raise HTTPException(415, f"Content-Type must be {kind}")

    return Depends(check)
