"""Checks of Karpenter itself: that there is one, its version, and whether it looks at NodeOverlays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webhook.cluster.check.facts import CannotLook, Facts
from webhook.cluster.check.install import scale, version
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.karpenter import Look, container_of, deployments, gate, karpenters
from webhook.cluster.objects import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NODE_CLAIMS,
    NODE_OVERLAYS,
    NODE_POOLS,
    Document,
)

OLDEST = (1, 13)
"""Before, one NodePool whose instance types cannot be listed stopped all overlays: karpenter#3002."""


def _karpenters(facts: Facts) -> list[Document]:
    facts.all(DEPLOYMENTS)
    if not (found := karpenters(facts.snapshot)):
        raise CannotLook("there is no Deployment of Karpenter")
    return found


def _installed(facts: Facts) -> Iterator[Found]:
    facts.all(DEPLOYMENTS)
    found, others = karpenters(facts.snapshot), karpenters(facts.snapshot, trusted=False)
    names = [_named(each) for each in found]
    asleep = [each for each in deployments(facts.snapshot) if each not in found]
    if not found and asleep:
        for deployment in asleep:
            yield Problem(f"{_named(deployment)} is scaled to 0 replicas", f"Run {scale(deployment, 2)}")
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
    for deployment in others:
        namespace = deployment["metadata"].get("namespace", "")
        yield Problem(f"{_named(deployment)} looks like one and does not count: anybody with rights there may make it",
                      f"If Karpenter is installed there, name the namespace: --trust {namespace}", warning=True,
                      namespace=namespace)  # fmt: skip


def _named(deployment: Document) -> str:
    return f"{deployment['metadata'].get('namespace')}/{deployment['metadata']['name']}"


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
    facts.all(DEPLOYMENTS)
    on, why = gate(facts.snapshot, _data(facts))
    if not on:
        yield Problem(why, warning=on is None)


def _data(facts: Facts) -> Look:
    def look(namespace: str, name: str) -> Mapping[str, str] | None:
        try:
            return (facts.one(CONFIG_MAPS, name, namespace) or {}).get("data") or {}
        except CannotLook:
            return None

    return look


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
