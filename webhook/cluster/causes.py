"""Why a pod does not have its slice: a closed list, in the order in which causes are told.

Whoever stands further up is more likely to be what somebody changed, and what is below often follows from it.  An id
never changes its meaning.  ``docs/causes.md`` has a paragraph for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from webhook.cluster.cures import KARPENTERS_LOG, REPLACE, WHEN_GONE, render

PAGE = "docs/causes.md"
_AGAIN = (
    "The platform team: apply the folder again that has your fleet and image, such as kubectl apply -k my-cluster "
    "(docs/eks.md#7-the-webhook). Not manifests/webhook: it would replace your fleet by another."
)


class Entry(NamedTuple):
    title: str
    """In a sentence, for the page."""
    cure: str
    """What to do, in one or two sentences."""


CAUSES: dict[str, Entry] = {
    # What became of the pod.
    "succeeded": Entry("The pod has ended well", "Nothing: it holds no slice any more."),
    "node-refused": Entry(
        "The kubelet refused the pod after it was bound",
        "Delete the pod, so that it is created anew. If it names its node (spec.nodeName), remove that.",
    ),
    "failed": Entry("The pod has ended with an error", "Read its log: kubectl logs POD; and kubectl describe pod POD."),
    "leaving": Entry("The pod is being deleted", "Wait, or look at its finalizers: kubectl get pod POD -o yaml."),
    # The pod is refused, so there is none.
    "fleet-newer": Entry(
        "The webhook refuses what the fleet file that is looked at offers: it serves another fleet",
        "Wait a minute if the fleet was just changed: every replica reads it anew. Else see what the webhook's log "
        "says (fleet refused), and that --fleet names the file that was applied.",
    ),
    "denied": Entry("gpu-slice refuses the pod", "Do what the last sentence of the denial says."),
    "quota": Entry(
        "A ResourceQuota of the namespace is used up",
        "Delete what is not needed any more, or ask the platform team for a larger quota.",
    ),
    "certificate": Entry(
        "The API server does not trust the webhook's certificate",
        "The platform team: see that Deployment keeper runs in the webhook's namespace and read its log; it writes the "
        "right caBundle. 'gpu-slice certs status' shows both sides.",
    ),
    "webhook-unreachable": Entry(
        "The API server gets no answer from the webhook",
        "The platform team: kubectl -n gpu-slice get pods, and the log of deployment/webhook.",
    ),
    "other-webhook": Entry(
        "A webhook that is not gpu-slice's does not answer, or calls gpu-slice wrongly, so the API server refuses pods",
        "The platform team: correct or delete the webhook configuration that the sentence names.",
    ),
    "guard": Entry(
        "The guard refuses a pod that the webhook did not see, or that another webhook changed afterwards",
        "Write the annotation into the pod or its template, and see that the webhook configuration 'gpu-slice' is "
        "there and that the webhook answers.",
    ),
    "refused": Entry("The API server refuses the pod for a reason of its own", "Correct what the message names."),
    # The webhook was not asked.
    "no-pods-wanted": Entry(
        "The workload wants no pods", "Scale it up, resume it, or wait until whoever suspended it lets it go."
    ),
    "annotation-misplaced": Entry(
        "The annotation is in a place where nobody reads it, or is misspelt",
        "Write it where the message says, and create the pod again.",
    ),
    "namespace-excluded": Entry(
        "gpu-slice never touches pods of this namespace", "Use another namespace for pods that need a slice."
    ),
    "namespace-opted-out": Entry(
        "The namespace has opted out of gpu-slice",
        "Remove its label gpu-slice/opt-out (any value counts, 'false' too), and create the pod again.",
    ),
    "mirror-pod": Entry("A static pod of a kubelet is never changed", "Use a Deployment or a DaemonSet."),
    "webhook-missing": Entry(
        "The webhook configuration is not there, so nobody was asked about the pod",
        f"{_AGAIN} Then delete the pod, so that it is created anew.",
    ),
    "older-than-webhook": Entry(
        "The pod is older than the webhook", "Delete the pod, so that it is created anew and gets its slice."
    ),
    "webhook-not-asked": Entry(
        "The webhook configuration was changed and leaves the pod out",
        f"{_AGAIN} Then delete the pod, so that it is created anew.",
    ),
    "webhook-ignored": Entry(
        "The webhook configuration fails open, and the webhook did not answer when the pod was created",
        "The platform team: see that the webhook runs and, unless anything is in shadow (docs/shadow.md), set "
        "failurePolicy to Fail. Then delete the pod, so that it is created anew.",
    ),
    "shadow": Entry(
        "gpu-slice is only tried here, so it left the pod as it was written",
        "The platform team: take 'mode: shadow' out of the fleet file (docs/shadow.md). Then delete the pod, so that "
        "it is created anew.",
    ),
    "not-visited": Entry(
        "The webhook has not seen that the pod asks for a slice",
        "An annotation that is added to a pod that exists has no effect: write it into the pod's manifest or template, "
        "and create the pod anew.",
    ),
    "annotation-changed": Entry(
        "The annotation was changed after the pod was created, which has no effect",
        "Delete the pod and create it anew with the annotation that you want.",
    ),
    "fleet-changed": Entry(
        "The pod has a slice of an earlier fleet, which no pool has any more",
        "Delete the pod, so that it is created anew and asks for what is offered now.",
    ),
    "default-not-given": Entry(
        "The namespace has a default in the fleet file, and gpu-slice was not asked about the pod",
        "The platform team: kubectl label namespace NAMESPACE gpu-slice/default= (docs/migrate.md). Then delete the "
        "pod, so that it is created anew. Or write the annotation gpu-slice into its template.",
    ),
    "by-hand": Entry(
        "The pod asks for a slice by its resource, so gpu-slice did nothing for it",
        "Write the annotation gpu-slice instead of the resource: it also gives the toleration and the node selection.",
    ),
    "no-annotation": Entry(
        "The pod does not ask for a slice", "Write the annotation gpu-slice into the pod or its template."
    ),
    # The pod waits for something else.
    "scheduling-gates": Entry(
        "The pod may not be scheduled yet: it has scheduling gates",
        "Whoever wrote the gate removes it. With Kueue: kubectl -n NAMESPACE get workloads, and see the queue's quota.",
    ),
    "other-scheduler": Entry(
        "The pod names another scheduler, which nothing is known of",
        "Remove spec.schedulerName, or see that this scheduler runs.",
    ),
    "volume": Entry(
        "The pod waits for a volume", "kubectl -n NAMESPACE describe pvc: it says what the volume waits for."
    ),
    "image": Entry("The node cannot pull an image", "Correct the image's name, or the credentials to pull it."),
    "container": Entry(
        "The pod has its slice, and a container does not run", "Read kubectl describe pod POD, and kubectl logs POD."
    ),
    "not-started": Entry(
        "The pod has its slice, and its kubelet cannot start it", "The platform team: correct what the message names."
    ),
    "starting": Entry("The pod has its slice and is starting", "Wait: large images take minutes."),
    "node-lost": Entry(
        "The pod's node is not ready any more",
        "Kubernetes gives the pod up after some minutes and its workload makes another; look at the node.",
    ),
    "daemon-set": Entry(
        "The pod's DaemonSet placed it on a node without slices, before gpu-slice saw it",
        "Write the pool's nodeSelector and toleration into the DaemonSet's template: gpu-slice preview says which.",
    ),
    "spread": Entry(
        "The pod's topology spread, or its affinity to other pods, excludes the nodes that have room for it",
        "Relax it, for example with whenUnsatisfiable: ScheduleAnyway.",
    ),
    # A node could take the pod.
    "two-plugins": Entry(
        "Two device plugins run on a node, and count its GPUs twice",
        "The platform team: keep the other plugin off nodes that carry gpu-slice/pool "
        "(docs/recipes.md#beside-what-you-run-already).",
    ),
    "slices-not-advertised": Entry(
        "A node has fewer slices than its pool's layout says",
        "The platform team: see that the device plugin runs on the node "
        "(kubectl -n kube-system get pods -o wide -l app.kubernetes.io/component=device-plugin), and read its log.",
    ),
    "node-not-ready": Entry(
        "The node that has the slices is not ready", "The platform team: kubectl describe node says why."
    ),
    "node-cordoned": Entry(
        "The node that has the slices is cordoned", "Run kubectl uncordon with the node's name, or wait for another."
    ),
    "node-tainted": Entry(
        "The node that has the slices has a taint that the pod does not tolerate",
        "Remove the taint from the node, or, if a program set it, what made the program do so; or, if all nodes of the "
        "pool have it, name it in the pool's taints in the fleet file; or tolerate it in the pod.",
    ),
    "node-label": Entry(
        "The node that has the slices lacks a label that its pool has",
        "The platform team: label the node as the fleet file says, or correct the fleet file.",
    ),
    "preempting": Entry("The scheduler makes room for the pod", "Wait until the pods that it preempted have ended."),
    "node-full": Entry(
        "The node that has the slices lacks CPU, memory or room for pods", "Ask for less of it, or free some."
    ),
    # Karpenter could launch a node.
    "karpenter-missing": Entry(
        "The fleet wants nodes of Karpenter, and the cluster has no Karpenter",
        "The platform team: install Karpenter (docs/eks.md#3-karpenter).",
    ),
    "karpenter-down": Entry(
        "Karpenter does not run", "The platform team: look at Deployment karpenter and the log of its pods."
    ),
    "pool-retired": Entry(
        "The pod got its slice from a pool that is retired now, and no node is launched for it",
        "Delete the pod, so that it is created anew and gets a slice of another pool.",
    ),
    "node-pool-missing": Entry(
        "The pool's NodePool is not in the cluster: the fleet file is newer than what was applied",
        f"The platform team: {render()}.",
    ),
    "node-pool-leaving": Entry("The pool's NodePool is being deleted", f"The platform team: {WHEN_GONE}"),
    "node-class-missing": Entry("The pool's EC2NodeClass is not in the cluster", f"The platform team: {render()}."),
    "node-class-not-ready": Entry(
        "The pool's EC2NodeClass is not ready: Karpenter does not find something in AWS, or may not",
        "The platform team: docs/eks.md#6-nodes-for-a-cheap-first-pool has a table of what is missing.",
    ),
    "reservation-missing": Entry(
        "The pool launches into capacity reservations alone, and Karpenter has found none in AWS",
        "The platform team: compare the pool's capacityReservations (id, tags, owner) with "
        "aws ec2 describe-capacity-reservations, and see that Karpenter's role may call it.",
    ),
    "node-pool-not-ready": Entry(
        "The pool's NodePool is not ready", "The platform team: correct what the message names in the NodePool."
    ),
    "overlay-missing": Entry(
        "Karpenter does not know that new nodes will have the slices: the pool's NodeOverlay is not in the cluster",
        f"The platform team: {render('node-overlays')}.",
    ),
    "gate-off": Entry(
        "Karpenter does not read NodeOverlays: its feature gate is off, so it does not know that new nodes have slices",
        "The platform team: set settings.featureGates.nodeOverlay=true in Karpenter's chart "
        "(docs/eks.md#switch-nodeoverlay-on).",
    ),
    "overlay-unread": Entry(
        "Karpenter has not looked at the NodeOverlays, although its feature gate is on",
        f"The platform team: read Karpenter's log ({KARPENTERS_LOG}), and see that "
        "the rollout of its Deployment has ended: replicas from before may run without the gate.",
    ),
    "overlay-refused": Entry(
        "Karpenter refuses the pool's NodeOverlay, so it does not know that new nodes will have the slices",
        f"The platform team: two overlays for one node need different weights. {render('node-overlays')}.",
    ),
    "overlay-differs": Entry(
        "The pool's NodeOverlay does not promise the slices that the fleet file says",
        f"The platform team: {render('node-overlays')}.",
    ),
    "limit-reached": Entry(
        "The pool's limit is reached, so Karpenter launches no further node",
        "Wait until slices are free, or the platform team raises the pool's limit in the fleet file, and then: "
        f"{render('node-pools')}.",
    ),
    "node-pool-differs": Entry(
        "The pool's NodePool differs from the fleet file, so its nodes would not take the pod",
        f"The platform team: {render('node-pools', REPLACE)} (apply leaves some of what others have added).",
    ),
    "unknown-label": Entry(
        "The pod selects by a label that no new node will have",
        "Remove that rule, or select by a label of the pool.",
    ),
    "aws-quota": Entry(
        "AWS refuses to launch a node: the account's quota is too small",
        "The platform team: Service Quotas, 'Running On-Demand P instances' (or G, or Spot). It can take weeks.",
    ),
    "no-capacity": Entry(
        "AWS has no capacity for this instance type",
        "Wait: Karpenter tries again. The platform team may add zones, spot or a reservation to the pool.",
    ),
    "launch-failed": Entry(
        "AWS refuses to launch a node",
        f"The platform team: Karpenter's log has all that AWS says ({KARPENTERS_LOG}); correct what it names.",
    ),
    "slices-not-registered": Entry(
        "A node was launched for the pool and never got its slices",
        "The platform team: see that the device plugin runs on that node, and read its log.",
    ),
    "node-not-initialized": Entry(
        "A node was launched for the pool and does not become ready for pods",
        "The platform team: kubectl describe node, and remove what the sentence names or see what should have.",
    ),
    "node-not-registered": Entry(
        "An instance was launched for the pool and does not become a node",
        "The platform team: most often its GPUs could not be cut. Look for gpu-slice-cut in the instance's console "
        "output (docs/eks.md#if-it-does-not-work), and set the pool's limit to 0 meanwhile.",
    ),
    "claims": Entry(
        "The pod has resourceClaims, which Karpenter ignores", "Use the annotation or resourceClaims, not both."
    ),
    "launching": Entry(
        "Karpenter is launching a node for the pod", "Wait: a GPU node takes some minutes from launch to slices."
    ),
    # There is nothing wrong but that everything is in use, or nobody knows more.
    "no-nodes": Entry(
        "The pool has no node", "The platform team: add a node with the pool's labels, or see that it carries them."
    ),
    "slices-in-use": Entry(
        "All slices of this kind are in use",
        "Wait until one is free. An alternative (1g.5gb|1g.10gb) helps only where the first is never offered.",
    ),
    "node-selector": Entry(
        "The pod's own node selection excludes the node that has the slices", "Correct or remove that rule of the pod."
    ),
    "karpenter": Entry("Karpenter launches nothing for a reason of its own", "Read the message below."),
    "scheduler": Entry("The scheduler finds no node for a reason of its own", "Read the message below."),
    "soon": Entry("Nothing is known that keeps the pod waiting", "Wait a minute and ask again."),
    # It is as it should be.
    "running": Entry("The pod runs and has its slice", "Nothing."),
    "served": Entry("The pod would be admitted, and a node has room for it", "Nothing: create it."),
    "needs-none": Entry("The pod asks for no GPU, and others of its file have the annotation", "Nothing."),
    "launchable": Entry("The pod would be admitted, and Karpenter may launch a node for it", "Nothing: create it."),
}
RANK = {name: number for number, name in enumerate(CAUSES)}
FINE = frozenset({"succeeded", "running", "served", "needs-none", "launchable"})
"""Those with which nothing is wrong."""
WAITS = frozenset({"launching", "starting", "preempting", "soon"})
"""Those for which nobody has to do anything but wait."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason, as it was found."""

    id: str
    sentence: str
    """With its names and numbers, and a full stop."""
    quotes: tuple[str, ...] = ()
    """What a program said, in its own words."""
    instead: str = ""
    """What to do, where that can be said better than for all of its kind."""

    @property
    def cure(self) -> str:
        """What to do."""
        return self.instead or CAUSES[self.id].cure

    @property
    def anchor(self) -> str:
        """Where a paragraph about it stands."""
        return f"{PAGE}#{self.id}"

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return self.id in FINE

    @property
    def waits(self) -> bool:
        """Whether nothing is wrong, but it is not done yet."""
        return self.id in WAITS


def ranked(causes: Iterable[Cause]) -> list[Cause]:
    """*causes* without repetition, the one to tell first at the front; equal ones stay in their order."""
    return sorted(dict.fromkeys(causes), key=lambda cause: RANK[cause.id])
