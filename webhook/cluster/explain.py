"""Why a pod has its slice, or has not: the cause in a sentence, and the tables behind it.

It asks the webhook's own functions what the pod gets, so that it cannot disagree with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from webhook.admission.assigned import ARROW
from webhook.admission.plan import Plan, plan
from webhook.admission.why_not import reasons
from webhook.cluster.asked import Asked
from webhook.cluster.asking import left_alone, not_asked, refusal
from webhook.cluster.bound import bound
from webhook.cluster.causes import Cause, ranked
from webhook.cluster.cures import USUAL, Here
from webhook.cluster.events import Said
from webhook.cluster.karpenter import namespace_of
from webhook.cluster.launching import obstacles
from webhook.cluster.objects import QUOTAS, WEBHOOKS, Document
from webhook.cluster.scheduling import Candidate, candidates
from webhook.cluster.snapshot import Snapshot
from webhook.cluster.state import ended, gated, unfounded
from webhook.cluster.unannotated import without_annotation
from webhook.cluster.waiting import Launch, in_other_words, waiting
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.slices.request import ANNOTATION, ASSIGNED, POOLS


@dataclass(frozen=True, slots=True)
class Served:
    """A pool of the fleet."""

    pool: str
    why_not: str
    """Why it does not serve the pod; empty if it does."""
    weight: int
    """Of several pools, Karpenter launches a node of the one with the largest; 0 for existing nodes."""


@dataclass(frozen=True, slots=True)
class Explanation:
    title: str
    """As in ``Pod team-a/notebook``."""
    asked: str
    """The annotation."""
    given: str
    """What it was read as: which container gets which resource."""
    cause: Cause
    also: tuple[Cause, ...] = ()
    """What else was found, the more likely first."""
    changed: tuple[str, ...] = ()
    """The warnings at admission: what was replaced, and what was passed over."""
    pools: tuple[Served, ...] = ()
    nodes: tuple[Candidate, ...] = ()
    launches: tuple[Launch, ...] = ()
    said: tuple[Said, ...] = ()
    quotas: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    """What could not be looked at."""
    here: Here = USUAL

    def cure(self, cause: Cause) -> str:
        """What to do about one of its causes in this cluster."""
        return self.here.told(cause.cure)


@dataclass(frozen=True, slots=True)
class Around:
    """What is known beside the pod."""

    fleet: Fleet | None
    """None if it may not be read."""
    snapshot: Snapshot
    here: Here = USUAL
    namespace: Document | None = None
    """The pod's namespace; None if it may not be read."""
    said: Sequence[Said] = ()
    """The newest first."""
    misplaced: tuple[str, ...] = ()
    """Notes about an annotation that stands in the wrong place of the workload."""
    changed: tuple[str, ...] = ()
    refused: str = ""
    """The API server's refusal of the pod."""
    denial: Denial | None = None
    """The webhook's, as a preview gives it."""
    wants_none: str = ""
    """Why a workload has no pods, though nobody refuses them."""
    beside: bool = False
    """Whether others of its file have the annotation, so that one that asks for no GPU needs none."""
    unread: tuple[str, ...] = ()


def explain(title: str, asked: Asked, around: Around) -> Explanation:
    """The explanation of a pod, or of the one that a template or a file would become."""
    value = asked.view.annotations.get(ANNOTATION)
    served = _served(asked, around)
    serving = [pool for pool, why in served if why is None]
    nodes: list[Candidate] = []
    launches: list[Launch] = []
    if not (asked.node or around.refused or around.denial):
        nodes = candidates(asked, serving, around.fleet, around.snapshot)
        for pool in serving:
            found = obstacles(asked, pool, around.snapshot, around.said)
            launches += [Launch(name, tuple(ranked(causes))) for name, causes in found.items()]
    causes = ranked(_causes(asked, around, serving, nodes, launches)) or list(
        in_other_words(asked, around.said, launches, _node_pools(asked, around, launches))
    )
    return Explanation(
        title=title,
        asked=value if isinstance(value, str) else "",
        given=_given(asked),
        cause=causes[0],
        also=tuple(causes[1:]),
        changed=around.changed if asked.visited and causes[0].id not in _UNASKED else (),
        pools=tuple(Served(pool.name, why or "", pool.entry.weight if _launched(pool) else 0) for pool, why in served),
        nodes=tuple(nodes),
        launches=tuple(launches),
        said=tuple(each for each in around.said if each.message)[:8],
        quotas=tuple(_quotas(around.snapshot)),
        unread=(*around.unread, *_unread(around.snapshot)),
        here=replace(around.here, karpenter=namespace_of(around.snapshot), pod=asked.name, namespace=asked.namespace),
    )


def _node_pools(asked: Asked, around: Around, launches: Sequence[Launch]) -> list[str] | None:
    """The NodePools that may serve the pod; None if they are not known.  Without a fleet, the record names pools."""
    if around.fleet is not None:
        return [launch.node_pool for launch in launches]
    record = asked.view.annotations.get(POOLS)
    return record.split(", ") if isinstance(record, str) else None


def _launched(pool: Pool) -> bool:
    return pool.entry.nodes == "karpenter"


def _served(asked: Asked, around: Around) -> list[tuple[Pool, str | None]]:
    fleet = around.fleet
    if fleet is None:
        return []
    if asked.asks:
        return reasons(asked.view, fleet, asked.namespace)
    resources = asked.slices.keys()
    return [
        (pool, None if resources <= pool.largest.capacity.keys() else "it does not have what the pod asks for by hand")
        for pool in (fleet.pools if resources else ())
    ]


