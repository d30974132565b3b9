"""Which GPUs there are, how each can be cut, and which EC2 instance types carry them.

The data is ``gpus.yaml`` beside this file, with a source for each GPU; a fleet file may add to it in the
same shape.  Numbers of a profile belong to (GPU, profile): ``1g.10gb`` is one of seven on an A100-80GB and
one of four on an A100-40GB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from webhook.slices.entries import Architecture, CatalogueFile, Engines, GeometryEntry, ProfileEntry, RoleEntry
from webhook.slices.profile import ATTRIBUTES, BadProfile, MigProfile

NO_ENGINES = Engines()


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """One profile on one GPU."""

    profile: MigProfile
    compute_slices: int
    """Compute slices of the GPU that an instance takes."""
    most: int
    """Most instances on one GPU."""
    starts: tuple[int, ...]
    """Memory slices at which an instance may start; empty where nobody has seen it."""
    size: int
    """Memory slices that an instance takes."""
    memory_mib: int | None
    """Memory of one instance in MiB, where it is verified on hardware."""
    engines: Engines = NO_ENGINES
    """Media engines that an instance takes."""

    def __str__(self) -> str:
        return str(self.profile)


@dataclass(frozen=True, slots=True, eq=False)
class Gpu:
    """A GPU model."""

    name: str
    """Such as ``h100-80gb``."""
    family: str
    """Such as ``h100``: what a request may name instead."""
    product: str
    memory: str
    """Nominal, for people."""
    source: str
    compute_slices: int = 0
    """Compute slices in all; 0 where the GPU has no MIG."""
    memory_slices: int = 0
    profiles: tuple[GpuProfile, ...] = ()
    aliases: Mapping[MigProfile, MigProfile] = field(default_factory=dict)
    """Names that other drivers print for a profile, to the name in `profiles`."""
    engines: Engines = NO_ENGINES
    """Media engines in all."""
    geometry: str = ""
    """The name of its geometry in the catalogue."""
    unverified: str = ""
    """What of this entry is not verified on hardware."""

    @property
    def mig(self) -> bool:
        """Whether it can be cut; a GPU without MIG can only be time-sliced."""
        return bool(self.profiles)

    def profile(self, wanted: MigProfile) -> GpuProfile | None:
        """The profile called *wanted*, or called so by some driver."""
        canonical = self.aliases.get(wanted, wanted)
        return next((profile for profile in self.profiles if profile.profile == canonical), None)

    def called(self, name: str) -> bool:
        """Whether *name*, from a request's ``@gpu``, means this GPU."""
        return name in (self.name, self.family)


@dataclass(frozen=True, slots=True)
class InstanceType:
    """An EC2 instance type."""

    name: str
    gpu: str
    """Name of the GPU in the catalogue."""
    gpus: int
    """Whole GPUs; 0 where the instance has only a part of one."""
    architecture: Architecture
    gpu_name: str | None
    """The node label ``karpenter.k8s.aws/instance-gpu-name``; None where Karpenter does not know the type."""
    gpu_memory: int | None
    """The node label ``karpenter.k8s.aws/instance-gpu-memory``, in MiB."""


_DECORATION = re.compile(r"^(nvidia|tesla)-|-mig-.*|-shared$")
"""What a product's name carries before and after the GPU: ``NVIDIA-A100-SXM4-40GB-MIG-1g.5gb``."""


class BadCatalogue(ValueError):
    """An entry of a catalogue contradicts another.  ``path`` says which."""

    def __init__(self, path: str, problem: str, hint: str) -> None:
        super().__init__(path, problem, hint)
        self.path, self.problem, self.hint = path, problem, hint


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """GPUs and instance types by name."""

    gpus: Mapping[str, Gpu]
    instance_types: Mapping[str, InstanceType]
    products: Mapping[str, str]
    """GPUs by name and by every name that NVIDIA prints for them, in lower case with dashes."""
    file: CatalogueFile

    @classmethod
    def build(cls, *files: CatalogueFile) -> Catalogue:
        """Put *files* together; a later one may add, or replace by name.  Raises `BadCatalogue`."""
        merged = CatalogueFile.model_construct(
            geometries={k: v for file in files for k, v in file.geometries.items()},
            gpus={k: v for file in files for k, v in file.gpus.items()},
            instance_types={k: v for file in files for k, v in file.instance_types.items()},
        )
        # In one order, so that the first problem is the same whatever the order of the file.
        for name, geometry in sorted(merged.geometries.items()):
            _check_geometry(f"geometries.{name}", geometry)
        checked = {name: _gpu(name, merged) for name in sorted(merged.gpus)}
        gpus = {name: checked[name] for name in merged.gpus}
        types = {}
        for name, entry in sorted(merged.instance_types.items()):
            if entry.gpu not in gpus:
                raise BadCatalogue(
                    f"instanceTypes.{name}.gpu",
                    f"'{entry.gpu}' is not a GPU of the catalogue",
                    "Add it under gpus, or correct it",
                )
            if (entry.gpu_name is None) != (entry.gpu_memory is None):
                raise BadCatalogue(
                    f"instanceTypes.{name}", "gpuName and gpuMemory go together", "Give both, or neither"
                )
            types[name] = InstanceType(name, **entry.model_dump())
        products: dict[str, str] = {}
        for name, gpu_entry in merged.gpus.items():
            for printed in (*(gpu_entry.printed or ()), gpus[name].product):
                products.setdefault(_plain(printed), name)  # a copy may have the product of its model
        products |= {name: name for name in gpus}
        return cls(gpus, {name: types[name] for name in merged.instance_types}, products, merged)

    def families(self) -> set[str]:
        """Every name that may follow an ``@``."""
        return {gpu.name for gpu in self.gpus.values()} | {gpu.family for gpu in self.gpus.values()}

    def meant(self, text: str) -> list[str]:
        """The names of the GPUs that *text* means: a name, a product as NVIDIA prints it, or a family, in any case."""
        word = _plain(text)
        if word in self.products:
            return [self.products[word]]
        return sorted(gpu.name for gpu in self.gpus.values() if gpu.family == word)

    def having(self, profile: MigProfile) -> Iterable[Gpu]:
        """The GPUs that have *profile*, in the order of the catalogue."""
        return (gpu for gpu in self.gpus.values() if gpu.profile(profile))


