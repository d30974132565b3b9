"""An example for Kueue: queues that share the fleet's slices, and a Job that waits in a queue.

Source: kubernetes-sigs/kueue ``apis/kueue/v1beta2`` and ``site/static/examples``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.render.manifest import Commented, KeyPath, Manifest, labels
from webhook.slices.request import ANNOTATION

API_VERSION = "kueue.x-k8s.io/v1beta2"
NAME = "gpu-slice"
NAMESPACE = "default"
QUEUE = "kueue.x-k8s.io/queue-name"

_COUNTED = """\
Write both, the annotation and the limit.  Kueue counts what the template asks for, before a pod exists and before the
webhook sees it.  Without the limit Kueue would count nothing and admit every Job at once.  The webhook keeps the limit
and adds the rest.  If the annotation and the limit disagree, the pod is denied."""


def queues(fleet: Fleet) -> Iterator[Commented]:
    """A ResourceFlavor, a ClusterQueue over all slices of the fleet, a LocalQueue and a Job; nothing without slices."""
    if not fleet.offers:
        return
    yield Commented(
        _kueue("ResourceFlavor", {"labels": labels("kueue")}, {}),
        {
            (): "An example for Kueue 0.15 or later.",
            ("spec",): "No nodeLabels: the webhook and Karpenter decide which pool a pod runs in.",
        },
    )
    yield Commented(_cluster_queue(fleet), _QUOTAS)
    yield Commented(
        _kueue("LocalQueue", {"namespace": NAMESPACE, "labels": labels("kueue")}, {"clusterQueue": NAME}),
        {("metadata", "namespace"): "Create one for each namespace that queues Jobs."},
    )
    template = ("spec", "template")
    yield Commented(
        _job(fleet),
        {
            ("spec", "suspend"): "Kueue starts the Job when the quota has room.",
            (*template, "metadata", "annotations"): _COUNTED,
        },
    )


_GROUP: KeyPath = ("spec", "resourceGroups", 0)
_QUOTAS: dict[KeyPath, str] = {
    ("spec", "namespaceSelector"): "Every namespace that has a LocalQueue.",
    (*_GROUP, "coveredResources"): (
        "A Job that asks for another resource waits for ever.  Add cpu and memory here, or list them in Kueue's own\n"
        "configuration, under resources.excludeResourcePrefixes."
    ),
    (*_GROUP, "flavors", 0, "resources"): "An example: the slices of one node of each pool.",
}


def _cluster_queue(fleet: Fleet) -> Manifest:
    slices: dict[str, int] = {}
    for pool in dict.fromkeys(pool for pool, _ in fleet.offers):
        for resource, number in pool.shapes[0].capacity.items():
            slices[resource] = slices.get(resource, 0) + number
    quotas = [{"name": resource, "nominalQuota": number} for resource, number in slices.items()]
    group = {"coveredResources": list(slices), "flavors": [{"name": NAME, "resources": quotas}]}
    return _kueue("ClusterQueue", {"labels": labels("kueue")}, {"namespaceSelector": {}, "resourceGroups": [group]})


def _job(fleet: Fleet) -> Manifest:
    policy, offers = fleet.policy(NAMESPACE), [offer for _, offer in fleet.offers]
    offer = next((offer for pool, offer in fleet.offers if policy.permits(pool, offer)), offers[0])
    container = {
        "name": "main",
        "image": "nvidia/cuda:12.8.0-base-ubuntu24.04",
        "command": ["nvidia-smi", "-L"],
        "resources": {"limits": {offer.resource: 1}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "queued-", "namespace": NAMESPACE, "labels": {QUEUE: NAME}},
        "spec": {
            "suspend": True,
            "template": {
                "metadata": {"annotations": {ANNOTATION: str(offer)}},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }


def _kueue(kind: str, metadata: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": NAME, **metadata}, "spec": spec}
