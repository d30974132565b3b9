"""The schema of the fleet file, field by field: names, types, defaults and why.

This module checks what concerns a single field.  `webhook.fleet.fleet` checks what needs the catalogue or another
field.  `schema` gives the same schema to editors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic.alias_generators import to_camel

from webhook.errors import quote
from webhook.slices.entries import CatalogueFile

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
ROLE = r"^[A-Za-z0-9_+=,.@-]{1,64}$"
AMI = r"^(al2023|bottlerocket)@(latest|v?[0-9][0-9A-Za-z.-]*)$"
DISK = r"^[1-9][0-9]{0,8}(Gi|Ti)$"
RESERVATION = r"^cr-[0-9a-z]+$"
ACCOUNT = r"^[0-9]{12}$"
SUBNET, SECURITY_GROUP, IMAGE_ID = r"^subnet-[0-9a-z]+$", r"^sg-[0-9a-z]+$", r"^ami-[0-9a-z]+$"
SHARE = r"^((100|[0-9]{1,2})%|[0-9]+)$"
HOURS = r"^([0-9]+h)?([0-9]+m)?$"
ZONE = r"^[a-z]+(-[a-z]+)+-[0-9]+([a-z]|-[a-z0-9]+(-[a-z0-9]+)*)$"
IMAGE = r"^[a-z0-9][a-z0-9._:-]*(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$"
MOST_TERMS = 30
"""Selector terms, of which each has at most 20 tags: ``karpenter.k8s.aws_ec2nodeclasses.yaml``."""
DURATION_OR_NEVER = rf"{DURATION}|^Never$"

DnsLabel = Annotated[str, Field(pattern=DNS_LABEL)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]
Positive = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Tags = Annotated[dict[Text, Text], Field(min_length=1, max_length=20, description="Tags that they all carry.")]


Mode = Literal["enforce", "shadow"]
"""shadow: everything is decided, counted and warned about, and the webhook changes and denies no pod."""


class Model(BaseModel):
    """An object of the file: frozen, in camelCase, without unknown fields; ``"4"`` is not a number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, strict=True, use_attribute_docstrings=True
    )


class Replicas(Model):
    """How many pods share one GPU."""

    replicas: Annotated[int, Field(ge=2)]
    """Shares of one GPU.  The device plugin refuses 1."""
    renamed: bool = True
    """Whether a share is nvidia.com/gpu.shared.  On existing nodes it may be nvidia.com/gpu, the plugin's default."""


class Partition(Model):
    """How each GPU of the pool is divided: exactly one of the three."""

    mig: Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """One GPU's layout, a count for each MIG profile: {1g.5gb: 7}.  Checked against real placements."""
    time_slicing: Replicas | None = None
    """Pods take turns on a whole GPU; neither memory nor faults are isolated."""
    mps: Replicas | None = None
    """Pods share a whole GPU through NVIDIA MPS, each with a part of its memory."""

    @property
    def sharing(self) -> Replicas | None:
        """How pods share a whole GPU; None if it is cut."""
        return self.time_slicing or self.mps


class Taint(Model):
    """A taint on the pool's nodes.  The webhook adds a toleration for it to the pods."""

    key: LabelKey
    """Pods tolerate every value and effect of this key."""
    value: LabelValue = ""
    """The nodes have it; pods need not know it."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """What becomes of pods that do not tolerate the taint, as in Kubernetes."""


class Limit(Model):
    """How large Karpenter may make the pool: exactly one of the two."""

    slices: Positive | None = None
    """Number of slices in the whole pool."""
    nodes: Annotated[int, Field(ge=0)] | None = None
    """0 launches nothing more."""


Object = dict[str, Any]
"""A part of a Karpenter object, which Karpenter's own schema checks."""


class CapacityReservation(Model):
    """EC2 capacity reservations: an id, or tags and instanceMatchCriteria, of an owner.  A tag's value may be `"*"`."""

    id: Annotated[str, Field(pattern=RESERVATION)] | None = None
    """cr-…, alone."""
    tags: Tags | None = None
    owner_id: Annotated[str, Field(pattern=ACCOUNT)] | None = Field(None, alias="ownerID")
    """The account that shares them with yours."""
    instance_match_criteria: Literal["open", "targeted"] | None = None
    """Which of them, as EC2 distinguishes.  Default: both."""


class SubnetTerm(Model):
    """Subnets: exactly one of the two.  A tag's value may be `"*"`."""

    id: Annotated[str, Field(pattern=SUBNET)] | None = None
    """subnet-…"""
    tags: Tags | None = None


class SecurityGroupTerm(Model):
    """Security groups: exactly one of the three.  A tag's value may be `"*"`."""

    id: Annotated[str, Field(pattern=SECURITY_GROUP)] | None = None
    """sg-…"""
    name: Text | None = None
    """Its name, and not its tag Name."""
    tags: Tags | None = None


