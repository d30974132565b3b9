"""Owners: which of several objects run which others, so that no pod is counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from webhook.admission.contents import mapping

_HASHES = {"pod-template-hash": ("apps", "Deployment"), "rollouts-pod-template-hash": ("argoproj.io", "Rollout")}
"""Labels with which the name of a ReplicaSet ends, and what makes such ReplicaSets."""

_MINUTES = 8
"""Digits with which the name of a CronJob's Job ends: minutes since 1970."""


class Identity(NamedTuple):
    """What tells an object from all others."""

    group: str
    kind: str
    namespace: str
    name: str


class Owners:
    """The objects that are looked at, and those that own them."""

    def __init__(self) -> None:
        self._above: dict[Identity, list[Identity]] = {}
        self._parents: set[Identity] = set()
        self._counted: set[Identity] = set()

    def add(self, source: Any, namespace: str, *, runs: bool, counted: bool) -> Identity:
        """Remember the object *source*: whether it *runs* pods, and whether it is *counted* for all that it owns."""
        metadata = mapping(source, "metadata")
        namespace = str(metadata.get("namespace") or namespace)
        api, kind = source.get("apiVersion"), source.get("kind")
        identity = Identity(_group(api), str(kind), namespace, str(metadata.get("name")))
        if counted:
            self._counted.add(identity)
        if identity not in self._above and (above := list(_above(metadata, namespace))):
            self._above[identity] = above
            if runs:
                self._parents.update(above)
        return identity

    def owned(self, identity: Identity) -> bool:
        """Whether the object names an owner, whoever it is."""
        return identity in self._above

    def covered(self, identity: Identity) -> bool:
        """Whether an object that owns it, or owns its owner, is counted for it."""
        seen, ahead = {identity}, [identity]
        while ahead:
            for each in self._above.get(ahead.pop(), ()):
                if each in self._counted:
                    return True
                if each not in seen:
                    seen.add(each)
                    ahead.append(each)
        return False

    def owns(self, identity: Identity) -> bool:
        """Whether it is not counted for what it owns, and an object that runs pods names it as its owner."""
        return identity in self._parents and identity not in self._counted


def _above(metadata: Any, namespace: str) -> Iterator[Identity]:
    """The controller that *metadata* names, and what its name tells of the controller's own."""
    references = metadata.get("ownerReferences")
    for each in references if isinstance(references, list) else ():
        if not isinstance(each, dict) or each.get("controller") is not True:
            continue
        owner = Identity(_group(each.get("apiVersion")), str(each.get("kind")), namespace, str(each.get("name")))
        yield owner
        stem, _, end = owner.name.rpartition("-")
        if owner.kind == "ReplicaSet":
            labels = mapping(metadata, "labels")
            for label, (group, kind) in _HASHES.items():
                if labels.get(label) == end:
                    yield Identity(group, kind, namespace, stem)
        elif owner[:2] == ("batch", "Job") and len(end) == _MINUTES and end.isdecimal():
            yield Identity("batch", "CronJob", namespace, stem)


def _group(api_version: Any) -> str:
    return str(api_version).rpartition("/")[0]
