"""The scheduler's filters, replayed: what keeps a pod off each node that has, or should have, its slices.

Spread, pod affinity, volumes and ports are left to the scheduler's own message.  Source: k8s.io/kubernetes
``pkg/scheduler/framework/plugins``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from webhook.admission.node_affinity import expression_could_hold
from webhook.admission.pod import Term
from webhook.cluster.asked import Asked, held
from webhook.cluster.causes import Cause, ranked
from webhook.cluster.cures import REPLACE, render
from webhook.cluster.karpenter import missing_step
from webhook.cluster.nodes import LEAVING, instance_type, leaving, pool_of
from webhook.cluster.objects import NODE_CLAIMS, NODES, PODS, Node, Pod
from webhook.cluster.requests import ZERO, Amounts, add, left, quantity
from webhook.cluster.snapshot import Snapshot
from webhook.errors import quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.labels import NODE_POOL
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.fleet.pool import Pool as FleetPool
from webhook.fleet.pool import Taint as PoolTaint
from webhook.slices.request import POOLS

CORDONED = "node.kubernetes.io/unschedulable"
NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
OF_KARPENTER = ("karpenter.sh/unregistered", "karpenter.sh/disrupted", "karpenter.sh/disruption")
"""Taints of nodes that come or go, which is no fault where Karpenter made the node."""

_BY_ITSELF = {
    "node.kubernetes.io/disk-pressure": "free disk on the node (images, logs, emptyDir volumes), or give it more",
    "node.kubernetes.io/memory-pressure": "see what takes the node's memory (kubectl describe node), and end it",
    "node.kubernetes.io/pid-pressure": "see what makes so many processes on the node, and end it",
    "node.kubernetes.io/network-unavailable": "see that the network plugin (aws-node) runs on the node",
    "node.cloudprovider.kubernetes.io/uninitialized": "see that the cloud controller knows the instance",
    "node.cloudprovider.kubernetes.io/shutdown": "start its instance again, or delete the node",
    "node.kubernetes.io/out-of-service": "the node was declared lost: start it again or delete it, then remove this",
    "karpenter.sh/": "Karpenter is replacing the node: kubectl get nodeclaims, and what it says in kubectl describe",
}
"""Taints that a program sets, by the beginning of their key, and what to do until it removes them."""
_WAIT = "Wait for another node: {}."
_AGENT = "-not-ready"
"""The end of taints that a node's agent removes once it runs: ``ebs.csi.aws.com/agent-not-ready``."""

_NO_PLUGIN = (
    "The platform team: kubectl -n kube-system describe daemonsets -l app.kubernetes.io/component=device-plugin says "
    "why it has no pod there. What somebody has added to it, such as a nodeSelector, goes with: "
    f"{render('device-plugin', REPLACE)}."
)

MOST_HOLDERS = 5
"""Pods that are named as those that hold slices."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A node that has, or should have, the slices; and what keeps the pod off it."""

    name: str
    pool: str
    """The fleet's pool that it belongs to; empty if it carries no pool's label."""
    free: str
    """As in ``12 of 56 nvidia.com/mig-1g.5gb``."""
    causes: tuple[Cause, ...]
    """Empty: the scheduler may bind the pod to it."""
    coming: bool
    """Whether it is being launched or removed, so that what it lacks is no fault."""


