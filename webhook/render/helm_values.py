"""Values for the Helm chart of NVIDIA's device plugin, as an alternative to our DaemonSets.

Source: NVIDIA/k8s-device-plugin v0.20.0 ``deployments/helm/nvidia-device-plugin``: ``values.yaml``, ``templates``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write as write_yaml
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.device_plugin import NAMESPACE, configuration, configurations
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
        yield Commented(_values(name, pools), _notes(pools[0], head))


def _values(name: str, pools: list[Pool]) -> Manifest:
    partition, nodes = pools[0].entry.partition, on_nodes_of(pools)
    values: Manifest = {"fullnameOverride": name, **nodes}
    if partition.mig is not None:
        return values | {"migStrategy": pools[0].entry.strategy}
    values["config"] = {"map": {ONLY: write_yaml(configuration(pools[0]))}, "default": ONLY}
    if partition.mps is not None:
        values |= {"gfd": {"enabled": True}, "nfd": {"worker": {"tolerations": nodes["tolerations"]}}}
    return values


def _notes(pool: Pool, head: str) -> dict[KeyPath, str]:
    notes: dict[KeyPath, str] = {
        (): head,
        ("affinity",): "Replaces the chart's own affinity, which needs labels of node-feature-discovery.",
    }
    if pool.entry.partition.mig is not None:
        notes["migStrategy",] = "The chart's default is none, which advertises every GPU as whole."
    else:
        notes["config",] = "With this the chart also runs a sidecar that reads the labels of nodes."
    if pool.entry.partition.mps is not None:
        notes["gfd",] = "Sets nvidia.com/mps.capable.  Without that label the chart's MPS daemon runs on no node."
    return notes
