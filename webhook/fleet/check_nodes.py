"""What is wrong with the nodes of a pool in a fleet file: their labels and taints, and how Karpenter launches them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic.alias_generators import to_camel

from webhook.errors import FleetProblem
from webhook.fleet.file import KARPENTER_ONLY, PoolEntry, path
from webhook.fleet.karpenter import check_karpenter
from webhook.fleet.labels import ZONES, is_set_by_others, of_type
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.slices.catalogue import Catalogue, InstanceType

DISABLED = "all-disabled"
"""The operator's ``migManager.config.default`` names this layout, so it must exist."""

LONGEST_AMI = 30
"""Characters of an alias: karpenter-provider-aws ``karpenter.k8s.aws_ec2nodeclasses.yaml``, ``maxLength``."""

SMALLEST_DISK = 20
"""GiB of the images' own volume (amazon-eks-ami ``templates/al2023/template.json``).  EC2 refuses a smaller one."""

DISK = re.compile(r"(?:[1-9][0-9]{0,3}|[1-4][0-9]{4}|5[0-8][0-9]{3}|59000)Gi|(?:[1-9]|[1-5][0-7]|58)Ti")
"""Sizes that an EC2NodeClass may have, below the 64 TiB of gp3.  Source: its CRD, ``ebs.volumeSize``."""


def check_nodes(where: str, entry: PoolEntry, catalogue: Catalogue, *, cut: bool) -> Iterator[FleetProblem]:
    """Everything wrong with the nodes of one pool.  *cut*: whether its GPUs can be cut as the file says."""
    types = [catalogue.instance_types[name] for name in entry.instance_types if name in catalogue.instance_types]
    yield from _check_labels(where, entry, types)
    yield from check_karpenter(where, entry)
    taints: set[tuple[str, str]] = set()
    both = [("taints", *pair) for pair in enumerate(entry.taints)]
    for field, index, taint in both + [("startupTaints", *pair) for pair in enumerate(entry.startup_taints)]:
        if (taint.key, taint.effect) not in taints:
            taints.add((taint.key, taint.effect))
        else:
            yield FleetProblem(
                f"{where}.{field}[{index}]",
                f"the pool has another taint '{taint.key}' with the effect {taint.effect}",
                "Kubernetes allows only one: remove the other",
            )
    for name, values in (("capacityTypes", entry.capacity_types), ("zones", entry.zones or [])):
        for index, value in enumerate(values):
            if value in values[:index]:
                yield FleetProblem(f"{where}.{name}[{index}]", f"'{value}' is given twice", "Give it once")
    if isinstance(entry.ami, str) and len(entry.ami) > LONGEST_AMI:
        yield FleetProblem(
            f"{where}.ami",
            f"'{entry.ami}' is longer than {LONGEST_AMI} characters, which Karpenter refuses",
            "Write one such as 'al2023@v20260724'",
        )
    if entry.nodes == "existing":
        for name in sorted(entry.model_fields_set & KARPENTER_ONLY):
            yield FleetProblem(
                f"{where}.{to_camel(name)}",
                "this field is for nodes that Karpenter launches, and this pool has 'nodes: existing'",
                "Remove it, or 'nodes: existing'",
            )
    sharing = entry.partition.sharing
    called_whole = entry.strategy == "single" or (sharing is not None and not sharing.renamed)
    if called_whole and entry.taints and all(taint.key == WHOLE_GPU for taint in entry.taints):
        yield FleetProblem(
            f"{where}.taints",
            f"on EKS every pod that asks for {WHOLE_GPU} tolerates this taint, and so is a slice of this pool called",
            "Remove 'taints' for the default",
        )
    if entry.node_pools is not None and entry.nodes != "existing":
        yield FleetProblem(
            f"{where}.nodePools", "this pool has a NodePool of its own", "Remove it, or write 'nodes: existing'"
        )
    if entry.by_operator:
        yield from _check_operator(where, entry)
    tainted = any(taint.effect != "PreferNoSchedule" for taint in entry.taints)
    if not tainted and not entry.untainted:
        yield FleetProblem(
            f"{where}.taints",
            ("PreferNoSchedule keeps no pod away: " if entry.taints else "without a taint ")
            + "any pod may be scheduled to these nodes",
            "Remove 'taints' for the default, or add 'untainted: true'",
        )
    if tainted and entry.untainted and "taints" in entry.model_fields_set:
        yield FleetProblem(f"{where}.untainted", "the pool has taints", "Write 'taints: []', or remove it")
    if entry.untainted and "taints" not in entry.model_fields_set:
        yield FleetProblem(f"{where}.untainted", "the pool has the default taint", "Write 'taints: []' beside it")
    if entry.nodes == "karpenter":
        yield from _check_limit(where, entry, types if cut else [])
        yield from _check_disk(where, entry)
    reserved = "reserved" in entry.capacity_types
    if reserved and not entry.capacity_reservations:
        yield FleetProblem(
            f"{where}.capacityTypes",
            "'reserved' needs a capacity reservation",
            "Add 'capacityReservations: [{id: cr-…}]'",
        )
    if entry.capacity_reservations and not reserved:
        yield FleetProblem(
            f"{where}.capacityReservations",
            "the pool does not use them",
            "Add 'reserved' to capacityTypes, or remove them",
        )


