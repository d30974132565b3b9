"""The fleet itself, as the webhook reads it: for clusters where the ConfigMap is not made by kustomize."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write
from webhook.fleet.fleet import Fleet
from webhook.render.manifest import Commented, labels

NAMESPACE = "gpu-slice"


def config_map(fleet: Fleet) -> Iterator[Commented]:
    """One, called as the webhook's Deployment mounts it."""
    file = fleet.file.model_dump(by_alias=True, exclude_unset=True) | {"cluster": fleet.cluster}
    metadata = {"name": "fleet", "namespace": NAMESPACE, "labels": labels("webhook")}
    yield Commented(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"fleet.yaml": write(file)}}
    )
