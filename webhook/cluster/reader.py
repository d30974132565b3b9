"""Reads a cluster for the commands that look at it: with the user's kubeconfig and rights, and never for writing.

What the user may not read is said in the snapshot and is no error.  Only an API server that cannot be asked at all is.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config.kube_config import KubeConfigMerger
from urllib3 import Retry
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as TooLate
from yaml import YAMLError

from webhook.cluster.objects import Document, Kind
from webhook.cluster.snapshot import Listing, Snapshot

T = TypeVar("T")

KUBECONFIG = "~/.kube/config"

TIMEOUT, FIRST = 10.0, 5.0
"""Seconds for a request to the API server, and for the first one: it tells whether anybody is there."""

PAGE = 500
"""Objects of one answer, as kubectl asks for them."""

WHOLE = "application/json"
METADATA = f"{WHOLE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""How an answer is wanted."""


class Unreachable(Exception):
    """The API server cannot be asked.  The message says why."""


class Refused(Exception):
    """The API server refused one request.  ``status`` is HTTP's; the message is the API server's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.no_pods = status == 403 and 'cannot create resource "pods"' in message
        """Whether the user may not create pods.  A webhook's refusal, or a quota's, is another."""


class Reader:
    """One API server, as one user sees it."""

    _answered: datetime | None = None
    """When the API server wrote its last answer, by its own clock."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        """The namespace that is read where the user may not read all."""
        self._patience = FIRST
        self._silent = ""
        """That there was no answer to the first request, after which nobody is asked again."""

    def read(self, kinds: Iterable[Kind[Any]]) -> Snapshot:
        """All objects of *kinds*.  Raises `Unreachable`."""
        version, listings = self._version(), {kind: self.list(kind) for kind in kinds}
        return Snapshot(self.now(), version, listings)

    def now(self) -> datetime:
        """The time by the clock of the API server, which wrote the times of all objects; else by ours."""
        return self._answered or datetime.now(UTC)

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
        return self._one(kind, name, namespace, WHOLE)

    def _one(self, kind: Kind[Any], name: str, namespace: str | None, accept: str) -> Document | None:
        try:
            document: Document = json.loads(self._ask("GET", kind.path(namespace, name), accept=accept))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return document

    def text(self, path: str, most: int) -> bytes:
        """The first *most* bytes of what stands at *path* of the API server.  Raises `Refused` and `Unreachable`."""
        return self._ask("GET", path, most=most)

    def find(self, kind: Kind[Any], name: str, namespace: str, *, metadata: bool = False) -> Document | str | None:
        """As `get`, but what is refused is a sentence's end that says so.  Raises `Unreachable`.

        *metadata*: of the object nothing else is asked for.  Of a Secret that is nothing secret.
        """
        try:
            return self._one(kind, name, namespace, METADATA) if metadata else self.get(kind, name, namespace)
        except Refused as refused:
            if refused.status == 403:
                return f"you may not get {kind.name} {name} in namespace {namespace}"
            return f"{kind.name} {name} in namespace {namespace} cannot be read: {refused}"

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
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Document | None = None,
        most: int | None = None, accept: str = WHOLE,
    ) -> bytes:  # fmt: skip
        if self._silent:
            raise Unreachable(self._silent)
        request = self.api.param_serialize(
            method, path, query_params=list((query or {}).items()), body=body, auth_settings=["BearerToken"],
            header_params={"Accept": accept, "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            answer = self.api.call_api(*request, _request_timeout=self._patience)
            answer.data = answer.response.read(most)
        except ApiException as error:
            raise self._refused(error.status or 0, error.reason or "", (error.body or "").encode()) from None
        except Exception as error:  # urllib3 raises many kinds
            reason = getattr(error, "reason", None) or error
            where = f"the API server at {self.api.configuration.host}"
            if isinstance(reason, TooLate) and not isinstance(reason, NewConnectionError):
                told = f"{where} does not answer within {self._patience:g} s"
                self._silent = told if self._patience == FIRST else ""
                raise Unreachable(told) from None
            raise Unreachable(f"{where}: {reason}") from None
        self._patience = TIMEOUT
        with suppress(KeyError, ValueError):  # no such header, or none that can be read
            self._answered = parsedate_to_datetime(answer.response.headers["Date"]).replace(tzinfo=UTC)
        if answer.status >= 300:
            raise self._refused(answer.status, answer.reason or "", answer.data or b"")
        return answer.data or b""

    def _refused(self, status: int, reason: str, body: bytes) -> Refused:
        """What to raise.  Raises `Unreachable` itself if the API server does not know the user at all."""
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = f"{status} {reason}"
        if status == 401 or 'User "system:anonymous"' in message:
            raise Unreachable(
                f"the API server at {self.api.configuration.host} does not accept the credential of the kubeconfig: "
                f"{message}. Log in again: it may have expired"
            )
        return Refused(status, message)


def connect(context: str | None = None, namespace: str | None = None) -> Reader:
    """A reader with the kubeconfig that kubectl would take, or inside a cluster with its service account.

    Raises `Unreachable` if there is no usable configuration, or no credential.
    """
    settings = Configuration()
    # One try: the answer to a server that is silent is to say so.
    settings.retries = Retry(total=3, connect=0, read=0)
    paths = os.environ.get("KUBECONFIG") or KUBECONFIG
    files = [os.path.expanduser(path) for path in paths.split(os.pathsep) if path]
    shown = ", ".join(files)
    if not any(map(os.path.exists, files)):
        if "KUBECONFIG" not in os.environ and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            try:
                config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
            except (config.ConfigException, OSError) as error:
                raise Unreachable(f"the service account of this pod cannot be used: {error}") from None
            return Reader(ApiClient(settings), namespace or "default")
        raise Unreachable(f"no kubeconfig: {shown} does not exist. Name a file in KUBECONFIG")
    try:
        merged = KubeConfigMerger(paths).config.value  # type: ignore[no-untyped-call]
        chosen = _chosen(merged, context, shown)
        with _errors() as errors:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                paths, context=chosen["name"], client_configuration=settings, persist_config=False
            )
    except (config.ConfigException, OSError, YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreachable(f"kubeconfig {shown} cannot be used: {error}") from None
    if errors:
        user = chosen["context"].get("user")
        raise Unreachable(f"no credential for user '{user}' of context '{chosen['name']}' in {shown}: {errors[0]}")
    return Reader(ApiClient(settings), namespace or chosen["context"].get("namespace") or "default")


def _chosen(merged: Document, context: str | None, shown: str) -> Document:
    """The entry of a context in a kubeconfig.  Raises `Unreachable` if it is not there, or none is named."""
    contexts = {entry.value["name"]: entry.value for entry in merged.get("contexts") or ()}
    name = context or merged.get("current-context")
    known = f"It has {', '.join(contexts)}" if contexts else "It has none"
    if not name:
        raise Unreachable(f"kubeconfig {shown} has no current-context. Name one with --context. {known}")
    if name not in contexts:
        raise Unreachable(f"kubeconfig {shown} has no context '{name}'. {known}")
    entry: Document = contexts[name]
    return entry


@contextmanager
def _errors() -> Iterator[list[str]]:
    """The errors that the client logs, and goes on without a credential."""
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                messages.append(" ".join(record.getMessage().split()))

    root, handler = logging.getLogger(), Handler()
    root.addHandler(handler)
    try:
        yield messages
    finally:
        root.removeHandler(handler)
