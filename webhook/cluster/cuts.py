"""How a node's GPUs are cut or shared, read from what its device plugin and GPU feature discovery say.

Source of the labels: NVIDIA/k8s-device-plugin v0.20.0 ``internal/lm``, ``docs/gpu-feature-discovery/README.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from webhook.cluster.nodes import PRODUCT, gpu_of, gpu_resources, instance_type
from webhook.cluster.objects import Node
from webhook.fleet.pool import SHARED_GPU, WHOLE_GPU
from webhook.slices.catalogue import Catalogue, Gpu
from webhook.slices.layout import fits
from webhook.slices.profile import RESOURCE_PREFIX, MigProfile

COUNT, STRATEGY = "nvidia.com/gpu.count", "nvidia.com/mig.strategy"
SHARING = "nvidia.com/gpu.sharing-strategy"
CONFIG = "nvidia.com/mig.config"
ARCHITECTURE = "kubernetes.io/arch"

_CONFIG = re.compile(r"all-(.+)")
"""Names of NVIDIA's own layouts with one profile: ``all-1g.5gb``."""


class Unclear(Exception):
    """What the node has cannot be said in a fleet.  The message says why, as in ``offers whole GPUs``."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How all GPUs of a node are cut or shared."""

    gpu: str
    family: str
    partition: tuple[tuple[str, Any], ...]
    """As in the fleet file: ``mig`` with counts of profiles, or ``timeSlicing`` or ``mps`` with ``replicas``."""
    single: bool
    architecture: str
    guesses: tuple[str, ...] = field(default=(), compare=False)
    """What was not read but concluded, a sentence each."""

    @property
    def shared(self) -> bool:
        """Whether pods share whole GPUs."""
        return self.partition[0][0] != "mig"

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the pool in the fleet file."""
        ((kind, content),) = self.partition
        strategy = {"strategy": "single"} if self.single else {}
        return {"gpu": self.gpu, "partition": {kind: dict(content)}, **strategy}


def has_gpus(node: Node, catalogue: Catalogue) -> bool:
    """Whether *node* looks as if it had NVIDIA's GPUs."""
    known = catalogue.instance_types.get(instance_type(node))
    return bool(gpu_resources(node)) or PRODUCT in node.metadata.labels or (known is not None and known.gpus > 0)


def gpus_of(node: Node, catalogue: Catalogue) -> int:
    """How many GPUs *node* has; 0 if nothing tells."""
    known = catalogue.instance_types.get(instance_type(node))
    if known is not None:
        return known.gpus
    count = node.metadata.labels.get(COUNT, "")
    # Under `single` this label counts slices, and where shares are not renamed it still counts GPUs.
    return int(count) if count.isdecimal() and "-MIG-" not in node.metadata.labels.get(PRODUCT, "") else 0


