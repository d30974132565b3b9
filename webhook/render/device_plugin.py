"""NVIDIA's device plugin, which tells the kubelet what slices a node has: one DaemonSet for each configuration.

There are several DaemonSets, because a plugin that chooses among configurations needs a sidecar with access to the API.
They are generated, because the plugin ignores unknown fields in its configuration and then advertises whole GPUs.
Source: NVIDIA/k8s-device-plugin v0.20.0 ``deployments/helm/nvidia-device-plugin/templates``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write as write_yaml
from webhook.fleet.file import DevicePlugin
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, Pool
from webhook.render.manifest import Commented, KeyPath, Manifest, labels, made_by_karpenter, on_nodes_of

NAMESPACE = "kube-system"
"""The plugin's pods mount folders of the node and are partly privileged, which our own namespace does not allow.
Their priority class, system-node-critical, may be limited to this namespace by a ResourceQuota."""

MPS_ROOT = "/run/nvidia/mps"
CONFIG = "config.yaml"


def device_plugins(fleet: Fleet) -> Iterator[Commented]:
    """For each configuration that the fleet needs: a ConfigMap, and a DaemonSet on the nodes of its pools."""
    for name, pools in configurations(fleet).items():
        config = {CONFIG: write_yaml(configuration(pools[0]))}
        yield Commented(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name), "data": config},
            {(): f"Device plugin on the nodes of {_names(pools)}."},
        )
        yield Commented(_daemon_set(name, pools, fleet.file.device_plugin), _notes(pools))
        if pools[0].entry.partition.mps is not None:
            yield Commented(
                _mps_daemon(name, pools, fleet.file.device_plugin),
                {
                    (): "Without this daemon the plugin runs but registers nothing.",
                    ("spec", "updateStrategy"): (
                        "A daemon that ends takes the processes of all pods that share its GPUs with it.\n"
                        "So a new one starts when somebody deletes the old one, or with the next node."
                    ),
                },
            )


def privileged(fleet: Fleet) -> list[str]:
    """The names of the DaemonSets that have a privileged container."""
    return [
        each.manifest["metadata"]["name"]
        for each in device_plugins(fleet)
        if each.manifest["kind"] == "DaemonSet"
        and any(
            container.get("securityContext", {}).get("privileged")
            for container in each.manifest["spec"]["template"]["spec"]["containers"]
        )
    ]


def configurations(fleet: Fleet) -> dict[str, list[Pool]]:
    """Pools by the name of the configuration that their nodes' device plugin needs.

    Pools with existing nodes are left out, because a plugin already runs on those nodes.  So is Bottlerocket, which has
    its own plugin, and what the GPU Operator cuts.
    """
    result: dict[str, list[Pool]] = {}
    for pool in made_by_karpenter(fleet.pools):
        if not pool.entry.bottlerocket and not pool.entry.by_operator:
            result.setdefault(_name(pool), []).append(pool)
    return result


def configuration(pool: Pool) -> Manifest:
    """The plugin's configuration file, ``api/config/v1``."""
    partition = pool.entry.partition
    if partition.mig is not None:
        return {"version": "v1", "flags": {"migStrategy": pool.entry.strategy}}
    kind, shared = ("timeSlicing", partition.time_slicing) if partition.time_slicing else ("mps", partition.mps)
    assert shared is not None
    sharing: Manifest = {"renameByDefault": True, "resources": [{"name": WHOLE_GPU, "replicas": shared.replicas}]}
    if kind == "timeSlicing":  # always true for MPS
        sharing = {"failRequestsGreaterThanOne": True} | sharing
    return {"version": "v1", "flags": {"migStrategy": "none"}, "sharing": {kind: sharing}}


