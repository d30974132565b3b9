"""The schema of the fleet file, field by field: names, types, defaults and why.

This module checks what concerns a single field.  `webhook.fleet.fleet` checks what needs the catalogue or another
field.  `schema` gives the same schema to editors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from webhook.errors import BadFleet, FleetProblem, kind_of, quote
from webhook.slices.catalogue import GPU_NAME, CatalogueFile
from webhook.slices.suggest import nearest

API_VERSION = "gpu-slice/v1"

TAINT_KEY = "nvidia.com/gpu-shared"
"""Our convention, with a hyphen.  ``nvidia.com/gpu.shared``, with a dot, is a resource of the device plugin."""

# Kubernetes' own limits: k8s.io/apimachinery pkg/util/validation.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
NAMESPACE = rf"^\*$|{DNS_LABEL}"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
DURATION = r"^([0-9]+(s|m|h))+$"
CLUSTER = r"^[A-Za-z0-9][-A-Za-z0-9_]{0,99}$"
AMI = r"^(al2023|bottlerocket)@(latest|v?[0-9][0-9A-Za-z.-]*)$"
DISK = r"^[1-9][0-9]*(Gi|Ti)$"
RESERVATION = r"^cr-[0-9a-z]+$"
IMAGE = r"^[a-z0-9][a-z0-9._:-]*(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$"
DURATION_OR_NEVER = rf"{DURATION}|^Never$"

DnsLabel = Annotated[str, Field(pattern=DNS_LABEL)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]
Positive = Annotated[int, Field(ge=1)]


class Model(BaseModel):
    """An object of the file: frozen, in camelCase, without unknown fields; ``"4"`` is not a number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, strict=True, use_attribute_docstrings=True
    )


class Replicas(Model):
    """How many pods share one GPU."""

    replicas: Annotated[int, Field(ge=2)]
    """Shares of one GPU.  The device plugin refuses 1."""


class Partition(Model):
    """How each GPU of the pool is divided: exactly one of the three."""

    mig: Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """One GPU's layout, a count for each MIG profile: {1g.5gb: 7}.  Checked against real placements."""
    time_slicing: Replicas | None = None
    """Pods take turns on a whole GPU; neither memory nor faults are isolated."""
    mps: Replicas | None = None
    """Pods share a whole GPU through NVIDIA MPS, each with a part of its memory."""


class Taint(Model):
    """A taint on the pool's nodes.  The webhook adds a toleration for it to the pods."""

    key: LabelKey
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Limit(Model):
    """How large Karpenter may make the pool: exactly one of the two."""

    slices: Positive | None = None
    """Number of slices in the whole pool."""
    nodes: Positive | None = None


class CapacityReservation(Model):
    """An EC2 capacity reservation: exactly one of the two."""

    id: Annotated[str, Field(pattern=RESERVATION)] | None = None
    tags: Annotated[dict[str, str], Field(min_length=1)] | None = None


class DevicePlugin(Model):
    """Where the nodes pull NVIDIA's device plugin from."""

    image: Annotated[str, Field(pattern=IMAGE)] = "nvcr.io/nvidia/k8s-device-plugin:v0.20.0"
    """At least v0.20.0: older ones count `1g.5gb+me` as `1g.5gb`.  It may end with a digest: @sha256:…"""
    pull_secrets: list[DnsLabel] = []
    """Names of Secrets in kube-system with the registry's credentials."""


