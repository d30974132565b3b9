"""What a fleet's companions say of the nodes of one pool, read as a cluster would read them."""

from __future__ import annotations

from tests.device_plugin.node import Container
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL, Pool
from webhook.render.device_plugin import device_plugins
from webhook.render.manifest import Manifest
from webhook.render.node_overlay import node_overlays

PLUGIN = ["nvidia-device-plugin"]


def container(fleet: Fleet, pool: Pool) -> Container:
    """The device plugin's container on the nodes of *pool*, of which there must be one."""
    documents = [each.manifest for each in device_plugins(fleet)]
    pods = [each["spec"]["template"]["spec"] for each in documents if each["kind"] == "DaemonSet"]
    found = [
        (pod, each)
        for pod in pods
        for each in pod["containers"]
        if each["command"] == PLUGIN and pool.name in _pools(pod)
    ]
    ((pod, each),) = found
    mounted = {mount["name"]: mount["mountPath"] for mount in each["volumeMounts"]}
    config_maps = {each["metadata"]["name"]: each["data"] for each in documents if each["kind"] == "ConfigMap"}
    return Container(
        command=tuple(each["command"]),
        environment={variable["name"]: variable["value"] for variable in each["env"]},
        files={
            mounted[volume["name"]]: config_maps[volume["configMap"]["name"]]
            for volume in pod["volumes"]
            if "configMap" in volume
        },
        folders={
            volume["hostPath"]["path"]: mounted[volume["name"]] for volume in pod["volumes"] if "hostPath" in volume
        },
    )


def promised(fleet: Fleet, pool: Pool, instance_type: str) -> dict[str, int]:
    """What Karpenter is told that a node of *pool* will have."""
    (capacity,) = [
        each.manifest["spec"]["capacity"]
        for each in node_overlays(fleet)
        if _selects(each.manifest, pool.name, instance_type)
    ]
    return {resource: int(amount) for resource, amount in capacity.items() if amount != "0"}


def _pools(pod: Manifest) -> list[str]:
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    ((term,),) = [each["matchExpressions"] for each in required["nodeSelectorTerms"]]
    assert (term["key"], term["operator"]) == (POOL_LABEL, "In")
    return list(term["values"])


def _selects(overlay: Manifest, pool: str, instance_type: str) -> bool:
    wanted = {"karpenter.sh/nodepool": pool, "node.kubernetes.io/instance-type": instance_type}
    requirements = overlay["spec"]["requirements"]
    assert {(each["key"], each["operator"]) for each in requirements} == {(key, "In") for key in wanted}
    return all(wanted[each["key"]] in each["values"] for each in requirements)
