"""What to write instead of a field that the fleet file does not have: most often one of Karpenter's own.

Source of Karpenter's names: v1.15 ``karpenter.sh_nodepools.yaml`` and ``karpenter.k8s.aws_ec2nodeclasses.yaml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from webhook.fleet.karpenter import OWN_NODE_CLASS, OWN_NODE_POOL
from webhook.slices.suggest import nearest

_THERE = "Write it in the pool's {}, as it stands in the {}"

_PLACES = (
    ("EC2NodeClass", "nodeClass", {
        **{name: f"Write '{own}'" for name, own in OWN_NODE_CLASS.items() if name != own},
        "amiFamily": "Write 'ami', as in 'al2023@v20260724'",
        "amiSelectorTerms": "Write 'ami', as in 'al2023@v20260724', or as in '[{id: ami-…}]'",
        "associatePublicIPAddress": "", "blockDeviceMappings": "",
        "connectionTracking": "", "context": "", "cpuOptions": "", "detailedMonitoring": "",
        "ebs": "Write 'disk', as in 'disk: 200Gi', or blockDeviceMappings in 'nodeClass'",
        **dict.fromkeys(
            ("encrypted", "iops", "kmsKeyID", "snapshotID", "throughput", "volumeType"),
            "Write it under blockDeviceMappings in the pool's 'nodeClass'",
        ),
        "instanceProfile": "", "instanceStorePolicy": "", "ipPrefixCount": "", "kubelet": "", "metadataOptions": "",
        "networkInterfaces": "", "placementGroupSelector": "",
        "userData": "", "volumeSize": "Write 'disk', as in 'disk: 200Gi'",
    }),
    ("NodePool", "nodePool", {
        "annotations": "Write it in the pool's 'nodePool', under template, metadata",
        **{name: f"Write '{own}'" for name, own in OWN_NODE_POOL["disruption"].items() if name != own},
        "disruption": "Write 'emptyFor', 'consolidation' and 'budgets'",
        "limits": "Write 'limit', as in 'limit: {nodes: 10}'",
        "nodeClassRef": OWN_NODE_POOL["template"]["spec"]["nodeClassRef"],
        "requirements": "Write 'instanceTypes', 'capacityTypes' and 'zones'",
        "template": "Write its labels, taints and expireAfter in the pool itself, and what else it has in 'nodePool'",
    }),
    ("Provisioner", "", {
        "ttlSecondsAfterEmpty": "Write 'emptyFor'",
        "ttlSecondsUntilExpired": "Write 'expireAfter'",
    }),
)  # fmt: skip

KARPENTER = {
    name: (f"is a field of Karpenter's {kind}, not of the fleet file", hint or _THERE.format(f"'{field}'", kind))
    for kind, field, hints in _PLACES
    for name, hint in hints.items()
}
"""What is said about each field of Karpenter that a pool does not have: the problem and the hint."""


def unknown_field(location: Sequence[int | str], root: type[BaseModel]) -> tuple[str, str]:
    """What is wrong with the field at *location* of a file that *root* describes, and what to write."""
    name, known, owners = str(location[-1]), _known(location, root), _owners(root)
    problem = "is not a known field"
    if name in KARPENTER:
        return KARPENTER[name]
    close = nearest(name, [*known, *KARPENTER], cutoff=0.8)
    if name in owners and close not in known:
        return problem, f"Write it {owners[name]}"
    if close in KARPENTER and close not in known:
        meant, hint = KARPENTER[close]
        return f"{problem}; '{close}' {meant}", hint
    suggestion = nearest(name, known)
    return problem, f"Write '{suggestion}'" if suggestion else f"The known fields are {', '.join(known)}"


def _known(location: Sequence[int | str], owner: type[BaseModel]) -> list[str]:
    """The fields of the object that contains *location*."""
    key_is_next = False
    for step in location[:-1]:
        if isinstance(step, int) or key_is_next:
            key_is_next = False
            continue
        field = next((info for info in owner.model_fields.values() if info.alias == step), None)
        inner = None if field is None else _model_in(field.annotation)
        if field is None or inner is None:
            break
        key_is_next = "dict[" in str(field.annotation)
        owner = inner
    return [field.alias or name for name, field in owner.model_fields.items()]


@cache
def _owners(model: type[BaseModel], path: str = "") -> dict[str, str]:
    """Where each field stands, apart from those of the catalogue.  Of several places it is the first."""
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    owners = dict.fromkeys(fields, f"in {path}" if path else "at the top of the file")
    for name, info in fields.items():
        inner = _model_in(info.annotation)
        if inner is not None and name != "catalogue":
            owners = _owners(inner, f"{path}.{name}" if path else "pools[]" if name == "pools" else name) | owners
    return owners


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds: directly, or in a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _model_in(argument))), None)