def candidates(asked: Asked, pools: Sequence[FleetPool], fleet: Fleet | None, snapshot: Snapshot) -> list[Candidate]:
    """The nodes of *pools*, and those of no pool of *fleet* with what the pod asks for, by name."""
    recorded = str(asked.view.annotations.get(POOLS) or "").split(", ")
    wanted = asked.slices.keys()

    def stranger(node: Node) -> bool:
        """Whether it has what the pod asks for, and is not of another pool that has it, too."""
        name = node.metadata.labels.get(POOL_LABEL)
        if fleet is None:
            other = name is not None and name not in recorded
        else:
            other = any(pool.name == name and wanted & pool.largest.capacity.keys() for pool in fleet.pools)
        return not other and bool(wanted & node.status.capacity.keys() - {WHOLE_GPU})

    all_pods = not snapshot.of(PODS).problem
    bound: dict[str, list[Pod]] = {}
    for pod in snapshot.items(PODS):
        if pod.spec.node_name and not pod.ended:
            bound.setdefault(pod.spec.node_name, []).append(pod)
    young = {
        claim["status"].get("nodeName")
        for claim in snapshot.items(NODE_CLAIMS)
        if claim.get("status") and missing_step(claim)
    }
    return [
        _candidate(asked, node, pool, pools, bound.get(node.metadata.name, ()), node.metadata.name in young, all_pods)
        for node in sorted(snapshot.items(NODES), key=lambda node: node.metadata.name)
        if (pool := pool_of(node, pools, cut=False)) is not None or stranger(node)
    ]


def _candidate(
    asked: Asked,
    node: Node,
    pool: FleetPool | None,
    pools: Sequence[FleetPool],
    bound: Sequence[Pod],
    young: bool,
    all_pods: bool,
) -> Candidate:
    used: Amounts = {}
    for pod in bound:
        if pod.metadata.name != asked.name or pod.metadata.namespace != asked.namespace:
            add(used, held(pod))
    of_karpenter = NODE_POOL in node.metadata.labels
    going = node.metadata.deletion_timestamp is not None or any(
        of_karpenter and taint.key.startswith(OF_KARPENTER) for taint in node.spec.taints
    )
    found = list(_mislabelled(node, pool)) or ranked(
        [*_filters(asked, node, pool, pools), *_resources(asked, node, pool, used, bound, all_pods)]
    )
    free = ", ".join(
        f"{left(_has(node, name), used.get(name, ZERO)):f} of {_has(node, name):f} {name}" for name in asked.slices
    )
    return Candidate(node.metadata.name, pool.name if pool else "", free, tuple(found), young or going)


def _mislabelled(node: Node, pool: FleetPool | None) -> Iterator[Cause]:
    """If the label of *pool* is on a node that cannot be one of its nodes."""
    kind = instance_type(node)
    if pool is not None and POOL_LABEL in node.metadata.labels and kind and kind not in pool.entry.instance_types:
        text = f"Node {node.metadata.name} has the label {POOL_LABEL}={pool.name}, and is a {kind}"
        cure = f"kubectl label node {node.metadata.name} --overwrite {POOL_LABEL}=POOL, with the pool that it is of"
        yield Cause("node-label", f"{text}, which that pool does not have.", (), f"The platform team: {cure}.")


def _filters(asked: Asked, node: Node, pool: FleetPool | None, pools: Sequence[FleetPool]) -> Iterator[Cause]:
    name, going = node.metadata.name, leaving(node)
    if node.spec.unschedulable and not asked.tolerates(PoolTaint(CORDONED, "", "NoSchedule")):
        text = f"Node {name} is cordoned (spec.unschedulable), so the scheduler skips it"
        cure = f"Run 'kubectl uncordon {name}', or wait for another node."
        yield Cause("node-cordoned", f"{text}.", instead=_WAIT.format(going) if going else cure)
    yield from _readiness(node)
    for taint in node.spec.taints:
        if taint.effect == "PreferNoSchedule" or taint.key == CORDONED or taint.key in NOT_READY:
            continue
        if not asked.tolerates(PoolTaint(taint.key, taint.value, taint.effect)):
            text = f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"
            cure = _untaint(f"kubectl taint node {name} {taint.key}:{taint.effect}-", taint.key)
            if going and taint.key.startswith((*LEAVING,)):
                cure = _WAIT.format(going)
            yield Cause("node-tainted", f"Node {name} has the taint {text}, which the pod does not tolerate.", (), cure)
    yield from _labels(asked, node, pool, pools)


