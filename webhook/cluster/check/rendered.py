"""Checks of Karpenter's objects: they are there, as the fleet renders them, and Karpenter accepts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from webhook.cluster.asked import moment
from webhook.cluster.check.comparison import added, differences
from webhook.cluster.check.facts import CannotLook, Facts
from webhook.cluster.check.result import Check, Found, Problem
from webhook.cluster.cures import WHEN_GONE, render
from webhook.cluster.karpenter import Limit, limits, missing_step
from webhook.cluster.nodes import INSTANCE_TYPE, node_pools
from webhook.cluster.objects import (
    NODE_CLAIMS,
    NODE_CLASSES,
    NODE_OVERLAYS,
    NODE_POOLS,
    PODS,
    Document,
    Kind,
    Pod,
    conditions,
)
from webhook.cluster.requests import Amounts, add, requests_of
from webhook.fleet.labels import NODE_POOL
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
    pools = {pool.name: pool for pool in facts.karpenter_pools if not pool.entry.retired}
    full: dict[str, list[tuple[str, Limit]]] = {name: [] for name in pools}
    free = set(pools)  # of which another node may be launched
    for pool in pools.values():
        lives = [live for name in node_pools(pool) if (live := facts.named(NODE_POOLS, name)) is not None]
        for live in lives:
            full[pool.name] += [(live["metadata"]["name"], each) for each in limits(live, pool) if each.reached][:1]
        if len(full[pool.name]) == len(lives):
            free.remove(pool.name)
    waiting = _waiting(pods, pools, free, facts)
    for pool_name, reached in full.items():
        names = [name for name, serving in waiting if pool_name in serving]
        for name, each in reached:
            used, limit = (f"{amount.normalize():f}" for amount in (each.launched, each.limit))
            told = f"{name}: its limit of {limit} {each.resource} is reached ({used} in use)"
            told += ", so no further node is launched"
            if names:
                told += f", and {len(names)} pod{'s wait' if len(names) > 1 else ' waits'}, such as {names[0]}"
            yield Problem(told, warning=not names)


def _waiting(
    pods: Iterable[Pod], pools: Mapping[str, Pool], free: set[str], facts: Facts
) -> list[tuple[str, set[str]]]:
    """The pods for which there is no node, none is launched and none will be, each with the pools that it may use."""
    coming = {name: _coming(pool, facts) for name, pool in pools.items()}
    found = []
    for pod in sorted(pods, key=lambda pod: str(pod.metadata.creation_timestamp)):
        serving = {name: needs for name, pool in pools.items() if (needs := _needs(pod, pool))}
        if not serving or not free.isdisjoint(serving):
            continue
        for name, needs in serving.items():
            if all(coming[name].get(resource, 0) >= count for resource, count in needs.items()):
                add(coming[name], {resource: -count for resource, count in needs.items()})
                break
        else:
            found.append((f"{pod.metadata.namespace}/{pod.metadata.name}", set(serving)))
    return found


def _coming(pool: Pool, facts: Facts) -> Amounts:
    """The slices of the nodes of *pool* that Karpenter is launching."""
    found: Amounts = {}
    names = node_pools(pool)
    for claim in facts.snapshot.items(NODE_CLAIMS):
        metadata = claim["metadata"]
        labels, created = metadata.get("labels") or {}, moment(metadata.get("creationTimestamp"))
        young = created is not None and facts.now - created < facts.patience
        if labels.get(NODE_POOL) in names and young and "deletionTimestamp" not in metadata and missing_step(claim):
            of_type = [shape for shape in pool.shapes if shape.instance_type.name == labels.get(INSTANCE_TYPE)]
            shape = min(of_type or pool.shapes, key=lambda shape: shape.instance_type.gpus)
            add(found, {resource: Decimal(count) for resource, count in shape.capacity.items()})
    return found


def _needs(pod: Pod, pool: Pool) -> Amounts:
    """The slices of *pool* for which *pod* waits.  Anybody may write the annotations, so its limits count too."""
    named = [name.strip() for name in pod.metadata.annotations.get(POOLS, "").split(",")]
    bound = pod.ended or pod.spec.node_name or pod.metadata.deletion_timestamp is not None
    if bound or ANNOTATION not in pod.metadata.annotations or pool.name not in named:
        return {}
    offered = {offer.resource for offer in pool.offers}
    return {resource: count for resource, count in requests_of(pod).items() if resource in offered and count}


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
