"""Karpenter itself: its Deployments, their feature gates, how far it has come with a node, and when it launches none.

A Deployment counts only in a namespace that is trusted: anywhere else a tenant may have made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from webhook.cluster.cures import KARPENTER
from webhook.cluster.objects import DEPLOYMENTS, NODE_OVERLAYS, Document, conditions
from webhook.cluster.requests import quantity
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.pool import Pool

GATE = "NodeOverlay"

Look: TypeAlias = Callable[[str, str], Mapping[str, str] | None]
"""The data of a ConfigMap by namespace and name; None if nobody can look."""


def container_of(deployment: Document) -> dict[str, Any] | None:
    """The controller's container, by its image, the chart's label or its name; None if it is no Karpenter."""
    metadata = deployment["metadata"]
    containers: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
    images = [container for container in containers if "karpenter/controller" in container.get("image", "")]
    if images:
        return images[0]
    if "karpenter" not in ((metadata.get("labels") or {}).get("app.kubernetes.io/name"), metadata["name"]):
        return None
    return next((container for container in containers if container["name"] == "controller"), containers[0])


def deployments(snapshot: Snapshot, *, trusted: bool = True) -> list[Document]:
    """Karpenter's, also those with no replicas; or those that only look like it, if they are not to be *trusted*."""
    return [
        each
        for each in snapshot.items(DEPLOYMENTS)
        if (each["metadata"].get("namespace") in snapshot.trusted) == trusted and container_of(each) is not None
    ]


def namespace_of(snapshot: Snapshot) -> str:
    """Karpenter's namespace, or where it usually is."""
    found = deployments(snapshot) if DEPLOYMENTS in snapshot.listings else ()
    return next((str(each["metadata"]["namespace"]) for each in found), KARPENTER)


def karpenters(snapshot: Snapshot, *, trusted: bool = True) -> list[Document]:
    """Those that are to run."""
    return [each for each in deployments(snapshot, trusted=trusted) if each["spec"].get("replicas", 1) > 0]


def is_on(gates: str) -> bool:
    """Whether Karpenter looks at overlays, with these feature gates.

    >>> is_on("NodeRepair=false, NodeOverlay=true"), is_on("")
    (True, False)
    """
    pairs = [part.partition("=") for part in gates.split(",")]
    given = [value.strip().lower() in ("true", "t", "1") for name, _, value in pairs if name.strip() == GATE]
    return given[-1:] == [True]


def gates(deployment: Document, look: Look) -> str | None:
    """Karpenter's feature gates; None if they stand where nobody can look.  An argument wins over the environment."""
    container = container_of(deployment) or {}
    given = [*(container.get("command") or []), *(container.get("args") or [])]
    flag = "--feature-gates"
    for index, argument in reversed([*enumerate(given)]):  # of several, the last counts
        if argument.lstrip("-").startswith("feature-gates="):
            return str(argument.partition("=")[2])
        if argument in (flag, flag[1:]) and index + 1 < len(given):
            return str(given[index + 1])
    namespace = deployment["metadata"].get("namespace", "")
    for variable in reversed(container.get("env") or []):
        if variable["name"] == "FEATURE_GATES":
            if "valueFrom" not in variable:
                return str(variable.get("value") or "")
            reference = variable["valueFrom"].get("configMapKeyRef")
            return (look(namespace, reference["name"]) or {}).get(reference["key"]) if reference else None
    for source in reversed(container.get("envFrom") or []):
        data = look(namespace, source["configMapRef"]["name"]) if "configMapRef" in source else None
        if data is None:
            return None
        if "FEATURE_GATES" in data:
            return data["FEATURE_GATES"]
    return ""


def gate(snapshot: Snapshot, look: Look) -> tuple[bool | None, str]:
    """Whether Karpenter reads NodeOverlays, and if not, why one thinks so.  None: nobody knows."""
    known = [gates(each, look) for each in karpenters(snapshot)]
    for value in known:
        if value is not None and not is_on(value):
            return False, f"its feature gates are '{value}'" if value else "it is off, which is the default"
    # What Karpenter has written into an overlay, it has looked at.
    if (known and None not in known) or any(map(conditions, snapshot.items(NODE_OVERLAYS))):
        return True, ""
    unsaid = "its Deployment does not say whether it is on" if known else "no Deployment says whether it is on"
    return None, f"{unsaid}, and no overlay has a condition"


def settings(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Namespaces and names of the ConfigMaps that hold settings of Karpenter."""
    for deployment in karpenters(snapshot):
        container, namespace = container_of(deployment) or {}, deployment["metadata"].get("namespace", "")
        references = [
            *((variable.get("valueFrom") or {}).get("configMapKeyRef") for variable in container.get("env") or []),
            *(source.get("configMapRef") for source in container.get("envFrom") or []),
        ]
        yield from ((namespace, reference["name"]) for reference in references if reference)


class Limit(NamedTuple):
    """A limit of a NodePool."""

    resource: str
    launched: Decimal
    limit: Decimal
    node: Decimal
    """What one more of its smallest nodes adds.  Of CPU and memory 0, as only that it has some is known."""

    @property
    def reached(self) -> bool:
        """Whether it keeps Karpenter from launching even such a node."""
        return self.launched >= self.limit or self.launched + self.node > self.limit


def limits(node_pool: Document, pool: Pool) -> Iterator[Limit]:
    """The limits of *node_pool*, which makes nodes of *pool*."""
    used = (node_pool.get("status") or {}).get("resources") or {}
    for resource, text in (node_pool["spec"].get("limits") or {}).items():
        adds = 1 if resource == "nodes" else min((shape.capacity.get(resource, 0) for shape in pool.shapes), default=0)
        yield Limit(resource, quantity(str(used.get(resource, 0))), quantity(str(text)), Decimal(adds))


def missing_step(claim: Document) -> str | None:
    """What a NodeClaim has yet to become, as its condition is called; None if it is a node that takes pods."""
    stated = conditions(claim)
    if stated.get("Initialized", {}).get("status") == "True":
        return None
    steps = ("Launched", "Registered")
    return next((step for step in steps if stated.get(step, {}).get("status") != "True"), "Initialized")
