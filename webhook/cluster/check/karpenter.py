"""Checks of Karpenter itself: that there is one, its version, and whether it looks at NodeOverlays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.cluster.check.facts import CannotLook, Facts
from webhook.cluster.check.install import scale, version
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.karpenter import Look, container_of, gates, is_on, karpenters
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


def _karpenters(facts: Facts) -> list[Document]:
    return karpenters(facts.all(DEPLOYMENTS))


def _installed(facts: Facts) -> Iterator[Found]:
    found = _karpenters(facts)
    names = [f"{each['metadata'].get('namespace')}/{each['metadata']['name']}" for each in found]
    asleep = [each for each in facts.all(DEPLOYMENTS) if container_of(each) is not None and each not in found]
    if not found and asleep:
        for deployment in asleep:
            metadata = deployment["metadata"]
            yield Problem(
                f"{metadata.get('namespace')}/{metadata['name']} is scaled to 0 replicas", f"Run {scale(deployment, 2)}"
            )
    elif not found:
        yield Problem("no Deployment of Karpenter runs.  EKS Auto Mode has its own, and no NodeOverlay")
    elif len(found) > 1:
        yield Problem(f"{len(found)} of them run, {', '.join(names)}, and launch nodes for the same pods")
    for deployment, name in zip(found, names, strict=True):
        if not (deployment.get("status") or {}).get("availableReplicas"):
            namespace, _, short = name.partition("/")
            yield Problem(
                f"{name} has no replica that is available",
                f"Run kubectl -n {namespace} describe deployment {short}, and read its pods' events and logs.",
            )


def _version(facts: Facts) -> Iterator[Found]:
    for deployment in _karpenters(facts):
        labels = deployment["metadata"].get("labels") or {}
        image = (container_of(deployment) or {}).get("image", "").rpartition("/")[2]
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
    for deployment in _karpenters(facts):
        value = gates(deployment, _data(facts))
        if value is None:
            # What Karpenter has written into an overlay, it has looked at.
            if not any(conditions(overlay) for overlay in facts.all(NODE_OVERLAYS)):
                yield Problem(
                    "its Deployment does not say whether it is on, and no overlay has a condition", warning=True
                )
        elif not is_on(value):
            yield Problem(f"its feature gates are '{value}'" if value else "it is off, which is the default")


def _data(facts: Facts) -> Look:
    def look(namespace: str, name: str) -> Mapping[str, str] | None:
        try:
            return (facts.one(CONFIG_MAPS, name, namespace) or {}).get("data") or {}
        except CannotLook:
            return None

    return look


def config_maps(facts: Facts) -> Iterator[tuple[str, str]]:
    """Namespaces and names of the ConfigMaps that hold settings of Karpenter."""
    for deployment in _karpenters(facts):
        container, namespace = container_of(deployment) or {}, deployment["metadata"].get("namespace", "")
        references = [
            *((variable.get("valueFrom") or {}).get("configMapKeyRef") for variable in container.get("env") or []),
            *(source.get("configMapRef") for source in container.get("envFrom") or []),
        ]
        yield from ((namespace, reference["name"]) for reference in references if reference)


def _claims(facts: Facts) -> Iterator[Found]:
    for deployment in _karpenters(facts):
        for variable in (container_of(deployment) or {}).get("env") or []:
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