class PoolEntry(Model):
    """Nodes that are all cut the same way."""

    name: DnsLabel
    """The node label gpu-slice/pool, and the name of the NodePool."""
    gpu: str
    """A GPU of the catalogue, such as a100-40gb (`gpu-slice profiles --all`)."""
    partition: Partition
    instance_types: Annotated[list[str], Field(min_length=1)]
    """EC2 instance types that carry this GPU, all of one architecture."""
    strategy: Literal["mixed", "single"] = "mixed"
    """The device plugin's MIG strategy.  mixed: nvidia.com/mig-<profile>; single: nvidia.com/gpu, one profile."""
    allocation: Literal["packed", "distributed"] | None = None
    """Which GPU of a node the device plugin takes next: one that is in use, or the one that is used least.
    Default: packed for MIG, as slices do not slow each other; distributed where pods share a GPU."""
    labels: dict[LabelKey, LabelValue] | None = None
    """Labels of the nodes, and the nodeSelector of the pods.  Default: {nvidia.com/gpu: <the GPU's family>}."""
    taints: list[Taint] = [Taint(key=TAINT_KEY, value="true")]
    untainted: bool = False
    """Confirms `taints: []`: any pod may then be scheduled to the pool's nodes."""
    nodes: Literal["karpenter", "existing"] = "karpenter"
    """existing: node groups or the GPU Operator create the nodes and label them gpu-slice/pool."""
    capacity_types: Annotated[list[Literal["spot", "on-demand", "reserved"]], Field(min_length=1)] = ["on-demand"]
    """spot is cheaper, but AWS may reclaim it at two minutes' notice, so it is not the default."""
    capacity_reservations: list[CapacityReservation] = []
    """Which reservations `reserved` may use."""
    empty_for: Annotated[str, Field(pattern=DURATION)] = "300s"
    """How long an empty node is kept."""
    consolidation: Literal["WhenEmpty", "WhenEmptyOrUnderutilized"] = "WhenEmpty"
    """WhenEmptyOrUnderutilized moves running pods, which few training jobs survive."""
    expire_after: Annotated[str, Field(pattern=DURATION_OR_NEVER)] = "720h"
    limit: Limit = Limit(nodes=10)
    """A p4d costs about $30 an hour, so a default limit bounds the cost of a mistake."""
    weight: Annotated[int, Field(ge=1, le=100)] = 10
    """Karpenter tries a larger weight first."""
    ami: Annotated[str, Field(pattern=AMI)] = "al2023@v20260724"
    """Pinned, so that a new image is a deliberate change."""
    node_role: str | None = None
    """IAM role of the nodes.  Default: KarpenterNodeRole-<cluster>."""
    disk: Annotated[str, Field(pattern=DISK)] = "200Gi"


class NamespaceEntry(Model):
    """What pods of a namespace may use.  A field that is not set limits nothing."""

    pools: list[str] | None = None
    slices: list[str] | None = None
    """Profiles such as 1g.5gb, and `shared`."""


def _this_version(value: Any) -> Any:
    if value != API_VERSION:
        raise ValueError(f"this version of gpu-slice reads {API_VERSION}, not {quote(value)}")
    return value


class FleetFile(Model):
    """The slices that a cluster offers."""

    api_version: Annotated[Literal["gpu-slice/v1"], BeforeValidator(_this_version)]
    cluster: Annotated[str, Field(pattern=CLUSTER)] = "my-cluster"
    """Name of the EKS cluster, used for karpenter.sh/discovery and the role's name."""
    pools: Annotated[list[PoolEntry], Field(min_length=1)]
    """In order of preference, for requests that several pools satisfy."""
    namespaces: dict[Annotated[str, Field(pattern=NAMESPACE)], NamespaceEntry] = {}
    """By name; "*" is for namespaces without an entry of their own.  A namespace without either may use everything."""
    device_plugin: DevicePlugin = DevicePlugin()
    catalogue: CatalogueFile = CatalogueFile()
    """Your own GPUs and instance types, in the format of the built-in catalogue."""


def read(data: Any) -> FleetFile:
    """Validate *data*, a decoded fleet file.  Raises `BadFleet` with every problem."""
    if not isinstance(data, dict):
        raise BadFleet(
            [FleetProblem("fleet", f"{quote(data)} is not a fleet", f"Begin with 'apiVersion: {API_VERSION}'")]
        )
    try:
        return FleetFile.model_validate(data)
    except ValidationError as error:
        raise BadFleet([_problem(detail, data) for detail in error.errors()]) from None