def cut_of(node: Node, catalogue: Catalogue, strategy: str = "") -> Cut:
    """How *node* is cut.  *strategy*: the GPU Operator's, where the node does not say.  Raises `Unclear`."""
    labels = node.metadata.labels
    counts = gpu_resources(node, capacity=True)
    gpu = gpu_of(node, catalogue)
    if gpu is None:
        raise Unclear(f"carries a GPU that is not in the catalogue, '{labels.get(PRODUCT, 'unknown')}'")
    if not instance_type(node):
        raise Unclear("has no label node.kubernetes.io/instance-type")
    gpus = gpus_of(node, catalogue)
    if not gpus:
        raise Unclear(f"is a {instance_type(node)}, of which it is not known how many GPUs it has")
    if not counts:
        raise Unclear("offers no slices and no GPUs: no device plugin runs there, or it failed")
    if len(counts) > 1 and (WHOLE_GPU in counts or SHARED_GPU in counts):
        raise Unclear(f"offers {' and '.join(sorted(counts))}, and all GPUs of a pool are cut alike")
    architecture = labels.get(ARCHITECTURE, "amd64")
    guesses: list[str] = []
    if SHARED_GPU in counts or (WHOLE_GPU in counts and "-MIG-" not in labels.get(PRODUCT, "")):
        profile = _configured(node, gpu, strategy)
        if SHARED_GPU in counts or profile is None:
            shared = tuple(_shared(node, counts, gpus, guesses))
            return Cut(gpu.name, gpu.family, shared, single=False, architecture=architecture, guesses=tuple(guesses))
        guesses.append(f"Cut into {profile}, because the label {CONFIG} says so.")
    elif WHOLE_GPU in counts:
        profile = MigProfile.read(labels[PRODUCT].rpartition("-MIG-")[2])
        if profile is None:
            raise Unclear(f"has the label {PRODUCT}={labels[PRODUCT]}")
    else:
        profile = None
    single = WHOLE_GPU in counts
    layout = _layout({profile: counts[WHOLE_GPU]} if single and profile is not None else _profiles(counts), gpus, gpu)
    if len(layout) > 1:
        guesses.append("All GPUs of a node are taken to be cut alike: a node says only how many slices it has in all.")
    return Cut(gpu.name, gpu.family, (("mig", tuple(layout.items())),), single, architecture, tuple(guesses))


def _configured(node: Node, gpu: Gpu, strategy: str) -> MigProfile | None:
    """The profile that the GPU Operator cut the node into, where GPU feature discovery does not say."""
    labels = node.metadata.labels
    name = _CONFIG.fullmatch(labels.get(CONFIG, ""))
    profile = MigProfile.read(name[1]) if name else None
    single = labels.get(STRATEGY, strategy) == "single" and PRODUCT not in labels
    return profile if single and profile is not None and gpu.profile(profile) is not None else None


def _shared(node: Node, counts: dict[str, int], gpus: int, guesses: list[str]) -> Iterator[tuple[str, Any]]:
    labels = node.metadata.labels
    renamed = SHARED_GPU in counts
    total = counts[SHARED_GPU if renamed else WHOLE_GPU]
    if total == gpus and not renamed:
        raise Unclear("offers whole GPUs")
    if total % gpus or total <= gpus:
        raise Unclear(f"offers {total} shares of {gpus} GPUs, and all GPUs of a pool are shared alike")
    way = labels.get(SHARING, "")
    if way not in ("mps", "time-slicing"):
        guesses.append("Time-slicing and not MPS: nothing says which.")
    content: tuple[tuple[str, Any], ...] = (("replicas", total // gpus),)
    yield "mps" if way == "mps" else "timeSlicing", content if renamed else (*content, ("renamed", False))


def _profiles(counts: dict[str, int]) -> dict[MigProfile, int]:
    found = {}
    for resource, count in counts.items():
        profile = MigProfile.read(resource.removeprefix(RESOURCE_PREFIX))
        if profile is None:
            raise Unclear(f"offers {resource}, which is no MIG profile")
        found[profile] = count
    return found


def _layout(counts: dict[MigProfile, int], gpus: int, gpu: Gpu) -> dict[str, int]:
    told = ", ".join(f"{count} x {profile}" for profile, count in counts.items())
    layout = {}
    for profile, count in counts.items():
        known = gpu.profile(profile)
        if known is None:
            raise Unclear(f"offers {profile}, which {gpu.name} does not have")
        if count % gpus:
            raise Unclear(f"offers {told} on {gpus} GPUs, which are not cut alike, or some slices are missing")
        layout[profile] = count // gpus
    known_layout = {gpu.profile(profile): count for profile, count in layout.items()}
    if not fits(gpu, {profile: count for profile, count in known_layout.items() if profile is not None}):
        raise Unclear(f"offers {told} on {gpus} GPUs, which does not fit if they are cut alike")
    largest = sorted(layout, key=lambda profile: (profile.compute_slices, profile.memory_gb), reverse=True)
    return {str(profile): layout[profile] for profile in largest}
