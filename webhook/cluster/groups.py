"""Nodes of a cluster that are cut alike, by the label that selects them: what becomes a pool of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from webhook.cluster.cuts import Cut, Unclear, cut_of
from webhook.cluster.nodes import INSTANCE_TYPE
from webhook.cluster.objects import CLUSTER_POLICIES, Document, Node
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.labels import NODE_POOL
from webhook.fleet.pool import POOL_LABEL
from webhook.slices.catalogue import Catalogue

GROUPS = (
    NODE_POOL, "eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name", "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
)  # fmt: skip
"""Labels of whatever made a node, before its instance type is taken."""

MOST_NAMED = 5
"""Nodes that a comment names."""


@dataclass(slots=True)
class Group:
    """Nodes that are cut alike, and the label that selects them."""

    key: str
    value: str
    cut: Cut
    nodes: list[Node]

    def all_of(self, key: str) -> set[str]:
        """The values of a label that its nodes have; empty for one that has none."""
        return {node.metadata.labels.get(key, "") for node in self.nodes}


def groups_of(
    nodes: Iterable[Node], snapshot: Snapshot, ours: Mapping[str, Document], catalogue: Catalogue
) -> tuple[list[Group], list[str]]:
    """The nodes that are cut alike, and of all others why they are in no pool."""
    policies = [policy.get("spec") or {} for policy in snapshot.items(CLUSTER_POLICIES)]
    strategy = next((str((spec.get("mig") or {}).get("strategy") or "") for spec in policies), "")
    groups: dict[tuple[str, str, Cut], Group] = {}
    relabelled = []
    unclear: dict[str, list[str]] = {}
    for node in sorted(nodes, key=lambda node: node.metadata.name):
        labels = node.metadata.labels
        try:
            cut = cut_of(node, catalogue, strategy)
        except Unclear as why:
            unclear.setdefault(str(why), []).append(node.metadata.name)
            continue
        key, value = _selected(labels, ours)
        if (own := labels.get(POOL_LABEL, value)) != value:
            by = f"{value} launched it" if key == POOL_LABEL else f"{own} has other instance types"
            relabelled.append(f"{node.metadata.name}: its label {POOL_LABEL}={own} is wrong, because NodePool {by}.")
        groups.setdefault((key, value, cut), Group(key, value, cut, [])).nodes.append(node)
    for group in _tied(list(groups.values())):
        labels = group.nodes[0].metadata.labels
        relabelled.append(f"{named(group)}: as many nodes with {POOL_LABEL}={group.value} are cut in another way.")
        group.key = next((key for key in GROUPS if key in labels), INSTANCE_TYPE)
        group.value = labels[group.key]
    left = [f"{listed(found)}: in no pool, because it {why}." for why, found in unclear.items()]
    return list(groups.values()), [*relabelled, *left]


def _selected(labels: Mapping[str, str], ours: Mapping[str, Document]) -> tuple[str, str]:
    """The label that selects a node, and its value, which is another than it has if somebody relabelled it."""
    own, launched = labels.get(POOL_LABEL, ""), labels.get(NODE_POOL, "")
    if own and launched in ours:
        return POOL_LABEL, launched
    types = required_types(ours[own]) if own in ours else None
    keys = GROUPS if types and labels.get(INSTANCE_TYPE) not in types else (POOL_LABEL, *GROUPS)
    key = next((key for key in keys if key in labels), INSTANCE_TYPE)
    return key, labels[key]


def required_types(pool: Document) -> list[str]:
    """The instance types that a NodePool names."""
    required = pool["spec"]["template"]["spec"].get("requirements") or ()
    return [value for each in required if each["key"] == INSTANCE_TYPE for value in each.get("values") or ()]


def _tied(groups: Sequence[Group]) -> list[Group]:
    """Groups with one pool's label of which none has the most nodes, so that nobody knows whose it is."""
    most: dict[str, list[Group]] = {}
    for group in sorted(groups, key=lambda group: -len(group.nodes)):
        if group.key == POOL_LABEL:
            largest = most.setdefault(group.value, [])
            if not largest or len(largest[0].nodes) == len(group.nodes):
                largest.append(group)
    return [group for largest in most.values() if len(largest) > 1 for group in largest]


def largest_of(group: Group, groups: Iterable[Group]) -> Group:
    """The one with the most nodes of those that the label of *group* selects."""
    return max(alike_to(group, groups), key=lambda other: len(other.nodes))


def alike_to(group: Group, groups: Iterable[Group]) -> list[Group]:
    """All groups that the label of *group* selects."""
    return [other for other in groups if (other.key, other.value) == (group.key, group.value)]


def named(group: Group) -> str:
    """Its nodes, the first few by name."""
    return listed([node.metadata.name for node in group.nodes])


def listed(names: Sequence[str]) -> str:
    """The first few of *names*, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