class ImageTerm(Model):
    """Images: an id, an ssmParameter, or names and tags of an owner."""

    id: Annotated[str, Field(pattern=IMAGE_ID)] | None = None
    """ami-…, alone."""
    ssm_parameter: Text | None = None
    """Name or ARN of a parameter that holds the id, alone."""
    name: Text | None = None
    """Its name; `*` stands for anything."""
    owner: Text | None = None
    """An account, or an alias such as self."""
    tags: Tags | None = None


class Budget(Model):
    """How many nodes Karpenter may replace at a time of its own accord.  It does not hold up `expireAfter`."""

    nodes: Annotated[str, Field(pattern=SHARE)]
    """A number or a percentage, as a string: "1", "10%"."""
    schedule: str | None = None
    """When it begins to hold, as cron does, in UTC.  With `duration`."""
    duration: Annotated[str, Field(pattern=HOURS)] | None = None
    """How long it holds then, such as 8h."""
    reasons: list[Literal["Underutilized", "Empty", "Drifted"]] | None = None
    """For which replacements.  Default: for all."""


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
    zones: Annotated[list[Annotated[str, Field(pattern=ZONE)]], Field(min_length=1)] | None = None
    """Availability zones of the nodes, such as us-east-1a.  By default Karpenter takes those of its subnets."""
    strategy: Literal["mixed", "single"] = "mixed"
    """The device plugin's MIG strategy.  mixed: nvidia.com/mig-<profile>; single: nvidia.com/gpu, one profile."""
    partitioned_by: Literal["boot", "gpu-operator"] = "boot"
    """Who cuts the GPUs of a MIG pool that Karpenter launches: our script at boot, or the GPU Operator's MIG manager,
    whose device plugin then serves the slices."""
    mode: Mode = "enforce"
    """shadow: pods that no other pool serves are left as they are, and told what they would get."""
    allocation: Literal["packed", "distributed"] | None = None
    """Which GPU of a node the device plugin takes next: one that is in use, or the one that is used least.
    Default: packed for MIG, as slices do not slow each other; distributed where pods share a GPU."""
    labels: dict[LabelKey, LabelValue] | None = None
    """Labels of the nodes, and the nodeSelector of the pods.  Default: {nvidia.com/gpu: <the GPU's family>}."""
    taints: list[Taint] = [Taint(key=TAINT_KEY, value="true")]
    """Keep pods without a slice off the nodes.  The webhook adds tolerations for them."""
    node_labels: dict[LabelKey, LabelValue] = {}
    """More labels of the nodes.  The webhook does not write them into pods."""
    startup_taints: list[Taint] = []
    """Taints that another program removes once a node is ready for pods, such as a network plugin."""
    untainted: bool = False
    """Confirms `taints: []`, or only PreferNoSchedule: any pod may then be scheduled to the pool's nodes."""
    retired: bool = False
    """It offers nothing to new pods, and Karpenter launches no more nodes of it.  Its nodes go when they are empty, and
    until then everything of theirs stays.  See docs/change-a-layout.md."""
    nodes: Literal["karpenter", "existing"] = "karpenter"
    """existing: node groups or NodePools of your own create the nodes and label them gpu-slice/pool."""
    node_pools: Annotated[list[DnsLabel], Field(min_length=1)] | None = None
    """With existing: the names of the Karpenter NodePools that create these nodes.  They get a NodeOverlay."""
    capacity_types: Annotated[list[Literal["spot", "on-demand", "reserved"]], Field(min_length=1)] = ["on-demand"]
    """spot is cheaper, but AWS may reclaim it at two minutes' notice, so it is not the default."""
    capacity_reservations: Annotated[list[CapacityReservation], Field(max_length=MOST_TERMS)] = []
    """Which reservations `reserved` may use."""
    empty_for: Annotated[str, Field(pattern=DURATION_OR_NEVER)] = "300s"
    """How long an empty node is kept.  `Never` keeps it."""
    consolidation: Literal["WhenEmpty", "WhenEmptyOrUnderutilized"] = "WhenEmpty"
    """WhenEmptyOrUnderutilized moves running pods, which few training jobs survive."""
    budgets: Annotated[list[Budget], Field(min_length=1)] | None = None
    """Karpenter's disruption budgets: how many nodes it may replace at a time, and when."""
    expire_after: Annotated[str, Field(pattern=DURATION_OR_NEVER)] = "720h"
    """Age at which a node is replaced.  `Never` keeps it."""
    termination_grace_period: Annotated[str, Field(pattern=DURATION)] | None = None
    """How long a node may drain.  After that its pods are ended, also those that forbid it."""
    limit: Limit = Limit(nodes=10)
    """A p4d costs about $30 an hour, so a default limit bounds the cost of a mistake."""
    weight: Annotated[int, Field(ge=1, le=100)] = 10
    """Of several pools that serve a slice, Karpenter launches the largest weight; of equal ones, the last by name."""
    ami: Annotated[
        Annotated[str, Field(pattern=AMI), Tag("(alias)")]
        | Annotated[list[ImageTerm], Field(min_length=1, max_length=MOST_TERMS), Tag("(terms)")],
        Discriminator(lambda value: "(terms)" if isinstance(value, list) else "(alias)"),
    ] = "al2023@v20260724"
    """Pinned, so that a new image is a deliberate change.  Or Karpenter's amiSelectorTerms, for images of your own that
    are built on AL2023 and have NVIDIA's driver."""
    node_role: Annotated[str, Field(pattern=ROLE)] | None = None
    """Name of the IAM role of the nodes, not its ARN.  Default: KarpenterNodeRole-<cluster>."""
    disk: Annotated[str, Field(pattern=DISK)] = "200Gi"
    """Size of a gp3 volume, from 20Gi to 58Ti."""
    tags: dict[str, str] = {}
    """Of the instances and their disks."""
    subnets: Annotated[list[SubnetTerm], Field(min_length=1, max_length=MOST_TERMS)] | None = None
    """Karpenter's subnetSelectorTerms.  Default: those tagged karpenter.sh/discovery: <cluster>."""
    security_groups: Annotated[list[SecurityGroupTerm], Field(min_length=1, max_length=MOST_TERMS)] | None = None
    """Karpenter's securityGroupSelectorTerms.  Default: those tagged karpenter.sh/discovery: <cluster>."""
    node_class: Object = {}
    """Merged over the EC2NodeClass' spec that is rendered (RFC 7396).  `userData` is run before our own part."""
    node_pool: Object = {}
    """Merged over the NodePool's spec that is rendered (RFC 7396)."""

    @property
    def room(self) -> Limit:
        """How large Karpenter may make the pool now."""
        return Limit(nodes=0) if self.retired else self.limit

    @property
    def by_operator(self) -> bool:
        """Whether the GPU Operator cuts the GPUs, and brings the device plugin."""
        return self.partitioned_by == "gpu-operator"

    @property
    def bottlerocket(self) -> bool:
        """Whether the nodes run Bottlerocket, and not AL2023."""
        return isinstance(self.ami, str) and self.ami.startswith("bottlerocket")


