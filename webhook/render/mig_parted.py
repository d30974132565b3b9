"""The pools' layouts for NVIDIA's GPU Operator, whose MIG manager then cuts the GPUs.

Source of the format: NVIDIA/mig-parted ``api/spec/v1/spec.go``, ``deployments/systemd/config-default.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write as write_yaml
from webhook.fleet.check_nodes import DISABLED
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.manifest import Commented, Manifest, labels

NAME = "gpu-slice-mig-parted"
NAMESPACE = "gpu-operator"
CONFIG = "config.yaml"
"""The key that the operator reads."""

_HEAD = """\
For the GPU Operator: migManager.config.name: {name}, mig.strategy: {strategies}.
A node's label nvidia.com/mig.config selects its layout: the name of the pool.  NodePools of pools with
'partitionedBy: gpu-operator' have it.  Label existing nodes yourself.
On AL2023, nodes have stayed NotReady after the MIG manager restarted the kubelet (NVIDIA/gpu-operator issue 2415)."""


def mig_configs(fleet: Fleet) -> Iterator[Commented]:
    """One ConfigMap with a configuration for each pool with MIG, by the pool's name."""
    pools = [pool for pool in fleet.pools if pool.entry.partition.mig and not pool.entry.bottlerocket]
    if not pools:
        return
    disabled: Manifest = {DISABLED: [{"devices": "all", "mig-enabled": False}]}
    config = {"version": "v1", "mig-configs": disabled | {pool.name: [_devices(pool)] for pool in pools}}
    strategies = " or ".join(dict.fromkeys(pool.entry.strategy for pool in pools))
    if " or " in strategies:
        strategies += ", but the operator has one strategy for the whole cluster, and this fleet has pools of both"
    yield Commented(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels("mig-parted")},
            "data": {CONFIG: write_yaml(config)},
        },
        {(): _HEAD.format(name=NAME, strategies=strategies)},
    )


def _devices(pool: Pool) -> Manifest:
    return {
        "devices": "all",
        "mig-enabled": True,
        "mig-devices": {str(offer): offer.per_gpu for offer in pool.offers},
    }
