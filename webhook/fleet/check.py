"""What is wrong with one pool of a fleet file, compared with the catalogue.

What NVIDIA's device plugin would refuse, or worse, ignore, is refused here: its own configuration is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from webhook.errors import FleetProblem, quote
from webhook.fleet.check_nodes import check_nodes, given_of
from webhook.fleet.draft import ALIKE, ONE_LAYOUT, WHOLE
from webhook.fleet.file import DevicePlugin, FleetFile, PoolEntry, path
from webhook.fleet.pool import Pool
from webhook.slices.catalogue import Catalogue, Gpu, GpuProfile
from webhook.slices.layout import engines_missing, fits, has_room
from webhook.slices.profile import BadProfile, MigProfile
from webhook.slices.suggest import nearest

LONGEST_RESOURCE = 63
"""Characters of a resource name, prefix included: k8s-device-plugin ``api/config/v1/resources.go``."""


MOST_MPS = 48
"""Clients of one MPS server: k8s-device-plugin v0.20.0 ``cmd/mps-control-daemon/mps/device.go``, ``maxClients``.  CUDA
13.1 allows 60, the daemon does not."""

PODS_OF_EVERY_NODE = 3
"""``aws-node``, ``kube-proxy`` and the device plugin.  ``maxPods`` counts pods on the host's network too."""

OLDEST_PLUGIN = (0, 20)
"""k8s-device-plugin 0dfdfb979."""

BOTTLEROCKET_GPUS = ("a100.40gb", "a100.80gb", "h100.80gb", "h200.141gb", "b200.180gb")
"""GPUs that Bottlerocket cuts.  It ignores an unknown name, and then cuts every GPU into one 7g."""


def check_pool(index: int, entry: PoolEntry, catalogue: Catalogue, *, partial: bool = False) -> Iterator[FleetProblem]:
    """Everything wrong with one pool.  *partial*: fields that could not be read have their defaults."""
    where = f"pools[{index}]"
    gpu = catalogue.gpus.get(entry.gpu)
    if gpu is None:
        names = catalogue.meant(entry.gpu) or filter(None, [nearest(entry.gpu, catalogue.gpus)])
        like = " or ".join(f"'{name}'" for name in names)
        hint = f"Write {like}, or add it" if like else "`gpu-slice profiles --all` lists them; add it"
        problem = f"{quote(entry.gpu)} is not a GPU of the catalogue"
        yield FleetProblem(f"{where}.gpu", problem, f"{hint} under catalogue.gpus")
    partition = list(_check_partition(where, entry, gpu)) if gpu is not None else []
    yield from partition
    yield from _check_instance_types(where, entry, gpu, catalogue)
    if not partial:
        yield from check_nodes(where, entry, catalogue, cut=not partition)


def _check_partition(where: str, entry: PoolEntry, gpu: Gpu) -> Iterator[FleetProblem]:
    partition = entry.partition
    given = [name for name, value in partition.model_dump(by_alias=True).items() if value is not None]
    if len(given) != 1:
        yield FleetProblem(
            f"{where}.partition",
            f"{given_of(given)} given",
            f"Give one of mig, timeSlicing and mps: {ALIKE}" + (", so make two pools" if given else ""),
        )
        return
    if partition.mps is not None and partition.mps.replicas > MOST_MPS:
        yield FleetProblem(
            f"{where}.partition.mps.replicas",
            f"NVIDIA's MPS daemon exits with more than {MOST_MPS} replicas, not {partition.mps.replicas}",
            f"Write at most {MOST_MPS}, or timeSlicing",
        )
    if partition.mig is None:
        sharing = partition.sharing
        if sharing is not None and not sharing.renamed and entry.nodes != "existing":
            yield FleetProblem(
                f"{where}.partition.{given[0]}.renamed",
                "the device plugin that is rendered for these nodes renames the shares",
                "Remove it, or write 'nodes: existing'",
            )
        if entry.strategy == "single":
            yield FleetProblem(f"{where}.strategy", "'single' is for MIG, and this pool has none", "Remove strategy")
        return
    if not gpu.mig:
        why = f": {gpu.unverified}" if gpu.unverified else ""
        yield FleetProblem(
            f"{where}.partition.mig",
            f"{gpu.name} has no MIG{why}",
            f"Write 'timeSlicing: {{replicas: 4}}', and let pods ask for 'shared@{gpu.name}'",
        )
        return
    yield from _check_layout(f"{where}.partition.mig", entry, gpu)


