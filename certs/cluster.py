"""The objects in a cluster, as one value: read together, written one at a time.

They are kept as the API server's JSON, because the client's typed models would drop unknown fields.  Each write carries
the ``resourceVersion`` that was read, so it fails if another client wrote first.  Two keepers need no lock: the slower
one reads again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from kubernetes.client import AdmissionregistrationV1Api, ApiClient, AppsV1Api, CoreV1Api
from kubernetes.client.exceptions import ApiException

from certs.authority import KeyPair
from certs.directory import AUTHORITY, CERTIFICATE, KEY
from certs.stored import RECORDS, Stored, read_records, write_records

Document: TypeAlias = dict[str, Any]

TIMEOUT = 10.0
"""Seconds for a request to the API server."""

_AGAIN = "Apply the folder again that has your fleet and image."
"""Not a folder of `manifests`: it would replace somebody's fleet or image by another."""

_BY_NAME = "application/strategic-merge-patch+json"
"""This kind of patch finds a webhook in its list by name."""


class Conflict(Exception):
    """Another client wrote in the meantime.  Read again, and decide again."""


class Unreachable(Exception):
    """An object cannot be read or written.  The message says what to do."""


class Refused(Unreachable):
    """The API server refuses to.  The message says what to do where it is the keeper that asks."""

    def __init__(self, subject: str, status: int, reason: str) -> None:
        self.problem = f"{subject}: the API server says {status} {reason}"
        self.status = status
        """HTTP's."""
        super().__init__(f"{self.problem}. {_AGAIN if status == 403 else 'Check the API server.'}")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the objects, as in the manifests."""

    namespace: str = "gpu-slice"
    authorities: str = "webhook-ca"
    """Secret."""
    leaf: str = "webhook-tls"
    """Secret."""
    configuration: str = "gpu-slice"
    webhook: str = "pods.gpu-slice.io"
    """Name of the webhook in the configuration."""
    defaults: str = "defaults.gpu-slice.io"
    """Name of the second one, for namespaces with a default.  It may be absent."""
    advice: str = "gpu-slice-advice"
    """The configuration by which workloads are shown to the same servers.  It may be absent."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read, with the objects' versions."""

    stored: Stored
    authorities: Document
    leaf: Document
    configuration: Document | None
    uneven: bool = False
    """A webhook of gpu-slice has another ``caBundle`` than the first, as after an upgrade that brought it."""


