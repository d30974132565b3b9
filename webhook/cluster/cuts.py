"""How a node's GPUs are cut or shared, read from what its device plugin and GPU feature discovery say.

Source of the labels: NVIDIA/k8s-device-plugin v0.20.0 ``internal/lm``, ``docs/gpu-feature-discovery/README.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.cluster.nodes import INSTANCE_TYPE, PRODUCT, REPLICAS, gpu_of, gpu_resources, instance_type
from webhook.cluster.objects import Node
from webhook.fleet.pool import SHARED_GPU, WHOLE_GPU
from webhook.slices.catalogue import Catalogue, Gpu
from webhook.slices.layout import fits
from webhook.slices.profile import RESOURCE_PREFIX, MigProfile

COUNT, STRATEGY = "nvidia.com/gpu.count", "nvidia.com/mig.strategy"
SHARING = ("nvidia.com/gpu.sharing-strategy", "cloud.google.com/gke-gpu-sharing-strategy")
CONFIG, CONFIG_STATE = "nvidia.com/mig.config", "nvidia.com/mig.config.state"
PARTITION = "cloud.google.com/gke-gpu-partition-size"
"""On GKE, the profile of slices that its own device plugin calls GPUs.  Feature discovery does not know of it."""
ARCHITECTURE = "kubernetes.io/arch"

GPUS = {WHOLE_GPU, SHARED_GPU}

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
    return _told_gpus(node, catalogue) or _filled_gpus(node, catalogue)


def _told_gpus(node: Node, catalogue: Catalogue) -> int:
    known = catalogue.instance_types.get(instance_type(node))
    if known is not None:
        return known.gpus
    count = node.metadata.labels.get(COUNT, "")
    # Under `single` this label counts slices, and where shares are not renamed it still counts GPUs.
    return int(count) if count.isdecimal() and "-MIG-" not in node.metadata.labels.get(PRODUCT, "") else 0


def _filled_gpus(node: Node, catalogue: Catalogue) -> int:
    """How many GPUs have the slices of *node*, which are called GPUs, if each has as many as fit; 0 if none do."""
    gpu, count = gpu_of(node, catalogue), gpu_resources(node, capacity=True).get(WHOLE_GPU, 0)
    profile = MigProfile.read(node.metadata.labels.get(PRODUCT, "").rpartition("-MIG-")[2])
    known = gpu.profile(profile) if gpu is not None and profile is not None else None
    return count // known.most if known is not None and count % known.most == 0 else 0


def machine(node: Node, catalogue: Catalogue) -> str:
    """A name for the kind of machine that *node* is, where its cloud gives it none: ``8x-h100-80gb``."""
    gpu, gpus = gpu_of(node, catalogue), gpus_of(node, catalogue)
    return "my-server" if gpu is None else f"{gpus}x-{gpu.name}" if gpus else f"my-{gpu.name}"


def cut_of(node: Node, catalogue: Catalogue, strategy: str = "") -> Cut:
    """How *node* is cut.  *strategy*: the GPU Operator's, where the node does not say.  Raises `Unclear`."""
    labels = node.metadata.labels
    counts, product = gpu_resources(node, capacity=True), labels.get(PRODUCT, "")
    gpu = gpu_of(node, catalogue)
    if gpu is None and product:
        raise Unclear(f"carries a GPU that is not in the catalogue, '{product}'")
    if not labels.get(INSTANCE_TYPE):
        kind = instance_type(node) or machine(node, catalogue)
        label = f"kubectl label node NAME {INSTANCE_TYPE}={kind}"
        raise Unclear(
            f"has no label {INSTANCE_TYPE}: give it one, another for each kind of machine, as by '{label}', "
            "and look again"
        )
    if gpu is None:
        raise Unclear(f"is a {instance_type(node)}, which is not in the catalogue, and has no label {PRODUCT}")
    gpus = gpus_of(node, catalogue)
    if not gpus:
        raise Unclear(
            f"is a {instance_type(node)}, of which it is not known how many GPUs it has: write its pool by "
            "hand, and the machine under catalogue.instanceTypes"
        )
    if not counts:
        state = labels.get(CONFIG_STATE, "success")
        why = "no device plugin runs there, or it failed" if state == "success" else f"{CONFIG_STATE} is '{state}'"
        raise Unclear(f"offers no slices and no GPUs: {why}")
    if _shares_slices(labels, counts):
        raise Unclear("lets several pods share a MIG slice, and a pool's slices are for one pod each")
    if len(counts) > 1 and GPUS & counts.keys():
        raise Unclear(f"offers {' and '.join(sorted(counts))}, and all GPUs of a pool are cut alike")
    architecture = labels.get(ARCHITECTURE, "amd64")
    guesses: list[str] = []
    if not _told_gpus(node, catalogue):
        guesses.append(f"Taken to be {gpus} GPUs, each with as many slices as fit: nothing says how many they are.")
    if SHARED_GPU in counts or (WHOLE_GPU in counts and "-MIG-" not in product):
        key = PARTITION if PARTITION in labels else CONFIG
        profile = _configured(node, gpu, strategy)
        if SHARED_GPU in counts or profile is None:
            maybe_cut = bool(gpu.mig) and not product
            shared = tuple(_shared(node, counts, gpus, guesses, maybe_cut=maybe_cut))
            return Cut(gpu.name, gpu.family, shared, single=False, architecture=architecture, guesses=tuple(guesses))
        guesses.append(f"Cut into {profile}, because the label {key} says so.")
    elif WHOLE_GPU in counts:
        profile = MigProfile.read(product.rpartition("-MIG-")[2])
        if profile is None:
            raise Unclear(f"has the label {PRODUCT}={product}")
    else:
        profile = None
    single = WHOLE_GPU in counts
    layout = _layout({profile: counts[WHOLE_GPU]} if single and profile is not None else _profiles(counts), gpus, gpu)
    if len(layout) > 1:
        guesses.append("All GPUs of a node are taken to be cut alike: a node says only how many slices it has in all.")
    return Cut(gpu.name, gpu.family, (("mig", tuple(layout.items())),), single, architecture, tuple(guesses))


