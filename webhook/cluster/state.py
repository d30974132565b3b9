"""What became of a pod: whether it ended, waits for somebody's leave, or runs, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from webhook.admission import assigned
from webhook.admission.pod import places
from webhook.budget import Budget
from webhook.cluster.asked import Asked
from webhook.cluster.causes import Cause
from webhook.cluster.events import Said, reasons
from webhook.cluster.objects import NODES
from webhook.cluster.snapshot import Snapshot
from webhook.errors import Denial, quote
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, Pool
from webhook.slices import request
from webhook.slices.request import ASSIGNED

DEFAULT_SCHEDULER = "default-scheduler"
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_REFUSED = ("UnexpectedAdmissionError", "OutOf", "NodeAffinity", "TopologyAffinityError", "NodeShutdown")
"""The beginnings of a kubelet's reasons: ``OutOfcpu``, ``OutOfnvidia.com/mig-1g.5gb``."""
_MADE_NEW = "Its workload makes another pod; one without a workload has to be created anew."
_FAILED = {
    "Evicted": "The node was short of what the message names: ask for more of it (requests), or use less. ",
    "OOMKilled": "Raise the container's memory limit: it is the node's memory, not the GPU's. ",
    "Preempt": "A pod with a higher priority took its place: give it a priorityClassName, or add nodes. ",
    "DeadlineExceeded": "Raise spec.activeDeadlineSeconds. ",
    "Terminated": "Its node was shut down. ",
    "NodeShutdown": "Its node was shut down. ",
    "NodeLost": "Its node was lost. ",
    "DeletionBy": "Its node was lost or drained. ",
    "EvictionBy": "Its node was drained. ",
}
"""What to do about a pod that has failed, by the beginning of the reason."""
_VOLUMES = (
    (
        "volume node affinity|PersistentVolume's node affinity|no available volume zone",
        "The pod's volume is in another zone than the nodes that have room for it",
        "Let the pool have nodes in the volume's zone (kubectl get pv -o yaml says which), or make the volume anew.",
    ),
    (
        "exceed max volume count",
        "The nodes that have room for the pod have as many volumes attached as they may",
        "Wait until pods with volumes have ended there, use fewer volumes, or let the pool have larger nodes.",
    ),
    (
        "no available disk|ReadWriteOncePod",
        "Another pod uses the pod's volume",
        "Wait until that pod has ended, or give each a volume of its own.",
    ),
    (
        "available persistent volumes to bind|enough free storage|bound to non-existent p",
        "There is no volume for the pod on the nodes that have room for it",
        "",
    ),
)
"""What the scheduler says of volumes and nodes, from Kubernetes 1.30 to 1.37; what that means, and what to do.

Source: ``pkg/scheduler/framework/plugins/{volumebinding,volumezone,volumerestrictions,nodevolumelimits}``.
"""
_STARTING = ("", "ContainerCreating", "PodInitializing")


def unfounded(asked: Asked) -> str:
    """Why the pod's record of what it was given is not so; empty if it is.  Anybody may write it into a pod later."""
    record = asked.view.annotations.get(ASSIGNED)
    before = record.partition(assigned.ARROW)[0] if isinstance(record, str) else ""
    try:
        budget = Budget()
        assigned.recall(before, asked.view.annotations, request.parse(before, budget), places(asked.spec, budget))
    except Denial as denial:
        return denial.problem
    return ""


def ended(asked: Asked) -> Iterator[Cause]:
    """If it has ended, or is about to."""
    status, phase = asked.status, asked.status.get("phase")
    since = asked.document["metadata"].get("deletionTimestamp")
    message = f"{status.get('reason', '')}: {status.get('message', '')}".strip(": ")
    if phase == "Succeeded":
        yield Cause("succeeded", "The pod has ended well, and holds no slice any more.")
    elif phase == "Failed" and str(status.get("reason")).startswith(_REFUSED):
        why, cure = _refusal(str(status["reason"]), message, asked.node)
        yield Cause("node-refused", f"The kubelet of node {asked.node} refused the pod: {why}.", (message,), cure)
    elif phase == "Failed":
        reason = status.get("reason") or asked.condition("DisruptionTarget").get("reason") or _ending(asked)
        text = f"The pod has failed{' on node ' + asked.node if asked.node else ''}{': ' + reason if reason else ''}"
        cure = next((f"{words}{_MADE_NEW}" for start, words in _FAILED.items() if start in reason), "")
        yield Cause("failed", f"{text}. It holds no slice any more.", (message,) if message else (), cure)
    elif since:
        waits = asked.document["metadata"].get("finalizers") or ()
        held = f"; finalizers hold it: {', '.join(waits)}" if waits else ""
        disrupted = asked.condition("DisruptionTarget").get("reason")
        yield Cause("leaving", f"The pod is being deleted since {since}{f' ({disrupted})' if disrupted else ''}{held}.")


def _refusal(reason: str, message: str, node: str) -> tuple[str, str]:
    """Why a kubelet refused a pod, and what to do where that is not to create it anew."""
    if "unhealthy devices" in message or "no healthy devices" in message:
        drain = f"kubectl drain {node} --ignore-daemonsets, and replace it; the device plugin's log names the GPU"
        return "its slice is not healthy", f"The platform team: new pods would be refused likewise. {drain}."
    if "rpc error" in message:
        return "its device plugin gave no slice", f"The platform team: read the device plugin's log on node {node}."
    if reason == "NodeShutdown":
        return "it is being shut down", ""
    if reason == "NodeAffinity":
        return "it does not match the node any more", ""
    if reason == "UnexpectedAdmissionError" and "unavailable" not in message and "Allocate" not in message:
        return "it could not admit it (the message says why)", ""
    return "it had nothing free for it", ""


