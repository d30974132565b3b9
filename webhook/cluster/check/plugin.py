"""Checks of the device plugin: ours is there as rendered, and no other program advertises the same GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook import documents
from webhook.cluster.check.comparison import differences
from webhook.cluster.check.facts import Facts
from webhook.cluster.check.install import version
from webhook.cluster.check.placement import would_run
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.cures import REPLACE, render
from webhook.cluster.objects import CLUSTER_POLICIES, CONFIG_MAPS, DAEMON_SETS, NODES, Document, Node
from webhook.errors import BadDocument
from webhook.fleet.pool import POOL_LABEL, Pool, Taint

OLDEST = (0, 20)
"""Older plugins count ``1g.5gb+me`` as ``1g.5gb``."""

NAMESPACE = "kube-system"
CONFIG = "config.yaml"
PLUGINS = (
    "k8s-device-plugin",
    "nvidia-k8s-device-plugin",
    "nvidia-device-plugin",
    "nvidia-gpu-device-plugin",
    "k8s-dra-driver-gpu",
)
"""Beginnings of the names of images: programs of NVIDIA that advertise GPUs."""
CUTTERS = ("k8s-mig-manager",)
"""Those that cut them."""
OTHER_USES = ("gpu-feature-discovery", "mps-control-daemon")
"""Commands of the same images that advertise nothing."""

PRESENT = {"nvidia.com/gpu.present": "true"}
"""What EKS' own images label every node with GPUs, from kubelet 1.35 on: the labels that stock plugins select."""

OPERATOR_OFF = ("nvidia.com/gpu.deploy.operands", "nvidia.com/gpu.deploy.device-plugin")
"""Node labels that, as ``false``, keep the GPU Operator's plugin away.  Its DaemonSets have no affinity."""
OPERATOR_TOLERATIONS = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
"""What its chart gives its DaemonSets by default."""


def container_of(daemon_set: Document) -> dict[str, Any]:
    """The container of the plugin: by its image, or the first."""
    containers: list[dict[str, Any]] = daemon_set["spec"]["template"]["spec"]["containers"]
    return next((each for each in containers if _is_plugin(each)), containers[0])


def _is_plugin(container: dict[str, Any], names: tuple[str, ...] = PLUGINS) -> bool:
    command = " ".join([*(container.get("command") or []), *(container.get("args") or [])])
    image = str(container.get("image", "")).rpartition("/")[2]
    return image.startswith(names) and not any(other in command for other in OTHER_USES)


def _live(facts: Facts) -> Iterator[tuple[Document, Document]]:
    """Each DaemonSet as rendered, with the one of the cluster."""
    for document in facts.made("DaemonSet"):
        name = document["metadata"]["name"]
        live = next((each for each in facts.all(DAEMON_SETS) if _is(each, NAMESPACE, name)), None)
        if live is not None:
            yield document, live


def _is(document: Document, namespace: str, name: str) -> bool:
    return (document["metadata"].get("namespace"), document["metadata"]["name"]) == (namespace, name)


def _present(facts: Facts) -> Iterator[Found]:
    found = {document["metadata"]["name"]: live for document, live in _live(facts)}
    for document in facts.made("DaemonSet"):
        name = document["metadata"]["name"]
        if name not in found:
            yield Problem(f"there is no DaemonSet {name} in namespace {NAMESPACE}")
            continue
        wanted, live = (_compared(each) for each in (document, found[name]))
        for different in differences(wanted, live, "spec.template.spec"):
            foreign = different.endswith(("gives nothing", "gives no such thing"))
            yield Problem(f"{name}: {different}", _REPLACE if foreign else "")


def _compared(daemon_set: Document) -> Document:
    """Its pods' spec, without what has a check of its own."""
    spec = daemon_set["spec"]["template"]["spec"]
    apart = ("image", "securityContext")
    containers = [{key: value for key, value in each.items() if key not in apart} for each in spec["containers"]]
    return {**spec, "containers": containers}


