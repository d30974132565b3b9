"""The difference between two JSON documents, as RFC 6902 operations.

Only ``add``, ``replace`` and ``remove``, always in document order.  A whole value is added where its parent
was missing or null, because the API server's library refuses to add into either, and a patch that decodes
but does not apply refuses the pod whatever the failurePolicy (kubernetes/apiserver, mutating dispatcher).
"""

from __future__ import annotations

from typing import Any, TypeAlias

Operation: TypeAlias = dict[str, Any]


def diff(before: Any, after: Any) -> list[Operation]:
    """The operations that turn *before* into *after*.

    What is the very same object in both is not looked into, so the cost is that of what changed.
    """
    operations: list[Operation] = []
    _diff(before, after, "", operations)
    return operations


def _diff(before: Any, after: Any, path: str, operations: list[Operation]) -> None:
    if before is after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        gone = (key for key in before if key not in after)
        operations.extend({"op": "remove", "path": f"{path}/{escape(key)}"} for key in gone)
        for key, value in after.items():
            if key not in before:
                operations.append({"op": "add", "path": f"{path}/{escape(key)}", "value": value})
            elif before[key] is not value:
                _diff(before[key], value, f"{path}/{escape(key)}", operations)
    elif isinstance(before, list) and isinstance(after, list):
        for index, (old, new) in enumerate(zip(before, after, strict=False)):
            if old is not new:
                _diff(old, new, f"{path}/{index}", operations)
        beyond = reversed(range(len(after), len(before)))
        operations.extend({"op": "remove", "path": f"{path}/{index}"} for index in beyond)
        operations.extend({"op": "add", "path": f"{path}/-", "value": value} for value in after[len(before) :])
    elif type(before) is not type(after) or before != after:
        operations.append({"op": "replace", "path": path, "value": after})


def escape(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901): ``~`` first, then ``/``."""
    return key.replace("~", "~0").replace("/", "~1")
