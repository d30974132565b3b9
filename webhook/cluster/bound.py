"""What becomes of a pod on its node: whether its containers run, and what its kubelet says that keeps them.

Source: k8s.io/kubernetes v1.37.2 ``pkg/kubelet/events/event.go``, ``pkg/kubelet/images/types.go`` and
``pkg/volume/util/operationexecutor``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from webhook.cluster.asked import Asked, moment
from webhook.cluster.causes import Cause
from webhook.cluster.cures import by_words
from webhook.cluster.events import Said
from webhook.cluster.nodes import leaving
from webhook.cluster.objects import NODES, Node
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, Pool

OF_MEMORY = "Raise the container's memory limit: it is the node's memory, not the GPU's."
_IMAGE = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
)  # fmt: skip
_STARTING = ("", "ContainerCreating", "PodInitializing")
_VOLUME, _SANDBOX, _ELSE = "a volume cannot be mounted", "its network or sandbox cannot be set up", "it cannot start it"
_TROUBLES = {
    "FailedMount": _VOLUME,
    "FailedMapVolume": _VOLUME,
    "FailedAttachVolume": "a volume cannot be attached",
    "FailedCreatePodSandBox": _SANDBOX,
    "FailedPodSandBoxStatus": _SANDBOX,
    "NetworkNotReady": "the node's network is not ready",
    "FailedPrepareDynamicResources": "a resource claim cannot be prepared",
    "FailedCreatePodContainer": _ELSE,
    "FailedSync": _ELSE,
    "Failed": _ELSE,
}
"""Reasons of events on a pod that its containers do not start, in words."""
_PROGRESS = ("Pulling", "Pulled", "Created", "Started")
"""Reasons of events that volumes are mounted and the network is there."""
_USUAL = timedelta(minutes=1)
"""For so long such a trouble is usual on a node that has just started."""
_CURES = (
    (
        re.compile("registered CSI drivers"),
        "The platform team: see that the DaemonSet of the CSI driver that the message names runs on the node. It needs "
        "a toleration of the pool's taint (docs/eks.md#10-daemonsets-of-your-own).",
    ),
    (
        re.compile(
            r'(?:configmap|secret|persistentvolumeclaim|serviceaccount)s? "[^"]+" not found|references non-existent'
        ),
        "Create what the message names in the pod's namespace, or correct its name in the pod.",
    ),
    (
        re.compile("Multi-Attach"),
        "Wait until the pod on the other node has ended, or delete it. If that node is lost, delete the node.",
    ),
    (
        re.compile("assign an IP address|InsufficientFreeAddresses"),
        "The platform team: the node or its subnet has no free IP address. Read the log of aws-node on the node, and "
        "see how many addresses the subnet has left.",
    ),
    (
        re.compile("no runtime for|RuntimeHandler"),
        "Remove runtimeClassName from the pod, or let the node's container runtime have that one.",
    ),
)
"""What to do about a message."""


def bound(asked: Asked, snapshot: Snapshot, said: Sequence[Said], serving: Sequence[Pool]) -> Iterator[Cause]:
    """What happens on its node.  *said*: the newest first."""
    node = next((each for each in snapshot.items(NODES) if each.metadata.name == asked.node), None)
    pool = node.metadata.labels.get(POOL_LABEL) if node is not None else None
    where = f"node {asked.node}" + (f" (pool {pool})" if pool else "")
    if node is None and not snapshot.of(NODES).problem:
        yield Cause("node-lost", f"The pod is bound to node {asked.node}, which does not exist.")
        return
    has = ", ".join(f"{number} {resource}" for resource, number in asked.slices.items())
    lost = node is not None and node.status.ready.status != "True"
    if node is not None:
        ready = node.status.ready
        if lost:
            text = f"The pod is bound to node {asked.node}, which is not ready"
            yield Cause("node-lost", f"{text}{': ' + ready.reason if ready.reason else ''}.", (ready.message,))
        whole = node.status.allocatable.get(WHOLE_GPU, "0")
        mine = next((each for each in serving if each.name == pool), None)
        if mine is not None and WHOLE_GPU not in mine.largest.capacity and whole not in ("", "0"):
            text = f"Node {asked.node} advertises {whole} whole GPUs beside its slices"
            yield Cause("two-plugins", f"{text}: another device plugin counts its GPUs.")
    runs, leaves = asked.status.get("phase") == "Running", _leaves(node)
    troubled = list(_containers(asked, where))
    yield from troubled
    if troubled:
        return
    if runs:
        yield Cause("running", f"The pod runs on {where} and has {has}.{leaves}")
        return
    trouble = None if lost else _trouble(asked, said)
    starts = f"The pod is bound to {where}, has {has}, and its containers are starting"
    if trouble is None:
        yield Cause("starting", f"{starts}.{leaves}")
        return
    words, message = _TROUBLES[trouble.reason], trouble.message
    since = moment(asked.condition("PodScheduled").get("lastTransitionTime"))
    cure = by_words(_CURES, message)
    if since is not None and snapshot.when - since < _USUAL:
        yield Cause("starting", f"{starts}, and its kubelet says so far that {words}.{leaves}", (message,), cure)
        return
    id = "volume" if "volume" in words else "not-started"
    other = "Correct what the message names: kubectl -n NAMESPACE describe pvc, and kubectl describe pod POD."
    if id == "not-started":
        other = "The platform team: correct what the message names; the kubelet and aws-node on that node have logs."
    yield Cause(
        id, f"The pod has its slice on {where}, and its kubelet says that {words}.{leaves}", (message,), cure or other
    )


def _leaves(node: Node | None) -> str:
    """A sentence that *node* is being removed; empty if it is not."""
    gone = node is not None and node.metadata.deletion_timestamp is not None
    why = leaving(node) if node is not None else ""
    return f" The pod has to leave that node: {why or 'it is being deleted'}." if why or gone else ""


def _trouble(asked: Asked, said: Sequence[Said]) -> Said | None:
    """The last that a kubelet, or who attaches volumes, said that keeps the pod from starting."""
    if asked.condition("PodReadyToStartContainers").get("status") == "True":
        return None
    own = [each for each in said if each.about.startswith("Pod/")]

    def over(trouble: Said) -> bool:
        later = (*_PROGRESS, *(["SuccessfulAttachVolume"] if trouble.reason == "FailedAttachVolume" else []))
        return any(each.reason in later and each.when >= trouble.when for each in own)

    found = [each for each in own if each.reason in _TROUBLES and not over(each)]
    return next((each for each in found if by_words(_CURES, each.message)), found[0] if found else None)


def _containers(asked: Asked, where: str) -> Iterator[Cause]:
    statuses: list[Mapping[str, Any]] = [
        *(asked.status.get("initContainerStatuses") or ()),
        *(asked.status.get("containerStatuses") or ()),
    ]
    for status in statuses:
        waiting, before = ((status.get("state") or {}).get("waiting") or {}), terminated(status, "lastState")
        reason, message = waiting.get("reason") or "", waiting.get("message") or ""
        if reason in _IMAGE:
            text = f"The pod has its slice on {where}, and the image of {status['name']} cannot be pulled"
            yield Cause("image", f"{text} ({reason}).", tuple(filter(None, [message])))
        elif waiting and reason not in _STARTING:
            text = f"The pod has its slice on {where}, and container {status['name']} does not run: {reason}"
            text += f", after it has ended with {before}" if before else ""
            if reason == "CrashLoopBackOff":  # whose message only says how long it waits
                message = last_words(status, "lastState") or message
            yield Cause(
                "container", f"{text}.", tuple(filter(None, [message])), _of_memory(before) or by_words(_CURES, message)
            )
        elif ending := terminated(status, "state"):
            text = f"The pod has its slice on {where}, and container {status['name']} has ended with {ending}"
            yield Cause("container", f"{text}.", tuple(filter(None, [last_words(status, "state")])), _of_memory(ending))


def terminated(status: Mapping[str, Any], state: str) -> str:
    """As in ``OOMKilled (exit code 137)``; empty if it has not failed."""
    ended = (status.get(state) or {}).get("terminated") or {}
    return f"{ended.get('reason') or 'Error'} (exit code {ended['exitCode']})" if ended.get("exitCode") else ""


def last_words(status: Mapping[str, Any], state: str) -> str:
    """What it said when it ended; empty if that is not known."""
    return ((status.get(state) or {}).get("terminated") or {}).get("message") or ""


def _of_memory(ending: str) -> str:
    return OF_MEMORY if ending.startswith("OOMKilled") else ""
