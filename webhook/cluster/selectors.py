"""Label selectors, as the API server reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unmatched(selector: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The part of a label selector that *labels* do not match; empty if they match."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return f"{key}={value}"
    for each in selector.get("matchExpressions") or ():
        key, operator, values = each["key"], each["operator"], each.get("values") or []
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }.get(operator, True)
        if not holds:
            return f"{key} {operator} {', '.join(values)}".strip()
    return ""
