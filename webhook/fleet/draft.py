"""A fleet file as far as it can be read: a mistake in one place does not hide those in others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from webhook.errors import BadFleet, FleetProblem, kind_of, quote
from webhook.fleet import file
from webhook.fleet.defaults import with_defaults
from webhook.fleet.file import (
    API_VERSION,
    DevicePlugin,
    FleetFile,
    NamespaceEntry,
    PoolEntry,
    path,
)
from webhook.fleet.misplaced import unknown_field
from webhook.slices.entries import GPU_NAME, CatalogueFile

NEEDED = ("name", "gpu", "partition", "instanceTypes")
"""The fields that a pool cannot do without."""

RELATED = ("taints", "untainted", "capacityTypes", "capacityReservations", "nodes", "labels", "zones")
"""Fields that are compared with each other."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What can be read of it."""

    file: FleetFile | None
    """The whole; None if anything cannot be read."""
    problems: Sequence[FleetProblem]
    names: Sequence[str | None]
    """Of all pools; None for one that has no name."""
    pools: Mapping[int, PoolEntry]
    """Those with at least `NEEDED`, by index."""
    partial: Set[int]
    """Which of `pools` have `RELATED` fields that cannot be read.  Such a field has its default here."""
    inherited: Mapping[int, Set[str]]
    """The fields that each pool has from `defaults`."""
    namespaces: Mapping[str, NamespaceEntry]
    catalogue: CatalogueFile | None
    device_plugin: DevicePlugin | None
    prices: Iterable[str]
    """The instance types that have one."""


def read(data: Any) -> Draft:
    """Read *data*, a decoded fleet file.  Raises `BadFleet` if it is no fleet at all."""
    if not isinstance(data, dict):
        raise BadFleet(
            [FleetProblem("fleet", f"{quote(data)} is not a fleet", f"Begin with 'apiVersion: {API_VERSION}'")]
        )
    full = with_defaults(data)
    try:
        whole = FleetFile.model_validate(full)
    except ValidationError as error:
        return _draft(full, data, error.errors())
    names, pools = [pool.name for pool in whole.pools], dict(enumerate(whole.pools))
    inherited = _inherited(full, data)
    return Draft(
        whole, (), names, pools, frozenset(), inherited, whole.namespaces, whole.catalogue, whole.device_plugin,
        whole.prices,
    )  # fmt: skip


def _inherited(full: dict[str, Any], written: dict[str, Any]) -> dict[int, Set[str]]:
    """The fields of each pool of *full* that are not *written* in it."""
    pools = full.get("pools")
    if full is written or not isinstance(pools, list):
        return {}
    both = enumerate(zip(pools, written["pools"], strict=True))
    return {index: pool.keys() - own.keys() for index, (pool, own) in both if isinstance(pool, dict)}


def _written(location: tuple[int | str, ...], inherited: Mapping[int, Set[str]]) -> tuple[int | str, ...]:
    """Where the value at *location* of a pool was written: there, or in `defaults`."""
    match location:
        case ("pools", int(index), str(field), *_) if field in inherited.get(index, ()):
            return ("defaults", *location[2:])
    return location


def _draft(data: dict[str, Any], written: dict[str, Any], errors: Sequence[Any]) -> Draft:
    """What can be read of *data*, which is *written* with its defaults."""
    wrong = {error["loc"][:length] for error in errors for length in (1, 2, 3)}
    given = data.get("pools")
    entries = dict(enumerate(given)) if isinstance(given, list) else {}
    pools = {}
    for index, entry in entries.items():
        if isinstance(entry, dict) and not any(("pools", index, name) in wrong for name in NEEDED):
            good = {key: value for key, value in entry.items() if ("pools", index, key) not in wrong}
            pools[index] = PoolEntry.model_validate(good)
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries.values()]
    given = data.get("namespaces")
    namespaces = given.items() if isinstance(given, dict) else ()
    inherited = _inherited(data, written)
    return Draft(
        file=None,
        problems=list(dict.fromkeys(_problem(error, inherited) for error in errors)),
        names=[name if isinstance(name, str) else None for name in names],
        pools=pools,
        partial={index for index in pools for name in RELATED if ("pools", index, name) in wrong},
        inherited=inherited,
        namespaces={
            name: NamespaceEntry.model_validate(entry)
            for name, entry in namespaces
            if ("namespaces", name) not in wrong
        },
        catalogue=None if ("catalogue",) in wrong else CatalogueFile.model_validate(data.get("catalogue", {})),
        device_plugin=None if ("devicePlugin",) in wrong else DevicePlugin.model_validate(data.get("devicePlugin", {})),
        prices=[key for key in data.get("prices", ()) if isinstance(key, str)] if ("prices",) not in wrong else (),
    )


