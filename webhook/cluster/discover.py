"""A fleet file for what stands in a cluster.

Nodes are grouped by what selects them: our own label, or else the NodePool, node group or instance type to which they
belong.  A group whose GPUs are all cut alike becomes a pool.  What was concluded and not read is said in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from webhook.cluster.cuts import CONFIG, Cut, Unclear, cut_of, gpus_of, has_gpus
from webhook.cluster.made import fields_of, made, order
from webhook.cluster.nodes import INSTANCE_TYPE, NODE_POOL, PASSING, PRODUCT, instance_type
from webhook.cluster.objects import CLUSTER_POLICIES, NODE_CLASSES, NODE_POOLS, NODES, Document, Node
from webhook.cluster.snapshot import Snapshot
from webhook.documents import write_commented
from webhook.errors import BadFleet, printable
from webhook.fleet import draft, fleet
from webhook.fleet.file import API_VERSION, CLUSTER, DNS_LABEL, TAINT_KEY
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.slices.catalogue import Catalogue

GROUPS = (NODE_POOL, "eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name")
"""Labels of whatever made a node, before its instance type is taken."""

TELLING = (CONFIG, INSTANCE_TYPE, *GROUPS, PRODUCT, "topology.kubernetes.io/zone")
"""Labels that may tell the nodes of a group apart, if they are cut in several ways."""

DEFAULT_TAINTS = [{"key": TAINT_KEY, "value": "true", "effect": "NoSchedule"}]

CLUSTER_LABEL, CLUSTER_TAG = "alpha.eksctl.io/cluster-name", "karpenter.sh/discovery"
LONGEST_NAME = 63
"""Characters of a pool's name."""

MOST_NAMED = 5
"""Nodes that a comment names."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What stands in a cluster."""

    fleet: Document
    """As in a fleet file; without pools if none could be made."""
    notes: Mapping[tuple[int | str, ...], str]
    left: tuple[str, ...]
    """What is in no pool and why, a line each."""
    nodes: int
    """How many nodes with GPUs there are."""

    def __str__(self) -> str:
        text = write_commented(self.fleet, self.notes) if self.fleet["pools"] else ""
        return text + "".join(f"# {line}\n" for line in self.left)


@dataclass(slots=True)
class _Group:
    """Nodes that are cut alike, and the label that selects them."""

    key: str
    value: str
    cut: Cut
    nodes: list[Node]

    def all_of(self, key: str) -> set[str]:
        """The values of a label that its nodes have; empty for one that has none."""
        return {node.metadata.labels.get(key, "") for node in self.nodes}


def discover(snapshot: Snapshot, catalogue: Catalogue, cluster: str = "") -> Discovered:
    """The fleet of the nodes in *snapshot*.  *cluster*: its name, if it is known."""
    nodes = [node for node in snapshot.items(NODES) if has_gpus(node, catalogue)]
    groups, left = _groups(nodes, snapshot, catalogue)
    left += _idle(nodes, snapshot, catalogue)
    ours, places = made(snapshot), order(snapshot)
    groups.sort(key=lambda group: (min(places.get(each, len(groups)) for each in group.all_of(NODE_POOL)), group.value))
    name = cluster or _cluster(nodes, snapshot)
    file: Document = {"apiVersion": API_VERSION, **({"cluster": name} if name else {}), "pools": []}
    notes: dict[tuple[int | str, ...], str] = {}
    for group in groups:
        if group.key == POOL_LABEL and group is not _largest(group, groups):
            left.append(
                f"{_named(group)}: in no pool, because most nodes with this {POOL_LABEL} are cut in another way."
            )
            continue
        entry, told = _pool(group, groups, {pool["name"] for pool in file["pools"]})
        if group.key == POOL_LABEL and entry["name"] in ours:
            entry = fields_of(ours[entry["name"]], snapshot, name, entry)
        added = _added_types(group, catalogue)
        types = {**file.get("catalogue", {}).get("instanceTypes", {}), **added}
        grown = {**file, "pools": [*file["pools"], entry], **({"catalogue": {"instanceTypes": types}} if types else {})}
        if problems := _problems(grown, catalogue):
            left += [f"{_named(group)}: in no pool, because of this:", *(f"  {problem}" for problem in problems)]
            continue
        if added:
            told.append(f"{', '.join(added)}: not in the built-in catalogue. Compare the entry below with AWS' page.")
        notes["pools", len(file["pools"])] = "\n".join(map(printable, told))
        file = grown
    return Discovered(file, notes, tuple(map(printable, left)), len(nodes))