def _plain(name: str) -> str:
    return _DECORATION.sub("", re.sub(r"[ _]+", "-", name.strip().lower()))


def _check_geometry(path: str, geometry: GeometryEntry) -> None:
    for name, role in sorted(geometry.roles.items()):
        if any(start + role.size > geometry.memory_slices for start in role.starts):
            raise BadCatalogue(
                f"{path}.roles.{name}",
                f"an instance of {role.size} ends after the last of {geometry.memory_slices} memory slices",
                "Correct starts or size",
            )


def _gpu(name: str, file: CatalogueFile) -> Gpu:
    path = f"gpus.{name}"
    entry = file.gpus[name]
    if entry.like is not None:
        base = file.gpus.get(entry.like)
        if base is None or base.like is not None:
            raise BadCatalogue(
                f"{path}.like",
                f"'{entry.like}' is not a GPU with an entry of its own",
                "Name one that has no 'like'",
            )
        entry = base.model_copy(update=entry.model_dump(exclude_none=True, exclude={"profiles", "printed"}))
        if file.gpus[name].profiles is not None:
            entry = entry.model_copy(update={"profiles": file.gpus[name].profiles})
    gpu = Gpu(
        name=name,
        family=entry.family or name,
        product=entry.product or name,
        memory=entry.memory or "",
        source=entry.source,
        unverified=entry.unverified or "",
    )
    if entry.geometry is None:
        if entry.profiles:
            raise BadCatalogue(f"{path}.profiles", "profiles need a geometry", "Add 'geometry', or remove them")
        return gpu
    geometry = file.geometries.get(entry.geometry)
    if geometry is None:
        raise BadCatalogue(
            f"{path}.geometry",
            f"'{entry.geometry}' is not a geometry",
            f"Write one of {', '.join(sorted(file.geometries))}",
        )
    if geometry.unverified:
        gpu = replace(gpu, unverified="; ".join(filter(None, (gpu.unverified, geometry.unverified))))
    found = [
        _profile(f"{path}.profiles.{role}", profile, geometry.roles.get(role))
        for role, profile in sorted((entry.profiles or {}).items())
    ]
    profiles = tuple(
        sorted(found, key=lambda each: (each.compute_slices, each.size, ATTRIBUTES.index(each.profile.attribute)))
    )
    aliases = {}
    for alias, text in sorted((entry.aliases or {}).items()):
        canonical = _name(f"{path}.aliases.{alias}", text)
        if canonical not in [profile.profile for profile in profiles]:
            raise BadCatalogue(f"{path}.aliases.{alias}", f"'{name}' has no profile '{text}'", "Name one that it has")
        aliases[_name(f"{path}.aliases", alias)] = canonical
    return replace(
        gpu,
        compute_slices=geometry.compute_slices,
        memory_slices=geometry.memory_slices,
        profiles=profiles,
        aliases=aliases,
        engines=geometry.engines or Engines(ofa=1),
        geometry=entry.geometry,
    )


def _profile(path: str, entry: ProfileEntry, role: RoleEntry | None) -> GpuProfile:
    if role is None:
        raise BadCatalogue(path, "the geometry has no such role", "Name a role of the geometry")
    name = _name(f"{path}.name", entry.name)
    return GpuProfile(
        profile=name,
        compute_slices=role.compute_slices,
        most=role.most,
        starts=tuple(role.starts),
        size=role.size,
        memory_mib=entry.memory_mib,
        engines=role.engines or Engines(ofa=int(name.media_extensions)),
    )


def _name(path: str, text: str) -> MigProfile:
    try:
        return MigProfile.parse(text)
    except BadProfile as bad:
        raise BadCatalogue(
            path, f"'{text}' is not a profile: expected {bad.expected}", "Write it as the driver does"
        ) from bad
