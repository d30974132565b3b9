"""What a pool says to Karpenter in Karpenter's own words, and what of it would break the webhook's promises.

`nodeClass` and `nodePool` are merged over what is rendered.  What has a field of its own in the fleet file is said
there: the webhook decides by it.  Source: Karpenter v1.15.0 ``pkg/apis/crds``, karpenter-provider-aws likewise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook.errors import FleetProblem, kind_of, quote
from webhook.fleet.file import PoolEntry, path

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


FOREIGN_TAGS = (
    "aws:", "eks:eks-cluster-name", "kubernetes.io/cluster", "karpenter.sh/nodepool", "karpenter.sh/nodeclaim",
    "karpenter.k8s.aws/ec2nodeclass",
)  # fmt: skip
"""Beginnings of tags that EC2 or an EC2NodeClass refuses."""


def check_karpenter(where: str, entry: PoolEntry) -> Iterator[FleetProblem]:
    """What is wrong with `nodeClass`, `nodePool` and what belongs to them."""
    yield from _own(where, ("nodeClass",), entry.node_class, OWN_NODE_CLASS)
    yield from _own(where, ("nodePool",), entry.node_pool, OWN_NODE_POOL)
    if "instanceProfile" in entry.node_class and entry.node_role is not None:
        yield FleetProblem(f"{where}.nodeRole", "nodeClass has an instanceProfile", "Give one of the two")
    if "userData" in entry.node_class:
        yield from _check_user_data(f"{where}.nodeClass.userData", entry)
    for key in entry.tags:
        if not key or key.startswith(FOREIGN_TAGS):
            yield FleetProblem(f"{where}.{path(('tags', key))}", "AWS or Karpenter sets this tag", "Choose another key")
    for key in entry.node_labels:
        if key in (entry.labels or {}):
            yield FleetProblem(f"{where}.{path(('nodeLabels', key))}", "it stands in labels too", "Give it once")


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
    elif "\n--gpu-slice" in text:
        yield FleetProblem(where, "has a line that begins with '--gpu-slice', which ends a part", "Remove the line")
    elif not entry.bottlerocket and not text.startswith(KINDS):
        first = quote(text.partition("\n")[0])
        yield FleetProblem(
            where,
            f"its first line, {first}, is of no kind that can be one part of several",
            "Begin with '#!/bin/bash', or with 'apiVersion: node.eks.aws/v1alpha1' for a NodeConfig",
        )
