"""The labels of a pool's nodes, as far as they are known before a node exists.

None stands for a label that a node does not have.  Of a label that is not listed, nothing is known.

Sources: ``pkg/apis/v1/labels.go`` of Karpenter and of karpenter-provider-aws for the labels, and the latter's
``pkg/providers/instancetype/types.go`` for their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from webhook.fleet.file import PoolEntry
from webhook.slices.catalogue import InstanceType

NODE_POOL = "karpenter.sh/nodepool"

Labels: TypeAlias = Mapping[str, str | None]

ZONE = "topology.kubernetes.io/zone"

_AWS = "karpenter.k8s.aws/"
_TYPE = re.compile(r"([a-z]+)(?:-[0-9]+tb)?([0-9]++).*\.")
_REGION = re.compile(r"[a-z]+(?:-[a-z]+)+-[0-9]+")
_ALIASES = {
    ZONE: ("failure-domain.beta.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone"),
    "topology.kubernetes.io/region": ("failure-domain.beta.kubernetes.io/region",),
    "node.kubernetes.io/instance-type": ("beta.kubernetes.io/instance-type",),
    "kubernetes.io/arch": ("beta.kubernetes.io/arch",),
    "kubernetes.io/os": ("beta.kubernetes.io/os",),
}
"""Other names of a label, which Karpenter takes for the same (``NormalizedLabels``)."""

_NEVER = (
    "node.kubernetes.io/windows-build",
    *(f"{_AWS}instance-accelerator-{what}" for what in ("count", "manufacturer", "name")),
)
"""Labels that no Linux node with NVIDIA's GPUs has."""

_RESERVED = tuple(f"{_AWS}capacity-reservation-{what}" for what in ("id", "interruptible", "type"))

WELL_KNOWN = frozenset(
    {
        NODE_POOL, "karpenter.sh/capacity-type", "topology.k8s.aws/zone-id", *_ALIASES, *_NEVER,
        *_RESERVED, *(alias for aliases in _ALIASES.values() for alias in aliases),
        *(_AWS + name for name in (
            "instance-capability-flex", "instance-category", "instance-cpu", "instance-cpu-manufacturer",
            "instance-cpu-sustained-clock-speed-mhz", "instance-ebs-bandwidth",
            "instance-encryption-in-transit-supported", "instance-family", "instance-generation",
            "instance-gpu-count", "instance-gpu-manufacturer", "instance-gpu-memory", "instance-gpu-name",
            "instance-hypervisor", "instance-local-nvme", "instance-memory", "instance-network-bandwidth",
            "instance-size", "instance-tenancy", "nitro-sandbox", "placement-group-id", "placement-group-partition",
        )),
    }
)  # fmt: skip
"""Labels that Karpenter knows.  It launches no node for a pod that requires another which its NodePool does not set."""

SELECTABLE = tuple(
    sorted(WELL_KNOWN.difference(_NEVER, _RESERVED, *_ALIASES.values()), key=lambda key: (key.startswith(_AWS), key))
)
"""Those that a pod may well select by."""

RESERVED_LABELS = (
    "karpenter.sh/",
    "karpenter.k8s.aws/",
    "gpu-slice/",
    "kubernetes.io/",
    "beta.kubernetes.io/",
    "topology.kubernetes.io/",
    "node.kubernetes.io/",
)
"""Prefixes of labels that Karpenter, the cloud or gpu-slice set themselves."""

SET_ELSEWHERE = (
    *RESERVED_LABELS,
    "alpha.eksctl.io/",
    "eks.amazonaws.com/",
    "failure-domain.beta.kubernetes.io/",
    "feature.node.kubernetes.io/",
    "nvidia.com/gpu.",
    "nvidia.com/mig.",
    "topology.k8s.aws/",
    "topology.ebs.csi.aws.com/",
)
"""Prefixes of labels that any node may have, whatever its pool says: EKS and GPU feature discovery set some."""

_OF_A_GROUP = (
    NODE_POOL,
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "kubernetes.io/hostname",
)


ZONES = (ZONE, *_ALIASES[ZONE])
"""The names of the zone's label."""