def _untaint(command: str, key: str) -> str:
    """What to do about a taint: one that a program sets comes back as long as its cause is there."""
    why = next((words for prefix, words in _BY_ITSELF.items() if key.startswith(prefix)), "")
    if not why and key.endswith(_AGENT):
        why = "see that the agent which removes it runs on the node"
    if why:
        return f"The platform team: {why}. Whoever set the taint removes it then; if nobody does: {command}"
    return (
        f"Remove the taint: {command}. If all nodes of the pool are to have it, name it in the pool's taints in the "
        "fleet file: pods then tolerate it."
    )


def _readiness(node: Node) -> Iterator[Cause]:
    ready = node.status.ready
    tainted = any(taint.key in NOT_READY for taint in node.spec.taints)
    if ready.status != "True" or tainted:
        why = f": {ready.reason}" if ready.reason and ready.status != "True" else ""
        quotes = (ready.message,) if ready.message else ()
        yield Cause("node-not-ready", f"Node {node.metadata.name} is not ready{why}.", quotes)


def _labels(asked: Asked, node: Node, pool: FleetPool | None, pools: Sequence[FleetPool]) -> Iterator[Cause]:
    labels, rules = node.metadata.labels, asked.rules
    exact = {key: labels.get(key) for key in sorted(rules.keys())}
    of_pools = {
        pair for each in ([pool] if pool else pools) for pair in (*each.labels.items(), (POOL_LABEL, each.name))
    }
    for key, value in sorted(rules.selector.items()):
        if exact[key] != value:
            has = f"has {key}={exact[key]}" if exact[key] is not None else f"lacks the label {key}"
            ours = (key, value) in of_pools
            text = f"Node {node.metadata.name} {has}, and the pod selects {key}={value}"
            cure = f"If the fleet file is right: kubectl label node {node.metadata.name} --overwrite {key}={value}"
            yield (
                Cause("node-label", f"{text}, as the fleet says.", (), cure)
                if ours
                else Cause("node-selector", f"{text}.")
            )
    if rules.terms is None or any(_holds(term, exact, node.metadata.name) for term in rules.terms):
        return
    keys = sorted({part.key for term in rules.terms for part in term.match_expressions or ()})
    if POOL_LABEL in keys and labels.get(POOL_LABEL) is None:
        yield Cause("node-label", f"Node {node.metadata.name} lacks the label {POOL_LABEL}, by which the pod selects.")
        return
    about = ", ".join(quote(key)[1:-1] for key in keys) or "names"
    yield Cause(
        "node-selector", f"Node {node.metadata.name} does not match the pod's required node affinity ({about})."
    )


def _holds(term: Term, exact: Mapping[str, str | None], name: str) -> bool:
    expressions, fields = term.match_expressions or (), term.match_fields or ()
    if not expressions and not fields:
        return False
    return all(expression_could_hold(part, exact) for part in expressions) and all(
        expression_could_hold(part, {"metadata.name": name}) for part in fields
    )


def _has(node: Node, resource: str) -> Decimal:
    return quantity(node.status.allocatable.get(resource, "0"))


def expected(node: Node, pool: FleetPool) -> Mapping[str, int]:
    """The slices that the fleet says a node of *pool* has."""
    shapes = [shape for shape in pool.shapes if shape.instance_type.name == instance_type(node)]
    return shapes[0].capacity if shapes else min(pool.shapes, key=lambda shape: shape.instance_type.gpus).capacity


