"""The kinds of object that are read of a cluster, and the fields that are read of the many.

A large cluster has 100,000 pods and 1,000 nodes, so of these only a few fields are kept, typed.  Of all other kinds
there are few; they are kept whole, as the API server's JSON, to be compared with what the fleet renders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct, field

from webhook.fit.replicas import ENDED

Document: TypeAlias = dict[str, Any]
"""An object as the API server's JSON."""

T = TypeVar("T")


class View(Struct, frozen=True, gc=False, rename="camel"):
    """A part of an object.  Unknown fields are ignored.  The API server leaves empty fields out."""


class Owner(View, frozen=True):
    kind: str
    name: str
    controller: bool = False


class Metadata(View, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    owner_references: tuple[Owner, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class Condition(View, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class Resources(View, frozen=True):
    limits: dict[str, str | int | float] = field(default_factory=dict)  # numbers in files: an API server sends text
    requests: dict[str, str | int | float] = field(default_factory=dict)


class Container(View, frozen=True):
    name: str
    resources: Resources = Resources()
    restart_policy: str = ""
    """``Always`` in an init container makes it a sidecar, whose requests count beside those of the containers."""


class PodSpec(View, frozen=True):
    node_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: dict[str, str] = field(default_factory=dict)
    """What its RuntimeClass takes beside the containers."""
    resources: Resources = Resources()
    """Of the pod as a whole: CPU and memory."""


def _ready(conditions: Iterable[Condition]) -> Condition:
    return next((each for each in conditions if each.type == "Ready"), Condition("Ready", "Unknown"))


class PodStatus(View, frozen=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()

    @property
    def ready(self) -> Condition:
        """Whether its status is ``True``, and if not why not."""
        return _ready(self.conditions)

    @property
    def ended(self) -> bool:
        """Whether the pod's containers have ended, so that it holds no slice any more."""
        return self.phase in ENDED


class Pod(View, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ended(self) -> bool:
        """See `PodStatus.ended`."""
        return self.status.ended


class Taint(View, frozen=True):
    key: str
    value: str = ""
    effect: str = ""


class NodeSpec(View, frozen=True):
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeStatus(View, frozen=True):
    capacity: dict[str, str] = field(default_factory=dict)
    allocatable: dict[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()

    @property
    def ready(self) -> Condition:
        """Whether its status is ``True``, and if not why not."""
        return _ready(self.conditions)


class Node(View, frozen=True):
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of object, and where the API server keeps its objects."""

    name: str
    """As in messages: ``NodePool``."""
    plural: str
    group: str
    """With its version: ``karpenter.sh/v1``; ``v1`` for the core group."""
    type: type[T]
    namespaced: bool = False

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The path of the API; of all namespaces if *namespace* is None."""
        parts = ["/api" if "/" not in self.group else "/apis", self.group]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *([name] if name else [])])


PODS = Kind("Pod", "pods", "v1", Pod, namespaced=True)
NODES = Kind("Node", "nodes", "v1", Node)


def _kind(name: str, plural: str, group: str, *, namespaced: bool = False) -> Kind[Document]:
    return Kind(name, plural, group, dict, namespaced)


NAMESPACES = _kind("Namespace", "namespaces", "v1")
EVENTS = _kind("Event", "events", "v1", namespaced=True)
CONFIG_MAPS = _kind("ConfigMap", "configmaps", "v1", namespaced=True)
QUOTAS = _kind("ResourceQuota", "resourcequotas", "v1", namespaced=True)
DEPLOYMENTS = _kind("Deployment", "deployments", "apps/v1", namespaced=True)
DAEMON_SETS = _kind("DaemonSet", "daemonsets", "apps/v1", namespaced=True)
STATEFUL_SETS = _kind("StatefulSet", "statefulsets", "apps/v1", namespaced=True)
JOBS = _kind("Job", "jobs", "batch/v1", namespaced=True)
CRON_JOBS = _kind("CronJob", "cronjobs", "batch/v1", namespaced=True)
BUDGETS = _kind("PodDisruptionBudget", "poddisruptionbudgets", "policy/v1", namespaced=True)
WEBHOOKS = _kind("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "admissionregistration.k8s.io/v1")
VALIDATORS = _kind(
    "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "admissionregistration.k8s.io/v1"
)
POLICIES = _kind("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "admissionregistration.k8s.io/v1")
BINDINGS = _kind(
    "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "admissionregistration.k8s.io/v1"
)
ROLES = _kind("Role", "roles", "rbac.authorization.k8s.io/v1", namespaced=True)
ROLE_BINDINGS = _kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io/v1", namespaced=True)
CLUSTER_ROLES = _kind("ClusterRole", "clusterroles", "rbac.authorization.k8s.io/v1")
CLUSTER_BINDINGS = _kind("ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io/v1")
NODE_POOLS = _kind("NodePool", "nodepools", "karpenter.sh/v1")
NODE_CLAIMS = _kind("NodeClaim", "nodeclaims", "karpenter.sh/v1")
NODE_OVERLAYS = _kind("NodeOverlay", "nodeoverlays", "karpenter.sh/v1alpha1")
NODE_CLASSES = _kind("EC2NodeClass", "ec2nodeclasses", "karpenter.k8s.aws/v1")
CLUSTER_POLICIES = _kind("ClusterPolicy", "clusterpolicies", "nvidia.com/v1")
"""Of NVIDIA's GPU Operator."""
SECRETS = _kind("Secret", "secrets", "v1", namespaced=True)


def conditions(document: Document) -> Mapping[str, Mapping[str, str]]:
    """The conditions of an object that is kept whole, by type."""
    return {condition["type"]: condition for condition in (document.get("status") or {}).get("conditions") or ()}
