"""Counts what a cluster's slices are used for.

A pod holds its slices from when it is bound until it has ended, so also while it is being deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from webhook.admission.pod import NVIDIA
from webhook.cluster.kinds import called, of_node, of_pool
from webhook.cluster.nodes import counted, gpu_resources, instance_type, pool_of
from webhook.cluster.objects import NODES, PODS, Node, Pod
from webhook.cluster.requests import Amounts, add, asks_for, requests_of
from webhook.cluster.snapshot import Snapshot
from webhook.cluster.stuck import Needs, why_unusable
from webhook.cluster.usage import NO_POOL, Apart, Held, NodeUse, PoolUse, SliceUse, Stranded, Usage, Waiting
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, Pool
from webhook.slices.request import POOLS

MOST_SLICES = 10_000
"""Slices of one kind that a pod can ask for.  The largest instances have 8 GPUs, of 7 slices or some shares each."""


@dataclass(slots=True)
class _Load:
    """What the pods of one node take."""

    pods: int = 0
    requests: Amounts = field(default_factory=dict)
    held: dict[str, list[Held]] = field(default_factory=dict)


def usage(snapshot: Snapshot, fleet: Fleet, prices: Mapping[str, float]) -> Usage:
    """What the slices of *snapshot* are used for.  *prices*: dollars an hour by instance type."""
    nodes = {node.metadata.name: node for node in snapshot.items(NODES)}
    pools = {name: pool_of(node, fleet.pools) for name, node in nodes.items()}
    loads = {name: _Load() for name, node in nodes.items() if pools[name] or gpu_resources(node)}
    nodes_seen = not snapshot.of(NODES).problem
    pods_seen = not snapshot.of(PODS).problem
    needs, waiting, apart = Needs(), [], []
    for pod in snapshot.items(PODS):
        if pod.ended:
            continue
        name = pod.spec.node_name
        slices = asks_for(pod, NVIDIA)
        if name not in loads and (not slices or name in nodes):
            continue  # it is bound to a node without GPUs, or waits for something else
        asked = requests_of(pod)
        held = {resource: int(number) for resource, number in asked.items() if counted(resource) and number}
        if why := _absurd(held, name if nodes_seen and name not in nodes else ""):
            apart.append(Apart(pod.metadata.namespace, pod.metadata.name, why))
            continue
        if name:
            loads.setdefault(name, _Load())  # a node that could not be seen
        for resource in held:
            needs.note(resource, asked)
        if name:
            load = loads[name]
            load.pods += 1
            add(load.requests, asked)
            for resource, count in held.items():
                load.held.setdefault(resource, []).append(Held(pod.metadata.namespace, pod.metadata.name, count))
        elif held and pod.metadata.deletion_timestamp is None:
            waiting.append((pod, held))
    found: dict[str, list[NodeUse]] = {pool.name: [] for pool in fleet.pools}
    for name, load in loads.items():
        pool = pools.get(name)
        uses = _slices(nodes.get(name), pool, load, needs if pods_seen else None, fleet)
        type_name = instance_type(nodes[name]) if name in nodes else ""
        found.setdefault(pool.name if pool else NO_POOL, []).append(
            NodeUse(name, type_name, prices.get(type_name), tuple(uses))
        )
    retired = {pool.name for pool in fleet.pools if pool.entry.retired}
    uses_of = tuple(
        PoolUse(name, tuple(sorted(members, key=lambda node: node.name)), name in retired)
        for name, members in found.items()
    )
    queue = tuple(_waiting(waiting, uses_of, fleet, snapshot))
    return Usage(
        pools=uses_of,
        waiting=queue,
        stranded=tuple(_stranded(uses_of, queue)) if nodes_seen and pods_seen else (),
        nodes_seen=nodes_seen,
        pods_seen=pods_seen,
        problems=tuple(filter(None, (snapshot.of(NODES).problem, snapshot.of(PODS).problem))),
        apart=tuple(apart),
    )


def _absurd(held: Mapping[str, int], missing: str) -> str:
    """Why a pod with these slices holds none and never will, as what one says of it; empty if it may."""
    for resource, count in held.items():
        if count > MOST_SLICES:
            return f"asks for more than {MOST_SLICES:,} {resource}"
    return f"is bound to node {missing}, which does not exist" if missing else ""


def _slices(node: Node | None, pool: Pool | None, load: _Load, needs: Needs | None, fleet: Fleet) -> Iterator[SliceUse]:
    kinds = of_pool(pool) if pool is not None else {}
    counts = gpu_resources(node) if node is not None else {}
    for resource in sorted({*counts, *load.held}.difference(kinds)):
        kinds[resource] = of_node(node, resource, fleet.catalogue) if node is not None else called(resource)
    for resource, kind in kinds.items():
        pods = sorted(load.held.get(resource, ()), key=lambda pod: (pod.namespace, pod.pod))
        count = counts.get(resource, 0)
        why = ""
        if node is not None and count > sum(pod.count for pod in pods):
            why = why_unusable(node, pool, resource, load.pods, load.requests, needs)
        yield SliceUse(kind, count, tuple(pods), why)


def _waiting(
    pods: Iterable[tuple[Pod, Mapping[str, int]]], uses: Iterable[PoolUse], fleet: Fleet, snapshot: Snapshot
) -> Iterator[Waiting]:
    """What waits, the longest first."""
    free: Counter[tuple[str, str]] = Counter()
    for pool in uses:
        for use in (use for node in pool.nodes for use in node.slices if not use.unusable):
            free[pool.name, use.kind.resource] += use.free
    names = {(pool.name, resource): kind.name for pool in fleet.pools for resource, kind in of_pool(pool).items()}
    queues: dict[tuple[str, tuple[str, ...]], list[tuple[Pod, int]]] = {}
    for pod, held in pods:
        written = pod.metadata.annotations.get(POOLS)
        for resource, count in held.items():
            if written is not None:
                serving = tuple(name for name in dict.fromkeys(written.split(", ")) if (name, resource) in names)
            elif resource != WHOLE_GPU:  # which is a slice only for pods that gpu-slice sent to such a pool
                serving = tuple(pool.name for pool in fleet.by_resource.get(resource, ()))
            else:
                serving = ()
            queues.setdefault((resource, serving), []).append((pod, count))
    result = [
        Waiting(
            slice=names[serving[0], resource] if serving else called(resource).name,
            resource=resource,
            pools=serving,
            free=sum(free[name, resource] for name in serving or (NO_POOL,)),
            longest=snapshot.when - min(pod.metadata.creation_timestamp or snapshot.when for pod, _ in members),
            pods=tuple(Held(pod.metadata.namespace, pod.metadata.name, count) for pod, count in members),
        )
        for (resource, serving), members in queues.items()
    ]
    yield from sorted(result, key=lambda queue: (-queue.longest, queue.slice, queue.pools))


def _stranded(uses: Iterable[PoolUse], waiting: Iterable[Waiting]) -> Iterator[Stranded]:
    """Free slices that nothing can fill, and those that nobody waits for while pods wait for others."""
    wanted = {(pool, queue.resource) for queue in waiting for pool in queue.pools or (NO_POOL,)}
    # A pod may ask for what no node has.  That says nothing about the slices that there are.
    real = {use.kind.resource for pool in uses for node in pool.nodes for use in node.slices if use.count}
    # Who waits for whole GPUs waits for nodes in no pool, of which no layout of a pool makes more.
    real.discard(WHOLE_GPU)
    short = [queue for queue in waiting if queue.count > queue.free and (queue.pools or queue.resource in real)]
    others = ", ".join(dict.fromkeys(queue.slice for queue in short))
    groups: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for pool in uses:
        for node in pool.nodes:
            for use in node.slices:
                why = use.unusable and f"the node {use.unusable}"
                if not why and others and (pool.name, use.kind.resource) not in wanted:
                    why = f"nobody waits for it, and pods wait for {others}"
                if use.free and why:
                    groups.setdefault((pool.name, use.kind.name, why), []).append((node.name, use.free))
    for (name, kind, why), found in groups.items():
        yield Stranded(name, kind, sum(count for _, count in found), tuple(node for node, _ in found), why)
