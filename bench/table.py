"""The decision that all servers share: what gpu-slice answers for one profile, and whether an answer has it."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonpatch

from bench.pods import ANNOTATION, PROFILE, Pod, of_deployment

Slice = dict[str, Any]
"""``resource``, ``count``, ``pools``, ``tolerations`` and ``nodeSelector``."""

Table = dict[str, Slice]
"""By profile."""


def of_gpu_slice() -> Table:
    """What `gpu-slice preview` makes of the small pod on the built-in fleet, as a table for the peers."""
    pod = of_deployment(variables=4)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(pod, file)
        file.flush()
        command = [sys.executable, "-m", "webhook", "preview", file.name, "-o", "patch"]
        patch = json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        )
    admitted = jsonpatch.apply_patch(pod, patch)
    annotations, spec = admitted["metadata"]["annotations"], admitted["spec"]
    resource, _, count = annotations["gpu-slice/assigned"].partition("=")[2].rpartition(":")
    given = {
        "resource": resource,
        "count": count,
        "pools": annotations["gpu-slice/pools"],
        "tolerations": [
            toleration for toleration in spec["tolerations"] if toleration not in pod["spec"]["tolerations"]
        ],
        "nodeSelector": spec["nodeSelector"],
    }
    table = {PROFILE: given}
    if decided(admitted) != decided(expected(pod, table)):
        raise SystemExit(f"gpu-slice does more to a pod than the peers can: {json.dumps(patch)}")
    return table


def expected(pod: Pod, table: Table) -> Pod:
    """*pod* as it is admitted."""
    pod = copy.deepcopy(pod)
    annotations, spec = pod["metadata"]["annotations"], pod["spec"]
    container, profile = spec["containers"][0], annotations[ANNOTATION]
    given = table[profile]
    annotations["gpu-slice/assigned"] = f"{profile} -> {container['name']}={given['resource']}:{given['count']}"
    annotations["gpu-slice/pools"] = given["pools"]
    for kind in ("limits", "requests"):
        container.setdefault("resources", {}).setdefault(kind, {})[given["resource"]] = given["count"]
    spec.setdefault("tolerations", []).extend(given["tolerations"])
    spec.setdefault("nodeSelector", {}).update(given["nodeSelector"])
    return pod


def decided(pod: Pod) -> list[Any]:
    """All of *pod* that a decision may change."""
    spec = pod["spec"]
    named = [pod["metadata"]["annotations"], spec["tolerations"], spec.get("nodeSelector"), spec.get("affinity")]
    return [*named, *(container.get("resources") for container in spec["containers"])]


def check(server: str, samples: Iterable[dict[str, str]], table: Table) -> None:
    """Decode what a server answered and end the run where it is not the decision of *table*."""
    for sample in samples:
        request, response = json.loads(sample["asked"])["request"], json.loads(sample["answered"])["response"]
        if not response["allowed"] or response["uid"] != request["uid"]:
            raise SystemExit(f"{server} answered {sample['answered']}")
        pod, patch = request["object"], json.loads(base64.b64decode(response["patch"]))
        if decided(jsonpatch.apply_patch(pod, patch)) != decided(expected(pod, table)):
            raise SystemExit(f"{server} answered with another patch: {json.dumps(patch)}")


def write(table: Table, path: Path) -> Path:
    """Write *table* for the peers."""
    path.write_text(json.dumps(table))
    return path
