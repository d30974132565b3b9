"""Karpenter's EC2NodeClasses: the image, the network, the disk, and what a node does when it boots.

Source of the fields: karpenter-provider-aws v1.15.0 ``pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.boot import BootFiles, user_data
from webhook.render.manifest import Commented, KeyPath, Manifest, labels, made_by_karpenter


def node_classes(fleet: Fleet, files: BootFiles) -> Iterator[Commented]:
    """One for each pool whose nodes Karpenter launches."""
    for pool in made_by_karpenter(fleet.pools):
        yield Commented(_node_class(fleet, pool, files), _notes(pool))


def _node_class(fleet: Fleet, pool: Pool, files: BootFiles) -> Manifest:
    entry = pool.entry
    selector_terms = [{"tags": {"karpenter.sh/discovery": fleet.cluster}}]
    reservations = [reservation.model_dump(exclude_none=True) for reservation in entry.capacity_reservations]
    data = user_data(pool, files)
    return {
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": {"name": pool.name, "labels": labels("karpenter")},
        "spec": {
            "amiSelectorTerms": [{"alias": entry.ami}],
            "role": entry.node_role or f"KarpenterNodeRole-{fleet.cluster}",
            "subnetSelectorTerms": selector_terms,
            "securityGroupSelectorTerms": [dict(term) for term in selector_terms],
            **({"capacityReservationSelectorTerms": reservations} if reservations else {}),
            "instanceStorePolicy": "RAID0",
            "blockDeviceMappings": [
                {
                    "deviceName": _data_device(entry.ami),
                    "ebs": {
                        "volumeSize": entry.disk,
                        "volumeType": "gp3",
                        "encrypted": True,
                        "deleteOnTermination": True,
                    },
                }
            ],
            **({"userData": data} if data is not None else {}),
        },
    }


def _data_device(ami: str) -> str:
    """The disk that holds images and containers.  Bottlerocket keeps its system on another disk."""
    return "/dev/xvdb" if ami.startswith("bottlerocket") else "/dev/xvda"


def _notes(pool: Pool) -> dict[KeyPath, str]:
    notes: dict[KeyPath, str] = {
        (
            "spec",
            "amiSelectorTerms",
        ): "Karpenter uses the image of this family with NVIDIA's driver, because the instance types have GPUs.",
        ("spec", "instanceStorePolicy"): "If the type has local NVMe disks, images and containers are stored there.",
    }
    if pool.entry.ami.startswith("bottlerocket"):
        notes["spec", "userData"] = (
            "Bottlerocket has NVIDIA's device plugin built in, and cuts the GPUs itself at boot."
        )
    elif pool.entry.partition.mig is not None:
        notes["spec", "userData"] = (
            "Cuts the GPUs before the kubelet starts.  If a node does not join, its console says why:\n"
            "aws ec2 get-console-output --latest --instance-id ID"
        )
    return notes