def _groups(nodes: Iterable[Node], snapshot: Snapshot, catalogue: Catalogue) -> tuple[list[_Group], list[str]]:
    """The nodes that are cut alike, and of all others why they are in no pool."""
    policies = [policy.get("spec") or {} for policy in snapshot.items(CLUSTER_POLICIES)]
    strategy = next((str((spec.get("mig") or {}).get("strategy") or "") for spec in policies), "")
    groups: dict[tuple[str, str, Cut], _Group] = {}
    ours, relabelled = made(snapshot), []
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
        groups.setdefault((key, value, cut), _Group(key, value, cut, [])).nodes.append(node)
    for group in _tied(list(groups.values())):
        labels = group.nodes[0].metadata.labels
        relabelled.append(f"{_named(group)}: as many nodes with {POOL_LABEL}={group.value} are cut in another way.")
        group.key = next((key for key in GROUPS if key in labels), INSTANCE_TYPE)
        group.value = labels[group.key]
    left = [f"{_names(found)}: in no pool, because it {why}." for why, found in unclear.items()]
    return list(groups.values()), [*relabelled, *left]


def _selected(labels: Mapping[str, str], ours: Mapping[str, Document]) -> tuple[str, str]:
    """The label that selects a node, and its value, which is another than it has if somebody relabelled it."""
    own, launched = labels.get(POOL_LABEL, ""), labels.get(NODE_POOL, "")
    if own and launched in ours:
        return POOL_LABEL, launched
    types = _required(ours[own]) if own in ours else None
    keys = GROUPS if types and labels.get(INSTANCE_TYPE) not in types else (POOL_LABEL, *GROUPS)
    key = next((key for key in keys if key in labels), INSTANCE_TYPE)
    return key, labels[key]


def _required(pool: Document) -> list[str]:
    """The instance types that a NodePool names."""
    required = pool["spec"]["template"]["spec"].get("requirements") or ()
    return [value for each in required if each["key"] == INSTANCE_TYPE for value in each.get("values") or ()]


def _tied(groups: Sequence[_Group]) -> list[_Group]:
    """Groups with one pool's label of which none has the most nodes, so that nobody knows whose it is."""
    most: dict[str, list[_Group]] = {}
    for group in sorted(groups, key=lambda group: -len(group.nodes)):
        if group.key == POOL_LABEL:
            largest = most.setdefault(group.value, [])
            if not largest or len(largest[0].nodes) == len(group.nodes):
                largest.append(group)
    return [group for largest in most.values() if len(largest) > 1 for group in largest]


def _idle(nodes: Iterable[Node], snapshot: Snapshot, catalogue: Catalogue) -> Iterator[str]:
    """NodePools for GPUs that have no nodes now, so that nobody sees how these would be cut."""
    busy = {node.metadata.labels.get(NODE_POOL) for node in nodes}
    for pool in snapshot.items(NODE_POOLS):
        name, ours = pool["metadata"]["name"], pool["metadata"]["name"] in made(snapshot)
        required = pool["spec"]["template"]["spec"].get("requirements") or ()
        types = _required(pool)
        gpus = any(catalogue.instance_types[each].gpus for each in types if each in catalogue.instance_types)
        if name not in busy and (ours or gpus or any("/instance-gpu-" in each["key"] for each in required)):
            how = "The webhook's ConfigMap 'fleet' has its pool." if ours else "Look again when it has some."
            yield f"NodePool {name}: in no pool, because it has no nodes now. {how}"


def _largest(group: _Group, groups: Iterable[_Group]) -> _Group:
    return max(_alike(group, groups), key=lambda other: len(other.nodes))


def _alike(group: _Group, groups: Iterable[_Group]) -> list[_Group]:
    """All groups that the label of *group* selects."""
    return [other for other in groups if (other.key, other.value) == (group.key, group.value)]


