"""Karpenter's side: what keeps it from launching a node of a pool for a pod.

Source: Karpenter v1.15.0 ``pkg/controllers/provisioning/scheduling``, ``nodeclaim/lifecycle`` and ``nodeoverlay``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from webhook.admission.node_affinity import expression_could_hold
from webhook.admission.pod import Expression
from webhook.cluster import expected
from webhook.cluster.asked import Asked
from webhook.cluster.causes import Cause
from webhook.cluster.claims import awaited, concerning
from webhook.cluster.cures import WHEN_GONE, render
from webhook.cluster.events import Said, gives_up
from webhook.cluster.karpenter import deployments, limits
from webhook.cluster.nodes import node_pools
from webhook.cluster.objects import (
    NODE_CLASSES,
    NODE_POOLS,
    Document,
    conditions,
)
from webhook.cluster.overlays import labels_of
from webhook.cluster.requests import quantity
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.labels import WELL_KNOWN
from webhook.fleet.pool import POOL_LABEL, Pool
from webhook.fleet.pool import Taint as PoolTaint
from webhook.render.node_pool import node_pool as rendered

_LEAVING = f"The platform team: {WHEN_GONE}"
_STAYS = "apply leaves there what somebody has added"

_CLASS_REASONS = {
    "SubnetsNotFound": "no subnet in AWS matches its selector",
    "SecurityGroupsNotFound": "no security group in AWS matches its selector",
    "AMINotFound": "no image exists for its alias, Kubernetes version and architecture",
    "InstanceProfileNotFound": "its instance profile does not exist",
    "CreateFleetAuthCheckFailed": "Karpenter's role may not call ec2:CreateFleet",
    "CreateLaunchTemplateAuthCheckFailed": "Karpenter's role may not call ec2:CreateLaunchTemplate",
    "RunInstancesAuthCheckFailed": "Karpenter's role may not call ec2:RunInstances",
}


_RENDERED = {"node-pool-missing", "node-pool-leaving", "node-class-missing", "limit-reached", "node-pool-differs"}
_ELSEWHERE = (
    "The platform team: gpu-slice does not render this NodePool: correct it where it comes from, or the pool's "
    "nodePools in the fleet file."
)

_NO_LAUNCH = (
    (
        re.compile("VcpuLimitExceeded|MaxSpotInstanceCountExceeded"),
        "aws-quota",
        "the account's vCPU quota is too small",
    ),
    (
        re.compile("InsufficientInstanceCapacity|InsufficientCapacity|UnfulfillableCapacity|insufficient capacity"),
        "no-capacity",
        "AWS has no capacity for this instance type now",
    ),
    (re.compile("failed to launch|creating instance"), "launch-failed", "AWS refuses it"),
)


def obstacles(asked: Asked, pool: Pool, snapshot: Snapshot, said: Sequence[Said]) -> dict[str, list[Cause]]:
    """For each NodePool of *pool*: what keeps Karpenter from launching a node of it.  Empty: nothing that is known."""
    found = {name: list(_of(asked, pool, name, snapshot, said)) for name in node_pools(pool)}
    return found if pool.entry.nodes == "karpenter" else {name: list(map(_foreign, found[name])) for name in found}


def _foreign(cause: Cause) -> Cause:
    """*cause* with the cure for a NodePool that `gpu-slice render` does not make."""
    return replace(cause, instead=_ELSEWHERE) if cause.id in _RENDERED else cause


def _of(asked: Asked, pool: Pool, name: str, snapshot: Snapshot, said: Sequence[Said]) -> Iterator[Cause]:
    listing = snapshot.of(NODE_POOLS)
    if not listing.installed:
        yield Cause("karpenter-missing", f"Pool {pool.name} has nodes of Karpenter, and this cluster has no NodePools.")
        return
    if listing.problem:
        return
    node_pool = snapshot.named(NODE_POOLS, name)
    if node_pool is None and not pool.entry.retired:
        text = "the fleet has the pool, and the cluster does not"
        yield Cause("node-pool-missing", f"There is no NodePool {name}, so Karpenter launches no node: {text}.")
        return
    down = list(_karpenter(snapshot))
    yield from down
    own = awaited(snapshot, said)
    on_the_way = concerning(name, snapshot, said, own)
    if not down and on_the_way and own:
        yield from on_the_way
        return
    if node_pool is None or pool.entry.retired:
        yield Cause("pool-retired", f"Pool {pool.name} is retired, so no node of it is launched.")
        return
    seen = list(_seen(asked, pool, node_pool, snapshot, said))
    yield from seen
    yield from on_the_way
    if not seen and not down:
        yield from _hearsay(name, said)


def _seen(asked: Asked, pool: Pool, node_pool: Document, snapshot: Snapshot, said: Sequence[Said]) -> Iterator[Cause]:
    """What the objects tell, and the pod's own events."""
    name = node_pool["metadata"]["name"]
    if node_pool["metadata"].get("deletionTimestamp"):
        yield Cause("node-pool-leaving", f"NodePool {name} is being deleted.")
    yield from _readiness(node_pool, snapshot)
    yield from expected.obstacles(asked, pool, node_pool, snapshot, said)
    yield from _limits(pool, node_pool, said)
    yield from _rules(asked, pool, node_pool)
    yield from _required(pool, node_pool, said)
    yield from _failures(name, [each for each in said if each.of_namespace])
    if asked.spec.resource_claims:
        yield Cause("claims", "The pod has resourceClaims, so Karpenter ignores it (settings.ignoreDRARequests).")


