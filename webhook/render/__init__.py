"""The companions of a fleet: what makes the nodes that the webhook promises.  Pure: a `Fleet` in, documents out.

Each subject is a file of documents; subjects that belong together share a folder, which ``kubectl apply -k`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from webhook.fleet.fleet import Fleet
from webhook.render import (
    config_map,
    dcgm_exporter,
    device_plugin,
    dra,
    helm_values,
    kueue,
    mig_parted,
    node_class,
    node_overlay,
    node_pool,
    quota,
)
from webhook.render.boot import BootFiles
from webhook.render.manifest import Commented, write

__all__ = ["SUBJECTS", "BootFiles", "Subject", "render"]

HEADER = "# Made by `gpu-slice render` from the fleet file.  Change that, and render it again.\n"


@dataclass(frozen=True, slots=True)
class Subject:
    """One file of companions."""

    name: str
    folder: str
    build: Callable[[Fleet, BootFiles], Iterable[Commented]]
    applied: bool = True
    """Whether it is part of what a cluster needs; the others are rendered when they are asked for."""

    def text(self, fleet: Fleet, boot: BootFiles) -> str:
        """The file; empty where the fleet needs none."""
        documents = list(self.build(fleet, boot))
        return f"{HEADER}{write(documents)}" if documents else ""


SUBJECTS = (
    Subject("device-plugin", "device-plugin", lambda fleet, _: device_plugin.device_plugins(fleet)),
    Subject("node-pools", "karpenter", lambda fleet, _: node_pool.node_pools(fleet)),
    Subject("node-classes", "karpenter", node_class.node_classes),
    Subject("node-overlays", "karpenter", lambda fleet, _: node_overlay.node_overlays(fleet)),
    Subject("quota", "quota", lambda fleet, _: quota.quotas(fleet)),
    Subject("fleet", "fleet", lambda fleet, _: config_map.config_map(fleet), applied=False),
    Subject("helm-values", "helm-values", lambda fleet, _: helm_values.helm_values(fleet), applied=False),
    Subject("mig-parted", "mig-parted", lambda fleet, _: mig_parted.mig_configs(fleet), applied=False),
    Subject("dra", "dra", lambda fleet, _: dra.device_classes(fleet), applied=False),
    Subject("dcgm-exporter", "dcgm-exporter", lambda fleet, _: dcgm_exporter.values(fleet), applied=False),
    Subject("kueue", "kueue", lambda fleet, _: kueue.queues(fleet), applied=False),
)


def render(fleet: Fleet, boot: BootFiles, only: Iterable[str] = ()) -> Iterator[tuple[Subject, str]]:
    """Each subject with its text: those named in *only*, by name or folder, or those that a cluster needs."""
    wanted = set(only)
    for subject in SUBJECTS:
        if wanted & {subject.name, subject.folder} if wanted else subject.applied:
            yield subject, subject.text(fleet, boot)
