"""Karpenter itself: its Deployments, the feature gates that they set, and how far it has come with a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from webhook.cluster.objects import Document, conditions

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


def karpenters(deployments: Iterable[Document]) -> list[Document]:
    """Those of Karpenter that are to run."""
    return [each for each in deployments if container_of(each) is not None and each["spec"].get("replicas", 1) > 0]


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


def missing_step(claim: Document) -> str | None:
    """What a NodeClaim has yet to become, as its condition is called; None if it is a node that takes pods."""
    stated = conditions(claim)
    if stated.get("Initialized", {}).get("status") == "True":
        return None
    steps = ("Launched", "Registered")
    return next((step for step in steps if stated.get(step, {}).get("status") != "True"), "Initialized")
