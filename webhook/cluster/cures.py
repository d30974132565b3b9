"""Cures, which are written for the namespace ``gpu-slice``, for wherever gpu-slice is installed."""

from __future__ import annotations

import re

OWN = "gpu-slice"
_KUBECTL = re.compile(r"(-n|--namespace)[ =]gpu-slice(?![\w-])")
_STATUS = "gpu-slice certs status"


def installed_in(namespace: str, cure: str) -> str:
    """*cure*, with its commands for an installation in *namespace*."""
    if namespace == OWN:
        return cure
    return _KUBECTL.sub(rf"\1 {namespace}", cure).replace(_STATUS, f"{_STATUS} --namespace {namespace}")