_HINTS = {
    file.DNS_LABEL: "Use lower-case letters, digits and '-', at most 63 characters",
    file.NAMESPACE: "Write a namespace's name, in lower-case letters, digits and '-', or '*' for all others",
    GPU_NAME: "Use lower-case letters, digits, '-' and '.', at most 63 characters",
    file.LABEL_KEY: "Write a label key, such as 'nvidia.com/gpu'",
    file.LABEL_VALUE: "Use letters, digits, '-', '_' and '.', at most 63 characters, and quote numbers",
    file.DURATION: "Write a duration such as '300s', '15m' or '720h'",
    file.DURATION_OR_NEVER: "Write a duration such as '300s' or '720h', or 'Never'",
    file.CLUSTER: "Use letters, digits, '-' and '_', at most 100 characters",
    file.AMI: "Write one such as 'al2023@v20260724' or 'bottlerocket@1.57.0'",
    file.DISK: "Write a size such as '200Gi'",
    file.ROLE: "Write the name of an IAM role, not an ARN or a path: letters, digits and '_+=,.@-', at most 64",
    file.ZONE: "Write the name of a zone, such as 'us-east-1a', and not a region or the id of a zone",
    file.SUBNET: "Write an id such as 'subnet-0123456789abcdef0'",
    file.SECURITY_GROUP: "Write an id such as 'sg-0123456789abcdef0'",
    file.IMAGE_ID: "Write an id such as 'ami-0123456789abcdef0'",
    file.SHARE: "Write a number or a percentage in quotes, such as '1' or '10%'",
    file.HOURS: "Write hours and minutes, such as '8h' or '90m'",
    file.RESERVATION: "Write an id such as 'cr-0123456789abcdef0'",
    file.ACCOUNT: "Write the twelve digits of an AWS account, in quotes",
    file.IMAGE: "Write it with its registry, as in 'registry.example/nvidia/k8s-device-plugin:v0.20.0'",
}
WHOLE = re.compile(r"full|whole|gpu|device|^all|none|disabled|^[0-9, -]*$", re.IGNORECASE)
"""How people write a GPU that is not cut, or some of a node's GPUs, where a profile should be."""