def _pool(group: _Group, groups: Sequence[_Group], names: set[str]) -> tuple[Document, list[str]]:
    """The pool of *group*, as nodes that stand there, and what is to be said of it."""
    cut, number = group.cut, len(group.nodes)
    alike = _alike(group, groups) if group.key != POOL_LABEL else [group]
    told = [f"{number} node{'s' if number > 1 else ''}: {_named(group)}.", *cut.guesses]
    entry: Document = {"name": _name(group, len(alike) > 1, names), **cut.fields}
    entry["instanceTypes"] = sorted({instance_type(node) for node in group.nodes})
    labels = _labels(group, alike)
    if labels != {WHOLE_GPU: cut.family}:
        entry["labels"] = labels
    entry["nodes"] = "existing"
    if node_pools := sorted(group.all_of(NODE_POOL) - {""}):
        shared = any(other is not group and other.all_of(NODE_POOL) & {*node_pools} for other in groups)
        if not shared and all(re.fullmatch(DNS_LABEL, name) for name in node_pools):
            entry["nodePools"] = node_pools
        else:
            told.append("No overlay for its NodePool, which makes nodes of other pools too.")
    if (group.key, group.value) != (POOL_LABEL, entry["name"]):
        told.append(f"Label its nodes, and those to come: {POOL_LABEL}={entry['name']}")
    taints = _taints(group)
    whole = cut.single or "renamed" in str(entry["partition"])
    if whole and taints and all(taint["key"] == WHOLE_GPU for taint in taints):
        told.append(f"They have the taint {WHOLE_GPU}, which every pod that asks for {WHOLE_GPU} tolerates on EKS.")
        taints = []
    if taints != DEFAULT_TAINTS:
        entry["taints"] = taints
    if all(taint["effect"] == "PreferNoSchedule" for taint in taints):
        entry["untainted"] = True
        told.append("No taint keeps other pods away from these nodes.")
    return entry, told


def _labels(group: _Group, alike: Sequence[_Group]) -> dict[str, str]:
    """Labels that select the nodes of *group*."""
    if group.key == POOL_LABEL:  # which selects them where nothing else does
        (value, *others) = group.all_of(WHOLE_GPU)
        return {WHOLE_GPU: value} if value and not others else {}
    labels = {group.key: group.value}
    for key in TELLING if len(alike) > 1 else ():
        values = [other.all_of(key) for other in alike]
        if all(len(each) == 1 and each != {""} for each in values) and len(set.union(*values)) == len(values):
            return labels | {key: next(iter(group.all_of(key)))}
    return labels


def _taints(group: _Group) -> list[dict[str, str]]:
    """The taints that all nodes of *group* have for good."""
    first, *others = [node.spec.taints for node in group.nodes]
    return [
        {"key": taint.key, **({"value": taint.value} if taint.value else {}), "effect": taint.effect}
        for taint in first
        if not taint.key.startswith(PASSING) and all(taint in other for other in others)
    ]


def _name(group: _Group, several: bool, names: set[str]) -> str:
    ((_, content),) = group.cut.partition
    first = str(next(iter(dict(content)))) if not group.cut.shared else "shared"
    base = group.value if group.key != INSTANCE_TYPE else group.cut.gpu
    text = f"{base}-{first}" if several or group.key == INSTANCE_TYPE else base
    name = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[: LONGEST_NAME - 3].strip("-") or "gpu"
    return next(each for each in chain([name], (f"{name}-{number}" for number in count(2))) if each not in names)


def _added_types(group: _Group, catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Entries for instance types that the catalogue does not have."""
    return {
        instance_type(node): {
            "gpu": group.cut.gpu, "gpus": gpus_of(node, catalogue), "architecture": group.cut.architecture
        }
        for node in group.nodes
        if instance_type(node) not in catalogue.instance_types
    }  # fmt: skip


def _cluster(nodes: Iterable[Node], snapshot: Snapshot) -> str:
    """The name of the cluster, by what eksctl and Karpenter keep of it; empty if nothing tells."""
    names = {node.metadata.labels.get(CLUSTER_LABEL, "") for node in nodes}
    for document in snapshot.items(NODE_CLASSES):
        for term in document["spec"].get("subnetSelectorTerms") or ():
            names.add((term.get("tags") or {}).get(CLUSTER_TAG, ""))
    known = [name for name in names if re.fullmatch(CLUSTER, name)]
    return known[0] if len(known) == 1 else ""


def _problems(file: Document, catalogue: Catalogue) -> list[str]:
    """What `gpu-slice fleet check` would say."""
    try:
        fleet.build(draft.read(file), catalogue)
    except BadFleet as bad:
        return [str(problem) for problem in bad.problems]
    return []


def _named(group: _Group) -> str:
    return _names([node.metadata.name for node in group.nodes])


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
