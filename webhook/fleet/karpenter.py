"""What a pool says to Karpenter in Karpenter's own words, and what of it would break the webhook's promises.

`nodeClass` and `nodePool` are merged over what is rendered.  What has a field of its own in the fleet file is said
there: the webhook decides by it.  Source: Karpenter v1.15.0 ``pkg/apis/crds``, karpenter-provider-aws likewise.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from webhook.errors import FleetProblem, kind_of, quote
from webhook.fleet.file import Budget, PoolEntry, path
from webhook.fleet.kubelet import check_kubelet
from webhook.slices.suggest import nearest

OWN_NODE_CLASS = {
    "amiFamily": "ami",
    "amiSelectorTerms": "ami",
    "capacityReservationSelectorTerms": "capacityReservations",
    "role": "nodeRole",
    "securityGroupSelectorTerms": "securityGroups",
    "subnetSelectorTerms": "subnets",
    "tags": "tags",
}
"""Fields of an EC2NodeClass, and the pool's field that says the same."""

OWN_NODE_POOL: dict[str, Any] = {
    "weight": "weight",
    "limits": "limit",
    "disruption": {"budgets": "budgets", "consolidateAfter": "emptyFor", "consolidationPolicy": "consolidation"},
    "template": {
        "metadata": {"labels": "nodeLabels"},
        "spec": {
            "expireAfter": "expireAfter",
            "nodeClassRef": "Remove it: an EC2NodeClass is rendered for each pool",
            "requirements": "Write 'instanceTypes', 'capacityTypes' or 'zones' of the pool",
            "startupTaints": "startupTaints",
            "taints": "taints",
            "terminationGracePeriod": "terminationGracePeriod",
        },
    },
}
"""The same of a NodePool; or what else to do."""


_NODE_CLASS = {
    *OWN_NODE_CLASS, "associatePublicIPAddress", "blockDeviceMappings", "connectionTracking", "context", "cpuOptions",
    "detailedMonitoring", "enclaveOptions", "instanceProfile", "instanceStorePolicy", "ipPrefixCount", "kubelet",
    "metadataOptions", "networkInterfaces", "placementGroupSelector", "userData",
}  # fmt: skip
"""All fields of an EC2NodeClass' spec."""
_MORE_OF_NODE_POOL = {"nodePool": {"replicas"}, "metadata": {"annotations"}}
"""Fields of a NodePool's spec, by the object that has them, beside those of `OWN_NODE_POOL`."""

FOREIGN_TAGS = (
    "eks:eks-cluster-name", "karpenter.sh/nodepool", "karpenter.sh/nodeclaim", "karpenter.k8s.aws/ec2nodeclass",
)  # fmt: skip
FOREIGN_BEGINNING = "kubernetes.io/cluster"
"""Tags that an EC2NodeClass refuses, and how others begin: the rules of ``karpenter.k8s.aws_ec2nodeclasses.yaml``."""

KARPENTERS_TAGS = 6
"""Those above, and ``Name`` where it is not given.  Source: karpenter-provider-aws ``pkg/utils/utils.go``,
``pkg/controllers/nodeclaim/tagging``."""

MOST_TAGS, LONGEST_TAG, LONGEST_TAG_VALUE = 50, 128, 256
"""Tags of one resource, and characters: the EC2 User Guide, "Tag your Amazon EC2 resources", restrictions."""


MERGED = ("nodeClass", "nodePool")
"""Fields of which a pool's value is merged over that in `defaults`.  Every other one replaces it as a whole."""


