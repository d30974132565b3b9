"""The NodeClaims that are not nodes with slices yet: how far each has come, and whether the pod waits for it.

Source: Karpenter v1.15.0 ``pkg/controllers/nodeclaim/lifecycle``, and ``provisioning/scheduling/events.go``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from datetime import timedelta

from webhook.cluster.asked import moment
from webhook.cluster.causes import Cause
from webhook.cluster.events import Said, gives_up, nominations
from webhook.cluster.karpenter import missing_step
from webhook.cluster.objects import NODE_CLAIMS, Document, conditions
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.labels import NODE_POOL

LATE = timedelta(minutes=10)
"""After this long a launched node is not on its way any more.  Karpenter gives it 15 minutes to register."""

_INITIALIZED = {
    "ResourceNotRegistered": "its device plugin has registered no slices",
    "StartupTaintsExist": "nobody removes its startup taint",
    "KnownEphemeralTaintsExist": "it still has a taint of a node that starts",
    "NodeNotReady": "its kubelet is not ready",
}
"""Why a node is not initialized.  Source: ``pkg/controllers/nodeclaim/lifecycle/initialization.go``."""


def awaited(snapshot: Snapshot, said: Sequence[Said]) -> dict[str, Cause]:
    """The NodeClaims on their way for which Karpenter has nominated the pod, by name."""
    nominated = nominations(said)
    if not snapshot.of(NODE_CLAIMS).problem:
        return {
            name: cause
            for claim, cause in _coming(snapshot)
            if (name := claim["metadata"]["name"]) in nominated and cause.id == "launching"
        }
    if gives_up(said) is not None:
        return {}
    return {
        name: Cause(
            "launching", f"{_expects(name, each.message)} {_ago(snapshot.when - each.when)} ago.", (each.message,)
        )
        for name, each in [*nominated.items()][:1]
        if snapshot.when - each.when < LATE  # it says so again while it waits
    }


def _expects(claim: str, message: str) -> str:
    if joined := re.search(r"\bnode/([\w.-]+)", message):
        return f"Karpenter expects the pod on node {joined[1]} (NodeClaim {claim}), as it said"
    return f"Karpenter is launching a node: it nominated the pod for NodeClaim {claim}"


def concerning(name: str, snapshot: Snapshot, said: Sequence[Said], own: Container[str]) -> list[Cause]:
    """What the NodeClaims of a NodePool that are on their way, or stuck, mean for the pod.  *own*: see `awaited`."""
    return [
        cause
        for claim, cause in _coming(snapshot, name)
        if (claim["metadata"]["name"] in own if own else _concerns(claim, cause, said))
    ]


def _concerns(claim: Document, cause: Cause, said: Sequence[Said]) -> bool:
    """Whether a NodeClaim may be meant for the pod, or keep another from being launched."""
    refused, nominated = gives_up(said), nominations(said)
    if refused is None or claim["metadata"]["name"] in nominated:
        return True
    created = moment(claim["metadata"].get("creationTimestamp"))
    # Karpenter does not say twice within two minutes that it nominates a pod.
    again = bool(nominated) and created is not None and created > refused.when
    return again or (cause.id != "launching" and "limits" in refused.message)


def _coming(snapshot: Snapshot, name: str | None = None) -> Iterator[tuple[Document, Cause]]:
    """The NodeClaims of a NodePool, or of all, that are not nodes with slices yet."""
    for claim in snapshot.items(NODE_CLAIMS):
        metadata, found = claim["metadata"], conditions(claim)
        of_pool = (metadata.get("labels") or {}).get(NODE_POOL)
        if name not in (None, of_pool) or metadata.get("deletionTimestamp"):
            continue
        missing = missing_step(claim)
        if missing is None:
            continue
        created = moment(metadata.get("creationTimestamp"))
        age = snapshot.when - created if created else timedelta()
        condition = found.get(missing, {})
        quote = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
        whose = f"NodeClaim {metadata['name']} of NodePool {of_pool}, {_ago(age)} old,"
        if missing == "Launched" and condition.get("reason") not in (None, "", "AwaitingReconciliation"):
            cause = Cause("launch-failed", f"AWS refuses it: {whose} cannot be launched.", (quote,))
        elif age > LATE and missing == "Initialized":
            words = _INITIALIZED.get(condition.get("reason", ""), condition.get("reason", ""))
            id = "slices-not-registered" if "slices" in words else "node-not-initialized"
            cause = Cause(id, f"{whose} is a node that takes no pods yet: {words}.", (quote,))
        elif age > LATE:
            cause = Cause("node-not-registered", f"{whose} was launched and has not become a node.", (quote,))
        else:
            stage = {"Launched": "is being launched", "Registered": "is launched and boots"}
            text = f"{whose} {stage.get(missing, 'has registered and waits for its slices')}"
            cause = Cause("launching", f"Karpenter is launching a node: {text}.", (quote,) if quote else ())
        yield claim, cause


def _ago(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
