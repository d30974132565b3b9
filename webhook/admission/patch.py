"""JSON Patch operations (RFC 6902) that an API server can always apply.

Only ``add``, ``replace`` and ``remove``.  The API server's library refuses to add into a parent that is missing
or null, and a patch that decodes but does not apply refuses the pod whatever the failurePolicy
(kubernetes/apiserver, mutating dispatcher).  So what is missing is added whole, and what is null replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Operation: TypeAlias = dict[str, Any]


class Patch:
    """Operations in the order in which they were made."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def put(self, path: str, parent: Mapping[str, Any], key: str, value: Any) -> None:
        """Make *value* what *parent*, which is there at *path*, has under *key*."""
        op = "replace" if key in parent else "add"
        self.operations.append({"op": op, "path": f"{path}/{escape(key)}", "value": value})

    def append(self, path: str, value: Any) -> None:
        """Add *value* to the end of the list that is there at *path*."""
        self.operations.append({"op": "add", "path": f"{path}/-", "value": value})

    def remove(self, path: str, key: str) -> None:
        """Take away what is there at *path* under *key*."""
        self.operations.append({"op": "remove", "path": f"{path}/{escape(key)}"})


def escape(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901): ``~`` first, then ``/``."""
    return key.replace("~", "~0").replace("/", "~1")
