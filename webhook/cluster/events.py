"""What the scheduler, Karpenter, controllers and kubelets said about a pod, in the fleet's words beside their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from webhook.cluster.asked import moment
from webhook.cluster.objects import Document

_OTHERS = (
    "nodes have a taint that the pod does not tolerate", "other nodes lack the labels that the pod selects",
    "nodes are cordoned",
)  # fmt: skip
"""What is true of nodes that were never meant for the pod, so that it tells least."""
OTHER_ZONE = "volume node affinity|PersistentVolume's node affinity|no available volume zone"
MOST_VOLUMES, VOLUME_TAKEN = "exceed max volume count", "no available disk|ReadWriteOncePod"
"""What the scheduler says of volumes, as patterns."""
_WORDS = (
    (r"exceeded quota", "the namespace's quota is used up"),
    (r"VcpuLimitExceeded|MaxSpotInstanceCountExceeded", "AWS refuses a node: the account's quota is too small"),
    (r"InsufficientInstanceCapacity|UnfulfillableCapacity", "AWS has no capacity for the instance type now"),
    (r"UnauthorizedOperation|AccessDenied", "AWS refuses a node: Karpenter's role lacks a right"),
    (r"failed to launch", "AWS refuses a node"),
    (r"reserved offering is full", "the pool's capacity reservation is full"),
    (r"Pod should schedule on: nodeclaim/([\w.-]+)", r"Karpenter is launching NodeClaim \1 for it"),
    (r"Pod should schedule on: node/(\S+)", r"Karpenter expects it on node \1"),
    (r"exceed limits|limits have been exhausted", "a NodePool is at its limit"),
    (r"label \"([^\"]+)\" does not have known values", r"the pod selects by \1, which no new node has"),
    (r"no instance type has enough resources", "Karpenter knows no type of node with these slices and resources"),
    (r"did not tolerate taint", "the pod does not tolerate the taint of a NodePool"),
    (r"filtered out all available instance types", "no NodePool has an instance type that may be launched"),
    (r"no nodepools found", "no NodePool is ready"),
    (r"no instance type (met|which)", "no instance type of a NodePool fits the pod's other demands"),
    (r"incompatible requirements", "the pod's node selection excludes a NodePool"),
    (r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim", "a volume is not there yet"),
    (OTHER_ZONE, "its volume is in another zone than the nodes with the slices"),
    (MOST_VOLUMES, "nodes have as many volumes attached as they may"),
    (r"find available persistent volumes to bind", "no volume is there for its claim on these nodes"),
    (r"did not have enough free storage", "the storage has no room for its volume"),
    (r"bound to non-existent p", "its volume does not exist any more"),
    (VOLUME_TAKEN, "another pod uses its volume"),
    (r"pod topology spread constraints", "its topology spread leaves no node"),
    (r"anti-affinity|pod affinity rules", "its pod affinity or anti-affinity leaves no node"),
    (r"free ports", "a port that it wants on the node is taken"),
    (r"required features", "no node's kubelet has a feature that the pod needs"),
    (r"cannot allocate all claims|resourceclaim", "a resource claim of it is not allocated"),
    (r"pods from a gang|pod group", "it waits for the other pods of its group"),
    (r"Insufficient (nvidia\.com/[\w.-]*\w)", r"no node has a free \1"),
    (r"untolerated taint", _OTHERS[0]),
    (r"didn't match Pod's node affinity/selector", _OTHERS[1]),
    (r"were unschedulable", _OTHERS[2]),
    (r"Insufficient (?!nvidia\.com)([\w./-]*\w)", r"no node has enough \1"),
    (r"Too many pods", "no node has room for one more pod"),
    (r"UnexpectedAdmissionError|Allocate failed", "the kubelet had no free slice"),
    (r"ErrImagePull|ImagePullBackOff|pull image", "the image cannot be pulled"),
    (r"FailedMount|FailedAttachVolume|FailedMapVolume|MountVolume", "a volume cannot be mounted"),
    (r"FailedCreatePodSandBox|NetworkNotReady", "its network or sandbox cannot be set up"),
)  # fmt: skip
LONGEST_MESSAGE = 32_768
"""Characters of an event's message that are read.  An API server stores a MiB of whoever may write events."""

_PATTERNS = [(re.compile(pattern), words) for pattern, words in _WORDS]
_REASONS = re.compile(r"nodes are available: (.+?)(?:\. |\.?(?<!\s)\s*+$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """One event."""

    source: str
    """Who said it, such as ``karpenter`` or ``default-scheduler``."""
    about: str
    """As in ``Pod/notebook``."""
    reason: str
    message: str
    when: datetime
    count: int = 1

    @property
    def of_namespace(self) -> bool:
        """Whether it stands beside the pod or workload that it is about.

        Events on nodes and NodeClaims stand in the namespace ``default``: whoever may write events there can write
        what looks like Karpenter's, about the nodes of everybody.
        """
        return not self.about.startswith(("NodeClaim/", "NodePool/", "Node/"))

    @property
    def words(self) -> str:
        """What is understood of it."""
        return in_words(f"{self.reason} {self.message}")


def in_words(message: str) -> str:
    """The two things in *message* that tell most, in the fleet's words; empty if nothing is understood."""
    found = [match.expand(words) for pattern, words in _PATTERNS if (match := pattern.search(message))]
    parts = re.split(r", (?=\d+ )", reasons(message))  # each of some of the nodes
    unknown = [part for part in parts if part and not any(pattern.search(part) for pattern, _ in _PATTERNS)]
    if len(parts) == 1 and found == [_OTHERS[1]]:
        return "no node has the labels that the pod selects"
    told = [*unknown[:1], *found] if {*found[:1]} <= {*_OTHERS} else [*found[:1], *unknown[:1], *found[1:]]
    return "; ".join(dict.fromkeys(told[:2]))


def reasons(message: str) -> str:
    """What the scheduler's *message* says of nodes, without what it says of preemption; empty if it is another."""
    found = _REASONS.search(message)
    return found[1] if found else ""


def of_karpenter(said: Iterable[Said]) -> Iterator[Said]:
    """What Karpenter said about the pod itself."""
    return (each for each in said if "karpenter" in each.source and each.about.startswith("Pod/"))


def gives_up(said: Iterable[Said]) -> Said | None:
    """The last that Karpenter said about the pod, if that is why it launches nothing.  *said*: the newest first."""
    last = next(of_karpenter(said), None)
    return last if last is not None and last.reason == "FailedScheduling" else None


def nominations(said: Iterable[Said]) -> dict[str, Said]:
    """The NodeClaims on which Karpenter said that the pod should schedule, the newest first."""
    found: dict[str, Said] = {}
    for each in of_karpenter(said):
        for claim in re.findall(r"nodeclaim/([\w.-]+)", each.message):
            found.setdefault(claim, each)
    return found


def read(events: Iterable[Document]) -> list[Said]:
    """The events, the newest first."""
    return sorted(map(_said, events), key=lambda said: said.when, reverse=True)


def _said(event: dict[str, Any]) -> Said:
    about, source = event.get("involvedObject") or {}, event.get("source") or {}
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return Said(
        source.get("component") or event.get("reportingComponent") or "",
        f"{about.get('kind', '')}/{about.get('name', '')}",
        event.get("reason") or "",
        (event.get("message") or "")[:LONGEST_MESSAGE].strip(),
        next((when for when in map(moment, times) if when is not None), datetime.min.replace(tzinfo=UTC)),
        series.get("count") or event.get("count") or 1,
    )
