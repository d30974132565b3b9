"""A cluster to test against: the control plane, its nodes, and the few verbs that tests need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError

from tests.cluster.control_plane import ControlPlane, Document, control_plane
from tests.cluster.kubelet import kubelet
from tests.cluster.nodes import Node
from tests.waiting import wait_for


class Cluster:
    """Documents go in and come out as the JSON that the API server speaks."""

    def __init__(self, plane: ControlPlane, api: ApiClient) -> None:
        self.plane = plane
        self.kubectl = plane.run
        self.client = DynamicClient(api, cache_file=str(plane.kubeconfig.with_name("discovery.json")))

    def _of(self, api_version: str, kind: str) -> Any:
        return self.client.resources.get(api_version=api_version, kind=kind)

    def create(self, document: Document, namespace: str | None = None, *, dry_run: bool = False) -> Document:
        """What the API server stored, or with *dry_run* what it would store.

        Raises `kubernetes.dynamic.exceptions.DynamicApiError`, whose `said` is what a user reads.
        """
        of = self._of(document["apiVersion"], document["kind"])
        namespace = namespace or document["metadata"].get("namespace")
        query = {"dry_run": "All"} if dry_run else {}
        return of.create(document, namespace=namespace, **query).to_dict()

    def get(self, kind: str, name: str, namespace: str | None = None, api_version: str = "v1") -> Document | None:
        """One object, or None."""
        try:
            return self._of(api_version, kind).get(name=name, namespace=namespace).to_dict()
        except NotFoundError:
            return None

    def list(self, kind: str, namespace: str | None = None, api_version: str = "v1", **query: str) -> list[Document]:
        """All objects of *kind*."""
        return self._of(api_version, kind).get(namespace=namespace, **query).to_dict()["items"]

    def replace(self, document: Document) -> Document:
        """Store *document* in place of the one that is there."""
        metadata = document["metadata"]
        of = self._of(document["apiVersion"], document["kind"])
        return of.replace(document, name=metadata["name"], namespace=metadata.get("namespace")).to_dict()

    def patch(self, kind: str, name: str, patch: Document, namespace: str | None = None, api: str = "v1") -> Document:
        """A merge patch."""
        return (
            self._of(api, kind)
            .patch(patch, name=name, namespace=namespace, content_type="application/merge-patch+json")
            .to_dict()
        )

    def delete(self, kind: str, name: str, namespace: str | None = None, api_version: str = "v1") -> None:
        """Delete at once, and with it what it owns.  What is not there is no error."""
        body = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        with suppress(NotFoundError):
            self._of(api_version, kind).delete(name=name, namespace=namespace, body=body)

    def patch_status(self, kind: str, name: str, patch: Document) -> None:
        """A merge patch of the status of something that has no namespace."""
        of = self._of("v1", kind).subresources["status"]
        of.patch(patch, name=name, content_type="application/merge-patch+json")

    def add_node(self, node: Node) -> None:
        """Make *node* stand there, ready."""
        self.create(node)
        self.patch_status("Node", node["metadata"]["name"], {"status": node["status"]})
        # Each new node gets the taint not-ready, which nobody here takes away.
        self.patch("Node", node["metadata"]["name"], {"spec": {"taints": node["spec"]["taints"] or None}})

    def scheduled(self, name: str, namespace: str) -> str:
        """The node to which a pod is bound; waits for it."""

        def node() -> str | None:
            pod = self.get("Pod", name, namespace)
            return pod and pod["spec"].get("nodeName")

        return wait_for(f"pod {name} is bound", node)

    def unschedulable(self, name: str, namespace: str) -> str:
        """Why the scheduler does not bind a pod; waits for its verdict."""

        def why() -> str | None:
            pod = self.get("Pod", name, namespace) or {}
            for each in pod.get("status", {}).get("conditions", ()):
                if (each["type"], each["status"]) == ("PodScheduled", "False"):
                    return each["message"]
            return None

        return wait_for(f"pod {name} is found unschedulable", why)

    def turned_away(self, pod: Document, namespace: str) -> str:
        """Create *pod*, and wait for why the scheduler does not bind it, because a node was closed just now.

        The scheduler may see the pod before it sees that.  Then the pod is bound, and created anew.
        """
        name = pod["metadata"]["name"]

        def verdict() -> str | None:
            found = self.get("Pod", name, namespace) or {}
            refused = (each.get("reason") == "Unschedulable" for each in found.get("status", {}).get("conditions", ()))
            return "bound" if found.get("spec", {}).get("nodeName") else "refused" if any(refused) else None

        def why() -> str | None:
            self.create(pod, namespace)
            if wait_for(f"pod {name} is bound or found unschedulable", verdict) == "refused":
                return self.unschedulable(name, namespace)
            self.delete("Pod", name, namespace)
            wait_for(f"pod {name} is gone", lambda: self.get("Pod", name, namespace) is None)
            return None

        return wait_for(f"pod {name} is not bound", why)


def said(error: Exception) -> str:
    """The message of an API server's refusal."""
    return json.loads(error.body)["message"]


@contextmanager
def cluster(
    folder: Path, plugins: Sequence[str] = (), admission: Document | None = None, **how: str
) -> Iterator[Cluster]:
    """A control plane (see there), and a kubelet for all its nodes."""
    with (
        control_plane(folder, plugins, admission, **how) as plane,
        config.new_client_from_config(str(plane.kubeconfig)) as api,
        kubelet(str(plane.kubeconfig)),
    ):
        yield Cluster(plane, api)
