"""Who may post to the second port: programs and our own page, and no other site through somebody's browser."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, HTTPException, Request


def posted_as(kind: str) -> Any:
    """What refuses all bodies but those of *kind*, which no form can send and no script of another site may."""

    async def check(request: Request) -> None:
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HTTPException(403, "no other site may ask here")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
            raise HTTPException(415, f"Content-Type must be {kind}")

    return Depends(check)
