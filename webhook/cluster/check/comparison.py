"""Whether an object of the cluster is still as it was rendered.

The API server and controllers fill in defaults, so a field that we do not render is nobody's mistake.  In what is ours
alone (limits, labels that select, taints), something added by hand is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.errors import quote

OURS = frozenset({"capacity", "data", "limits", "matchLabels", "nodeSelector", "nodeTaints"})
"""Mappings in which every key is ours."""

UNASKED = frozenset(
    {"affinity", "initContainers", "nodeSelector", "price", "priceAdjustment", "replicas", "startupTaints", "taints",
     "terminationGracePeriod", "tolerations"}
)  # fmt: skip
"""Fields that nobody fills in by default."""

_IDENTITIES = ("key", "name", "deviceName", "id")


def differences(rendered: Any, live: Any, path: str = "", source: str = "the fleet gives") -> Iterator[str]:
    """What *live* has otherwise, each as ``path is …, and the fleet gives …``.  *source*: who gives *rendered*."""
    if isinstance(rendered, dict) and isinstance(live, dict):
        for key, value in rendered.items():
            yield from differences(value, live.get(key), f"{path}.{key}" if path else key, source)
        exact = path.rpartition(".")[2] in OURS
        for key in live.keys() - rendered.keys():
            if live[key] not in (None, [], {}) and (exact or key in UNASKED):
                yield _told(f"{path}.{key}" if path else key, live[key], None, source)
    elif isinstance(rendered, list) and isinstance(live, list):
        yield from _lists(rendered, live, path, source)
    elif str(rendered) != str(live) and not (rendered in ({}, []) and live is None):
        yield _told(path, live, rendered, source)


def _lists(rendered: list[Any], live: list[Any], path: str, source: str) -> Iterator[str]:
    identity = _identity(rendered, live)
    if identity is None:
        scalars = not any(isinstance(item, dict | list) for item in (*rendered, *live))
        if scalars and sorted(map(str, rendered)) == sorted(map(str, live)):
            return
        if scalars or len(rendered) != len(live):
            yield _told(path, live, rendered, source)
            return
        for index, pair in enumerate(zip(rendered, live, strict=True)):
            yield from differences(*pair, f"{path}[{index}]", source)
        return
    by_name = {item[identity]: item for item in live}
    for item in rendered:
        name = item[identity]
        if name in by_name:
            yield from differences(item, by_name[name], f"{path}[{name}]", source)
        else:
            yield f"{path}[{name}] is missing"
    for name in by_name.keys() - {item[identity] for item in rendered}:
        yield f"{path}[{name}] is there, and {source} no such thing"


def _identity(rendered: list[Any], live: list[Any]) -> str | None:
    """The field that tells the items apart, if there is one: their order may change."""
    for field in _IDENTITIES:
        for items in (rendered, live):
            names = [item.get(field) for item in items if isinstance(item, dict)]
            if len(names) < len(items) or None in names or len({*map(str, names)}) < len(names):
                break
        else:
            return field if rendered or live else None
    return None


def _told(path: str, live: Any, rendered: Any, source: str) -> str:
    gives = f"{source} {quote(rendered) if rendered is not None else 'nothing'}"
    return f"{path} is missing, and {gives}" if live is None else f"{path} is {quote(live)}, and {gives}"