def _check_layout(where: str, entry: PoolEntry, gpu: Gpu) -> Iterator[FleetProblem]:
    layout: dict[GpuProfile, int] = {}
    for text, count in sorted((entry.partition.mig or {}).items()):
        location = f"{where}[{text}]"
        try:
            name = MigProfile.parse(text)
        except BadProfile as error:
            if WHOLE.search(text):
                yield FleetProblem(location, f"{quote(text)} is not a MIG profile, and {ALIKE}", ONE_LAYOUT)
                continue
            yield FleetProblem(
                location, f"{quote(text)} is not a MIG profile: expected {error.expected}", "Write it as in '1g.5gb'"
            )
            continue
        if name.compute_instance_slices:
            yield FleetProblem(
                location,
                f"the device plugin does not advertise a compute instance inside a GPU instance, such as '{name}'",
                f"Write '{name.gpu_instance}'",
            )
            continue
        profile = gpu.profile(name)
        if profile is None:
            known = ", ".join(map(str, gpu.profiles))
            yield FleetProblem(location, f"{gpu.name} has no profile '{name}'", f"It has {known}")
            continue
        if profile in layout:
            yield FleetProblem(location, f"'{profile}' is given twice under two spellings", "Give it once")
        if len(name.resource) > LONGEST_RESOURCE:
            yield FleetProblem(
                location,
                f"'{name.resource}' is longer than {LONGEST_RESOURCE} characters",
                "Choose another profile",
            )
        layout[profile] = count
    if len(layout) != len(entry.partition.mig or {}):
        return
    if not all(profile.starts for profile in layout):
        yield FleetProblem(
            where,
            f"it is not known where the slices of one {gpu.name} lie, so a layout cannot be checked",
            f"Copy {gpu.geometry} to catalogue.geometries, with the starts that `nvidia-smi mig -lgipp` prints",
        )
    elif has_room(gpu, layout) and (engines := engines_missing(gpu, layout)):
        yield FleetProblem(
            where,
            f"{_spell(layout)} does not fit on one {gpu.name}: it takes {engines}",
            "Beside '+me.all' only profiles with '-me' fit, and one slice may have '+me'",
        )
    elif not fits(gpu, layout):
        most = ", ".join(f"{profile}: {profile.most}" for profile in layout)
        yield FleetProblem(
            where,
            f"{_spell(layout)} does not fit on one {gpu.name}, "
            f"which has {gpu.compute_slices} compute and {gpu.memory_slices} memory slices",
            f"The largest counts of one profile alone are {most}; combine fewer: it is the layout of one GPU",
        )
    if entry.strategy == "single" and len(layout) > 1:
        yield FleetProblem(
            where,
            "with the strategy 'single' the device plugin needs one profile, and exits if there are several",
            "Give one profile, or write 'strategy: mixed'",
        )
    if entry.bottlerocket:
        yield from _check_bottlerocket(where, entry, gpu, layout)


def bottlerocket_key(gpu: Gpu) -> str:
    """What Bottlerocket calls a GPU: ``a100.40gb``."""
    return f"{gpu.family}.{gpu.memory.lower()}"


