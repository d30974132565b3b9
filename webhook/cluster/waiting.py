"""Why a pod that may be scheduled waits: what its nodes lack, why Karpenter launches none, or what both say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from webhook.cluster.asked import Asked
from webhook.cluster.causes import Cause
from webhook.cluster.claims import awaited
from webhook.cluster.events import Said, gives_up, in_words
from webhook.cluster.objects import NODE_POOLS, NODES
from webhook.cluster.scheduling import Candidate
from webhook.cluster.snapshot import Snapshot
from webhook.cluster.state import passed_over
from webhook.fleet.pool import Pool

_NODE_POOL = re.compile(r"NodePool=([\w.-]+)|(?:karpenter\.sh/nodepool|gpu-slice/pool) In \[([\w.-]+)\]")
_OF_OTHERS = re.compile("incompatible requirements|did not tolerate taint")
"""Why a NodePool is passed over: each that does not serve the pod, and of those that do, the NodePool itself tells."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A NodePool of a pool that serves the pod."""

    node_pool: str
    causes: tuple[Cause, ...]
    """What keeps Karpenter from launching a node of it; empty: nothing that is known."""


def waiting(
    asked: Asked,
    snapshot: Snapshot,
    said: Sequence[Said],
    serving: Sequence[Pool],
    nodes: Sequence[Candidate],
    launches: Sequence[Launch],
) -> Iterator[Cause]:
    """Why a pod waits for a node, or whether one that does not exist yet would have to."""
    free = [node for node in nodes if not node.causes and not node.coming]
    launchable = [launch.node_pool for launch in launches if not launch.causes]
    looked = not snapshot.of(NODES).problem and not snapshot.of(NODE_POOLS).problem
    if not asked.exists and free:
        yield Cause("served", f"It would be admitted, and node {free[0].name} has {free[0].free} free.")
        return
    if not asked.exists and launchable and looked:
        text = "It would be admitted, and nothing keeps Karpenter from launching a node"
        yield Cause("launchable", f"{text} of NodePool {launchable[0]}.")
        return
    if own := awaited(snapshot, said):  # then it does not matter what keeps it off other nodes
        told = [cause for launch in launches for cause in launch.causes if cause.id in ("karpenter-down", "launching")]
        yield from told or own.values()
        return
    passed = list(passed_over(asked)) if free else []
    yield from passed
    if free and not passed:  # then it does not matter what keeps it off others
        if not asked.condition("PodScheduled").get("message"):
            yield Cause(
                "soon", f"Node {free[0].name} has {free[0].free} free, and nothing that is known keeps the pod off."
            )
        return
    yield from _pinned(asked, nodes)
    yield from _of_nodes(nodes, launchable)
    for launch in launches:
        yield from launch.causes
    for pool in serving if looked else ():
        if pool.entry.nodes == "existing" and not any(node.pool == pool.name for node in nodes):
            yield Cause(
                "no-nodes", f"Pool {pool.name} has no node: none carries its labels (gpu-slice/pool={pool.name})."
            )
    if not launchable and not any(launch.causes for launch in launches) and all(node.coming for node in nodes):
        yield from _of_nodes(nodes, launchable, coming=True)
    if launchable and looked and not free and not gives_up(said):
        yield Cause("soon", f"Nothing that is known keeps Karpenter from launching a node of NodePool {launchable[0]}.")


def _pinned(asked: Asked, nodes: Sequence[Candidate]) -> Iterator[Cause]:
    """If a DaemonSet wants the pod on one node, which is none that has slices."""
    fields = [part for term in asked.rules.terms or () for part in term.match_fields or ()]
    names = [name for part in fields if part.operator == "In" for name in part.values or ()]
    if names and not any(node.name in names for node in nodes):
        yield Cause(
            "daemon-set", f"The pod's DaemonSet placed it on node {names[0]}, which does not have what it asks for."
        )


def _of_nodes(nodes: Sequence[Candidate], launchable: Sequence[str], *, coming: bool = False) -> Iterator[Cause]:
    """What keeps the pod off the nodes, each kind once.  Full nodes do not matter where Karpenter launches another."""
    by_id: dict[str, list[Cause]] = {}
    for node in nodes:
        if node.coming is coming:
            full = [cause for cause in node.causes if cause.id == "slices-in-use"]
            for cause in full or node.causes:
                by_id.setdefault(cause.id, []).append(cause)
    for id, causes in by_id.items():
        if id == "slices-in-use" and launchable:
            continue
        first, more = causes[0], len(causes) - 1
        also = f", and {more} more node{'s' if more > 1 else ''} likewise." if more else "."
        yield replace(first, sentence=first.sentence.removesuffix(".") + also)


def _about(message: str, names: Collection[str] | None) -> str:
    """The parts of Karpenter's *message* that may be about the NodePools *names*; all of it if those are not known."""
    if names is None:
        return message
    parts = []
    for part in message.split("; ") if names else ():
        named = {name for pair in _NODE_POOL.findall(part) for name in pair if name}
        if not _OF_OTHERS.search(part) and (not named or named & set(names)):
            parts.append(part)
    return "; ".join(parts)


def in_other_words(
    asked: Asked, said: Sequence[Said], launches: Sequence[Launch], names: Collection[str] | None
) -> Iterator[Cause]:
    """What Karpenter or the scheduler say themselves, as the last resort.

    *names*: NodePools that may serve the pod; None if they are not known.
    """
    last = gives_up(said)
    if last and (message := _about(last.message, names)):
        words = in_words(message)
        yield Cause("karpenter", f"Karpenter launches no node{': ' + words if words else ''}.", (last.message,))
    elif last and launches:
        ours = ", ".join(launch.node_pool for launch in launches)
        text = f"Karpenter launches no node of NodePool {ours}, and does not say why"
        cure = "The platform team: read Karpenter's log; docs/eks.md#if-it-does-not-work says what to look for."
        yield Cause("karpenter", f"{text}: its message is about other NodePools.", (last.message,), cure)
    message = asked.condition("PodScheduled").get("message") or next(
        (each.message for each in said if "scheduler" in each.source), ""
    )
    if message:
        words = in_words(message)
        yield Cause("scheduler", f"The scheduler finds no node{': ' + words if words else ''}.", (message,))
    if message or (last and (launches or _about(last.message, names))):
        return
    text = "Nothing is known that keeps the pod waiting: the scheduler has not spoken of it yet"
    yield Cause("soon", f"{text if asked.exists else 'It would be admitted, and nothing is known of nodes for it'}.")
