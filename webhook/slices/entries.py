"""The format of ``gpus.yaml``, and of what a fleet file adds to it under ``catalogue``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Architecture = Literal["amd64", "arm64"]

GPU_NAME = r"^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$"
"""What may follow an ``@``, and be the value of a node label."""


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, strict=True, use_attribute_docstrings=True
    )


class Engines(_Model):
    """Media engines: of a GPU, or of one instance."""

    decoders: Annotated[int, Field(ge=0)] = 0
    """Of video (NVDEC)."""
    encoders: Annotated[int, Field(ge=0)] = 0
    """Of video (NVENC)."""
    jpeg: Annotated[int, Field(ge=0)] = 0
    """Decoders of images (NVJPG)."""
    ofa: Annotated[int, Field(ge=0)] = 0
    """Optical flow accelerators.  A GPU has one, and ``+me`` takes it."""


class RoleEntry(_Model):
    """How an instance of one kind lies on a GPU."""

    compute_slices: Annotated[int, Field(ge=1)]
    """Of the GPU's."""
    most: Annotated[int, Field(ge=1)]
    """Instances of this kind on one GPU."""
    starts: list[Annotated[int, Field(ge=0)]] = []
    """Memory slices at which it may begin.  Empty: nobody has seen them."""
    size: Annotated[int, Field(ge=1)]
    """Memory slices that it takes."""
    engines: Engines | None = None
    """Media engines that it takes."""


class GeometryEntry(_Model):
    """How a family of GPUs can be cut, whatever the memory."""

    source: str
    """Where the numbers come from."""
    compute_slices: Annotated[int, Field(ge=1)]
    """Of the whole GPU: seven of most."""
    memory_slices: Annotated[int, Field(ge=1)]
    """Of the whole GPU, in which placements are counted: eight of most."""
    engines: Engines | None = None
    """By default one OFA, which +me and +me.all take."""
    roles: dict[str, RoleEntry]
    """The kinds of instances, such as 1g, 1g+me or 3g."""
    unverified: str = ""
    """What nobody has checked."""


class ProfileEntry(_Model):
    """The name and the memory of a role on one GPU."""

    name: str
    """Such as 1g.5gb."""
    memory_mib: Annotated[Annotated[int, Field(ge=1)] | None, Field(alias="memoryMiB")] = None
    """What an instance really has, in MiB.  Without it no request in Gi is served."""


class GpuEntry(_Model):
    """A GPU; what is not given comes from the one that ``like`` names."""

    like: str | None = None
    """A GPU of the catalogue from which all that is not given is taken."""
    family: str | None = None
    """What may follow an `@` for all GPUs of a kind, such as h100."""
    product: str | None = None
    """As people write it, such as A100 40GB."""
    memory: str | None = None
    """Of the whole GPU, as people write it, such as 40GB."""
    geometry: str | None = None
    """How it can be cut.  Without one: no MIG."""
    source: str
    """Where the numbers come from."""
    unverified: str | None = None
    """What nobody has checked."""
    printed: list[str] | None = None
    """Names in `nvidia-smi -L`, and with dashes in the label nvidia.com/gpu.product."""
    device_ids: list[str] | None = None
    """PCI device ids, by which mig-parted tells GPUs apart.  Nothing is decided by them."""
    aliases: dict[str, str] | None = None
    """Other spellings of profiles."""
    profiles: dict[str, ProfileEntry] | None = None
    """By the role of the geometry."""


class InstanceTypeEntry(_Model):
    """An instance type; the two Karpenter labels go together."""

    gpu: str
    """A GPU of the catalogue."""
    gpus: Annotated[int, Field(ge=0)]
    """Of one node."""
    architecture: Architecture = "amd64"
    """Of its processor."""
    gpu_name: str | None = None
    """Karpenter's label instance-gpu-name."""
    gpu_memory: Annotated[int, Field(ge=1)] | None = None
    """Karpenter's label instance-gpu-memory, in MiB."""


class CatalogueFile(_Model):
    """The shape of ``gpus.yaml``, and of a fleet's own ``catalogue``."""

    geometries: dict[str, GeometryEntry] = {}
    """How GPUs can be cut, by a name."""
    gpus: dict[Annotated[str, Field(pattern=GPU_NAME)], GpuEntry] = {}
    """By the name that pools use."""
    instance_types: dict[str, InstanceTypeEntry] = {}
    """By EC2's name."""
