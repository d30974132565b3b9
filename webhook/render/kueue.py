"""An example for Kueue: queues that share the fleet's slices, and a Job that waits in one.

Source: kubernetes-sigs/kueue ``apis/kueue/v1beta2`` and ``site/static/examples``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.render.manifest import Commented, Manifest, Path, labels
from webhook.slices.request import ANNOTATION

API_VERSION = "kueue.x-k8s.io/v1beta2"
NAME = "gpu-slice"
NAMESPACE = "default"
QUEUE = "kueue.x-k8s.io/queue-name"

_COUNTED = """\
Both, the annotation and the limit.  Kueue counts the template, long before a pod of it exists and the webhook
sees that: without the limit it would count nothing, and every Job would be let in at once.  The webhook finds the
limit there, keeps it, and adds the rest.  Where they disagree, the pod is refused."""


def queues(fleet: Fleet) -> Iterator[Commented]:
    """A flavor, a cluster's queue over all slices of the fleet, a namespace's queue, and a Job."""
    yield Commented(
        _kueue("ResourceFlavor", {"labels": labels("kueue")}, {}),
        {
            (): "An example for Kueue 0.15 or later.",
            ("spec",): "No nodeLabels: which pool a pod goes to is for the webhook and Karpenter to say.",
        },
    )
    yield Commented(_cluster_queue(fleet), _QUOTAS)
    yield Commented(
        _kueue("LocalQueue", {"namespace": NAMESPACE, "labels": labels("kueue")}, {"clusterQueue": NAME}),
        {("metadata", "namespace"): "One for each namespace that sends work."},
    )
    template = ("spec", "template")
    yield Commented(
        _job(fleet),
        {
            ("spec", "suspend"): "Kueue starts it when there is room.",
            (*template, "metadata", "annotations"): _COUNTED,
        },
    )


_GROUP: Path = ("spec", "resourceGroups", 0)
_QUOTAS: dict[Path, str] = {
    ("spec", "namespaceSelector"): "Every namespace that has a LocalQueue.",
    (*_GROUP, "coveredResources"): (
        "A Job that asks for something else waits for ever: add cpu and memory here, or name them in Kueue's own\n"
        "configuration, under resources.excludeResourcePrefixes."
    ),
    (*_GROUP, "flavors", 0, "resources"): "As many as one node of each pool has: an example.",
}


def _cluster_queue(fleet: Fleet) -> Manifest:
    slices: dict[str, int] = {}
    for pool in fleet.pools:
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