def _check_labels(where: str, entry: PoolEntry, types: Sequence[InstanceType]) -> Iterator[FleetProblem]:
    labels = [("labels", key, value) for key, value in (entry.labels or {}).items()]
    for field, key, value in labels + [("nodeLabels", key, value) for key, value in entry.node_labels.items()]:
        location = f"{where}.{path((field, key))}"
        if key.startswith("gpu-slice/") or (entry.nodes == "karpenter" and is_set_by_others(key)):
            yield FleetProblem(
                location,
                "this label is set by Karpenter, the cloud or gpu-slice",
                "Write 'zones: [NAME]'"
                if key in ZONES
                else f"Choose another key; {POOL_LABEL} is set to the pool's name",
            )
            continue
        for instance_type in types:
            real = of_type(instance_type).get(key, value)
            if real and real != value:
                problem = f"'{instance_type.name}' has '{real}' there, not '{value}'"
                yield FleetProblem(location, problem, "Correct it, or instanceTypes")
                break


def _check_operator(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    location = f"{where}.partitionedBy"
    if entry.name == DISABLED:
        yield FleetProblem(
            f"{where}.name", f"'{DISABLED}' is a layout of the GPU Operator's own", "Choose another name"
        )
    if entry.partition.mig is None:
        yield FleetProblem(location, "the GPUs of this pool are not cut", "Remove it")
    if entry.bottlerocket:
        yield FleetProblem(location, "Bottlerocket cuts its GPUs itself", "Remove it, or write an al2023 ami")
    if not any(taint.effect == "NoSchedule" for taint in entry.taints):
        yield FleetProblem(
            location,
            "until the operator has cut the GPUs, a node shows them as whole ones, and no taint keeps pods from them",
            "Remove 'taints' for the default",
        )


def _check_limit(where: str, entry: PoolEntry, types: Sequence[InstanceType]) -> Iterator[FleetProblem]:
    given = [name for name, value in entry.limit.model_dump().items() if value is not None]
    if len(given) != 1:
        yield FleetProblem(f"{where}.limit", f"{given_of(given)} given", "Give slices or nodes")
        return
    sharing = entry.partition.sharing
    per_gpu = sharing.replicas if sharing else sum((entry.partition.mig or {}).values())
    largest = max(types, key=lambda instance_type: instance_type.gpus, default=None)
    if largest is not None and entry.limit.slices is not None and entry.limit.slices < largest.gpus * per_gpu:
        yield FleetProblem(
            f"{where}.limit.slices",
            f"{entry.limit.slices} is less than one '{largest.name}' has, so Karpenter launches none",
            f"Write at least {largest.gpus * per_gpu}" + (", or remove that type" if len(types) > 1 else ""),
        )


def _check_disk(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    gib = int(entry.disk[:-2]) * (1024 if entry.disk.endswith("Ti") else 1)
    if gib < SMALLEST_DISK:
        problem = f"'{entry.disk}' is smaller than the image's own volume, and EC2 refuses it"
        yield FleetProblem(f"{where}.disk", problem, f"Write at least '{SMALLEST_DISK}Gi'")
    elif not DISK.fullmatch(entry.disk):
        hint = f"Write '{gib}Gi'" if DISK.fullmatch(f"{gib}Gi") else "Write at most '58Ti'"
        yield FleetProblem(f"{where}.disk", f"'{entry.disk}' is not a size that Karpenter's EC2NodeClass takes", hint)


def given_of(names: Sequence[str]) -> str:
    """The subject of a sentence: which of several alternatives a file gives."""
    return f"{' and '.join(names)} are" if len(names) > 1 else "nothing is"
