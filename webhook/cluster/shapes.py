"""Objects as they were read, without the fields that have another shape than the API gives them.

What reads an object afterwards walks it without looking twice.  An API server keeps to the shapes; not everything that
answers in its place does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from webhook.cluster.objects import Document


class _Named(TypedDict):
    name: str


class _Owner(_Named):
    kind: str
    uid: str
    controller: NotRequired[bool | None]


class _Said(TypedDict, total=False):
    reason: str
    message: str


class _Condition(_Said):
    type: str


class _State(TypedDict, total=False):
    waiting: _Said | None


class _Container(_Named, total=False):
    state: _State | None


_TIME = Annotated[datetime, msgspec.Meta(tz=True)] | None
_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "metadata": {
        **dict.fromkeys(("name", "generateName", "namespace", "uid"), str),
        **dict.fromkeys(("labels", "annotations"), dict[str, str] | None),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        "finalizers": list[str] | None,
        "ownerReferences": list[_Owner] | None,
    },
    "spec": {
        **dict.fromkeys(("nodeName", "schedulerName"), str | None),
        "schedulingGates": list[_Named] | None,
    },
    "status": {
        **dict.fromkeys(("phase", "reason", "message"), str),
        "conditions": list[_Condition] | None,
        **dict.fromkeys(("initContainerStatuses", "containerStatuses"), list[_Container] | None),
    },
}


def readable(document: Document) -> Document:
    """*document* without fields of another shape."""
    parts = {part: value if isinstance(value := document.get(part), dict) else {} for part in _SHAPES}
    return document | {
        part: {key: field for key, field in parts[part].items() if key not in fields or _has(field, fields[key])}
        for part, fields in _SHAPES.items()
    }


def _has(value: Any, shape: Any) -> bool:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return False
    return True
