"""Values for the Helm chart of NVIDIA's dcgm-exporter: the usage of each slice, and its pod, for Prometheus.

Source: NVIDIA/dcgm-exporter 4.8.2 ``deployment/values.yaml``, ``pkg/cmd/app.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import SHARED_GPU
from webhook.render.device_plugin import PRIVILEGED
from webhook.render.manifest import Commented, KeyPath, Manifest, on_nodes_of

CHART = "4.8.2"
COUNTERS = "/etc/dcgm-exporter/default-counters.csv"

_HEAD = f"""\
For the chart dcgm-exporter, {CHART} or later.  Each metric carries GPU_I_PROFILE and GPU_I_ID of its slice, and the
pod, namespace and container that use it.  DCGM_FI_DEV_GPU_UTIL says nothing about a slice.  Use this instead:
  avg by (namespace, pod, GPU_I_PROFILE) (DCGM_FI_PROF_GR_ENGINE_ACTIVE)"""


def values(fleet: Fleet) -> Iterator[Commented]:
    """The values of one release for all pools."""
    content: Manifest = {
        "arguments": ["-f", COUNTERS, "-d", "f"],
        **on_nodes_of(fleet.pools),
        "serviceMonitor": {"honorLabels": True},
    }
    notes: dict[KeyPath, str] = {
        (): _HEAD,
        ("arguments",): "-d f: the slices of a GPU that is cut; otherwise the whole GPU.",
        ("serviceMonitor",): (
            "Without it the label pod is the exporter's own pod, and the pod with the slice is exported_pod."
        ),
        ("affinity",): "The nodes of the fleet.  The default is every node, with or without a GPU.",
    }
    extra = []
    if any(pool.entry.partition.mig for pool in fleet.pools):
        extra.append({"name": "NVIDIA_MIG_MONITOR_DEVICES", "value": "all"})
        content["securityContext"] = {"privileged": True}
        notes["securityContext",] = PRIVILEGED
    if any(offer.resource == SHARED_GPU for _, offer in (fleet.before or fleet).offers):
        extra += [
            {"name": "NVIDIA_RESOURCE_NAMES", "value": SHARED_GPU},
            {"name": "KUBERNETES_VIRTUAL_GPUS", "value": "true"},
        ]
    content["extraEnv"] = extra
    for index, variable in enumerate(extra):
        notes["extraEnv", index] = _WHY[variable["name"]]
    return iter([Commented(content, notes)])


_WHY = {
    "NVIDIA_MIG_MONITOR_DEVICES": (
        "With this the exporter sees the slices of other pods.\n"
        "Not verified on hardware.  It does no harm on nodes with whole GPUs."
    ),
    "NVIDIA_RESOURCE_NAMES": "Without it no metric names a pod that has a share of a GPU.",
    "KUBERNETES_VIRTUAL_GPUS": "Several pods share one GPU: each metric of the GPU appears once for each pod.",
}