def environment(pool: Pool) -> dict[str, str]:
    """The plugin's environment on the nodes of *pool*."""
    variables = {"CONFIG_FILE": f"/config/{CONFIG}", "NVIDIA_VISIBLE_DEVICES": "all"}
    variables |= {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility", "SHARED_DEVICES_ALLOCATION_POLICY": allocation(pool)}
    if pool.entry.partition.mig is not None:
        variables |= {"MIG_STRATEGY": pool.entry.strategy, "NVIDIA_MIG_MONITOR_DEVICES": "all"}
    if pool.entry.partition.mps is not None:
        variables |= {"MPS_ROOT": MPS_ROOT}
    return variables


def allocation(pool: Pool) -> str:
    """Which GPU the plugin takes next, in its own words."""
    return pool.entry.allocation or _usual_allocation(pool)


def _usual_allocation(pool: Pool) -> str:
    return "packed" if pool.entry.partition.mig is not None else "distributed"


def _name(pool: Pool) -> str:
    partition = pool.entry.partition
    kind: str
    if partition.mig is not None:
        kind = pool.entry.strategy
    elif partition.time_slicing is not None:
        kind = f"time-slicing-{partition.time_slicing.replicas}"
    else:
        kind = f"mps-{partition.mps.replicas if partition.mps else 0}"
    differs = f"-{allocation(pool)}" if allocation(pool) != _usual_allocation(pool) else ""
    return f"gpu-slice-device-plugin-{kind}{differs}"


def _names(pools: list[Pool]) -> str:
    return ", ".join(pool.name for pool in pools)


def _metadata(name: str) -> Manifest:
    return {"name": name, "namespace": NAMESPACE, "labels": labels("device-plugin")}


def _daemon_set(name: str, pools: list[Pool], plugin: DevicePlugin) -> Manifest:
    mig, mps = (pools[0].entry.partition.mig is not None, pools[0].entry.partition.mps is not None)
    container: Manifest = {
        "name": "nvidia-device-plugin",
        "image": plugin.image,
        "command": ["nvidia-device-plugin"],
        "env": [{"name": key, "value": value} for key, value in environment(pools[0]).items()],
        "securityContext": (
            {"privileged": True} if mig else {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        ),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/config", "readOnly": True},
            {"name": "kubelet-device-plugins", "mountPath": "/var/lib/kubelet/device-plugins"},
        ],
    }
    volumes: list[Manifest] = [
        {"name": "config", "configMap": {"name": name}},
        {
            "name": "kubelet-device-plugins",
            "hostPath": {"path": "/var/lib/kubelet/device-plugins", "type": "Directory"},
        },
    ]
    if mps:
        container["volumeMounts"] += _MPS_MOUNTS
        volumes += _MPS_VOLUMES
    return _workload(name, pools, plugin, {"containers": [container], "volumes": volumes})


def _mps_daemon(name: str, pools: list[Pool], plugin: DevicePlugin) -> Manifest:
    daemon = f"{name}-daemon"
    privileged = {"securityContext": {"privileged": True}}
    variables = {"CONFIG_FILE": f"/config/{CONFIG}", "NVIDIA_VISIBLE_DEVICES": "all"}
    variables["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
    spec: Manifest = {
        "hostPID": True,
        "initContainers": [
            {
                "name": "mps-mounts",
                "image": plugin.image,
                "command": ["mps-control-daemon", "mount-shm"],
                **privileged,
                "volumeMounts": [{"name": "mps-root", "mountPath": "/mps", "mountPropagation": "Bidirectional"}],
            }
        ],
        "containers": [
            {
                "name": "mps-control-daemon",
                "image": plugin.image,
                "command": ["mps-control-daemon"],
                "env": [
                    {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    *({"name": key, "value": value} for key, value in variables.items()),
                ],
                **privileged,
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                "volumeMounts": [{"name": "config", "mountPath": "/config", "readOnly": True}, *_MPS_MOUNTS],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": name}}, *_MPS_VOLUMES],
    }
    return _workload(daemon, pools, plugin, spec, update="OnDelete")


_MPS_MOUNTS: list[Manifest] = [{"name": "mps-shm", "mountPath": "/dev/shm"}, {"name": "mps-root", "mountPath": "/mps"}]  # noqa: S108
_MPS_VOLUMES: list[Manifest] = [
    {"name": "mps-root", "hostPath": {"path": MPS_ROOT, "type": "DirectoryOrCreate"}},
    {"name": "mps-shm", "hostPath": {"path": f"{MPS_ROOT}/shm"}},
]


def _workload(
    name: str, pools: list[Pool], plugin: DevicePlugin, spec: Manifest, update: str = "RollingUpdate"
) -> Manifest:
    selected = {"app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/instance": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _metadata(name),
        "spec": {
            "selector": {"matchLabels": selected},
            "updateStrategy": {"type": update},
            "template": {
                "metadata": {"labels": selected | labels("device-plugin")},
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    **on_nodes_of(pools),
                    **(
                        {"imagePullSecrets": [{"name": name} for name in plugin.pull_secrets]}
                        if plugin.pull_secrets
                        else {}
                    ),
                    **spec,
                },
            },
        },
    }


def _notes(pools: list[Pool]) -> dict[KeyPath, str]:
    spec = ("spec", "template", "spec")
    notes: dict[KeyPath, str] = {
        (*spec, "automountServiceAccountToken"): "The plugin talks only to the kubelet.",
        (*spec, "affinity"): "Only the nodes of these pools.  Two plugins on one node would count its GPUs twice.",
    }
    if pools[0].entry.partition.mig is not None:
        container = (*spec, "containers", 0)
        notes[*container, "securityContext"] = PRIVILEGED
    return notes


PRIVILEGED = """\
MIG's monitor device is needed to read the slices.  The NVIDIA container toolkit 1.19 of today's EKS images gives it to
privileged containers alone.  From 1.20.1 on, dropping all capabilities but SYS_ADMIN is enough."""
"""Why a container that reads MIG devices is privileged.  Source: nvidia-container-toolkit issue 1740."""