OPERATOR = ("nvidia.com/mig.config", "nvidia.com/gpu.deploy.operands")
"""The GPU Operator's: the layout of a node that it cuts, and whether it works on the node at all."""


def is_set_by_others(key: str) -> bool:
    """Whether Karpenter, the cloud or gpu-slice sets the label *key* on nodes that Karpenter launches."""
    return key.startswith(RESERVED_LABELS) or key in WELL_KNOWN or key in OPERATOR


def widespread(key: str) -> bool:
    """Whether nodes that have nothing to do with each other may have the same value of the label *key*."""
    return key.startswith(SET_ELSEWHERE) and key not in _OF_A_GROUP


def node_labels(
    entry: PoolEntry, instance_type: InstanceType, own: Mapping[str, str], others: Iterable[str]
) -> Iterator[Labels]:
    """The labels of each kind of node that a pool has of *instance_type*.

    *own*: what the pool itself puts on its nodes.  *others*: what other pools put on theirs.
    """
    fixed = _absent((*_NEVER, *(key for key in others if not key.startswith(SET_ELSEWHERE)))) | _of_type(instance_type)
    made = _from_karpenter(instance_type)
    kinds: list[dict[str, str | None]]
    if entry.nodes == "karpenter":
        made |= {NODE_POOL: entry.name, f"{_AWS}ec2nodeclass": entry.name, **for_operator(entry)}
        kinds = [
            made | {"karpenter.sh/capacity-type": bought} | _absent(_RESERVED if bought != "reserved" else ())
            for bought in entry.capacity_types
        ]
    elif entry.node_pools is not None:
        kinds = [made | {NODE_POOL: name} for name in entry.node_pools]
    else:
        kinds = [made, _absent(made)]  # nobody knows whether Karpenter launched them
    for kind in kinds:
        for zone in entry.zones or [""]:
            yield fixed | kind | (_of_zone(zone) if zone else {}) | dict(own)


def for_operator(entry: PoolEntry) -> dict[str, str]:
    """What tells NVIDIA's GPU Operator how to cut a node that Karpenter launches, or to leave it alone.

    Source: NVIDIA/gpu-operator ``controllers/state_manager.go``.
    """
    layout, away = OPERATOR
    return {layout: entry.name} if entry.by_operator else {away: "false"}


def of_type(instance_type: InstanceType) -> Labels:
    """The labels that a node of *instance_type* has, with those that it has if Karpenter launched it."""
    return _of_type(instance_type) | _from_karpenter(instance_type)


def _of_type(instance_type: InstanceType) -> dict[str, str | None]:
    return _with_aliases(
        {
            "node.kubernetes.io/instance-type": instance_type.name,
            "kubernetes.io/arch": instance_type.architecture,
            "kubernetes.io/os": "linux",
        }
    )


def _of_zone(zone: str) -> dict[str, str | None]:
    region = _REGION.match(zone)
    return _with_aliases({ZONE: zone, "topology.kubernetes.io/region": region[0] if region else None})


def _from_karpenter(instance_type: InstanceType) -> dict[str, str | None]:
    kind, (family, *sizes) = _TYPE.match(instance_type.name), instance_type.name.split(".")
    named = len(sizes) == 1
    labels: dict[str, str | None] = {
        "instance-category": kind[1] if kind else None,
        "instance-generation": kind[2] if kind else None,
        "instance-family": family if named else None,
        "instance-size": sizes[0] if named else None,
        "instance-capability-flex": "true" if "-flex" in family else "false",
    }
    if instance_type.gpu_name is not None:
        labels |= {
            "instance-gpu-count": str(instance_type.gpus),
            "instance-gpu-manufacturer": "nvidia",
            "instance-gpu-name": instance_type.gpu_name,
            "instance-gpu-memory": str(instance_type.gpu_memory),
        }
    return {_AWS + key: value for key, value in labels.items()}


def _with_aliases(labels: dict[str, str | None]) -> dict[str, str | None]:
    return labels | {alias: value for key, value in labels.items() for alias in _ALIASES[key]}


def _absent(keys: Iterable[str]) -> dict[str, str | None]:
    return dict.fromkeys(keys)
