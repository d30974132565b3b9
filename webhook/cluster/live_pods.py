"""The pods of a cluster, with the fields on which a plan depends."""

from __future__ import annotations

from webhook.admission.pod import EMPTY_SPEC, Metadata, Pod, Spec, View
from webhook.cluster.objects import Kind, PodStatus
from webhook.fit.demand import key_of


class LiveMetadata(Metadata, frozen=True):
    """Metadata of a pod of a cluster."""

    name: str = ""
    namespace: str = ""


class LivePod(View, frozen=True):
    """A pod of a cluster, with the fields on which a plan depends."""

    metadata: LiveMetadata
    spec: Spec = EMPTY_SPEC
    status: PodStatus = PodStatus()

    @property
    def key(self) -> bytes:
        """See `key_of`."""
        return key_of(Pod(self.metadata, self.spec), self.metadata.namespace)


LIVE_PODS = Kind("Pod", "pods", "v1", LivePod, namespaced=True)