def _hearsay(name: str, said: Sequence[Said]) -> Iterator[Cause]:
    """What events on NodeClaims say.  Nobody knows whether it is so: see `Said.of_namespace`."""
    for cause in _failures(name, [each for each in said if not each.of_namespace and each.source == "karpenter"]):
        yield replace(cause, sentence=f"Events in namespace default say: {cause.sentence}")


def _karpenter(snapshot: Snapshot) -> Iterator[Cause]:
    found = deployments(snapshot)
    if found and not any((each.get("status") or {}).get("availableReplicas") for each in found):
        if any(each["spec"].get("replicas", 1) for each in found):
            yield Cause("karpenter-down", "No replica of Karpenter is available, so no node is launched.")
            return
        name, namespace = found[0]["metadata"]["name"], found[0]["metadata"]["namespace"]
        text = f"Karpenter is scaled to 0 (Deployment {name} in {namespace}), so no node is launched"
        cure = f"The platform team: kubectl -n {namespace} scale deployment {name} --replicas=2."
        yield Cause("karpenter-down", f"{text}.", (), cure)


def _readiness(node_pool: Document, snapshot: Snapshot) -> Iterator[Cause]:
    name = node_pool["metadata"]["name"]
    reference = node_pool["spec"]["template"]["spec"]["nodeClassRef"]
    found, listing = conditions(node_pool), snapshot.of(NODE_CLASSES)
    if reference["kind"] == NODE_CLASSES.name and listing.installed and not listing.problem:
        node_class = snapshot.named(NODE_CLASSES, reference["name"])
        if node_class is None:
            text = f"NodePool {name} names EC2NodeClass {reference['name']}, which does not exist"
            yield Cause("node-class-missing", f"{text}, so Karpenter launches no node of it.")
            return
        if since := node_class["metadata"].get("deletionTimestamp"):
            text = f"EC2NodeClass {reference['name']} is being deleted since {since}"
            yield Cause("node-class-not-ready", f"{text}, so Karpenter launches no node of {name}.", (), _LEAVING)
            return
        ready = conditions(node_class).get("Ready", {}).get("status")
        if ready != "True":
            yield _class_not_ready(name, node_class, ready or "Unknown")
            return
        if _reserved_only(node_pool) and not node_class["status"].get("capacityReservations"):
            text = f"NodePool {name} launches into capacity reservations alone, and EC2NodeClass {reference['name']}"
            yield Cause("reservation-missing", f"{text} has found none in AWS.")
    for kind, condition in found.items():
        if kind in ("ValidationSucceeded", "NodeClassReady") and condition["status"] != "True":
            id = "node-class-not-ready" if kind == "NodeClassReady" else "node-pool-not-ready"
            why = condition.get("reason", "")
            cure = _LEAVING if why == "NodeClassTerminating" else ""
            yield Cause(id, f"NodePool {name} is not ready: {why}.", (condition.get("message", ""),), cure)
    if found.get("NodeRegistrationHealthy", {}).get("status") == "False":
        text = f"The last nodes of NodePool {name} were launched and never registered"
        yield Cause("node-not-registered", f"{text}.", (found["NodeRegistrationHealthy"].get("message", ""),))


def _reserved_only(node_pool: Document) -> bool:
    """Whether the requirements of *node_pool* allow no capacity but reserved."""
    rules = node_pool["spec"]["template"]["spec"].get("requirements") or ()
    return any(each["key"] == "karpenter.sh/capacity-type" and each.get("values") == ["reserved"] for each in rules)


def _class_not_ready(name: str, node_class: Document, ready: str) -> Cause:
    whose = f"EC2NodeClass {node_class['metadata']['name']} is not ready, so Karpenter launches no node of {name}"
    failed = [
        each for kind, each in conditions(node_class).items() if kind != "Ready" and each.get("status") == "False"
    ]
    if not failed:
        text = "Karpenter's log says why; most often the image or the nodes' role is not found"
        return Cause("node-class-not-ready", f"{whose} (Ready is {ready}): {text}.")
    reasons = [_CLASS_REASONS.get(each.get("reason", ""), each.get("reason", "")) for each in failed]
    quotes = tuple(f"{each.get('reason', '')}: {each.get('message', '')}" for each in failed)
    return Cause("node-class-not-ready", f"{whose}: {', '.join(dict.fromkeys(reasons))}.", quotes)