def _ending(asked: Asked) -> str:
    """How the first container that failed has ended."""
    for status in (*asked.status.get("initContainerStatuses", ()), *asked.status.get("containerStatuses", ())):
        if ended := _terminated(status, "state"):
            return f"container {status['name']} has ended with {ended}"
    return ""


def _terminated(status: Mapping[str, Any], state: str) -> str:
    """As in ``OOMKilled (exit code 137)``; empty if it has not failed."""
    ended = (status.get(state) or {}).get("terminated") or {}
    return f"{ended.get('reason') or 'Error'} (exit code {ended['exitCode']})" if ended.get("exitCode") else ""


def gated(asked: Asked, said: Sequence[Said]) -> Iterator[Cause]:
    """If the scheduler does not look for a node yet, or looks for something else first."""
    spec = asked.document["spec"]
    gates = [gate["name"] for gate in spec.get("schedulingGates") or ()]
    if gates:
        kueue = any("kueue" in gate for gate in gates)
        queue = (asked.document["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name", "")
        where = f": Kueue has not admitted it yet (queue {queue or 'unknown'})" if kueue else ""
        yield Cause("scheduling-gates", f"The pod has the scheduling gate {', '.join(gates)}{where}.")
        return
    scheduler = spec.get("schedulerName") or DEFAULT_SCHEDULER
    if scheduler != DEFAULT_SCHEDULER and not any(each.source == scheduler for each in said):
        text = f"The pod names the scheduler {quote(scheduler)}, which has said nothing about it"
        yield Cause("other-scheduler", f"{text}: the usual one passes it over.")
        return
    message = asked.condition("PodScheduled").get("message", "")
    if "persistentvolumeclaim" in message.lower() and "ReadWriteOncePod" not in message:
        yield Cause("volume", f"The pod waits for a volume: {reasons(message) or message.rstrip('.')}.", (message,))


def passed_over(asked: Asked) -> Iterator[Cause]:
    """Why the scheduler passes over a node on which nothing else keeps the pod off."""
    message = asked.condition("PodScheduled").get("message", "")
    if about := next((each for each in _VOLUMES if re.search(each[0], message)), None):
        yield Cause("volume", f"{about[1]}.", (message,), about[2])
    elif "topology spread" in message or "affinity rules" in message:
        what = "topology spread" if "topology spread" in message else "affinity or anti-affinity to other pods"
        yield Cause("spread", f"The pod's {what} excludes the nodes that have room for it.", (message,))


def bound(asked: Asked, snapshot: Snapshot, serving: Sequence[Pool]) -> Iterator[Cause]:
    """What happens on its node."""
    node = next((each for each in snapshot.items(NODES) if each.metadata.name == asked.node), None)
    pool = node.metadata.labels.get(POOL_LABEL) if node is not None else None
    where = f"node {asked.node}" + (f" (pool {pool})" if pool else "")
    if node is None and not snapshot.of(NODES).problem:
        yield Cause("node-lost", f"The pod is bound to node {asked.node}, which does not exist.")
        return
    has = ", ".join(f"{number} {resource}" for resource, number in asked.slices.items())
    if node is not None:
        ready = node.status.ready
        if ready.status != "True":
            text = f"The pod is bound to node {asked.node}, which is not ready"
            yield Cause("node-lost", f"{text}{': ' + ready.reason if ready.reason else ''}.", (ready.message,))
        whole = node.status.allocatable.get(WHOLE_GPU, "0")
        mine = next((each for each in serving if each.name == pool), None)
        if mine is not None and WHOLE_GPU not in mine.largest.capacity and whole not in ("", "0"):
            text = f"Node {asked.node} advertises {whole} whole GPUs beside its slices"
            yield Cause("two-plugins", f"{text}: another device plugin counts its GPUs.")
    troubled = list(_containers(asked, where))
    yield from troubled
    if asked.status.get("phase") == "Running" and not troubled:
        yield Cause("running", f"The pod runs on {where} and has {has}.")
    elif not troubled:
        yield Cause("starting", f"The pod is bound to {where}, has {has}, and its containers are starting.")


def _containers(asked: Asked, where: str) -> Iterator[Cause]:
    statuses: list[Mapping[str, Any]] = [
        *(asked.status.get("initContainerStatuses") or ()),
        *(asked.status.get("containerStatuses") or ()),
    ]
    for status in statuses:
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, quotes = waiting.get("reason") or "", tuple(filter(None, [waiting.get("message")]))
        if reason in _IMAGE:
            text = f"The pod has its slice on {where}, and the image of {status['name']} cannot be pulled"
            yield Cause("image", f"{text} ({reason}).", quotes)
        elif waiting and reason not in _STARTING:
            text = f"The pod has its slice on {where}, and container {status['name']} does not run: {reason}"
            before = _terminated(status, "lastState")
            text += f", after it has ended with {before}" if before else ""
            yield Cause("container", f"{text}.", quotes, _of_memory(before))
        elif ending := _terminated(status, "state"):
            text = f"The pod has its slice on {where}, and container {status['name']} has ended with {ending}"
            yield Cause("container", f"{text}.", (), _of_memory(ending))


def _of_memory(ending: str) -> str:
    return _FAILED["OOMKilled"].strip() if ending.startswith("OOMKilled") else ""
