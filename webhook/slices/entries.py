"""The format of ``gpus.yaml``, and of what a fleet file adds to it under ``catalogue``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Architecture = Literal["amd64", "arm64"]

GPU_NAME = r"^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$"
"""What may follow an ``@``, and be the value of a node label."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, strict=True)


class Engines(_Model):
    """Media engines: of a GPU, or of one instance."""

    decoders: Annotated[int, Field(ge=0)] = 0
    encoders: Annotated[int, Field(ge=0)] = 0
    jpeg: Annotated[int, Field(ge=0)] = 0
    ofa: Annotated[int, Field(ge=0)] = 0
    """Optical flow accelerators.  A GPU has one, and ``+me`` takes it."""


class RoleEntry(_Model):
    """How an instance of one kind lies on a GPU."""

    compute_slices: Annotated[int, Field(ge=1)]
    most: Annotated[int, Field(ge=1)]
    starts: list[Annotated[int, Field(ge=0)]] = []
    size: Annotated[int, Field(ge=1)]
    engines: Engines | None = None


class GeometryEntry(_Model):
    """How a family of GPUs can be cut, whatever the memory."""

    source: str
    compute_slices: Annotated[int, Field(ge=1)]
    memory_slices: Annotated[int, Field(ge=1)]
    engines: Engines | None = None
    """By default one OFA, which +me and +me.all take."""
    roles: dict[str, RoleEntry]
    unverified: str = ""


class ProfileEntry(_Model):
    """The name and the memory of a role on one GPU."""

    name: str
    memory_mib: Annotated[Annotated[int, Field(ge=1)] | None, Field(alias="memoryMiB")] = None


class GpuEntry(_Model):
    """A GPU; what is not given comes from the one that ``like`` names."""

    like: str | None = None
    family: str | None = None
    product: str | None = None
    memory: str | None = None
    geometry: str | None = None
    source: str
    unverified: str | None = None
    printed: list[str] | None = None
    device_ids: list[str] | None = None
    aliases: dict[str, str] | None = None
    profiles: dict[str, ProfileEntry] | None = None


class InstanceTypeEntry(_Model):
    """An instance type; the two Karpenter labels go together."""

    gpu: str
    gpus: Annotated[int, Field(ge=0)]
    architecture: Architecture = "amd64"
    gpu_name: str | None = None
    gpu_memory: Annotated[int, Field(ge=1)] | None = None


class CatalogueFile(_Model):
    """The shape of ``gpus.yaml``, and of a fleet's own ``catalogue``."""

    geometries: dict[str, GeometryEntry] = {}
    gpus: dict[Annotated[str, Field(pattern=GPU_NAME)], GpuEntry] = {}
    instance_types: dict[str, InstanceTypeEntry] = {}
