"""Reads a cluster for the commands that look at it: with the user's kubeconfig and rights, and never for writing.

What the user may not read is said in the snapshot and is no error.  Only an API server that cannot be asked at all is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from webhook.cluster.objects import Document, Kind
from webhook.cluster.snapshot import Listing, Snapshot

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds for a request to the API server."""

PAGE = 500
"""Objects of one answer, as kubectl asks for them."""


class Unreachable(Exception):
    """The API server cannot be asked.  The message says why."""


class Refused(Exception):
    """The API server refused one request.  ``status`` is HTTP's; the message is the API server's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Reader:
    """One API server, as one user sees it."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        """The namespace that is read where the user may not read all."""

    def read(self, kinds: Iterable[Kind[Any]]) -> Snapshot:
        """All objects of *kinds*.  Raises `Unreachable`."""
        return Snapshot(
            when=datetime.now(UTC),
            version=self._version(),
            listings={kind: self.list(kind) for kind in kinds},
        )

    def list(self, kind: Kind[T], namespace: str | None = None, **query: str) -> Listing[T]:
        """The objects of *kind*, in all namespaces if *namespace* is None, or in the one that the user may read."""
        try:
            return Listing(self._pages(kind, kind.path(namespace), query))
        except Refused as refused:
            if refused.status == 404:
                return Listing(installed=False)
            if refused.status not in (401, 403):
                return Listing(problem=f"{kind.plural} cannot be listed: {refused}")
        problem = f"you may not list {kind.plural}"
        if not kind.namespaced or namespace is not None:
            return Listing(problem=problem if namespace is None else f"{problem} in namespace {namespace}")
        inner = self.list(kind, self.namespace, **query)
        return inner if inner.problem else Listing(inner.items, f"{problem} in all namespaces", self.namespace)

    def get(self, kind: Kind[Any], name: str, namespace: str | None = None) -> Document | None:
        """One object whole; None if there is none.  Raises `Refused` and `Unreachable`."""
        try:
            document: Document = json.loads(self._ask("GET", kind.path(namespace, name)))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return document

    def try_create(self, kind: Kind[Any], document: Document, namespace: str) -> Document:
        """What the API server would store; nothing is stored.  Raises `Refused` and `Unreachable`."""
        answer = self._ask("POST", kind.path(namespace), {"dryRun": "All"}, document)
        created: Document = json.loads(answer)
        return created

    def may(self, verb: str, kind: Kind[Any], namespace: str | None = None) -> bool:
        """Whether the user may do *verb* with *kind*, in all namespaces if *namespace* is None."""
        group, _, _ = kind.group.rpartition("/")
        asked = {"verb": verb, "group": group, "resource": kind.plural, "namespace": namespace or ""}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        # Such a review is answered and not stored.
        answer = self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool((json.loads(answer).get("status") or {}).get("allowed"))

    def _version(self) -> str:
        try:
            return str(json.loads(self._ask("GET", "/version"))["gitVersion"])
        except Refused:
            return ""

    def _pages(self, kind: Kind[T], path: str, query: Mapping[str, str]) -> tuple[T, ...]:
        page = msgspec.defstruct("Page", [("items", list[kind.type]), ("metadata", dict[str, Any])])  # type: ignore[name-defined]
        decode = msgspec.json.Decoder(page).decode
        items: list[Any] = []
        follow = ""
        while True:
            also = {"continue": follow} if follow else {}
            answer: Any = decode(self._ask("GET", path, {"limit": str(PAGE), **query, **also}))
            items += answer.items
            follow = answer.metadata.get("continue") or ""
            if not follow:
                break
        for item in items if kind.type is dict else ():
            item |= {"apiVersion": kind.group, "kind": kind.name}  # which the items of a list leave out
        return tuple(items)

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Document | None = None
    ) -> bytes:
        request = self.api.param_serialize(
            method, path, query_params=list((query or {}).items()), body=body, auth_settings=["BearerToken"],
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            answer = self.api.call_api(*request, _request_timeout=TIMEOUT)
            answer.read()  # type: ignore[no-untyped-call]
        except ApiException as error:
            raise _refused(error.status or 0, error.reason or "", (error.body or "").encode()) from None
        except Exception as error:  # urllib3 raises many kinds
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"the API server at {self.api.configuration.host}: {reason}") from None
        if answer.status >= 300:
            raise _refused(answer.status, answer.reason or "", answer.data or b"")
        return answer.data or b""


def _refused(status: int, reason: str, body: bytes) -> Refused:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"{status} {reason}"
    return Refused(status, message)


def connect(context: str | None = None, namespace: str | None = None) -> Reader:
    """A reader with the kubeconfig that kubectl would take, or inside a cluster with its service account.

    Raises `Unreachable` if there is no usable configuration.
    """
    try:
        if context is None and not _has_kubeconfig():
            config.load_incluster_config()  # type: ignore[no-untyped-call]
            return Reader(ApiClient(), namespace or "default")
        api = config.new_client_from_config(_kubeconfig(), context=context)  # type: ignore[no-untyped-call]
        contexts, active = config.list_kube_config_contexts(_kubeconfig())  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise Unreachable(f"no kubeconfig can be used: {error}") from None
    chosen = next((entry for entry in contexts if entry["name"] == context), active)
    return Reader(api, namespace or chosen["context"].get("namespace") or "default")


def _kubeconfig() -> str | None:
    """The file, or the files, of ``$KUBECONFIG`` as it is now: the client has read it when it was imported."""
    return os.environ.get("KUBECONFIG") or None


def _has_kubeconfig() -> bool:
    try:
        config.list_kube_config_contexts(_kubeconfig())  # type: ignore[no-untyped-call]
    except config.ConfigException:
        return False
    return True
