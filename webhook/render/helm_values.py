"""Values for the Helm chart of NVIDIA's device plugin, as an alternative to our DaemonSets.

Source: NVIDIA/k8s-device-plugin v0.20.0 ``deployments/helm/nvidia-device-plugin``: ``values.yaml``, ``templates``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write as write_yaml
from webhook.fleet.file import DevicePlugin
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.device_plugin import NAMESPACE, PRIVILEGED, allocation, configuration, configurations
from webhook.render.manifest import Commented, KeyPath, Manifest, on_nodes_of

CHART = "0.20.0"
"""The chart and its application have the same version."""
ONLY = "default"
"""Name of the only configuration of a release."""

_HEAD = f"""\
For the chart nvidia-device-plugin, {CHART} or later, in {NAMESPACE}.
Use it instead of our own DaemonSets, not beside them."""


def helm_values(fleet: Fleet) -> Iterator[Commented]:
    """The values of one release for each configuration that the fleet needs."""
    needed = configurations(fleet)
    for number, (name, pools) in enumerate(needed.items(), 1):
        head = f"{_HEAD}\nFor the nodes of {', '.join(pool.name for pool in pools)}."
        if len(needed) > 1:
            head += f"\nRelease {number} of {len(needed)}, with a file of its own: a release has one configuration."
        yield Commented(_values(name, pools, fleet.file.device_plugin), _notes(pools[0], head))


def _values(name: str, pools: list[Pool], plugin: DevicePlugin) -> Manifest:
    partition, nodes = pools[0].entry.partition, on_nodes_of(pools)
    values: Manifest = {"fullnameOverride": name, **nodes}
    if plugin.model_fields_set:
        repository, tag = image_parts(plugin.image)
        values["image"] = {"repository": repository, "tag": tag}
        values["imagePullSecrets"] = [{"name": name} for name in plugin.pull_secrets]
    config = configuration(pools[0])
    config["flags"]["plugin"] = {"sharedDevicesAllocationPolicy": allocation(pools[0])}
    values["config"] = {"map": {ONLY: write_yaml(config)}, "default": ONLY}
    if partition.mig is not None:
        values |= {"migStrategy": pools[0].entry.strategy, "securityContext": {"privileged": True}}
    if partition.mps is not None:
        values |= {"gfd": {"enabled": True}, "nfd": {"worker": {"tolerations": nodes["tolerations"]}}}
    return values


def image_parts(image: str) -> tuple[str, str]:
    """The chart's ``image.repository`` and ``image.tag``, which it joins with a colon."""
    name, at, digest = image.partition("@sha256:")
    repository, colon, tag = name.rpartition(":")
    if "/" in tag or not colon:  # the colon is that of a port
        repository, tag = name, ""
    return (f"{repository}@sha256", digest) if at else (repository, tag)


def _notes(pool: Pool, head: str) -> dict[KeyPath, str]:
    notes: dict[KeyPath, str] = {
        (): head,
        ("config",): (
            "No value of the chart says which GPU is taken next, so it is said here.\n"
            "With a configuration the chart also runs a sidecar that reads the labels of nodes."
        ),
        ("affinity",): "Replaces the chart's own affinity, which needs labels of node-feature-discovery.",
    }
    if pool.entry.partition.mig is not None:
        notes["migStrategy",] = "The chart's default is none, which advertises every GPU as whole."
        notes["securityContext",] = PRIVILEGED
    if pool.entry.partition.mps is not None:
        notes["gfd",] = "Sets nvidia.com/mps.capable.  Without that label the chart's MPS daemon runs on no node."
    return notes
