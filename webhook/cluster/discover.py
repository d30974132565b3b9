"""A fleet file for what stands in a cluster.

Nodes are grouped by what selects them: our own label, or else the NodePool, node group or instance type to which they
belong.  A group whose GPUs are all cut alike becomes a pool.  What was concluded and not read is said in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from webhook.cluster.cuts import CONFIG, gpus_of, has_gpus, machine
from webhook.cluster.groups import GROUPS, Group, alike_to, groups_of, largest_of, listed, named, required_types
from webhook.cluster.made import fields_of, made, order
from webhook.cluster.nodes import INSTANCE_TYPE, PASSING, PRODUCT, instance_type
from webhook.cluster.objects import NODE_CLASSES, NODE_POOLS, NODES, Document, Node
from webhook.cluster.snapshot import Snapshot
from webhook.documents import write_commented
from webhook.errors import BadFleet, FleetProblem, printable
from webhook.fleet import draft, fleet
from webhook.fleet.file import API_VERSION, CLUSTER, DNS_LABEL, TAINT_KEY
from webhook.fleet.labels import NODE_POOL
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.slices.catalogue import Catalogue

TELLING = (CONFIG, INSTANCE_TYPE, *GROUPS, PRODUCT, "topology.kubernetes.io/zone")
"""Labels that may tell the nodes of a group apart, if they are cut in several ways."""

DEFAULT_TAINTS = [{"key": TAINT_KEY, "value": "true", "effect": "NoSchedule"}]

CLUSTER_LABEL, CLUSTER_TAG = "alpha.eksctl.io/cluster-name", "karpenter.sh/discovery"
LONGEST_NAME = 63
"""Characters of a pool's name."""


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
class _Candidate:
    """The pool that a group would be."""

    group: Group
    entry: Document
    told: list[str]
    types: dict[str, dict[str, Any]]
    """Entries for instance types that the catalogue does not have."""


def discover(snapshot: Snapshot, catalogue: Catalogue, cluster: str = "") -> Discovered:
    """The fleet of the nodes in *snapshot*.  *cluster*: its name, if it is known."""
    nodes = [node for node in snapshot.items(NODES) if has_gpus(node, catalogue)]
    ours, places = made(snapshot), order(snapshot)
    groups, left = groups_of(nodes, snapshot, ours, catalogue)
    left += _idle(nodes, snapshot, ours, catalogue)
    groups.sort(key=lambda group: (min(places.get(each, len(groups)) for each in group.all_of(NODE_POOL)), group.value))
    name = cluster or _cluster(nodes, snapshot)
    candidates: dict[str, _Candidate] = {}
    for group in groups:
        if group.key == POOL_LABEL and group is not largest_of(group, groups):
            left.append(
                f"{named(group)}: in no pool, because most nodes with this {POOL_LABEL} are cut in another way."
            )
            continue
        entry, told = _pool(group, groups, candidates.keys())
        if group.key == POOL_LABEL and entry["name"] in ours:
            entry = fields_of(ours[entry["name"]], snapshot, name, entry)
        types = _added_types(group, catalogue)
        if types:
            told.append(
                f"{', '.join(types)}: not in the built-in catalogue. Compare the entry below with its cloud's page."
            )
        candidates[entry["name"]] = _Candidate(group, entry, told, types)
    head = {"apiVersion": API_VERSION, **({"cluster": name} if name else {})}
    mixed = _mixed(candidates.values(), catalogue)
    left += mixed.values()
    kept, refused = _accepted(head, [each for name, each in candidates.items() if name not in mixed], catalogue)
    for candidate, problems in refused:
        left += [f"{named(candidate.group)}: in no pool, because of this:", *(f"  {problem}" for problem in problems)]
    notes: dict[tuple[int | str, ...], str] = {
        ("pools", index): "\n".join(map(printable, candidate.told)) for index, candidate in enumerate(kept)
    }
    return Discovered(_file(head, kept), notes, tuple(map(printable, left)), len(nodes))


def _mixed(candidates: Iterable[_Candidate], catalogue: Catalogue) -> dict[str, str]:
    """The pools of machines whose instance type, which is in no catalogue, was another kind's first; and what to do."""
    first: dict[str, str] = {}
    told = {}
    for candidate in candidates:
        for name in candidate.types:
            nodes = [node for node in candidate.group.nodes if instance_type(node) == name]
            kinds = sorted({machine(node, catalogue) for node in nodes})
            if kinds != [first.setdefault(name, kinds[0])]:
                told[candidate.entry["name"]] = (
                    f"{named(candidate.group)}: in no pool, because several kinds of machine have the instance type "
                    f"{name}. Give each a name of its own, as by 'kubectl label --overwrite node NAME {INSTANCE_TYPE}="
                    f"{kinds[0]}'{f' and {listed(kinds[1:])}' if kinds[1:] else ''}, and look again."
                )
    return told