KARPENTER_ONLY = {
    "capacity_types", "capacity_reservations", "empty_for", "consolidation", "expire_after", "limit", "weight",
    "node_role", "disk", "ami", "startup_taints", "budgets", "termination_grace_period", "tags", "subnets",
    "security_groups", "node_class", "node_pool", "partitioned_by",
}  # fmt: skip
"""Fields of a pool that say how Karpenter launches its nodes."""


class NamespaceEntry(Model):
    """What pods of a namespace may use.  A field that is not set limits nothing."""

    pools: list[str] | None = None
    """Names of pools."""
    slices: list[str] | None = None
    """Profiles such as 1g.5gb, and `shared`."""
    quota: dict[str, Positive] = {}
    """How many of a slice all its pods together may have: {1g.5gb: 10}.  Rendered as a ResourceQuota, which the API
    server enforces.  What is not named is not counted."""
    default: str | None = None
    """What the annotation would say in pods that have none and ask for one whole GPU, such as 1g.5gb.  It works in
    namespaces with the label gpu-slice/default."""
    mode: Mode | None = None
    """shadow: its pods are left as they are, and told what they would get.  Default: the fleet's."""


def _this_version(value: Any) -> Any:
    if value != API_VERSION:
        raise ValueError(f"this version of gpu-slice reads {API_VERSION}, not {quote(value)}")
    return value


class FleetFile(Model):
    """The slices that a cluster offers."""

    api_version: Annotated[Literal["gpu-slice/v1"], BeforeValidator(_this_version)]
    """The version of this format."""
    cluster: Annotated[str, Field(pattern=CLUSTER)] = "my-cluster"
    """Name of the EKS cluster, used for karpenter.sh/discovery and the role's name."""
    mode: Mode = "enforce"
    """shadow: the webhook changes and denies no pod, and tells what would be done, but for namespaces that enforce."""
    defaults: Object = {}
    """Fields of a pool that hold for every pool that does not give them itself, and to which they can apply."""
    pools: Annotated[list[PoolEntry], Field(min_length=1)]
    """In order of preference, for requests that several pools satisfy."""
    namespaces: dict[Annotated[str, Field(pattern=NAMESPACE)], NamespaceEntry] = {}
    """By name; "*" is for namespaces without an entry of their own.  A namespace without either may use everything."""
    device_plugin: DevicePlugin = DevicePlugin()
    prices: dict[str, Price] = {}
    """Dollars that an instance costs in an hour, by its type: {p4d.24xlarge: 21.96}.  Only commands show them."""
    catalogue: CatalogueFile = CatalogueFile()
    """Your own GPUs and instance types, in the format of the built-in catalogue."""


def schema() -> dict[str, Any]:
    """The JSON Schema of the fleet file, for editors."""
    whole = FleetFile.model_json_schema(by_alias=True)
    pool = whole["$defs"]["PoolEntry"]
    whole["$defs"]["Defaults"] = {key: value for key, value in pool.items() if key != "required"}
    whole["properties"]["defaults"] = {"$ref": "#/$defs/Defaults", "default": {}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "gpu-slice fleet", **whole}


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
