"""The fleet file as the ConfigMap that the webhook mounts, for clusters where kustomize does not create it."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write
from webhook.fleet.fleet import Fleet
from webhook.render.manifest import Commented, labels

NAMESPACE = "gpu-slice"


def config_map(fleet: Fleet) -> Iterator[Commented]:
    """One ConfigMap, with the name that the webhook's Deployment mounts."""
    file = fleet.file.model_dump(by_alias=True, exclude_unset=True) | {"cluster": fleet.cluster}
    metadata = {"name": "fleet", "namespace": NAMESPACE, "labels": labels("webhook")}
    yield Commented(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"fleet.yaml": write(file)}}
    )