def _image(facts: Facts) -> Iterator[Found]:
    for document, live in _live(facts):
        name, wanted, image = (
            live["metadata"]["name"],
            container_of(document).get("image", ""),
            container_of(live).get("image", ""),
        )
        found = version(image.rpartition("/")[2].partition("@")[0].partition(":")[2])
        if found is not None and found < OLDEST:
            yield Problem(f"{name} runs {image}")
        elif image != wanted:
            yield Problem(f"{name} runs {image}, and the fleet gives {wanted}", warning=True)
        elif found is None:
            yield Note(f"{image}, whose version is not known")


def _privileged(facts: Facts) -> Iterator[Found]:
    for document, live in _live(facts):
        wanted, given = (container_of(each).get("securityContext") or {} for each in (document, live))
        if wanted.get("privileged") and not given.get("privileged"):
            yield Problem(f"{live['metadata']['name']} is not privileged, and then sees no MIG slices on EKS' images")
        elif given.get("privileged") and not wanted.get("privileged"):
            yield Problem(f"{live['metadata']['name']} is privileged and need not be", warning=True)


def _configured(facts: Facts) -> Iterator[Found]:
    for document in facts.made("ConfigMap"):
        name = document["metadata"]["name"]
        live = facts.one(CONFIG_MAPS, name, document["metadata"]["namespace"])
        if live is None:
            yield Problem(f"there is no ConfigMap {name} in namespace {document['metadata']['namespace']}")
            continue
        wanted, stored = (_read((each.get("data") or {}).get(CONFIG, "")) for each in (document, live))
        for different in differences(wanted, stored, CONFIG):
            yield Problem(f"{name}: {different}")


def _read(text: str) -> Any:
    try:
        return documents.read(text, name=CONFIG)[0].value
    except (BadDocument, LookupError):
        return {}


def _runs(facts: Facts) -> Iterator[Found]:
    nodes: tuple[Node, ...] = facts.snapshot.items(NODES)
    down = sum(node.status.ready.status != "True" for node in nodes)
    for _, live in _live(facts):
        name, status = live["metadata"]["name"], live.get("status") or {}
        wanted, ready = status.get("desiredNumberScheduled") or 0, status.get("numberAvailable") or 0
        if ready < wanted:
            # A node that is not ready has a check of its own.
            there = status.get("currentNumberScheduled", wanted)
            cure = f"No pod is created: kubectl -n {NAMESPACE} describe daemonset {name} says why." if not there else ""
            yield Problem(f"{name} runs on {ready} of {wanted} nodes", cure, warning=wanted - ready <= down)


def _alone(facts: Facts) -> Iterator[Found]:
    live: tuple[Node, ...] = facts.all(NODES)
    for pool in facts.fleet.pools:
        landing = [*_landing(facts, pool, live)]
        most = 0 if _has_ours(pool) else 1
        beside = " beside ours" if not most else ""
        if len(landing) > most:
            yield Problem(f"{' and '.join(landing)} would run on the nodes of {pool.name}{beside}")
        for name in _landing(facts, pool, live, trusted=False):
            namespace = name.partition("/")[0]
            yield Problem(f"{name} looks like one, and would run on the nodes of {pool.name}{beside}",
                          f"Ask who has rights in {namespace}.  A namespace of administrators: --trust {namespace}",
                          warning=True, namespace=namespace)  # fmt: skip


def _landing(facts: Facts, pool: Pool, live: tuple[Node, ...], *, trusted: bool = True) -> Iterator[str]:
    """The DaemonSets of others that advertise GPUs, or cut them, and would run on nodes of *pool*.

    Only in namespaces that are *trusted*, or only in others: there, what such a DaemonSet is, its image does not prove.
    """
    rendered = {document["metadata"]["name"] for document in facts.made("DaemonSet")}
    for daemon_set in facts.all(DAEMON_SETS):
        name, namespace = daemon_set["metadata"]["name"], daemon_set["metadata"].get("namespace")
        if (namespace in facts.snapshot.trusted) != trusted:
            continue
        spec = daemon_set["spec"]["template"]["spec"]
        # Who cuts the GPUs of nodes that others make is their own affair.
        known = (*PLUGINS, *CUTTERS) if _has_ours(pool) else PLUGINS
        if not any(_is_plugin(container, known) for container in spec["containers"]) or (
            namespace == NAMESPACE and name in rendered
        ):
            continue
        if any(would_run(spec, labels, taints) for labels, taints in _nodes(pool, live)):
            yield f"{namespace}/{name}"