def _limits(pool: Pool, node_pool: Document, said: Sequence[Said]) -> Iterator[Cause]:
    of_fleet = rendered(pool)["spec"].get("limits") or {} if pool.entry.nodes == "karpenter" else None
    name = node_pool["metadata"]["name"]
    for found in limits(node_pool, pool):
        resource, launched, limit, each = found
        unsaid = of_fleet is not None and resource not in of_fleet
        last = gives_up(said) if unsaid else None
        exceeds = last is not None and any(
            "limits" in part.rpartition(f"(NodePool={name})")[0] for part in last.message.split(";")
        )
        if not found.reached and not exceeds:
            continue
        a_node = f", and a node has {each:f}" if each and resource != "nodes" else ""
        reached = f"{launched.normalize():f} of {limit.normalize():f} {resource} are launched{a_node}"
        cure = ""
        if unsaid:
            reached += ". The fleet file does not name this limit"
            path = resource.replace("~", "~0").replace("/", "~1")
            patch = f'[{{"op": "remove", "path": "/spec/limits/{path}"}}]'
            # Who may create pods in a namespace may often create events there too.
            sure = "" if found.reached else "see in Karpenter's log that it is so. Then run "
            cure = f"The platform team: {sure}kubectl patch nodepool {name} --type=json -p '{patch}' ({_STAYS})."
        elif of_fleet is not None and quantity(str(of_fleet[resource])) != limit:
            reached += f". The fleet file says {of_fleet[resource]}"
            cure = f"The platform team: {render('node-pools')}."
        by_event = "" if found.reached else ", as an event says"
        yield Cause("limit-reached", f"NodePool {name} is at its limit{by_event}: {reached}.", (), cure)
        return


def _rules(asked: Asked, pool: Pool, node_pool: Document) -> Iterator[Cause]:
    name, template = node_pool["metadata"]["name"], node_pool["spec"]["template"]
    labels = labels_of(node_pool)
    requirements: dict[str, list[Expression]] = {}
    for each in template["spec"].get("requirements") or ():
        expression = Expression(each["key"], each.get("operator"), each.get("values"))
        requirements.setdefault(each["key"], []).append(expression)
    of_pool = {POOL_LABEL: pool.name} | dict(pool.labels)
    for key, value in sorted(asked.rules.selector.items()):
        if labels.get(key, value) != value or not all(
            expression_could_hold(each, {key: value}) for each in requirements.get(key, ())
        ):
            text = f"Nodes of NodePool {name} have another {key} than {value}, which the pod selects"
            yield Cause("node-pool-differs" if key in of_pool else "unknown-label", f"{text}.")
        elif key not in labels and key not in requirements and key not in WELL_KNOWN:
            text = f"New nodes of NodePool {name} do not have the label {key}, which the pod selects"
            yield Cause("node-pool-differs" if key in of_pool else "unknown-label", f"{text}.")
    terms = asked.rules.terms
    if terms and POOL_LABEL not in {*labels} | {*requirements} and POOL_LABEL in set(asked.rules.keys()):
        yield Cause("node-pool-differs", f"New nodes of NodePool {name} lack the label {POOL_LABEL}.")
    for shape in pool.shapes[:1]:
        for key in asked.rules.unheard_of({**shape.labels, **labels, **asked.rules.selector}):
            text = f"The pod's node affinity needs the label {key}"
            yield Cause("unknown-label", f"{text}, which new nodes of NodePool {name} do not have.")
    for key, expressions in sorted(requirements.items()):
        if not any(all(expression_could_hold(each, shape.labels) for each in expressions) for shape in pool.shapes):
            text = f"NodePool {name} requires another {key} than the nodes of pool {pool.name} have"
            yield Cause("node-pool-differs", f"{text}, so Karpenter launches none of them.")
    taints = template["spec"].get("taints") or ()
    for taint in (PoolTaint(each["key"], each.get("value", ""), each["effect"]) for each in taints):
        if taint.effect != "PreferNoSchedule" and not asked.tolerates(taint):
            text = (
                f"Nodes of NodePool {name} have the taint {taint.key}:{taint.effect}, which the pod does not tolerate"
            )
            yield Cause("node-pool-differs", f"{text}, and the fleet does not name.")


def _required(pool: Pool, node_pool: Document, said: Sequence[Said]) -> Iterator[Cause]:
    """What the NodePool requires and the fleet does not, if Karpenter finds no node for the pod."""
    last = gives_up(said)
    if last is None or pool.entry.nodes != "karpenter":
        return
    name, of_fleet = node_pool["metadata"]["name"], rendered(pool)["spec"]["template"]["spec"]["requirements"]
    for each in node_pool["spec"]["template"]["spec"].get("requirements") or ():
        if _requirement(each) not in map(_requirement, of_fleet):
            text = f"NodePool {name} requires {each['key']} {each['operator']} {', '.join(each.get('values') or ())}"
            yield Cause("node-pool-differs", f"{text.rstrip()}, which the fleet file does not say.", (last.message,))


def _requirement(document: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]:
    return document["key"], document["operator"], frozenset(document.get("values") or ())


def _failures(name: str, said: Sequence[Said]) -> Iterator[Cause]:
    for each in said:
        match = re.search(r"NodeClaim (\S+)-[a-z0-9]{5} ", each.message)
        if match is None or match[1] != name:
            continue
        for pattern, id, words in _NO_LAUNCH:
            if pattern.search(each.message):
                yield Cause(id, f"Karpenter tried to launch a node of NodePool {name}, and {words}.", (each.message,))
                return
