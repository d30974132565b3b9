"""What became of a pod: whether it ended, waits for somebody's leave, or runs, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from webhook.admission import assigned
from webhook.admission.pod import places
from webhook.budget import Budget
from webhook.cluster.asked import Asked, moment
from webhook.cluster.bound import OF_MEMORY, last_words, terminated
from webhook.cluster.causes import Cause
from webhook.cluster.events import MOST_VOLUMES, OTHER_ZONE, VOLUME_TAKEN, Said, reasons
from webhook.cluster.objects import NODES
from webhook.cluster.snapshot import Snapshot
from webhook.errors import Denial, quote
from webhook.slices import request
from webhook.slices.request import ASSIGNED

DEFAULT_SCHEDULER = "default-scheduler"
_REFUSED = ("UnexpectedAdmissionError", "OutOf", "NodeAffinity", "TopologyAffinityError", "NodeShutdown")
"""The beginnings of a kubelet's reasons: ``OutOfcpu``, ``OutOfnvidia.com/mig-1g.5gb``."""
_MADE_NEW = "Its workload makes another pod; one without a workload has to be created anew."
_FAILED = {
    "Evicted": "The node was short of what the message names: ask for more of it (requests), or use less. ",
    "OOMKilled": f"{OF_MEMORY} ",
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
        re.compile(OTHER_ZONE),
        "The pod's volume is in another zone than the nodes that have room for it",
        "Let the pool have nodes in the volume's zone (kubectl get pv -o yaml says which), or make the volume anew.",
    ),
    (
        re.compile(MOST_VOLUMES),
        "The nodes that have room for the pod have as many volumes attached as they may",
        "Wait until pods with volumes have ended there, use fewer volumes, or let the pool have larger nodes.",
    ),
    (
        re.compile(VOLUME_TAKEN),
        "Another pod uses the pod's volume",
        "Wait until that pod has ended, or give each a volume of its own.",
    ),
    (
        re.compile("available persistent volumes to bind|enough free storage|bound to non-existent p"),
        "There is no volume for the pod on the nodes that have room for it",
        "",
    ),
)
"""What the scheduler says of volumes and nodes, from Kubernetes 1.30 to 1.37; what that means, and what to do.

Source: ``pkg/scheduler/framework/plugins/{volumebinding,volumezone,volumerestrictions,nodevolumelimits}``.
"""


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


def ended(asked: Asked, snapshot: Snapshot) -> Iterator[Cause]:
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
        how, said = _ending(asked)
        reason = status.get("reason") or asked.condition("DisruptionTarget").get("reason") or how
        text = f"The pod has failed{' on node ' + asked.node if asked.node else ''}{': ' + reason if reason else ''}"
        cure = next((f"{words}{_MADE_NEW}" for start, words in _FAILED.items() if start in reason), "")
        yield Cause("failed", f"{text}. It holds no slice any more.", tuple(filter(None, (message, said))), cure)
    elif since:
        yield _leaving(asked, since, snapshot)


_ENDING = timedelta(minutes=1)
"""How long after its grace period a pod may still be there."""
_EARLIEST, _LONGEST = 1970, 10**9
"""The year of a deletion, and seconds of a grace period, beyond which somebody made them up."""


def _leaving(asked: Asked, deletion: str, snapshot: Snapshot) -> Cause:
    """*deletion*: the pod's deletionTimestamp, which is when its grace period ends."""
    metadata, until = asked.document["metadata"], moment(deletion)
    grace = metadata.get("deletionGracePeriodSeconds") or 0
    if until is None or until.year < _EARLIEST or not isinstance(grace, int) or not 0 <= grace < _LONGEST:
        until, grace = None, 0
    began = f"{until - timedelta(seconds=grace):%Y-%m-%dT%H:%M:%SZ}" if until is not None else deletion
    disrupted, finalizers = asked.condition("DisruptionTarget").get("reason"), metadata.get("finalizers") or ()
    text = f"The pod is being deleted since {began}{f' ({disrupted})' if disrupted else ''}"
    node = next((each for each in snapshot.items(NODES) if each.metadata.name == asked.node), None)
    delete = f"kubectl -n {asked.namespace} delete pod {asked.name}"
    quotes: tuple[str, ...] = ()
    cure = ""
    if asked.node and node is None and not snapshot.of(NODES).problem:
        text += f", and its node {asked.node} does not exist any more, so no kubelet ends it"
        cure = f"Wait: Kubernetes deletes such pods after a minute or two. At once: {delete} --grace-period=0 --force."
    elif node is not None and node.status.ready.status != "True":
        ready = node.status.ready
        why, quotes = f": {ready.reason}" if ready.reason else "", (ready.message,)
        text += f", and its node {asked.node} is not ready, so no kubelet ends it{why}"
        cure = (
            f"The platform team: bring the node back, or delete it (kubectl delete node {asked.node}), and its pods go "
            f"with it. If the machine is off for good: {delete} --grace-period=0 --force."
        )
    elif until is not None and snapshot.when < until + _ENDING:
        text += f", and its grace period of {grace} s ends at {until:%Y-%m-%dT%H:%M:%SZ}"
        cure = f"Wait until then. If it need not end in order: {delete} --grace-period=1."
    elif asked.node and not finalizers:
        text += f", and has not ended on node {asked.node}, although its grace period of {grace} s is over"
        cure = f"kubectl -n {asked.namespace} describe pod {asked.name} says what keeps the kubelet; else read its log."
    held = f"; finalizers hold it: {', '.join(finalizers)}" if finalizers else ""
    return Cause("leaving", f"{text}{held}.", quotes, cure)


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


def _ending(asked: Asked) -> tuple[str, str]:
    """How the first container that failed has ended, and what it said."""
    for status in (*asked.status.get("initContainerStatuses", ()), *asked.status.get("containerStatuses", ())):
        if how := terminated(status, "state"):
            return f"container {status['name']} has ended with {how}", last_words(status, "state")
    return "", ""


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
    if about := next((each for each in _VOLUMES if each[0].search(message)), None):
        yield Cause("volume", f"{about[1]}.", (message,), about[2])
    elif "topology spread" in message or "affinity rules" in message:
        what = "topology spread" if "topology spread" in message else "affinity or anti-affinity to other pods"
        yield Cause("spread", f"The pod's {what} excludes the nodes that have room for it.", (message,))
