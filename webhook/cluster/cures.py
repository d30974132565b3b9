"""Cures, which are written for the usual installation, with their commands as they work in the cluster at hand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

OWN, PROGRAM, KARPENTER = "gpu-slice", "gpu-slice", "kube-system"

KARPENTERS_LOG = f"kubectl -n {KARPENTER} logs -l app.kubernetes.io/name=karpenter --tail=-1"

_OWN = re.compile(r"(kubectl (?:-n|--namespace)[ =])gpu-slice(?![\w-])")
_ALONE = re.compile(r"Apply this file alone: kubectl apply -f manifests/[\w/-]+\.yaml")
"""Its objects are in the namespace `OWN`."""
_POLICY = re.compile(r"(--only (?:admission-policy|policy-alone))(?! --webhook-namespace)")
"""What names the webhook's namespace, of all that is rendered."""
_FLEET = re.compile(r"((?:render|profiles) --fleet )FILE\b")
_POD, _NAMESPACE = re.compile(r"\bPOD\b"), re.compile(r"\bNAMESPACE\b")
_KUBECTL = re.compile(
    r"\bkubectl (?="
    "-n |annotate|apply|delete|describe|drain|get|label|logs|patch|port-forward|replace|scale|taint|uncordon)"
)
_PROGRAM = re.compile(r"(?<!kubectl )\bgpu-slice (?=certs|check|fleet|preview|profiles|render|usage)")

APPLY, REPLACE = "apply", "replace --save-config"
"""To do with what is rendered.  `APPLY` leaves what somebody has added; `REPLACE` needs the objects to be there."""


def render(only: str = "", how: str = APPLY) -> str:
    """The command that renders the fleet, or *only* one subject of it, into the cluster.

    It names a file: without one, the built-in fleet would be applied.
    """
    return f"{PROGRAM} render --fleet FILE{only and f' --only {only}'} | kubectl {how} -f -"


WHEN_GONE = f"it goes when its last NodeClaim has (kubectl get nodeclaims), and then: {render()}."
"""What to do about an object of Karpenter that is being deleted: until then, nothing can be put in its place."""


def by_words(cures: Iterable[tuple[re.Pattern[str], str]], message: str) -> str:
    """That of *cures* whose pattern is the first that *message* has; empty if it has none."""
    return next((cure for pattern, cure in cures if pattern.search(message)), "")


@dataclass(frozen=True, slots=True)
class Here:
    """Where cures are told: how the command was called, and what stands where."""

    own: str = OWN
    """The webhook's namespace."""
    fleet: str = ""
    """The fleet file, if one was named."""
    context: str = ""
    """That of the kubeconfig, if one was named."""
    program: str = PROGRAM
    """What was typed, such as ``kubectl gpu-slice``."""
    karpenter: str = KARPENTER
    """Karpenter's namespace."""
    pod: str = ""
    namespace: str = ""
    """The pod that is explained."""

    def told(self, cure: str) -> str:
        """*cure*, with its commands for this place."""
        cure = cure.replace(KARPENTERS_LOG, KARPENTERS_LOG.replace(KARPENTER, self.karpenter))
        if self.own != OWN:
            cure = _OWN.sub(rf"\g<1>{self.own}", cure).replace(
                f"{PROGRAM} certs status", f"{PROGRAM} certs status --namespace {self.own}"
            )
            cure = _POLICY.sub(rf"\1 --webhook-namespace {self.own}", cure)
            cure = _ALONE.sub("Apply your own folder again (docs/eks.md step 7), or run helm upgrade", cure)
        if self.fleet:
            cure = _FLEET.sub(lambda found: f"{found[1]}{shlex.quote(self.fleet)}", cure)
        if self.pod:
            cure = _POD.sub(f"{self.pod} -n {self.namespace}", cure)
        if self.namespace:
            cure = _NAMESPACE.sub(self.namespace, cure)
        if self.context:
            option = f" --context {shlex.quote(self.context)}"
            cure = _KUBECTL.sub(lambda _: f"kubectl{option} ", cure)
            cure = cure.replace(f"{PROGRAM} certs status", f"{PROGRAM} certs status{option}")
            cure = cure.replace("helm upgrade", f"helm upgrade --kube-context {shlex.quote(self.context)}")
        if self.program != PROGRAM:
            cure = _PROGRAM.sub(f"{self.program} ", cure)
        return cure


USUAL = Here()
"""Where `OWN` is the namespace, and the command was called with no option."""
