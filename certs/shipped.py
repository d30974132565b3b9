"""Where a webhook configuration of a cluster differs from the shipped one, apart from ``caBundle``.

The shipped one is the manifest, mounted as a file.  The API server stores it with defaults filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

DEFAULTS: Mapping[str, Any] = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}
"""What the API server fills into a webhook.  Source: k8s.io/kubernetes ``pkg/apis/admissionregistration/v1``."""

MUTATING_DEFAULTS: Mapping[str, Any] = {**DEFAULTS, "reinvocationPolicy": "Never"}


class Unreadable(Exception):
    """The shipped manifest cannot be read.  The message says what to do."""


class Shipped:
    """The manifest of a webhook configuration.  It is read every time, because the kubelet updates the file.

    *namespace*: where it was applied to, if not where it says.  In a ConfigMap it is text, in which kustomize changes
    no namespace.
    """

    def __init__(self, path: Path, namespace: str | None = None) -> None:
        self.path = path
        self.namespace = namespace

    def differences(self, live: Document | None) -> tuple[str, ...]:
        """The paths at which *live* differs from the shipped manifest, in order.  Raises `Unreadable`."""
        if live is None:
            return ("webhooks",)
        shipped, stored = self._webhooks(), _without_bundles(live.get("webhooks") or [])
        return tuple(_differences(shipped, stored, "webhooks"))

    def _webhooks(self) -> list[Document]:
        try:
            manifest = yaml.safe_load(self.path.read_bytes())
            defaults = MUTATING_DEFAULTS if manifest.get("kind") == "MutatingWebhookConfiguration" else DEFAULTS
            webhooks = [_moved(webhook, self.namespace) for webhook in _without_bundles(manifest["webhooks"])]
            return [_with_defaults(webhook, defaults) for webhook in webhooks]
        except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError) as error:
            reason = type(error).__name__
            hint = "Apply the folder again that has your fleet and image"
            raise Unreadable(f"{self.path}: cannot be read ({reason}). {hint}.") from None


def _without_bundles(webhooks: list[Document]) -> list[Document]:
    return [
        {**webhook, "clientConfig": {key: value for key, value in webhook["clientConfig"].items() if key != "caBundle"}}
        for webhook in webhooks
    ]


def _moved(webhook: Document, namespace: str | None) -> Document:
    """*webhook* in another namespace: that of the Service, whose pods are the ones that it is not shown."""
    client = webhook["clientConfig"]
    if namespace is None or "service" not in client:
        return webhook
    own, new = json.dumps(client["service"]["namespace"]), json.dumps(namespace)
    selector = json.loads(json.dumps(webhook.get("namespaceSelector", {})).replace(own, new))
    client = {**client, "service": {**client["service"], "namespace": namespace}}
    return {**webhook, "clientConfig": client, "namespaceSelector": selector}


def _with_defaults(webhook: Document, defaults: Mapping[str, Any]) -> Document:
    client = webhook["clientConfig"]
    if "service" in client:
        client = {**client, "service": {"port": 443, **client["service"]}}
    rules = [{"scope": "*", **rule} for rule in webhook.get("rules") or ()]
    return {**defaults, **webhook, "clientConfig": client, "rules": rules}


def _differences(shipped: Any, stored: Any, path: str) -> Iterator[str]:
    if isinstance(shipped, dict) and isinstance(stored, dict):
        for key in sorted({*shipped, *stored}):
            yield from _differences(shipped.get(key), stored.get(key), f"{path}.{key}")
    elif isinstance(shipped, list) and isinstance(stored, list) and len(shipped) == len(stored):
        for index, pair in enumerate(zip(shipped, stored, strict=True)):
            yield from _differences(*pair, f"{path}[{index}]")
    elif shipped != stored:
        yield path
