"""Checks of the nodes of each pool: labels, taints, the slices that they advertise; and of nodes that do not join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from webhook.cluster.check.facts import Facts
from webhook.cluster.check.leaving import check_leaving
from webhook.cluster.check.placement import HARD
from webhook.cluster.check.plugin import NAMESPACE
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.cures import KARPENTERS_LOG
from webhook.cluster.karpenter import missing_step
from webhook.cluster.nodes import INSTANCE_TYPE, PASSING, instance_type, leaving, node_pools, pool_of
from webhook.cluster.objects import NODE_CLAIMS, NODES, PODS, Document, Node, Pod, conditions
from webhook.fleet.labels import NODE_POOL, for_operator
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, NodeShape, Pool

INITIALIZED = "karpenter.sh/initialized"

DISRUPTED = "karpenter.sh/disrupted"

CURES = {
    "disk-pressure": "Free its disk, or replace it with a larger one (disk in the fleet file): the taint then goes.",
    "memory-pressure": "End what uses up its memory: the kubelet then removes the taint.",
    "pid-pressure": "End what starts so many processes there: the kubelet then removes the taint.",
    "network-unavailable": "Look at the CNI's pod on that node: the taint goes when its network works.",
    "out-of-service": "Somebody set it by hand.  When the node is well again: kubectl taint node {name} {key}-",
    "disrupted": "Karpenter drains the node.  If it is to stay: kubectl describe nodeclaim says why it goes.",
    "uninitialized": "The cloud controller manager removes it once it knows the node.  Read its log.",
}
"""What to do about a taint of Kubernetes or Karpenter, by the end of its key."""

REMOVE = "Take it out of the fleet file, apply, and delete what was rendered for it (docs/change-a-layout.md)."

SLICES = ("nvidia.com/mig-", f"{WHOLE_GPU}.shared")


def _of_pools(facts: Facts) -> Iterator[tuple[Node, Pool]]:
    for node in facts.all(NODES):
        pool = _moved(node, facts.fleet.pools) or pool_of(node, facts.fleet.pools)
        if pool is not None and node.metadata.deletion_timestamp is None:
            yield node, pool


def _moved(node: Node, pools: Sequence[Pool]) -> Pool | None:
    """The pool from which *node* was relabelled, if that is what makes all else about it wrong."""
    labels = node.metadata.labels
    named = next((pool for pool in pools if pool.name == labels.get(POOL_LABEL)), None)
    if named is None or _is_cut_for(node, named):
        return None
    fitting = [pool for pool in pools if labels.get(NODE_POOL) in node_pools(pool)]
    fitting = fitting or [pool for pool in pools if _is_cut_for(node, pool)]
    return fitting[0] if len(fitting) == 1 and fitting[0] is not named else None


def _is_cut_for(node: Node, pool: Pool) -> bool:
    given = node.status.allocatable
    return any(
        shape.instance_type.name == instance_type(node)
        and all(given.get(resource) == str(count) for resource, count in shape.capacity.items())
        for shape in pool.shapes
    )


def _labels(facts: Facts) -> Iterator[Found]:
    for node, pool in _of_pools(facts):
        name, given = node.metadata.name, node.metadata.labels.get(POOL_LABEL)
        if _moved(node, facts.fleet.pools) is not None:
            yield Problem(
                f"{name} is labelled {POOL_LABEL}={given}, and is a node of {pool.name} by NodePool, type or slices",
                f"Run kubectl label node {name} {POOL_LABEL}={pool.name} --overwrite",
            )
            continue
        wanted = {POOL_LABEL: pool.name, **pool.labels, **pool.entry.node_labels}
        if pool.entry.nodes == "karpenter":
            wanted |= for_operator(pool.entry)
        for key, value in wanted.items():
            given = node.metadata.labels.get(key)
            if given != value:
                told = f"has {key}={given}, and not {value}" if given is not None else f"lacks the label {key}={value}"
                yield Problem(f"{node.metadata.name} of {pool.name} {told}")
    for node in facts.all(NODES):
        if pool_of(node, facts.fleet.pools) is None:
            yield from _stray(node, facts)


def _stray(node: Node, facts: Facts) -> Iterator[Found]:
    """A node that the fleet does not know, and that looks as if it belonged to it."""
    name, named = node.metadata.name, node.metadata.labels.get(POOL_LABEL)
    sliced = [key for key, value in node.status.allocatable.items() if key.startswith(SLICES) and value != "0"]
    if named is not None:
        yield Problem(f"{name} is labelled {POOL_LABEL}={named}, and the fleet has no such pool")
    elif sliced and set(sliced) & facts.fleet.by_resource.keys():
        yield Problem(f"{name} has {sliced[0]}, and lacks the label {POOL_LABEL}")


def _taints(facts: Facts) -> Iterator[Found]:
    for node, pool in _of_pools(facts):
        name, there = node.metadata.name, [(taint.key, taint.value, taint.effect) for taint in node.spec.taints]
        for taint in pool.taints:
            if tuple(taint) not in there:
                yield Problem(f"{name} of {pool.name} lacks the taint {taint.key}={taint.value}:{taint.effect}")
        known = {taint.key for taint in pool.taints} | {taint.key for taint in pool.entry.startup_taints}
        known |= {offer.resource for offer in pool.offers}  # which its pods tolerate, too
        for key, value, effect in there:
            if key not in known and effect in HARD and not key.startswith(PASSING):
                yield Problem(
                    f"{name} of {pool.name} has the taint {key}={value}:{effect}, which no pod gets a toleration for",
                    f"Remove it, or give it to the pool in the fleet file: kubectl taint node {name} {key}-",
                )


def _usable(facts: Facts) -> Iterator[Found]:
    for node, pool in _of_pools(facts):
        name = node.metadata.name
        ready = node.status.ready
        wait = f"Wait for another node: {going}." if (going := leaving(node)) else ""
        if node.spec.unschedulable:
            cure = wait or f"When it may take pods again: kubectl uncordon {name}"
            yield Problem(f"{name} of {pool.name} is cordoned", cure)
        if ready.status != "True":
            why = f": {ready.message or ready.reason}" if ready.message or ready.reason else ""
            yield Problem(f"{name} of {pool.name} is not ready{why}")
        if _boots(node):
            continue  # its NodeClaim says what is missing
        told = {"unschedulable"} if node.spec.unschedulable else set()
        told |= {"not-ready", "unreachable"} if ready.status != "True" else set()
        own = {taint.key for taint in pool.taints}
        starting = {taint.key for taint in pool.entry.startup_taints}
        for taint in node.spec.taints:
            key, word = taint.key, taint.key.rpartition("/")[2]
            if taint.effect not in HARD or key in own or word in told:
                continue
            if key in starting or key.startswith(PASSING):
                yield Problem(
                    f"{name} of {pool.name} has the taint {key}:{taint.effect}, so no pod gets there",
                    CURES.get(word, wait).format(name=name, key=key),
                    warning=key == DISRUPTED and NODE_POOL in node.metadata.labels,
                )


def _boots(node: Node) -> bool:
    """Whether Karpenter still waits for *node*."""
    labels = node.metadata.labels
    return NODE_POOL in labels and labels.get(INITIALIZED) != "true"


def _joined(facts: Facts) -> Iterator[tuple[Node, Pool, NodeShape | None]]:
    """The nodes that Karpenter no longer waits for, with what is known of their type."""
    for node, pool in _of_pools(facts):
        if _boots(node):
            continue  # its NodeClaim says what is missing
        type = instance_type(node)
        yield node, pool, next((shape for shape in pool.shapes if shape.instance_type.name == type), None)


def _slices(facts: Facts) -> Iterator[Found]:
    for node, pool, shape in _joined(facts):
        name, type = node.metadata.name, instance_type(node)
        if shape is None:
            told = f"is a {type}, which is not among its instanceTypes" if type else f"lacks the label {INSTANCE_TYPE}"
            yield Problem(f"{name} of {pool.name} {told}")
            continue
        for resource, promised in shape.capacity.items():
            there = node.status.allocatable.get(resource, "0")
            if there != str(promised):
                yield Problem(f"{name} of {pool.name} has {there} {resource}, and its layout promises {promised}")


def _whole(facts: Facts) -> Iterator[Found]:
    for node, pool, _ in _joined(facts):
        offered = {offer.resource for offer in pool.offers}
        for resource, there in node.status.allocatable.items():
            if resource.startswith((*SLICES, WHOLE_GPU)) and resource not in offered and there != "0":
                yield Problem(f"{node.metadata.name} of {pool.name} has {there} {resource} beside its slices")


def _peopled(facts: Facts) -> Iterator[Found]:
    counts = {pool.name: 0 for pool in facts.fleet.pools}
    for _, pool in _of_pools(facts):
        counts[pool.name] += 1
    for pool in facts.fleet.pools:
        if pool.entry.retired and not counts[pool.name] and not _claimed(pool, facts):
            yield Problem(f"{pool.name} is retired and has none any more: it can be removed", REMOVE, warning=True)
        elif pool.entry.nodes == "existing" and not counts[pool.name] and not pool.entry.retired:
            yield Problem(f"{pool.name} has none, and nothing launches any unless you do", warning=True)
    retired = {pool.name for pool in facts.fleet.pools if pool.entry.retired}
    yield Note(", ".join(f"{name}{' (retired)' if name in retired else ''}: {count}" for name, count in counts.items()))


def _claimed(pool: Pool, facts: Facts) -> bool:
    """Whether Karpenter has a NodeClaim of *pool*."""
    return any(
        (claim["metadata"].get("labels") or {}).get(NODE_POOL) in node_pools(pool)
        for claim in (facts.all(NODE_CLAIMS) if node_pools(pool) else ())
    )


def _join(facts: Facts) -> Iterator[Found]:
    names = {name: pool for pool in facts.karpenter_pools for name in node_pools(pool)}
    nodes = {node.metadata.name: node for node in facts.snapshot.items(NODES)}
    for claim in facts.all(NODE_CLAIMS):
        metadata, stated = claim["metadata"], conditions(claim)
        pool = names.get((metadata.get("labels") or {}).get(NODE_POOL, ""))
        if pool is None:
            continue
        if "deletionTimestamp" in metadata:
            yield from check_leaving(claim, pool, facts)
            continue
        step = missing_step(claim)
        if step is None:
            continue
        stuck = {**stated.get(step, {}), "type": step}
        since = datetime.fromisoformat(metadata["creationTimestamp"])
        age, node = max(facts.now - since, timedelta()), (claim.get("status") or {}).get("nodeName", "")
        told = f"{metadata['name']} of {pool.name} is not {stuck['type']} after {int(age.total_seconds())} s"
        if why := stuck.get("message") or stuck.get("reason"):
            told += f": {why}"
        # A plugin that runs registers within seconds, so what it has not registered by then it will not.
        waits = age < facts.patience and not (node in nodes and _lacks(stuck, facts, nodes[node]))
        # Its events say nothing, and its condition not always what AWS said.
        cure = f"Karpenter's log has all that AWS says: {KARPENTERS_LOG}" if step == "Launched" else ""
        yield Problem(told, cure, warning=waits)


def _lacks(stuck: Document, facts: Facts, node: Node) -> bool:
    """Whether the plugin runs on *node*, and has not registered what Karpenter waits for."""
    plugins = {document["metadata"]["name"] for document in facts.made("DaemonSet")}
    pods: tuple[Pod, ...] = facts.snapshot.items(PODS)
    return stuck.get("reason") == "ResourceNotRegistered" and any(
        pod.spec.node_name == node.metadata.name
        and pod.metadata.namespace == NAMESPACE  # in others anybody may name an owner
        and any(owner.kind == "DaemonSet" and owner.name in plugins for owner in pod.metadata.owner_references)
        and pod.status.ready.status == "True"
        for pod in pods
    )


CHECKS = (
    Check("nodes", "Nodes", "the pools have nodes, or Karpenter launches them",
          "Create nodes for it, labelled gpu-slice/pool, or remove the pool from the fleet file.", _peopled,
          after=("fleet",)),
    Check("node-claims", "Nodes", "the nodes that Karpenter launched have joined",
          "Run kubectl describe nodeclaim, and for one that never registers read its console (docs/eks.md).", _join,
          after=("fleet",), karpenter=True),
    Check("node-labels", "Nodes", "the nodes have the labels of their pool",
          "Label the node, or correct what creates it: pods select their nodes by these labels.", _labels,
          after=("fleet",)),
    Check("node-taints", "Nodes", "the nodes have the taints of their pool and no others",
          "Taint the node, or correct what creates it: without it, pods without a slice fill the node.", _taints,
          after=("fleet",)),
    Check("node-usable", "Nodes", "the nodes take pods", "Run kubectl describe node: conditions and events say why.",
          _usable),
    Check("node-slices", "Nodes", "the nodes advertise the slices of their layout",
          "Read the device plugin's log on that node, and nvidia-smi -L there: its GPUs may be cut otherwise.",
          _slices,
          after=("fleet",)),
    Check("node-whole-gpus", "Nodes", "the nodes advertise nothing beside their slices",
          "A second device plugin runs there, or ran: remove it, then restart the kubelet or replace the node.",
          _whole,
          after=("fleet",)),
)  # fmt: skip
