"""Checks of Karpenter itself: that there is one, its version, and whether it looks at NodeOverlays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.cluster.check.facts import CannotLook, Facts
from webhook.cluster.check.install import version
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.objects import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NODE_CLAIMS,
    NODE_OVERLAYS,
    NODE_POOLS,
    Document,
    conditions,
)

OLDEST = (1, 13)
"""Before, one NodePool whose instance types cannot be listed stopped all overlays: karpenter#3002."""

GATE = "NodeOverlay"


def karpenters(facts: Facts) -> list[Document]:
    """The Deployments of Karpenter that are to run."""
    return [
        deployment
        for deployment in facts.all(DEPLOYMENTS)
        if _container(deployment) is not None and deployment["spec"].get("replicas", 1) > 0
    ]


def _container(deployment: Document) -> dict[str, Any] | None:
    """The controller's container, by its image or by the chart's label; None if it is no Karpenter."""
    labels = deployment["metadata"].get("labels") or {}
    containers: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
    images = [container for container in containers if "karpenter/controller" in container.get("image", "")]
    if images:
        return images[0]
    if labels.get("app.kubernetes.io/name") != "karpenter":
        return None
    return next((container for container in containers if container["name"] == "controller"), containers[0])


def _installed(facts: Facts) -> Iterator[Found]:
    found = karpenters(facts)
    names = [f"{each['metadata'].get('namespace')}/{each['metadata']['name']}" for each in found]
    if not found:
        yield Problem("no Deployment of Karpenter runs.  EKS Auto Mode has its own, and no NodeOverlay")
    elif len(found) > 1:
        yield Problem(f"{len(found)} of them run, {', '.join(names)}, and launch nodes for the same pods")
    for deployment, name in zip(found, names, strict=True):
        if not (deployment.get("status") or {}).get("availableReplicas"):
            yield Problem(f"{name} has no replica that is available")


def _version(facts: Facts) -> Iterator[Found]:
    for deployment in karpenters(facts):
        labels = deployment["metadata"].get("labels") or {}
        image = (_container(deployment) or {}).get("image", "").rpartition("/")[2]
        said = (image.partition("@")[0].partition(":")[2], labels.get("app.kubernetes.io/version", ""),
                labels.get("helm.sh/chart", "").removeprefix("karpenter-"))  # fmt: skip
        known = next((text for text in said if version(text)), None)
        if known is None:
            yield Problem("neither its image nor its labels tell the version", warning=True)
        elif (version(known) or ()) < OLDEST:
            yield Problem(f"it is {known}")
        else:
            yield Note(known)


def _crds(facts: Facts) -> Iterator[Found]:
    for kind in (NODE_POOLS, NODE_CLAIMS, NODE_OVERLAYS):
        facts.all(kind)
        if not facts.snapshot.of(kind).installed:
            yield Problem(f"the API server does not know {kind.name} ({kind.group})")


def _gate(facts: Facts) -> Iterator[Found]:
    for deployment in karpenters(facts):
        try:
            value = gates(facts, deployment)
        except CannotLook:
            value = None
        if value is None:
            # What Karpenter has written into an overlay, it has looked at.
            if not any(conditions(overlay) for overlay in facts.all(NODE_OVERLAYS)):
                yield Problem(
                    "its Deployment does not say whether it is on, and no overlay has a condition", warning=True
                )
        elif not is_on(value):
            yield Problem(f"its feature gates are '{value}'" if value else "it is off, which is the default")


def is_on(value: str) -> bool:
    """Whether Karpenter looks at overlays, with these feature gates.

    >>> is_on("NodeRepair=false, NodeOverlay=true"), is_on("")
    (True, False)
    """
    pairs = [part.partition("=") for part in value.split(",")]
    return [text.strip().lower() in ("true", "t", "1") for name, _, text in pairs if name.strip() == GATE][-1:] == [
        True
    ]


def gates(facts: Facts, deployment: Document) -> str | None:
    """Karpenter's feature gates; None if they stand where nobody can look.  An argument wins over the environment."""
    container = _container(deployment) or {}
    given = [*(container.get("command") or []), *(container.get("args") or [])]
    flag = "--feature-gates"
    for index, argument in reversed([*enumerate(given)]):  # of several, the last counts
        if argument.lstrip("-").startswith("feature-gates="):
            return str(argument.partition("=")[2])
        if argument in (flag, flag[1:]) and index + 1 < len(given):
            return str(given[index + 1])
    namespace = deployment["metadata"].get("namespace")
    for variable in reversed(container.get("env") or []):
        if variable["name"] == "FEATURE_GATES":
            if "valueFrom" not in variable:
                return str(variable.get("value") or "")
            reference = variable["valueFrom"].get("configMapKeyRef")
            return _from_map(facts, namespace, reference["name"], reference["key"]) if reference else None
    for source in reversed(container.get("envFrom") or []):
        if "configMapRef" not in source:
            return None
        found = _from_map(facts, namespace, source["configMapRef"]["name"], "FEATURE_GATES")
        if found is not None:
            return found
    return ""


def _from_map(facts: Facts, namespace: str | None, name: str, key: str) -> str | None:
    found = facts.one(CONFIG_MAPS, name, namespace)
    return ((found or {}).get("data") or {}).get(key)


def config_maps(facts: Facts) -> Iterator[tuple[str, str]]:
    """Namespaces and names of the ConfigMaps that hold settings of Karpenter."""
    for deployment in karpenters(facts):
        container, namespace = _container(deployment) or {}, deployment["metadata"].get("namespace", "")
        references = [
            *((variable.get("valueFrom") or {}).get("configMapKeyRef") for variable in container.get("env") or []),
            *(source.get("configMapRef") for source in container.get("envFrom") or []),
        ]
        yield from ((namespace, reference["name"]) for reference in references if reference)


def _claims(facts: Facts) -> Iterator[Found]:
    for deployment in karpenters(facts):
        for variable in (_container(deployment) or {}).get("env") or []:
            name, value = variable["name"], str(variable.get("value") or "").lower()
            if (name == "IGNORE_DRA_REQUESTS" and value == "false") or (
                name == "AWS_FEATURE_GATES" and "dranvidiagpu=true" in value.replace(" ", "")
            ):
                yield Problem(f"Karpenter has {name}={variable['value']}", warning=True)


CHECKS = (
    Check("karpenter", "Karpenter", "one Karpenter runs",
          "Install Karpenter 1.13 or later from its chart, once (docs/eks.md).", _installed,
          before=True, karpenter=True),
    Check("karpenter-version", "Karpenter", "Karpenter is 1.13 or later",
          "Upgrade Karpenter: before 1.13 one broken NodePool stops all overlays (karpenter#3002).", _version,
          before=True, karpenter=True),
    Check("karpenter-crds", "Karpenter", "the API server knows Karpenter's kinds",
          "Install or upgrade the chart karpenter-crd.", _crds, before=True, karpenter=True),
    Check("karpenter-gate", "Karpenter", "Karpenter's feature gate NodeOverlay is on",
          "Upgrade its chart with --set settings.featureGates.nodeOverlay=true.", _gate, after=("karpenter-crds",),
          before=True, karpenter=True),
    Check("claims-beside", "Karpenter", "Karpenter launches no nodes for resource claims beside",
          "Keep NodePools for resource claims (DRA) apart from those of the fleet by labels and taints.", _claims,
          before=True, karpenter=True),
)  # fmt: skip