def _check_bottlerocket(
    where: str, entry: PoolEntry, gpu: Gpu, layout: Mapping[GpuProfile, int]
) -> Iterator[FleetProblem]:
    if entry.strategy != "single":
        yield FleetProblem(
            where.replace("partition.mig", "strategy"),
            "Bottlerocket's own device plugin runs the strategy 'single'",
            "Write 'strategy: single', or an al2023 ami",
        )
    if any(profile.profile.attribute for profile in layout):
        yield FleetProblem(where, "Bottlerocket does not make profiles with an attribute", "Write an al2023 ami")
    if bottlerocket_key(gpu) not in BOTTLEROCKET_GPUS:
        yield FleetProblem(where, f"Bottlerocket does not cut {gpu.name}", "Write an al2023 ami")
    if len(layout) == 1:
        ((profile, count),) = layout.items()
        if count != profile.most:
            yield FleetProblem(
                where,
                f"Bottlerocket makes as many slices as fit: {profile.most} x {profile}, not {count}",
                f"Write '{profile}: {profile.most}', or an al2023 ami",
            )


def _spell(layout: Mapping[GpuProfile, int]) -> str:
    return " + ".join(f"{count} x {profile}" for profile, count in layout.items())


def check_weights(pools: Sequence[Pool]) -> Iterator[FleetProblem]:
    """Pools between which Karpenter chooses by their names: nothing is wrong, but it may not be what was meant."""
    serving: dict[tuple[object, ...], list[int]] = {}
    for index, pool in enumerate(pools):
        for offer in pool.offers if pool.entry.nodes == "karpenter" and not pool.entry.retired else ():
            key = (str(offer), offer.resource, pool.architecture, pool.entry.weight)
            serving.setdefault(key, []).append(index)
    slices: dict[tuple[int, ...], list[str]] = {}
    for (name, *_), found in serving.items():
        slices.setdefault(tuple(found), []).append(str(name))
    for indexes, offered in slices.items():
        names = [pools[index].name for index in indexes]
        if len(names) > 1:
            # Source: Karpenter v1.15.0 ``pkg/utils/nodepool/nodepool.go``, OrderByWeight.
            yield FleetProblem(
                f"pools[{indexes[-1]}].weight",
                f"{' and '.join(map(quote, names))} serve {', '.join(offered)} with equal weight, so Karpenter "
                f"launches '{max(names)}', the last by name",
                "Give the pool that you want to be launched first a larger weight",
            )


def check_room(pools: Sequence[Pool]) -> Iterator[FleetProblem]:
    """Pools whose nodes hold fewer pods than they have slices: nothing is wrong where each pod takes several."""
    for index, pool in enumerate(pools):
        kubelet = pool.entry.node_class.get("kubelet")
        most = kubelet.get("maxPods") if isinstance(kubelet, Mapping) else None
        slices = sum(pool.largest.capacity.values())
        if type(most) is int and most < slices + PODS_OF_EVERY_NODE:
            yield FleetProblem(
                f"pools[{index}].nodeClass.kubelet.maxPods",
                f"{most} pods, of which EKS' own and the device plugin are {PODS_OF_EVERY_NODE}, are too few for the "
                f"{slices} slices of a '{pool.largest.instance_type.name}'",
                f"Write at least {slices + PODS_OF_EVERY_NODE}, and one more for each DaemonSet of yours",
            )


def check_made(fleet_file: FleetFile) -> Iterator[FleetProblem]:
    """What Karpenter will do that may not be what was meant, though nothing is wrong."""
    made = [entry for entry in fleet_file.pools if entry.nodes == "karpenter"]
    if made and "cluster" not in fleet_file.model_fields_set:
        yield FleetProblem(
            "cluster",
            f"is missing, so the nodes are those of '{fleet_file.cluster}'",
            "Add it, or render with --cluster",
        )
    held = [entry for entry in made if entry.expire_after != "Never" and entry.termination_grace_period is None]
    if held:
        pools = f"pool{'s' if len(held) > 1 else ''} {', '.join(entry.name for entry in held)}"
        yield FleetProblem(
            "terminationGracePeriod",
            f"is missing in {pools}, whose nodes expire: a pod that forbids its eviction holds such a node for ever",
            "Add it, or 'expireAfter: Never'",
        )
    images: dict[str, list[str]] = {}
    for entry in made:
        if isinstance(entry.ami, str):
            images.setdefault(entry.ami, []).append(entry.name)
    for image, names in images.items():
        if found := _image(image):
            of = f"pool{'s' if len(names) > 1 else ''} {', '.join(names)}"
            yield FleetProblem("ami", f"'{image}' of {of} {found[0]}", found[1])


