"""The pools' layouts for those who run NVIDIA's GPU Operator, whose MIG manager cuts the GPUs then.

Source of the format: NVIDIA/mig-parted ``api/spec/v1/spec.go``, ``deployments/systemd/config-default.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.documents import write as write_yaml
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.manifest import Commented, Manifest, labels

NAME = "gpu-slice-mig-parted"
NAMESPACE = "gpu-operator"
CONFIG = "config.yaml"
"""The key that the operator reads."""
DISABLED = "all-disabled"
"""What the operator's ``migManager.config.default`` names, so it must be there."""

_HEAD = """\
For the GPU Operator: migManager.config.name: {name}, mig.strategy: {strategies}.
A node is cut as its label nvidia.com/mig.config says: the name of its pool.
For nodes that Karpenter makes, put that label under the NodePool's spec.template.metadata.labels.  Leave away the
userData of the EC2NodeClass, as of two that cut one GPU the second takes the slices of the first, and our device
plugin, as the operator brings one.
On AL2023 the restart of the kubelet by the MIG manager has left nodes NotReady (NVIDIA/gpu-operator issue 2415)."""


def mig_configs(fleet: Fleet) -> Iterator[Commented]:
    """One ConfigMap with a configuration for each pool that is cut, by the pool's name."""
    pools = [each for each in fleet.pools if each.entry.partition.mig and not each.entry.ami.startswith("bottlerocket")]
    if not pools:
        return
    disabled: Manifest = {DISABLED: [{"devices": "all", "mig-enabled": False}]}
    config = {"version": "v1", "mig-configs": disabled | {pool.name: [_devices(pool)] for pool in pools}}
    strategies = " or ".join(dict.fromkeys(pool.entry.strategy for pool in pools))
    if " or " in strategies:
        strategies += ", which is one for the whole cluster: this fleet has pools of both"
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