def _configured(node: Node, gpu: Gpu, strategy: str) -> MigProfile | None:
    """The profile that the GPU Operator or GKE cut the node into, where GPU feature discovery does not say.

    Raises `Unclear` if GKE's label names none that the GPU has.
    """
    labels = node.metadata.labels
    if PARTITION in labels:
        profile = MigProfile.read(labels[PARTITION])
        if profile is None or gpu.profile(profile) is None:
            raise Unclear(f"has the label {PARTITION}={labels[PARTITION]}, which is no profile of {gpu.name}")
        return profile
    name = _CONFIG.fullmatch(labels.get(CONFIG, ""))
    profile = MigProfile.read(name[1]) if name else None
    single = labels.get(STRATEGY, strategy) == "single" and PRODUCT not in labels
    return profile if single and profile is not None and gpu.profile(profile) is not None else None


def _shares_slices(labels: Mapping[str, str], counts: Mapping[str, int]) -> bool:
    """Whether pods share slices by time-slicing, which multiplies how many a node says that it has."""
    product = labels.get(PRODUCT, "")
    if "-MIG-" in product or PARTITION in labels:
        several = labels.get(REPLICAS, "1") != "1" or product.endswith("-SHARED") or SHARING[1] in labels
        return several or SHARED_GPU in counts
    return any(name.endswith(".shared") or labels.get(f"{name}.replicas", "1") != "1" for name in counts.keys() - GPUS)


def _shared(
    node: Node, counts: dict[str, int], gpus: int, guesses: list[str], *, maybe_cut: bool
) -> Iterator[tuple[str, Any]]:
    labels = node.metadata.labels
    renamed = SHARED_GPU in counts
    total = counts[SHARED_GPU if renamed else WHOLE_GPU]
    if total == gpus and not renamed:
        raise Unclear("offers whole GPUs")
    if total % gpus or total <= gpus:
        raise Unclear(f"offers {total} shares of {gpus} GPUs, and all GPUs of a pool are shared alike")
    way = next((labels[key] for key in SHARING if key in labels), "")
    if way not in ("mps", "time-slicing", "time-sharing"):
        other = "neither MPS nor MIG slices that are called GPUs" if maybe_cut else "not MPS"
        guesses.append(f"Time-slicing and {other}: nothing says which.")
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
