"""Checks of Karpenter's objects: they are there, as the fleet renders them, and Karpenter accepts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from webhook.cluster.check.comparison import added, differences
from webhook.cluster.check.facts import CannotLook, Facts
from webhook.cluster.check.result import Check, Found, Problem
from webhook.cluster.cures import WHEN_GONE, render
from webhook.cluster.karpenter import limits
from webhook.cluster.nodes import node_pools
from webhook.cluster.objects import NODE_CLASSES, NODE_OVERLAYS, NODE_POOLS, PODS, Document, Kind, Pod, conditions
from webhook.fleet.pool import Pool
from webhook.slices.request import ANNOTATION, POOLS

OURS = {"app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/component": "karpenter"}
"""Labels of what `gpu-slice render` makes."""


def _equal(kind: Kind[Document]) -> Callable[[Facts], Iterator[Found]]:
    def look(facts: Facts) -> Iterator[Found]:
        wanted = {document["metadata"]["name"]: document for document in facts.made(kind.name)}
        for name, document in wanted.items():
            live = facts.named(kind, name)
            if live is None:
                yield Problem(f"there is no {kind.name} {name}")
            elif "deletionTimestamp" in live["metadata"]:
                yield Problem(f"{kind.name} {name} is being deleted", f"Wait: {WHEN_GONE}")
            elif changed := list(differences(document["spec"], live["spec"], "spec")):
                more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
                patch = added({"spec": document["spec"]}, {"spec": live["spec"]})
                yield Problem(f"{name}: {changed[0]}{more}", _cure(kind, name, patch, len(changed)))
        for live in facts.all(kind):
            name, labels = live["metadata"]["name"], live["metadata"].get("labels") or {}
            if name not in wanted and labels.items() >= OURS.items():
                yield Problem(
                    f"{kind.name} {name} was rendered once, and the fleet has no such pool",
                    f"If nothing runs there any more: kubectl delete {kind.name.lower()} {name}", warning=True,
                )  # fmt: skip

    return look


def _cure(kind: Kind[Document], name: str, patch: Document, differences: int) -> str:
    """What takes away the fields of *patch*, of all *differences*; empty if there are none."""
    if not patch:
        return ""
    told = "apply leaves what was added by hand"
    then = f"  Then: {_APPLY}" if differences > _leaves(patch) else ""
    return f"Run kubectl patch {kind.name.lower()} {name} --type=merge -p '{json.dumps(patch)}': {told}.{then}"


def _leaves(patch: Document) -> int:
    return sum(1 if value is None else _leaves(value) for value in patch.values())


def _ready(kind: Kind[Document], *types: str) -> Callable[[Facts], Iterator[Found]]:
    def look(facts: Facts) -> Iterator[Found]:
        for document in facts.made(kind.name):
            name = document["metadata"]["name"]
            live = facts.named(kind, name)
            if live is None:
                continue
            stated = conditions(live)
            # Ready is the sum of the others, which say why.
            bad = [
                condition for type, condition in stated.items() if condition["status"] != "True" and type in types
            ] or [condition for type, condition in stated.items() if condition["status"] == "False" and type != "Ready"]
            if not stated:
                yield Problem(f"{name} has no condition: Karpenter has not looked at it")
            elif stated.get("Ready", {}).get("status") != "True":
                first = bad[0] if bad else stated.get("Ready", {"type": "Ready", "status": "missing"})
                told = first.get("message") or first.get("reason") or first["status"]
                yield Problem(f"{name}: {first['type']} is {first['status']}: {told}")

    return look


def _limits(facts: Facts) -> Iterator[Found]:
    try:
        pods: tuple[Pod, ...] = facts.all(PODS)
    except CannotLook:
        pods = facts.snapshot.items(PODS)
    for pool in facts.karpenter_pools:
        for name in node_pools(pool) if not pool.entry.retired else ():
            live = facts.named(NODE_POOLS, name)
            reached = next((each for each in limits(live, pool) if each.reached), None) if live is not None else None
            if reached:
                waiting = [f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in pods if _waits_for(pod, pool)]
                used, limit = (f"{amount.normalize():f}" for amount in (reached.launched, reached.limit))
                told = f"{name}: its limit of {limit} {reached.resource} is reached ({used} in use)"
                told += ", so no node is launched"
                if waiting:
                    told += (
                        f", and {len(waiting)} pod{'s wait' if len(waiting) > 1 else ' waits'}, such as {waiting[0]}"
                    )
                yield Problem(told, warning=not waiting)


def _waits_for(pod: Pod, pool: Pool) -> bool:
    """Whether *pod* waits for a node of *pool*.  Anybody may write the annotations, so its limits count too."""
    named = [name.strip() for name in pod.metadata.annotations.get(POOLS, "").split(",")]
    if pod.ended or pod.spec.node_name or ANNOTATION not in pod.metadata.annotations or pool.name not in named:
        return False
    return any(
        offer.resource in container.resources.limits
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for offer in pool.offers
    )


_APPLY = f"Run {render()}, or change the fleet file to what you want."
_DESCRIBE = "Run kubectl describe on it: its conditions and events say what Karpenter misses (docs/eks.md)."

CHECKS = (
    Check("node-class", "Karpenter", "the node classes are as the fleet gives them", _APPLY, _equal(NODE_CLASSES),
          after=("fleet", "karpenter-crds"), karpenter=True),
    Check("node-class-ready", "Karpenter", "the node classes are ready", _DESCRIBE,
          _ready(NODE_CLASSES), after=("node-class",), karpenter=True),
    Check("node-pool", "Karpenter", "the NodePools are as the fleet gives them", _APPLY, _equal(NODE_POOLS),
          after=("fleet", "karpenter-crds"), karpenter=True),
    Check("node-pool-ready", "Karpenter", "the NodePools are ready", _DESCRIBE,
          _ready(NODE_POOLS), after=("node-class", "node-class-ready", "node-pool"), karpenter=True),
    Check("node-pool-limit", "Karpenter", "the NodePools may launch another node",
          "Raise the pool's limit in the fleet file, or wait until nodes are removed.", _limits,
          after=("node-pool",), karpenter=True),
    Check("node-overlay", "Karpenter", "the NodeOverlays are as the fleet gives them", _APPLY, _equal(NODE_OVERLAYS),
          after=("fleet", "karpenter-crds"), karpenter=True),
    Check("node-overlay-ready", "Karpenter", "Karpenter accepts the NodeOverlays", _DESCRIBE,
          _ready(NODE_OVERLAYS, "ValidationSucceeded"), after=("karpenter-gate", "node-overlay"), karpenter=True),
)  # fmt: skip