def _given(asked: Asked) -> str:
    record = asked.view.annotations.get(ASSIGNED)
    if isinstance(record, str) and not unfounded(asked):
        return record.rpartition(ARROW)[2]
    return ", ".join(f"{number} {resource} (by hand)" for resource, number in asked.slices.items())


def _causes(
    asked: Asked, around: Around, serving: Sequence[Pool], nodes: Sequence[Candidate], launches: Sequence[Launch]
) -> Iterator[Cause]:
    refused = refusal(around.refused, around.snapshot, around.here.own) if around.refused else None
    if around.denial is not None and (refused is None or refused.id == "denied"):
        denial = around.denial
        page = f"docs/messages.md#{denial.reason}"
        yield Cause("denied", f"gpu-slice refuses the pod: {denial.problem}.", (f"{denial}", page), f"{denial.hint}.")
        return
    if refused is not None:
        if refused.id == "denied" and around.fleet is not None and asked.asks:
            text = "The webhook refused the pod, and would not by the fleet file that is looked at"
            yield Cause("fleet-newer", f"{text}: its replicas serve another one, or did then.", (around.refused,))
        yield refused
        return
    if around.wants_none:
        wanted = "" if "spec." in around.wants_none else _NONE_YET
        yield Cause("no-pods-wanted", f"The workload has no pods: {around.wants_none}.", instead=wanted)
    found = list(ended(asked, around.snapshot))
    yield from found
    if found:
        return
    if not asked.asks:
        if around.beside and not asked.slices and not around.misplaced:
            text = f"The pod asks for no GPU and has no annotation '{ANNOTATION}', and others of its file have it"
            yield Cause("needs-none", f"{text}.")
            return
        if not (asked.node and asked.slices):
            yield from without_annotation(
                asked, around.misplaced, around.fleet, around.namespace, around.snapshot, around.here.own
            )
            if not asked.slices:
                return
    elif not asked.visited:
        found = list(not_asked(asked, around.namespace, around.snapshot, around.here.own))
        told = {cause.id for cause in found} <= {"not-visited", "webhook-ignored"} and left_alone(asked, around.fleet)
        yield from [told] if told else found
        return
    elif wrong := unfounded(asked):
        text = f"The pod does not have what its annotation '{ASSIGNED}' says: {wrong}"
        yield Cause("not-visited", f"{text}. gpu-slice did not write it, or somebody changed the pod afterwards.")
        return
    else:
        yield from _stale(asked, around)
    if asked.node:
        yield from bound(asked, around.snapshot, around.said, serving)
        return
    waits = list(gated(asked, around.said))
    yield from waits
    if waits:
        return
    yield from waiting(asked, around.snapshot, around.said, serving, nodes, launches)


def _stale(asked: Asked, around: Around) -> Iterator[Cause]:
    """A record that does not answer what the pod asks for now, or that the fleet does not serve any more."""
    value, record = asked.view.annotations[ANNOTATION], str(asked.view.annotations[ASSIGNED])
    before = record.rpartition(ARROW)[0]
    if before != value:
        text = f"The pod was given what {quote(before)} asks for, and the annotation was changed to {quote(value)}"
        yield Cause("annotation-changed", f"{text} afterwards, which has no effect.")
    elif around.fleet is not None and not asked.node:
        try:
            decision: Plan = plan(asked.view, around.fleet, asked.namespace)
        except Denial as denial:
            pools = quote(asked.view.annotations.get(POOLS))
            text = f"The fleet has changed since the pod was created with {quote(_given(asked))} (pools {pools})"
            yield Cause("fleet-changed", f"{text}: today it would be refused.", (str(denial),))
            return
        if any(operation["path"].startswith("/spec/tolerations") for operation in decision.patch):
            text = "The pod lacks a toleration that its pools need"
            yield Cause("fleet-changed", f"{text}: their taints were changed since, or another webhook removed it.")


def _quotas(snapshot: Snapshot) -> Iterator[str]:
    for quota in snapshot.items(QUOTAS):
        status: Mapping[str, Mapping[str, str]] = quota.get("status") or {}
        for resource, hard in (status.get("hard") or {}).items():
            if "nvidia.com/" in resource:
                used = (status.get("used") or {}).get(resource, "0")
                yield f"{quota['metadata']['name']}: {used} of {hard} {resource.removeprefix('requests.')} used"


def _unread(snapshot: Snapshot) -> Iterator[str]:
    for kind, listing in snapshot.listings.items():
        if listing.problem:
            yield f"{listing.problem}: {_MISSED.get(kind.name, f'what {kind.plural} would say is not known')}"


_UNASKED = ("webhook-missing", "webhook-unreachable", "webhook-ignored", "certificate", "other-webhook", "guard")
"""Causes with which the webhook has not answered, so that it has changed nothing."""
_NONE_YET = (
    "Wait a minute and ask again. If it stays so, the platform team: see that the controller of such workloads runs."
)
_MISSED = {
    "Node": "what keeps the pod off each node is not known",
    "Pod": "how many slices are free is not known",
    "NodePool": "what keeps Karpenter from launching a node is not known",
    "NodeOverlay": "whether Karpenter knows the slices is not known",
    "EC2NodeClass": "whether Karpenter may launch instances is not known",
    "NodeClaim": "whether a node is on its way is not known",
    WEBHOOKS.name: "whether the API server asks gpu-slice is not known",
    "Deployment": "whether Karpenter and the keeper run is not known",
    "Event": "what Karpenter says of nodes on their way is not known",
    "ResourceQuota": "what is left of the namespace's quota is not known",
}