class Cluster:
    """Reads and writes the objects.

    It never creates or deletes an object, because a right to create cannot be limited to a name.
    """

    def __init__(self, api: ApiClient, names: Names = Names()) -> None:
        self.core = CoreV1Api(api)
        self.admission = AdmissionregistrationV1Api(api)
        self.apps = AppsV1Api(api)
        self.names = names

    def read(self) -> Snapshot:
        """Read all objects.  Raises `Unreachable` or `BadRecords`.

        The authorities are read first.  Another keeper records an authority before it writes it to the other two
        objects.  So if they show an authority that is missing in the records read here, these records are out of date,
        and an attempt to adopt the authority is a conflict.  In the opposite order, an authority that was retired
        between two reads would be adopted again.
        """
        authorities, leaf = self._secret(self.names.authorities), self._secret(self.names.leaf)
        configuration = self._configuration()
        bundles = self._bundles(configuration)
        certificate, key = _decoded(leaf, CERTIFICATE), _decoded(leaf, KEY)
        stored = Stored(
            authorities=read_records(_decoded(authorities, RECORDS)),
            leaf=KeyPair(certificate, key) if certificate and key else None,
            leaf_bundle=_decoded(leaf, AUTHORITY),
            bundle=bundles.get(self.names.webhook),
        )
        uneven = stored.bundle is not None and len({*bundles.values()}) > 1
        return Snapshot(stored, authorities, leaf, configuration, uneven)

    def write(self, snapshot: Snapshot, after: Stored) -> None:
        """Write the one object in which *after* differs, or ``caBundle`` anew if none does.

        Raises `Conflict` or `Unreachable`.
        """
        before = snapshot.stored
        if after.bundle != before.bundle or after == before:
            self._write_bundle(snapshot, after.bundle or b"")
        elif after.authorities != before.authorities:
            self._write_secret(snapshot.authorities, {RECORDS: write_records(after.authorities)})
        elif after.leaf is not None:
            files = {CERTIFICATE: after.leaf.certificate, KEY: after.leaf.key, AUTHORITY: after.leaf_bundle}
            self._write_secret(snapshot.leaf, files)

    def _write_secret(self, secret: Document, data: dict[str, bytes]) -> None:
        metadata = secret["metadata"]
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        body = {**secret, "data": {**(secret.get("data") or {}), **encoded}}
        _wrote(
            f"Secret {metadata['name']}",
            lambda: self.core.replace_namespaced_secret(
                metadata["name"],
                self.names.namespace,
                body,  # type: ignore[arg-type]
                _preload_content=False,
                _request_timeout=TIMEOUT,
            ),
        )

    def _write_bundle(self, snapshot: Snapshot, bundle: bytes) -> None:
        assert snapshot.configuration is not None  # without it nothing is published
        patch = _with_bundle(snapshot.configuration, self._bundles(snapshot.configuration), bundle)
        _wrote(
            f"MutatingWebhookConfiguration {self.names.configuration}",
            lambda: self.admission.patch_mutating_webhook_configuration(
                self.names.configuration,
                patch,
                _content_type=_BY_NAME,
                _preload_content=False,
                _request_timeout=TIMEOUT,
            ),
        )

    def read_advice(self) -> Document | None:
        """The configuration of advice; None if there is none.  Raises `Unreachable`."""
        return _asked(
            f"ValidatingWebhookConfiguration {self.names.advice}",
            lambda: self.admission.read_validating_webhook_configuration(
                self.names.advice, _preload_content=False, _request_timeout=TIMEOUT
            ),
        )

    def copy_bundle(self, bundle: bytes, advice: Document) -> bool:
        """Make *bundle* the ``caBundle`` of *advice*; return whether that was a change.  Raises as `write` does."""
        others = [webhook["name"] for webhook in advice.get("webhooks") or () if _bundle(webhook) != bundle]
        if others:
            _wrote(
                f"ValidatingWebhookConfiguration {self.names.advice}",
                lambda: self.admission.patch_validating_webhook_configuration(
                    self.names.advice,
                    _with_bundle(advice, others, bundle),
                    _content_type=_BY_NAME,
                    _preload_content=False,
                    _request_timeout=TIMEOUT,
                ),
            )
        return bool(others)

    def keeper(self) -> str:
        """What keeps the keeper's Deployment from its work; empty if nothing does.  Raises `Unreachable`."""
        deployment = _asked(
            "Deployment keeper",
            lambda: self.apps.read_namespaced_deployment(
                "keeper", self.names.namespace, _preload_content=False, _request_timeout=TIMEOUT
            ),
        )
        if deployment is None:
            return f"there is no Deployment keeper in namespace {self.names.namespace}"
        if not (deployment.get("spec") or {}).get("replicas", 1):
            return "it is scaled to 0"
        return "" if (deployment.get("status") or {}).get("availableReplicas") else "no replica of it is available"

    def _secret(self, name: str) -> Document:
        secret = _asked(
            f"Secret {name}",
            lambda: self.core.read_namespaced_secret(
                name, self.names.namespace, _preload_content=False, _request_timeout=TIMEOUT
            ),
        )
        if secret is None:
            raise Unreachable(f"Secret {name}: it does not exist in namespace {self.names.namespace}. {_AGAIN}")
        return secret

    def _configuration(self) -> Document | None:
        return _asked(
            f"MutatingWebhookConfiguration {self.names.configuration}",
            lambda: self.admission.read_mutating_webhook_configuration(
                self.names.configuration, _preload_content=False, _request_timeout=TIMEOUT
            ),
        )

    def _bundles(self, configuration: Document | None) -> dict[str, bytes]:
        """The ``caBundle`` of each webhook of gpu-slice, by its name."""
        webhooks = {webhook["name"]: webhook for webhook in (configuration or {}).get("webhooks") or ()}
        names = (self.names.webhook, self.names.defaults)
        return {name: _bundle(webhooks[name]) for name in names if name in webhooks}


def _bundle(webhook: Document) -> bytes:
    return base64.b64decode(webhook.get("clientConfig", {}).get("caBundle") or "")


def _with_bundle(configuration: Document, webhooks: Iterable[str], bundle: bytes) -> Document:
    """A patch of *configuration*, as it was read, by which these *webhooks* get *bundle*."""
    encoded = base64.b64encode(bundle).decode()
    return {
        "metadata": {"resourceVersion": configuration["metadata"]["resourceVersion"]},
        "webhooks": [{"name": name, "clientConfig": {"caBundle": encoded}} for name in webhooks],
    }


def _decoded(secret: Document, key: str) -> bytes:
    return base64.b64decode((secret.get("data") or {}).get(key) or "")


def _asked(subject: str, ask: Callable[[], Any]) -> Document | None:
    """The answer; None if the object does not exist.  No error quotes the answer's body: it may contain a key."""
    try:
        answer: Document = json.loads(ask().data)
    except ApiException as error:
        if error.status == 404:
            return None
        if error.status == 409:
            raise Conflict(subject) from None
        raise Refused(subject, error.status or 0, error.reason or "") from None
    except Exception as error:  # urllib3 raises many kinds; the caller retries after any of them
        pool, reason = getattr(error, "pool", None), getattr(error, "reason", None) or error
        where = f" at {pool.host}:{pool.port}" if pool else ""
        raise Unreachable(f"{subject}: {type(reason).__name__}{where}. Can the API server be reached?") from None
    return answer


def _wrote(subject: str, ask: Callable[[], Any]) -> None:
    if _asked(subject, ask) is None:  # deleted in the meantime: the next read says what to do
        raise Conflict(subject)
