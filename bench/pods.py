"""The pods that the benchmark sends, and their reviews."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster import programs

MARKER = "############"
"""What the load generator replaces by another number of the same length in each request."""

ANNOTATION = "gpu-slice"
PROFILE = "1g.5gb"

Pod = dict[str, Any]


def small() -> Pod:
    """A pod of a Deployment, of which no two that are sent are alike."""
    pod = of_deployment(variables=4)
    metadata = pod["metadata"]
    metadata["generateName"] = f"notebook-{MARKER}-"
    metadata["labels"]["pod-template-hash"] = MARKER
    metadata["annotations"] = {f"team.example/{MARKER}": MARKER, **metadata["annotations"]}
    metadata["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"notebook-{MARKER}",
            "uid": f"5f4c0f5e-7d0a-4b53-9f6e-{MARKER}",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    pod["spec"]["containers"][0]["env"][0]["value"] = MARKER
    return pod


def full() -> Pod:
    """The pod of k8s.io/api's test data, in which every field is filled; no two that are sent are alike.

    Raises `tests.cluster.programs.BuildError` where the module cannot be had.
    """
    path = programs.sources("caller", "k8s.io/api") / "testdata" / "HEAD" / "core.v1.Pod.json"
    pod: Pod = json.loads(path.read_bytes())
    metadata = pod["metadata"]
    metadata["name"] = f"name-{MARKER}"
    metadata["uid"] = f"0d1c7b0e-5a77-4d3b-8a3e-{MARKER}"
    metadata["labels"] = {"pod-template-hash": MARKER}
    metadata["annotations"] = {f"team.example/{MARKER}": MARKER, ANNOTATION: PROFILE}
    pod["spec"]["containers"][0]["env"][0]["value"] = MARKER
    return pod


def of_deployment(variables: int) -> Pod:
    """A pod as an API server sends it, defaults filled in; *variables* of its environment make it large."""
    container = {
        "name": "main",
        "image": "example/notebook:1",
        "command": ["python", "-m", "notebook"],
        "env": [{"name": f"SETTING_{index}", "value": "a value of some length"} for index in range(variables)],
        "resources": {"limits": {"memory": "8Gi"}, "requests": {"cpu": "500m", "memory": "2Gi"}},
        "volumeMounts": [
            {
                "name": "kube-api-access-7x2kd",
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    tolerations = [
        {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for state in ("not-ready", "unreachable")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "notebook-6c8d5b7f9-",
            "namespace": "team-a",
            "labels": {"app": "notebook", "pod-template-hash": "6c8d5b7f9"},
            "annotations": {ANNOTATION: PROFILE},
        },
        "spec": {
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": tolerations,
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
    }


def review_of(pod: Pod) -> bytes:
    """An AdmissionReview for the creation of *pod*."""
    request = {
        "uid": f"705ab4f5-6393-11e8-b7cc-{MARKER}",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "team-a",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
    }
    whole = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(whole, separators=(",", ":")).encode()


def same(body: bytes) -> bytes:
    """*body* with the same number in all requests."""
    return body.replace(MARKER.encode(), b"42010a800002")


def review(variables: int) -> bytes:
    """A review of a Deployment's pod with so many variables in its environment, always the same."""
    return same(review_of(of_deployment(variables)))