def schema() -> dict[str, Any]:
    """The JSON Schema of the fleet file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gpu-slice fleet",
        **FleetFile.model_json_schema(by_alias=True),
    }


def path(location: tuple[int | str, ...]) -> str:
    """A location in the file, written the way users write it.

    >>> path(("pools", 0, "labels", "nvidia.com/gpu"))
    'pools[0].labels[nvidia.com/gpu]'
    """
    text = ""
    for step in location:
        plain = isinstance(step, str) and step.replace("-", "").replace("_", "").isalnum()
        text += (f".{step}" if text else str(step)) if plain else f"[{step}]"
    return text or "fleet"


_HINTS = {
    DNS_LABEL: "Use lower-case letters, digits and '-', at most 63 characters",
    NAMESPACE: "Write a namespace's name, in lower-case letters, digits and '-', or '*' for all others",
    GPU_NAME: "Use lower-case letters, digits, '-' and '.', at most 63 characters",
    LABEL_KEY: "Write a label key, such as 'nvidia.com/gpu'",
    LABEL_VALUE: "Use letters, digits, '-', '_' and '.', at most 63 characters, and quote numbers",
    DURATION: "Write a duration such as '300s', '15m' or '720h'",
    DURATION_OR_NEVER: "Write a duration such as '720h', or 'Never'",
    CLUSTER: "Use letters, digits, '-' and '_', at most 100 characters",
    AMI: "Write one such as 'al2023@v20260724' or 'bottlerocket@1.57.0'",
    DISK: "Write a size such as '200Gi'",
    RESERVATION: "Write an id such as 'cr-0123456789abcdef0'",
    IMAGE: "Write it with its registry, as in 'registry.example/nvidia/k8s-device-plugin:v0.20.0'",
}
_WANTED = {
    "string_type": "a string: put it in quotes",
    "int_type": "a whole number, without quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _problem(error: Any, data: Any) -> FleetProblem:
    # pydantic appends '[key]' where the key of a mapping is wrong.
    location = tuple(step for step in error["loc"] if step != "[key]")
    where, value, kind, context = path(location), error["input"], error["type"], error.get("ctx", {})
    if kind == "missing":
        return FleetProblem(where, "is missing", "Add it")
    if kind == "extra_forbidden":
        known = _known(location)
        suggestion = nearest(str(location[-1]), known)
        return FleetProblem(
            where,
            "is not a known field",
            f"Write '{suggestion}'" if suggestion else f"The known fields are {', '.join(known)}",
        )
    if kind == "value_error":
        return FleetProblem(where, str(context["error"]), f"Write 'apiVersion: {API_VERSION}', or upgrade")
    if kind == "literal_error":
        return FleetProblem(where, f"{quote(value)} is not known", f"Write {context['expected']}")
    if kind == "string_pattern_mismatch":
        return FleetProblem(where, f"{quote(value)} is not well formed", _HINTS[context["pattern"]])
    if kind == "too_short":
        return FleetProblem(where, "is empty", "Add at least one entry")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return FleetProblem(where, f"{quote(value)} is out of range", f"Write {bound}")
    wanted = _WANTED[kind]
    return FleetProblem(where, kind_of(value), f"Write {wanted}")


def _known(location: tuple[int | str, ...]) -> list[str]:
    """The fields of the object that contains *location*."""
    owner: type[BaseModel] = FleetFile
    key_is_next = False
    for step in location[:-1]:
        if isinstance(step, int) or key_is_next:
            key_is_next = False
            continue
        field = next((info for info in owner.model_fields.values() if info.alias == step), None)
        inner = None if field is None else _model_in(field.annotation)
        if field is None or inner is None:
            break
        key_is_next = "dict[" in str(field.annotation)
        owner = inner
    return [field.alias or name for name, field in owner.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds: directly, or in a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _model_in(argument))), None)
