"""Pools of ours that Karpenter launches, read back from what `gpu-slice render` made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webhook.cluster.nodes import INSTANCE_TYPE
from webhook.cluster.objects import NODE_CLASSES, NODE_OVERLAYS, NODE_POOLS, Document
from webhook.cluster.requests import quantity
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.labels import NODE_POOL, OPERATOR, ZONE
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.render.manifest import labels

_BUDGETS = [{"nodes": "10%"}]
"""What the API server writes into a NodePool that gives none.  Source: Karpenter's CRD."""

OURS = labels("karpenter")
_BOUGHT = "karpenter.sh/capacity-type"


def made(snapshot: Snapshot) -> dict[str, Document]:
    """The NodePools that `gpu-slice render` made, by name."""
    found = {}
    for pool in snapshot.items(NODE_POOLS):
        metadata = pool["metadata"]
        if OURS.items() <= (metadata.get("labels") or {}).items():
            found[str(metadata["name"])] = pool
    return found


def order(snapshot: Snapshot) -> dict[str, int]:
    """Where the pools of NodePools stand in the fleet: the weights of their NodeOverlays are in its order."""
    found: dict[str, int] = {}
    for overlay in snapshot.items(NODE_OVERLAYS):
        if OURS.items() <= (overlay["metadata"].get("labels") or {}).items():
            spec = overlay["spec"]
            names = [
                name for each in spec["requirements"] if each["key"] == NODE_POOL for name in each.get("values") or ()
            ]
            found |= {name: min(spec["weight"], found.get(name, spec["weight"])) for name in names}
    return found


def fields_of(pool: Document, snapshot: Snapshot, cluster: str, existing: Document) -> Document:
    """The entry of a pool that Karpenter launches, as far as its NodePool and EC2NodeClass tell.

    *existing* is the entry if its nodes merely stood there.
    """
    spec, template = pool["spec"], pool["spec"]["template"]
    node, own = template["spec"], template["metadata"]["labels"]
    required = {each["key"]: each.get("values", []) for each in node.get("requirements", ())}
    disruption = spec.get("disruption") or {}
    selecting = existing.get("labels", {WHOLE_GPU: ""})
    more = {key: value for key, value in own.items() if key not in (POOL_LABEL, *OPERATOR, *selecting)}
    fields = {
        "instanceTypes": required.get(INSTANCE_TYPE),
        "zones": required.get(ZONE),
        "partitionedBy": "gpu-operator" if OPERATOR[0] in own else None,
        "nodeLabels": more,
        "startupTaints": node.get("startupTaints"),
        "capacityTypes": required.get(_BOUGHT),
        "emptyFor": disruption.get("consolidateAfter"),
        "consolidation": disruption.get("consolidationPolicy"),
        "budgets": disruption.get("budgets") if disruption.get("budgets") != _BUDGETS else None,
        "expireAfter": node.get("expireAfter"),
        "terminationGracePeriod": node.get("terminationGracePeriod"),
        "limit": _limit(spec.get("limits") or {}),
        "weight": spec.get("weight"),
    }
    node_class = snapshot.named(NODE_CLASSES, str((node.get("nodeClassRef") or {}).get("name", "")))
    if node_class is not None:
        fields |= _of_class(node_class["spec"], cluster)
    stays = {key: value for key, value in existing.items() if key not in ("nodes", "nodePools")}
    return stays | {key: value for key, value in fields.items() if value}


def _limit(limits: Mapping[str, Any]) -> dict[str, int]:
    if "nodes" in limits:
        return {"nodes": int(quantity(str(limits["nodes"])))}
    slices = [int(quantity(str(amount))) for resource, amount in limits.items() if resource.startswith("nvidia.com/")]
    return {"slices": sum(slices)} if slices else {}


def _of_class(spec: Mapping[str, Any], cluster: str) -> dict[str, Any]:
    images = spec.get("amiSelectorTerms") or [{}]
    sizes = [(disk.get("ebs") or {}).get("volumeSize") for disk in spec.get("blockDeviceMappings") or ()]
    default = [{"tags": {"karpenter.sh/discovery": cluster}}]
    role, subnets, groups = (spec.get(name) for name in ("role", "subnetSelectorTerms", "securityGroupSelectorTerms"))
    return {
        "ami": images[0].get("alias", images),
        "nodeRole": role if role != f"KarpenterNodeRole-{cluster}" else None,
        "disk": next(filter(None, sizes), None),
        "tags": spec.get("tags"),
        "capacityReservations": spec.get("capacityReservationSelectorTerms"),
        "subnets": subnets if subnets != default else None,
        "securityGroups": groups if groups != default else None,
    }