def _has_ours(pool: Pool) -> bool:
    """Whether its nodes have a device plugin that we rendered, or Bottlerocket's own."""
    return pool.entry.nodes == "karpenter" and not pool.entry.by_operator


def _nodes(pool: Pool, live: tuple[Node, ...]) -> Iterator[tuple[Mapping[str, str], tuple[Taint, ...]]]:
    """Labels and taints of the nodes that *pool* has, and of those that it may have."""
    for shape in pool.shapes:
        yield PRESENT | {key: value for key, value in shape.labels.items() if value is not None}, pool.taints
    for node in live:
        if node.metadata.labels.get(POOL_LABEL) == pool.name:
            yield node.metadata.labels, tuple(Taint(taint.key, taint.value, taint.effect) for taint in node.spec.taints)


def _operator(facts: Facts) -> Iterator[Found]:
    live: tuple[Node, ...] = facts.all(NODES)
    for policy in facts.all(CLUSTER_POLICIES):
        spec, name = policy.get("spec") or {}, policy["metadata"]["name"]
        parts = ("devicePlugin", "migManager")
        if not any((spec.get(part) or {}).get("enabled", True) is not False for part in parts):
            continue
        tolerations = (spec.get("daemonsets") or {}).get("tolerations")
        runs = {"tolerations": OPERATOR_TOLERATIONS if tolerations is None else tolerations}
        for pool in facts.fleet.pools:
            # On existing nodes it may well be the one that cuts them, unless there is another plugin.
            others = [] if _has_ours(pool) else [each for each in _landing(facts, pool, live) if "operator" not in each]
            if (_has_ours(pool) or others) and any(
                all(labels.get(key) != "false" for key in OPERATOR_OFF) and would_run(runs, labels, taints)
                for labels, taints in _nodes(pool, live)
            ):
                beside = f" beside {others[0]}" if others else ""
                yield Problem(f"that of ClusterPolicy {name} would run on the nodes of {pool.name}{beside}")


_APPLY = f"Run {render('device-plugin')}."
_REPLACE = f"Run {render('device-plugin', REPLACE)}: apply leaves what was added."

CHECKS = (
    Check("plugin", "Device plugin", "the device plugin is as the fleet gives it", _APPLY, _present,
          after=("fleet",)),
    Check("plugin-config", "Device plugin", "its configuration is as the fleet gives it", _APPLY, _configured,
          after=("fleet",)),
    Check("plugin-version", "Device plugin", "it is v0.20.0 or later", _APPLY, _image, after=("fleet",)),
    Check("plugin-privileged", "Device plugin", "it may see MIG slices", _APPLY, _privileged, after=("fleet",)),
    Check("plugin-runs", "Device plugin", "it runs on all its nodes",
          "Run kubectl -n kube-system describe pods -l app.kubernetes.io/component=device-plugin.", _runs,
          after=("plugin", "plugin-config", "plugin-version", "plugin-privileged")),
    Check("plugin-alone", "Device plugin", "no other program advertises the same GPUs",
          "Keep it off these nodes: under its node affinity, {key: gpu-slice/pool, operator: DoesNotExist}.", _alone,
          before=True),
    Check("gpu-operator", "Device plugin", "the GPU Operator leaves these nodes alone",
          "Label the nodes nvidia.com/gpu.deploy.operands=false, or take their taint out of its tolerations.",
          _operator, before=True),
)  # fmt: skip