def merge(target: Any, patch: Any) -> Any:
    """*target* with *patch* merged over it: an RFC 7396 merge patch, in which null removes."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def check_karpenter(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    """What is wrong with `nodeClass`, `nodePool` and what belongs to them."""
    yield from _own(where, ("nodeClass",), entry.node_class, OWN_NODE_CLASS)
    yield from _own(where, ("nodePool",), entry.node_pool, OWN_NODE_POOL)
    if "instanceProfile" in entry.node_class and entry.node_role is not None:
        yield FleetProblem(f"{where}.nodeRole", "nodeClass has an instanceProfile", "Give one of the two")
    if entry.node_class.get("kubelet") is not None:
        yield from check_kubelet(where, entry.node_class["kubelet"])
    if "userData" in entry.node_class:
        yield from _check_user_data(f"{where}.nodeClass.userData", entry)
    yield from _check_terms(where, entry)
    for index, budget in enumerate(entry.budgets or ()):
        yield from _check_budget(f"{where}.budgets[{index}]", budget)
    if "blockDeviceMappings" in entry.node_class:
        yield from _check_disks(where, entry)
    yield from _check_tags(where, entry.tags)
    for key in entry.node_labels:
        if key in (entry.labels or {}):
            yield FleetProblem(f"{where}.{path(('nodeLabels', key))}", "it stands in labels too", "Give it once")


def check_words(entries: Sequence[PoolEntry]) -> Iterator[FleetProblem]:
    """Fields in `nodeClass` and `nodePool` that Karpenter does not have, unless it is newer than these lists."""
    for index, entry in enumerate(entries):
        unknown = [("nodeClass", key, _NODE_CLASS) for key in entry.node_class.keys() - _NODE_CLASS]
        for *steps, name, known in (*unknown, *_unknown_of_node_pool(entry.node_pool, OWN_NODE_POOL, ("nodePool",))):
            suggestion = nearest(str(name), sorted(known))
            yield FleetProblem(
                f"pools[{index}].{path((*steps, name))}",
                "is no field that Karpenter 1.15 has there, and the API server refuses or drops it",
                f"Write '{suggestion}'" if suggestion else f"The fields are {', '.join(sorted(known))}",
            )


def _unknown_of_node_pool(given: Mapping[str, Any], own: Mapping[str, Any], steps: tuple[str, ...]) -> Iterator[Any]:
    known = own.keys() | _MORE_OF_NODE_POOL.get(steps[-1], set())
    for key, value in given.items():
        if key not in known:
            yield (*steps, key, known)
        elif isinstance(value, Mapping) and isinstance(own.get(key), Mapping):
            yield from _unknown_of_node_pool(value, own[key], (*steps, key))


def _check_tags(where: str, tags: Mapping[str, str]) -> Iterator[FleetProblem]:
    if len(tags.keys() - {"Name"}) > MOST_TAGS - KARPENTERS_TAGS:
        problem = f"has {len(tags)}, and EC2 takes {MOST_TAGS} with the {KARPENTERS_TAGS} that Karpenter adds"
        yield FleetProblem(f"{where}.tags", problem, f"Write at most {MOST_TAGS - KARPENTERS_TAGS}")
    for key, value in tags.items():
        location = f"{where}.{path(('tags', key))}"
        foreign = key in FOREIGN_TAGS or key.startswith(FOREIGN_BEGINNING)
        if not key or foreign or key.lower().startswith("aws:"):  # EC2's own, in any case of letters
            yield FleetProblem(location, "AWS or Karpenter sets this tag", "Choose another key")
        elif len(key) > LONGEST_TAG:
            problem = f"the key {quote(key)} has {len(key)} characters, and EC2 takes {LONGEST_TAG}"
            yield FleetProblem(f"{where}.tags", problem, "Shorten it")
        if len(value) > LONGEST_TAG_VALUE:
            problem = f"its value has {len(value)} characters, and EC2 takes {LONGEST_TAG_VALUE}"
            yield FleetProblem(location if len(key) <= LONGEST_TAG else f"{where}.tags", problem, "Shorten it")


def _own(where: str, steps: tuple[str, ...], given: Any, own: Mapping[str, Any] | str) -> Iterator[FleetProblem]:
    """The parts of *given*, at *steps* of the pool, for which the pool has fields of its *own*."""
    if isinstance(own, str):
        problem, hint = "the pool has a field for this", f"Write it as the pool's '{own}'"
        yield FleetProblem(f"{where}.{path(steps)}", problem, own if " " in own else hint)
    elif isinstance(given, Mapping):
        for key in own:
            if key in given:
                yield from _own(where, (*steps, key), given[key], own[key])
    else:  # it would replace all that is in it
        yield FleetProblem(f"{where}.{path(steps)}", kind_of(given), "Write a mapping")


def _check_terms(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    """Source: the rules of ``karpenter.k8s.aws_ec2nodeclasses.yaml``, some of which let a wrong term by a right one."""
    for field, terms, together in (
        ("subnets", entry.subnets, set()),
        ("securityGroups", entry.security_groups, set()),
        ("ami", entry.ami, {"name", "owner", "tags"}),
        ("capacityReservations", entry.capacity_reservations, {"instanceMatchCriteria", "ownerID", "tags"}),
    ):
        for index, term in enumerate(terms if isinstance(terms, list) else ()):
            fields = term.model_dump(by_alias=True)
            given = [name for name, value in fields.items() if value is not None]
            if not set(given) - OWNERS:
                problem = f"only {given[0]} is given" if given else "nothing is given"
                alone = " or ".join(name for name in fields if name not in OWNERS)
                yield FleetProblem(f"{where}.{field}[{index}]", problem, f"Give {alone}, as Karpenter demands")
            elif len(given) > 1 and not set(given) <= together:
                problem = f"{' and '.join(given)} are given"
                yield FleetProblem(f"{where}.{field}[{index}]", problem, "Give one of them, as Karpenter demands")


OWNERS = {"owner", "ownerID"}
"""Fields of a selector term that select nothing by themselves."""


_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Least and most of a schedule's five fields."""