def _resources(
    asked: Asked, node: Node, pool: FleetPool | None, used: Mapping[str, Decimal], bound: Sequence[Pod], all_pods: bool
) -> Iterator[Cause]:
    name = node.metadata.name
    layout = expected(node, pool) if pool is not None else {}
    whole = _has(node, WHOLE_GPU)
    for resource, need in asked.needs.items():
        has, busy = _has(node, resource), used.get(resource, Decimal())
        if not need or has - busy >= need:
            continue
        should = Decimal(layout.get(resource, 0))
        if resource in asked.slices and has < should and should - busy >= need:
            if whole and WHOLE_GPU not in layout:
                text = f"Node {name} advertises {whole:f} whole GPUs and {has:f} of {resource}, not {should:f}"
                yield Cause("two-plugins", f"{text}: another device plugin counts its GPUs, too.")
            else:
                text = f"Node {name} advertises {has:f} of {resource}, and the fleet says {should:f}"
                why, cure = _of_plugin([pod for pod in bound if "device-plugin" in pod.metadata.name], all_pods)
                yield Cause("slices-not-advertised", f"{text}: {why}.", (), cure)
        elif ending := _making_room(asked, name, resource, need - (has - busy), bound):
            text = f"The scheduler has chosen node {name} for the pod, and waits until {ending} ended"
            yield Cause("preempting", f"{text}, which it preempted.")
        elif resource in asked.slices and (busy or has):
            free = left(has, busy)
            told = f"{free:f} of" if free else "None of"
            text = f"{told} the {has:f} {resource} on node {name} {'are' if free > 1 else 'is'} free"
            yield Cause("slices-in-use", f"{text}, and the pod asks for {need:f}{_holders(resource, bound)}.")
        elif resource in asked.slices:
            yield Cause("slices-not-advertised", f"Node {name} advertises no {resource}.")
        else:
            room = f"{shown(left(has, busy), resource)} of {shown(has, resource)} {resource}"
            asks = f"the pod asks for {shown(need, resource)}" if resource != "pods" else "no pod more fits"
            yield Cause("node-full", f"Node {name} has {room} free, and {asks}.")


def _of_plugin(plugins: Sequence[Pod], all_pods: bool) -> tuple[str, str]:
    """Why *plugins*, the pods of a node, show too few slices, and what to do."""
    if not plugins and all_pods:
        return "no device plugin runs on it", _NO_PLUGIN
    for pod in plugins:
        if pod.status.ready.status != "True":  # its image may be missing, so that there is no log
            name, namespace = pod.metadata.name, pod.metadata.namespace
            cure = f"The platform team: kubectl -n {namespace} describe pod {name} says why."
            return f"its device plugin does not run (pod {name} is not ready)", cure
    return "its device plugin does not show all slices", ""


def shown(number: Decimal, resource: str) -> str:
    """A quantity as people write it."""
    if resource in ("memory", "ephemeral-storage"):
        return f"{number / 2**30:.4g}Gi"
    return f"{number.normalize():f}"


def _ends(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None


def _making_room(asked: Asked, node: str, resource: str, lacking: Decimal, bound: Sequence[Pod]) -> str:
    """The pods of *node*, with a verb, that end and leave enough, if the scheduler has nominated it for the pod."""
    if asked.status.get("nominatedNodeName") != node:
        return ""
    ending = [pod for pod in bound if _ends(pod) and held(pod).get(resource)]
    if sum(held(pod)[resource] for pod in ending) < lacking:
        return ""
    names = [f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in ending[:MOST_HOLDERS]]
    more = len(ending) - len(names)
    return f"{', '.join(names)}{f' and {more} more' if more else ''} {'have' if len(ending) > 1 else 'has'}"


def _holders(resource: str, bound: Sequence[Pod]) -> str:
    """The end of a sentence: who holds *resource*."""
    holding = [
        f"{pod.metadata.namespace}/{pod.metadata.name} {'is being deleted and ' if _ends(pod) else ''}holds {number:f}"
        for pod in bound
        if (number := held(pod).get(resource))
    ]
    more = len(holding) - MOST_HOLDERS
    if more > 0:
        holding[MOST_HOLDERS:] = [f"and {more} more pod{'s' if more > 1 else ''}"]
    return f": {', '.join(holding)}" if holding else ""