ALIKE = "all GPUs of a pool are cut alike"
ONE_LAYOUT = (
    "Write the layout of one GPU, such as '{1g.5gb: 7}', and make another pool, with nodes of its own, for another "
    "layout; whole GPUs need nodes that are in no pool"
)
_EXAMPLES = {
    "instanceTypes": "[p4d.24xlarge]",
    "partition": "{mig: {1g.5gb: 7}}",
    "mig": "{1g.5gb: 7}",
    "timeSlicing": "{replicas: 4}",
    "mps": "{replicas: 4}",
    "labels": "{nvidia.com/gpu: a100}",
    "taints": "[{key: nvidia.com/gpu-shared}]",
    "capacityTypes": "[spot, on-demand]",
    "emptyFor": "'300s'",
    "expireAfter": "'720h'",
    "limit": "{nodes: 10}",
    "disk": "'200Gi'",
}
_TERMS = {
    "capacityReservations": "{id: cr-…}",
    "subnets": "{id: subnet-…}",
    "securityGroups": "{id: sg-…}",
    "ami": "{id: ami-…}",
    "taints": "{key: nvidia.com/gpu-shared, effect: NoSchedule}",
    "startupTaints": "{key: node.cilium.io/agent-not-ready, effect: NoExecute}",
    "budgets": "{nodes: '10%'}",
}
"""One entry of a pool's lists of mappings."""
_UNITS = {
    **dict.fromkeys(("emptyFor", "expireAfter", "terminationGracePeriod"), "Write a duration such as '{}s'"),
    "duration": "Write hours and minutes, such as '{}h'",
    "disk": "Write a size such as '{}Gi'",
}
_ID = re.compile(r"(cr|subnet|sg|ami)-[0-9a-z]+")
_WANTED = {
    "string_type": "a string: put it in quotes",
    "int_type": "a whole number, without quotes",
    "float_type": "a number, without quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _problem(error: Any, inherited: Mapping[int, Set[str]]) -> FleetProblem:
    # pydantic appends '[key]' where the key of a mapping is wrong.
    # It also names the alternative of `ami`.
    location = tuple(step for step in error["loc"] if step not in ("[key]", "(alias)", "(terms)"))
    where = path(_written(location, inherited))
    value, kind, context = error["input"], error["type"], error.get("ctx", {})
    if kind == "missing":
        return FleetProblem(where, "is missing", "Add it")
    in_partition = location[:1] == ("pools",) and location[2:3] == ("partition",)
    if kind == "extra_forbidden":
        if in_partition and WHOLE.search(str(location[-1])):
            return FleetProblem(where, f"is not a known field, and {ALIKE}", ONE_LAYOUT)
        return FleetProblem(where, *unknown_field(location, FleetFile))
    if kind == "value_error":
        return FleetProblem(where, str(context["error"]), f"Write 'apiVersion: {API_VERSION}', or upgrade")
    if kind == "literal_error":
        return FleetProblem(where, f"{quote(value)} is not known", f"Write {context['expected']}")
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        if pattern == file.AMI and (_ID.fullmatch(value) or value.startswith(("/", "arn:"))):
            key = "ssmParameter" if value.startswith(("/", "arn:")) else "id"
            return FleetProblem(where, f"{quote(value)} is no alias", f"Write '[{{{key}: {value}}}]'")
        name = value.rpartition("/")[2]
        if (
            pattern == file.ROLE
            and name != value
            and ":instance-profile/" not in value
            and re.fullmatch(file.ROLE, name)
        ):
            return FleetProblem(where, f"{quote(value)} is more than the name of a role", f"Write '{name}'")
        return FleetProblem(where, f"{quote(value)} is not well formed", _HINTS[pattern])
    if kind == "too_short":
        return FleetProblem(where, "is empty", "Add at least one entry")
    if kind == "greater_than":
        return FleetProblem(where, f"{quote(value)} is out of range", f"Write more than {context['gt']:g}")
    if kind == "too_long":
        return FleetProblem(where, f"has {len(value)} entries", f"Write at most {context['max_length']}")
    if kind == "string_too_short":
        return FleetProblem(where, "is empty", "Write it, or remove it")
    if kind in ("greater_than_equal", "less_than_equal"):
        if location[:1] == ("namespaces",) and "quota" in location:
            hint = "Write at least 1; to forbid a slice, name the others in the namespace's 'slices' or 'pools'"
            return FleetProblem(where, f"{quote(value)} is out of range", hint)
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return FleetProblem(where, f"{quote(value)} is out of range", f"Write {bound}")
    # Layouts as NVIDIA's mig-parted has them, for some of a node's GPUs each.
    if in_partition and isinstance(value, list | dict):
        return FleetProblem(where, f"{kind_of(value)}, and {ALIKE}", ONE_LAYOUT)
    name = str(location[-1]) if location else ""
    if kind == "string_type" and type(value) is int and name in _UNITS:
        return FleetProblem(where, f"{kind_of(value)}, without a unit", _UNITS[name].format(value))
    example = _EXAMPLES.get(name, "")
    term = _TERMS.get(str(location[2])) if location[:1] == ("pools",) and 2 < len(location) < 5 else None
    if term:
        if isinstance(value, str) and _ID.fullmatch(value):
            term = f"{{id: {value}}}"
        example = f"[{term}]" if kind == "list_type" else term if isinstance(location[-1], int) else example
    return FleetProblem(where, kind_of(value), f"Write {_WANTED[kind]}" + (f", such as {example}" if example else ""))
