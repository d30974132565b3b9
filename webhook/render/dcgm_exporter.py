"""Values for the Helm chart of NVIDIA's dcgm-exporter, which tells Prometheus how busy each slice is, and whose it is.

Source: NVIDIA/dcgm-exporter 4.8.2 ``deployment/values.yaml``, ``pkg/cmd/app.go``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import SHARED_GPU
from webhook.render.manifest import Commented, Manifest, Path, on_nodes_of

CHART = "4.8.2"
COUNTERS = "/etc/dcgm-exporter/default-counters.csv"

_HEAD = f"""\
The chart dcgm-exporter, {CHART} or later.  Each metric carries GPU_I_PROFILE and GPU_I_ID of its slice, and the pod,
namespace and container that have it.  Of a slice DCGM_FI_DEV_GPU_UTIL says nothing; this does:
  avg by (namespace, pod, GPU_I_PROFILE) (DCGM_FI_PROF_GR_ENGINE_ACTIVE)"""


def values(fleet: Fleet) -> Iterator[Commented]:
    """The values of one release for all pools."""
    content: Manifest = {
        "arguments": ["-f", COUNTERS, "-d", "f"],
        **on_nodes_of(fleet.pools),
        "serviceMonitor": {"honorLabels": True},
    }
    notes: dict[Path, str] = {
        (): _HEAD,
        ("arguments",): "-d f: of a GPU that is cut its slices, of another the whole.",
        ("serviceMonitor",): "Else pod is the exporter's own, and the pod with the slice exported_pod.",
        ("affinity",): "Nodes of the fleet; the default is every node, with a GPU or without.",
    }
    extra = []
    if any(pool.entry.partition.mig for pool in fleet.pools):
        extra.append({"name": "NVIDIA_MIG_MONITOR_DEVICES", "value": "all"})
    if any(offer.resource == SHARED_GPU for _, offer in fleet.offers):
        extra += [
            {"name": "NVIDIA_RESOURCE_NAMES", "value": SHARED_GPU},
            {"name": "KUBERNETES_VIRTUAL_GPUS", "value": "true"},
        ]
    content["extraEnv"] = extra
    for index, each in enumerate(extra):
        notes["extraEnv", index] = _WHY[each["name"]]
    return iter([Commented(content, notes)])


_WHY = {
    "NVIDIA_MIG_MONITOR_DEVICES": (
        "The slices of others are shown to whoever has this and SYS_ADMIN, which the chart gives.\n"
        "Not verified on hardware; harmless on nodes whose GPUs are whole."
    ),
    "NVIDIA_RESOURCE_NAMES": "Without it a pod with a share of a GPU is in no metric.",
    "KUBERNETES_VIRTUAL_GPUS": "One GPU has several pods: each of its metrics is there once for each of them.",
}