def _image(alias: str) -> tuple[str, str] | None:
    """What Karpenter will make of an image's alias that may not be meant, and what to write instead."""
    newest: str = PoolEntry.model_fields["ami"].default
    family, _, version = alias.partition("@")
    if version == "latest":
        return "replaces the nodes, and evicts their pods, with each image that AWS publishes", f"Write '{newest}'"
    if family == "bottlerocket":
        return None
    if not re.fullmatch(r"v20\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", version):
        return "is no image's: their versions are dates, with a v", f"Write '{newest}'"
    if alias < newest:
        problem = f"is older than '{newest}': no Kubernetes that came after it has this image, and nothing is launched"
        return problem, "Write a newer date before you upgrade the control plane"
    return None


def _check_instance_types(
    where: str, entry: PoolEntry, gpu: Gpu | None, catalogue: Catalogue
) -> Iterator[FleetProblem]:
    architectures: dict[str, str] = {}
    for index, name in enumerate(entry.instance_types):
        location = f"{where}.instanceTypes[{index}]"
        instance_type = catalogue.instance_types.get(name)
        if instance_type is None:
            yield _unknown_type(location, name, catalogue)
            continue
        if name in entry.instance_types[:index]:
            yield FleetProblem(location, f"'{name}' is given twice", "Give it once")
        model = instance_type.gpu
        if gpu is not None and model != gpu.name and catalogue.gpus[model].family != gpu.name:
            yield FleetProblem(
                location,
                f"'{name}' carries {model}, not {gpu.name}",
                f"Write 'gpu: {model}', or another type",
            )
        if instance_type.gpus == 0:
            yield FleetProblem(
                location,
                f"'{name}' has only a fraction of a GPU, and no nvidia.com/gpu",
                "Choose a type with a whole GPU",
            )
        architectures.setdefault(instance_type.architecture, name)
    if len(architectures) > 1:
        (first, first_type), (second, second_type) = list(architectures.items())[:2]
        yield FleetProblem(
            f"{where}.instanceTypes",
            f"'{first_type}' is {first} and '{second_type}' is {second}",
            "Make a pool for each architecture",
        )


def _unknown_type(where: str, name: str, catalogue: Catalogue) -> FleetProblem:
    suggestion = nearest(name, catalogue.instance_types)
    hint = f"Write '{suggestion}', or add it" if suggestion else "Add it"
    return FleetProblem(where, f"{quote(name)} is not in the catalogue", f"{hint} under catalogue.instanceTypes")


def check_prices(types: Iterable[str], catalogue: Catalogue) -> Iterator[FleetProblem]:
    """Prices of instance types that nobody knows, which no command would show."""
    for name in types:
        if name not in catalogue.instance_types:
            yield _unknown_type(path(("prices", name)), name, catalogue)


def check_device_plugin(plugin: DevicePlugin) -> Iterator[FleetProblem]:
    """What is wrong with the device plugin's image: an old version of NVIDIA's own, as far as its tag tells."""
    version = re.search(r"/k8s-device-plugin:v(\d+)\.(\d+)", plugin.image)
    if version is not None and tuple(map(int, version.groups())) < OLDEST_PLUGIN:
        yield FleetProblem(
            "devicePlugin.image",
            f"'{plugin.image}' is older than v{'.'.join(map(str, OLDEST_PLUGIN))}, and counts 1g.5gb+me as 1g.5gb",
            "Write a newer one, or remove it",
        )
