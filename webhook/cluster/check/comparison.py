"""Whether an object of the cluster is still as it was rendered.

The API server and controllers fill in defaults, so a field that we do not render is nobody's mistake.  In what is ours
alone (limits, labels that select, taints), something added by hand is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from webhook.errors import quote

OURS = frozenset({"capacity", "data", "limits", "matchLabels", "nodeSelector"})
"""Mappings in which every key is ours."""

UNASKED = frozenset(
    {"affinity", "initContainers", "nodeSelector", "price", "priceAdjustment", "replicas", "startupTaints", "taints",
     "terminationGracePeriod", "tolerations"}
)  # fmt: skip
"""Fields that nobody fills in by default."""

_IDENTITIES = ("key", "name", "deviceName", "id")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How to compare, and how to tell."""

    source: str = "the fleet gives"
    """Who says how it should be."""
    exact: bool = False
    """Whether nobody fills in defaults."""

    def differences(self, wanted: Any, live: Any, path: str = "") -> Iterator[str]:
        """What *live* has otherwise than *wanted*, each as ``path is …, and the fleet gives …``."""
        if isinstance(wanted, dict) and isinstance(live, dict):
            prefix = f"{path}." if path else ""
            for key, value in wanted.items():
                yield from self.differences(value, live.get(key), f"{prefix}{key}")
            exact = self.exact or path.rpartition(".")[2] in OURS
            for key in sorted(live.keys() - wanted.keys()):
                if live[key] not in (None, [], {}) and (exact or key in UNASKED):
                    yield self._told(f"{prefix}{key}", live[key], None)
        elif isinstance(wanted, list) and isinstance(live, list):
            yield from self._of_lists(wanted, live, path)
        elif str(wanted) != str(live) and not (wanted in ({}, []) and live is None):
            yield self._told(path, live, wanted)

    def added(self, wanted: Any, live: Any, path: str = "") -> dict[str, Any]:
        """The merge patch that takes away fields which *live* has and *wanted* has not: ``kubectl apply`` leaves them.

        Lists are not looked into, because ``kubectl apply`` replaces those of a custom resource.
        """
        patch: dict[str, Any] = {}
        if isinstance(wanted, dict) and isinstance(live, dict):
            exact = self.exact or path in OURS
            for key in sorted(live):
                if key in wanted:
                    if inner := self.added(wanted[key], live[key], key):
                        patch[key] = inner
                elif live[key] not in (None, [], {}) and (exact or key in UNASKED):
                    patch[key] = None
        return patch

    def _of_lists(self, wanted: list[Any], live: list[Any], path: str) -> Iterator[str]:
        identity = _identity(wanted, live)
        if identity is not None:
            by_name = {item[identity]: item for item in live}
            for item in wanted:
                if (name := item[identity]) in by_name:
                    yield from self.differences(item, by_name.pop(name), f"{path}[{name}]")
                else:
                    yield f"{path}[{name}] is missing"
            for name in by_name:
                yield f"{path}[{name}] is there, and {self.source} no such thing"
        elif any(isinstance(item, dict | list) for item in (*wanted, *live)) and len(wanted) == len(live):
            for index, pair in enumerate(zip(wanted, live, strict=True)):
                yield from self.differences(*pair, f"{path}[{index}]")
        elif sorted(map(str, wanted)) != sorted(map(str, live)):  # a set of values: their order says nothing
            yield self._told(path, live, wanted)

    def _told(self, path: str, live: Any, wanted: Any) -> str:
        gives = f"{self.source} {quote(wanted) if wanted is not None else 'nothing'}"
        return f"{path} is missing, and {gives}" if live is None else f"{path} is {quote(live)}, and {gives}"


def _identity(*lists: list[Any]) -> str | None:
    """The field that tells the items of *lists* apart, if there is one: their order may change."""
    for field in _IDENTITIES:
        for items in lists:
            names = [item.get(field) for item in items if isinstance(item, dict)]
            if len(names) < len(items) or None in names or len({*map(str, names)}) < len(names):
                break
        else:
            return field if any(lists) else None
    return None


differences, added = Comparison().differences, Comparison().added