def _accepted(
    head: Document, candidates: Sequence[_Candidate], catalogue: Catalogue
) -> tuple[list[_Candidate], list[tuple[_Candidate, list[FleetProblem]]]]:
    """Those that make a fleet, and of the others what `gpu-slice fleet check` would say."""
    kept = [*candidates]
    refused: list[tuple[_Candidate, list[FleetProblem]]] = []
    while kept and (problems := _problems(_file(head, kept), catalogue)):
        blamed: dict[int, list[FleetProblem]] = {}
        for problem in problems:
            blamed.setdefault(_blamed(problem, kept), []).append(problem)
        # One that is wrong by itself takes no other one with it that only contradicts it.
        alone = {index: found for index in blamed if (found := _problems(_file(head, [kept[index]]), catalogue))}
        refused += [(kept[index], found) for index, found in (alone or blamed).items()]
        kept = [candidate for index, candidate in enumerate(kept) if index not in (alone or blamed)]
    return kept, refused


def _blamed(problem: FleetProblem, candidates: Sequence[_Candidate]) -> int:
    """Which of *candidates* has *problem*; the last one if its path does not tell."""
    if found := re.match(r"pools\[(\d+)\]", problem.path):
        return int(found[1])
    adding = (index for index, each in enumerate(candidates) if any(name in problem.path for name in each.types))
    return next(adding, len(candidates) - 1)


def _file(head: Document, candidates: Iterable[_Candidate]) -> Document:
    """The fleet file of *candidates*; of one instance type that two add, what the first says counts."""
    types: dict[str, Any] = {}
    for candidate in candidates:
        types = {**candidate.types, **types}
    own = {"catalogue": {"instanceTypes": types}} if types else {}
    return {**head, "pools": [candidate.entry for candidate in candidates], **own}


def _idle(nodes: Iterable[Node], snapshot: Snapshot, made: Container[str], catalogue: Catalogue) -> Iterator[str]:
    """NodePools for GPUs that have no nodes now, so that nobody sees how these would be cut."""
    busy = {node.metadata.labels.get(NODE_POOL) for node in nodes}
    for pool in snapshot.items(NODE_POOLS):
        name, ours = pool["metadata"]["name"], pool["metadata"]["name"] in made
        required = pool["spec"]["template"]["spec"].get("requirements") or ()
        types = required_types(pool)
        gpus = any(catalogue.instance_types[each].gpus for each in types if each in catalogue.instance_types)
        if name not in busy and (ours or gpus or any("/instance-gpu-" in each["key"] for each in required)):
            how = "The webhook's ConfigMap 'fleet' has its pool." if ours else "Look again when it has some."
            yield f"NodePool {name}: in no pool, because it has no nodes now. {how}"


def _pool(group: Group, groups: Sequence[Group], names: Container[str]) -> tuple[Document, list[str]]:
    """The pool of *group*, as nodes that stand there, and what is to be said of it."""
    cut, number = group.cut, len(group.nodes)
    alike = alike_to(group, groups) if group.key != POOL_LABEL else [group]
    told = [f"{number} node{'s' if number > 1 else ''}: {named(group)}.", *cut.guesses]
    if cordoned := [node.metadata.name for node in group.nodes if node.spec.unschedulable]:
        told.append(f"Cordoned now: {listed(cordoned)}.")
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
    if len(alike) > 1 and labels == {group.key: group.value}:
        told.append(
            "Nothing tells these nodes from others with these labels, which are cut otherwise. Label each by its name, "
            f"kubectl label node NAME {POOL_LABEL}={entry['name']}, and make a node group for each layout."
        )
    elif (group.key, group.value) != (POOL_LABEL, entry["name"]):
        told.append(f"Label its nodes, and those to come: {POOL_LABEL}={entry['name']}")
    taints = lasting = _taints(group)
    whole = cut.single or "renamed" in str(entry["partition"])
    if whole and taints and all(taint["key"] == WHOLE_GPU for taint in taints):
        told.append(
            f"They have the taint {WHOLE_GPU}, which every pod that asks for {WHOLE_GPU} tolerates on EKS and GKE."
        )
        taints = []
    if taints != DEFAULT_TAINTS:
        entry["taints"] = taints
    if all(taint["effect"] == "PreferNoSchedule" for taint in taints):
        entry["untainted"] = True
        if taints == lasting:
            told.append("No taint keeps other pods away from these nodes.")
    return entry, told


def _labels(group: Group, alike: Sequence[Group]) -> dict[str, str]:
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


def _taints(group: Group) -> list[dict[str, str]]:
    """The taints that all nodes of *group* have for good."""
    first, *others = [node.spec.taints for node in group.nodes]
    return [
        {"key": taint.key, **({"value": taint.value} if taint.value else {}), "effect": taint.effect}
        for taint in first
        if not taint.key.startswith(PASSING) and all(taint in other for other in others)
    ]


def _name(group: Group, several: bool, names: Container[str]) -> str:
    ((_, content),) = group.cut.partition
    first = str(next(iter(dict(content)))) if not group.cut.shared else "shared"
    base = group.value if group.key != INSTANCE_TYPE else group.cut.gpu
    text = f"{base}-{first}" if several or group.key == INSTANCE_TYPE else base
    name = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[: LONGEST_NAME - 3].strip("-") or "gpu"
    return next(each for each in chain([name], (f"{name}-{number}" for number in count(2))) if each not in names)


def _added_types(group: Group, catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """See `_Candidate.types`."""
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


def _problems(file: Document, catalogue: Catalogue) -> list[FleetProblem]:
    """What `gpu-slice fleet check` would say."""
    try:
        fleet.build(draft.read(file), catalogue)
    except BadFleet as bad:
        return [*bad.problems]
    return []
