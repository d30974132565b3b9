"""Karpenter's EC2NodeClasses: the image, the network, the disk, and what a node does when it boots.

Source of the fields: karpenter-provider-aws v1.15.0 ``pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from webhook.fleet.fleet import Fleet
from webhook.fleet.karpenter import data_device, merge
from webhook.fleet.pool import Pool
from webhook.render.boot import BootFiles, user_data
from webhook.render.manifest import Commented, KeyPath, Manifest, labels, made_by_karpenter


def node_classes(fleet: Fleet, files: BootFiles) -> Iterator[Commented]:
    """One for each pool whose nodes Karpenter launches."""
    for pool in made_by_karpenter(fleet.pools):
        manifest = _node_class(fleet, pool, files)
        # The fleet's `nodeClass` may have removed a field.
        notes = {path: note for path, note in _notes(pool).items() if path[1] in manifest["spec"]}
        yield Commented(manifest, notes)


def _node_class(fleet: Fleet, pool: Pool, files: BootFiles) -> Manifest:
    entry = pool.entry
    discovered = [{"tags": {"karpenter.sh/discovery": fleet.cluster}}]
    reservations = _terms(entry.capacity_reservations)
    spec: Manifest = {
        **({"amiFamily": "AL2023"} if isinstance(entry.ami, list) else {}),
        "amiSelectorTerms": _terms(entry.ami) if isinstance(entry.ami, list) else [{"alias": entry.ami}],
        **(
            {}
            if "instanceProfile" in entry.node_class
            else {"role": entry.node_role or f"KarpenterNodeRole-{fleet.cluster}"}
        ),
        "subnetSelectorTerms": _terms(entry.subnets) or discovered,
        "securityGroupSelectorTerms": _terms(entry.security_groups) or [dict(term) for term in discovered],
        **({"capacityReservationSelectorTerms": reservations} if reservations else {}),
        **({"tags": entry.tags} if entry.tags else {}),
        "instanceStorePolicy": "RAID0",
        "blockDeviceMappings": [
            {
                "deviceName": data_device(entry),
                "ebs": {"volumeSize": entry.disk, "volumeType": "gp3", "encrypted": True, "deleteOnTermination": True},
            }
        ],
    }
    merged: Manifest = merge(spec, {key: value for key, value in entry.node_class.items() if key != "userData"})
    data = user_data(pool, files)
    return {
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": {"name": pool.name, "labels": labels("karpenter")},
        "spec": merged | ({"userData": data} if data is not None else {}),
    }


def _terms(terms: Sequence[BaseModel] | None) -> list[Manifest]:
    return [term.model_dump(by_alias=True, exclude_none=True) for term in terms or ()]


def _notes(pool: Pool) -> dict[KeyPath, str]:
    notes: dict[KeyPath, str] = {
        (
            "spec",
            "amiSelectorTerms",
        ): "Images of your own, built on AL2023 with NVIDIA's driver."
        if isinstance(pool.entry.ami, list)
        else "Karpenter uses the image of this family with NVIDIA's driver, because the instance types have GPUs.",
        ("spec", "instanceStorePolicy"): "If the type has local NVMe disks, images and containers are stored there.",
    }
    if pool.entry.bottlerocket:
        notes["spec", "userData"] = (
            "Bottlerocket has NVIDIA's device plugin built in, and cuts the GPUs itself at boot."
        )
    elif pool.entry.partition.mig is not None and not pool.entry.by_operator:
        notes["spec", "userData"] = (
            "Cuts the GPUs before the kubelet starts.  If a node does not join, its console says why:\n"
            "aws ec2 get-console-output --latest --instance-id ID"
        )
    return notes
