"""What the scheduler, Karpenter, controllers and kubelets said about a pod, in the fleet's words beside their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from webhook.cluster.asked import moment
from webhook.cluster.objects import Document

_WORDS = (
    (r"exceeded quota", "the namespace's quota is used up"),
    (r"VcpuLimitExceeded|MaxSpotInstanceCountExceeded", "AWS refuses a node: the account's quota is too small"),
    (r"InsufficientInstanceCapacity|UnfulfillableCapacity", "AWS has no capacity for the instance type now"),
    (r"UnauthorizedOperation|AccessDenied", "AWS refuses a node: Karpenter's role lacks a right"),
    (r"failed to launch", "AWS refuses a node"),
    (r"reserved offering is full", "the pool's capacity reservation is full"),
    (r"Pod should schedule on: nodeclaim/(\S+)", r"Karpenter is launching NodeClaim \1 for it"),
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
    (r"volume node affinity conflict", "its volume is in another zone than the nodes with the slices"),
    (r"pod topology spread constraints", "its topology spread leaves no node"),
    (r"anti-affinity|pod affinity rules", "its pod affinity or anti-affinity leaves no node"),
    (r"free ports", "a port that it wants on the node is taken"),
    (r"Insufficient (nvidia\.com/[\w.-]*\w)", r"no node has a free \1"),
    (r"untolerated taint", "nodes have a taint that the pod does not tolerate"),
    (r"didn't match Pod's node affinity/selector", "no node has the labels that the pod selects"),
    (r"were unschedulable", "nodes are cordoned"),
    (r"Insufficient (?!nvidia\.com)([\w./-]*\w)", r"no node has enough \1"),
    (r"UnexpectedAdmissionError|Allocate failed", "the kubelet had no free slice"),
    (r"ErrImagePull|ImagePullBackOff|pull image", "the image cannot be pulled"),
    (r"FailedMount|FailedAttachVolume|MountVolume", "a volume cannot be mounted"),
)  # fmt: skip
LONGEST_MESSAGE = 32_768
"""Characters of an event's message that are read.  An API server stores a MiB of whoever may write events."""

_PATTERNS = [(re.compile(pattern), words) for pattern, words in _WORDS]


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
    return "; ".join(dict.fromkeys(found[:2]))


def gives_up(said: Iterable[Said]) -> Said | None:
    """The last that Karpenter said about the pod, if that is why it launches nothing.  *said*: the newest first."""
    last = next((each for each in said if "karpenter" in each.source and each.about.startswith("Pod/")), None)
    return last if last is not None and last.reason == "FailedScheduling" else None


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
