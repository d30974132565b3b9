"""Values for the Helm chart of NVIDIA's GPU Operator, where it cuts the GPUs of pools and serves their slices.

Source: NVIDIA/gpu-operator v26.7 ``deployments/gpu-operator/values.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.check_nodes import DISABLED
from webhook.fleet.fleet import Fleet
from webhook.render import mig_parted
from webhook.render.manifest import Commented, KeyPath, Manifest, on_nodes_of

_HEAD = """\
For the chart gpu-operator, in the namespace gpu-operator.
Apply the ConfigMap of `gpu-slice render --fleet FILE --only mig-parted` first."""


def values(fleet: Fleet) -> Iterator[Commented]:
    """The values of its release; nothing if it cuts no pool."""
    pools = [pool for pool in fleet.pools if pool.entry.by_operator]
    if not pools:
        return
    tolerations = on_nodes_of(pools)["tolerations"]
    content: Manifest = {
        "driver": {"enabled": False},
        "toolkit": {"enabled": False},
        "mig": {"strategy": pools[0].entry.strategy},
        "migManager": {
            "config": {"name": mig_parted.NAME, "default": DISABLED},
            "env": [{"name": "WITH_REBOOT", "value": "true"}],
        },
        "daemonsets": {"tolerations": tolerations},
        "node-feature-discovery": {"worker": {"tolerations": tolerations}},
    }
    notes: dict[KeyPath, str] = {
        (): _HEAD,
        ("driver",): "EKS' images have the driver and the container toolkit.",
        ("migManager", "env", 0): "An A100 of a virtual machine changes its MIG mode only by a reboot.",
        ("daemonsets",): ("Without the pools' tolerations neither the MIG manager nor the plugin runs on their nodes."),
        ("node-feature-discovery",): "Its worker finds the GPUs.  Without its label the operator ignores the node.",
    }
    yield Commented(content, notes)