def _check_budget(where: str, budget: Budget) -> Iterator[FleetProblem]:
    if (budget.schedule is None) != (budget.duration is None):
        yield FleetProblem(where, "schedule and duration belong together", "Give both, or none")
    schedule = budget.schedule or "@daily"
    fields = schedule.split()
    numbers = [[int(number) for number in re.findall(r"(?<!/)\b\d+", field)] for field in fields]
    good = len(fields) == len(_CRON) and all(
        re.fullmatch(r"[0-9A-Za-z*/,-]+", field) and all(least <= number <= most for number in given)
        for field, given, (least, most) in zip(fields, numbers, _CRON, strict=False)
    )
    if not good and not re.fullmatch("@(annually|yearly|monthly|weekly|daily|midnight|hourly)", schedule):
        # Karpenter takes most of them, and then replaces no node at all.
        hint = "Write minute, hour, day, month and weekday in UTC, such as '0 9 * * mon-fri'"
        yield FleetProblem(f"{where}.schedule", f"{quote(schedule)} is not a schedule", hint)


def _check_disks(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    mappings = entry.node_class["blockDeviceMappings"]
    device = data_device(entry)
    names = [each.get("deviceName") for each in mappings if isinstance(each, Mapping)] if mappings else []
    if "disk" in entry.model_fields_set:
        yield FleetProblem(
            f"{where}.disk", "nodeClass has blockDeviceMappings, which replace it", "Give one of the two"
        )
    if device not in names:
        yield FleetProblem(
            f"{where}.nodeClass.blockDeviceMappings",
            f"none is '{device}', on which these nodes keep images and containers",
            f"Add '{{deviceName: {device}, ebs: {{…}}}}'",
        )


def data_device(entry: PoolEntry) -> str:
    """The disk for images and containers.  Bottlerocket keeps its system on another one."""
    return "/dev/xvdb" if entry.bottlerocket else "/dev/xvda"


LONGEST_USER_DATA = 8 * 1024
"""Bytes.  EC2 takes 16 KiB; our own part has 3, and Karpenter adds a NodeConfig of about 3."""

KINDS = ("#!", "apiVersion: node.eks.aws/", "---\napiVersion: node.eks.aws/")


def _check_user_data(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    text = entry.node_class["userData"]
    if not isinstance(text, str) or not text.isascii():
        problem = "has a letter that is not ASCII" if isinstance(text, str) else kind_of(text)
        yield FleetProblem(where, problem, "Write a script, as plain ASCII")
    elif len(text) > LONGEST_USER_DATA:
        yield FleetProblem(where, f"has {len(text):,} bytes, and there is room for {LONGEST_USER_DATA:,}", "Shorten it")
    elif "\r" in text:  # for a mail parser it ends a line, too
        yield FleetProblem(where, "has carriage returns", "Write it with the line ends of Unix")
    elif "\n--gpu-slice" in text:
        yield FleetProblem(where, "has a line that begins with '--gpu-slice', which ends a part", "Remove the line")
    elif entry.bottlerocket:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            problem = f"Bottlerocket reads TOML, and this is none: {error}"
            yield FleetProblem(where, problem, "Write settings, such as '[settings.kubernetes]'")
    elif not text.startswith(KINDS):
        first = quote(text.partition("\n")[0])
        yield FleetProblem(
            where,
            f"its first line, {first}, is of no kind that can be one part of several",
            "Begin with '#!/bin/bash', or with 'apiVersion: node.eks.aws/v1alpha1' for a NodeConfig",
        )
