"""Plays the kubelets: a pod that is bound runs, and one that is deleted goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import config, watch
from kubernetes.client import ApiException, CoreV1Api
from urllib3.exceptions import HTTPError

NOW = "2026-01-01T00:00:00Z"


@contextmanager
def kubelet(kubeconfig: str) -> Iterator[None]:
    """Until the end of the block, in a thread of its own."""
    stopping = threading.Event()
    thread = threading.Thread(target=_follow, args=(kubeconfig, stopping), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(timeout=5)


def _follow(kubeconfig: str, stopping: threading.Event) -> None:
    with config.new_client_from_config(kubeconfig) as api:
        core = CoreV1Api(api)
        while not stopping.is_set():
            try:
                # A watch that ends after a second sees the end of the block soon, and begins with all pods anew.
                for event in watch.Watch().stream(core.list_pod_for_all_namespaces, timeout_seconds=1):
                    if event["type"] != "DELETED":
                        _step(core, event["raw_object"])
            except (ApiException, HTTPError):
                stopping.wait(0.2)


def _step(core: CoreV1Api, pod: dict[str, Any]) -> None:
    metadata = pod["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    if not pod["spec"].get("nodeName"):
        return
    try:
        if "deletionTimestamp" in metadata:
            core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
        elif pod.get("status", {}).get("phase") == "Pending":
            core.patch_namespaced_pod_status(name, namespace, {"status": _running(pod)})
    except ApiException as error:
        if error.status not in (404, 409):  # gone, or changed meanwhile: then there is another event
            raise


def _running(pod: dict[str, Any]) -> dict[str, Any]:
    containers = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": NOW}},
        }
        for each in pod["spec"]["containers"]
    ]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": NOW}  # long ago: available at once
        for kind in ("Initialized", "ContainersReady", "Ready")
    ]
    return {"phase": "Running", "startTime": NOW, "containerStatuses": containers, "conditions": conditions}
