"""A cluster with everything as installed, for the commands that look at one: `gpu-slice check`, `explain`, `usage`.

The API server, scheduler, controllers and Karpenter with its provider for AWS are real; kubelets and AWS are played.
Of what is installed one thing differs: the API server reaches the webhook by a URL on loopback, as there is no network.

    pool             its nodes
    a100             one, launched by Karpenter for the pod `sliced`: a p4d.24xlarge with 56 slices
    shared           one, launched by Karpenter for the pod `in-turns`: a g5.xlarge with 4 shares
    standing         one that was there before, `standing-1`: a p5.48xlarge with 56 slices
    -                `cpu-1`, on which the webhook, the keeper and Karpenter run
"""

from __future__ import annotations

import base64
import copy
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from kubernetes.dynamic.exceptions import ConflictError

from certs import authority
from certs.directory import write
from certs.stored import RECORDS, Authority, write_records
from tests.cluster import programs
from tests.cluster.aws.cloud import Cloud, cloud
from tests.cluster.aws.node import boot
from tests.cluster.aws.provider import controller
from tests.cluster.cluster import Cluster, Document
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.control_plane import LOOPBACK
from tests.cluster.install import ADMISSION, ADVICE, ADVISER, CONFIGURATION, MANIFESTS, NAME, Installation
from tests.cluster.karpenter import install_crds
from tests.cluster.nodes import node, nodes
from tests.rendering import documents_of
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli import files
from webhook.cli.main import main
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool

FLEET = """\
apiVersion: gpu-slice/v1
cluster: my-cluster
pools:
- name: a100
  gpu: a100-40gb
  partition: {mig: {1g.5gb: 7}}
  instanceTypes: [p4d.24xlarge]
  limit: {slices: 560}
- name: shared
  gpu: a10g
  partition: {timeSlicing: {replicas: 4}}
  instanceTypes: [g5.xlarge]
- name: standing
  gpu: h100-80gb
  partition: {mig: {1g.10gb: 7}}
  instanceTypes: [p5.48xlarge]
  nodes: existing
"""
ASKED = {"sliced": ("1g.5gb", "a100"), "in-turns": ("shared", "shared"), "beside": ("1g.10gb", "standing")}
"""The pods in namespace default: what each asks for, and the pool whose node it gets."""

GATES = (
    "ReservedCapacity=true,SpotToSpotConsolidation=false,NodeRepair=false,NodeOverlay=true,StaticCapacity=false,"
    "CapacityBuffer=false"
)
"""As Karpenter's chart writes them with ``settings.featureGates.nodeOverlay: true``."""

VERSIONS = {
    "Node": "v1", "Pod": "v1", "ConfigMap": "v1", "Secret": "v1", "Namespace": "v1", "ResourceQuota": "v1",
    "Deployment": "apps/v1", "DaemonSet": "apps/v1", "PodDisruptionBudget": "policy/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "NodePool": "karpenter.sh/v1", "NodeClaim": "karpenter.sh/v1", "NodeOverlay": "karpenter.sh/v1alpha1",
    "EC2NodeClass": "karpenter.k8s.aws/v1",
    CONFIGURATION: ADMISSION, ADVICE: ADMISSION,
    "ValidatingAdmissionPolicy": ADMISSION, "ValidatingAdmissionPolicyBinding": ADMISSION,
}  # fmt: skip
"""The kinds that a test may name without their version."""

SERVER_OWNED = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


@dataclass
class World:
    """The cluster, and the verbs that break one thing in it and mend it."""

    cluster: Cluster
    cloud: Cloud
    fleet: Fleet
    fleet_file: Path
    folder: Path
    tls: Path
    server: Running
    pools: dict[str, Pool] = field(init=False)

    def __post_init__(self) -> None:
        self.pools = {pool.name: pool for pool in self.fleet.pools}

    def gpu_slice(self, *arguments: str, kubeconfig: Path | None = None) -> Result:
        """``gpu-slice`` with *arguments*, as the admin, or with *kubeconfig*."""
        environment = {"KUBECONFIG": str(kubeconfig or self.cluster.plane.kubeconfig)}
        return CliRunner().invoke(main, list(arguments), env=environment, prog_name="gpu-slice")

    def get(self, kind: str, name: str, namespace: str | None = None) -> Document:
        """One object, which is there."""
        found = self.cluster.get(kind, name, namespace, VERSIONS[kind])
        assert found is not None, f"there is no {kind} {name}"
        return found

    def list(self, kind: str, namespace: str | None = None, **query: str) -> list[Document]:
        """All objects of a kind."""
        return self.cluster.list(kind, namespace, VERSIONS[kind], **query)

    def node_of(self, pool: str) -> str:
        """The name of the only node of *pool*."""
        (found,) = self.list("Node", label_selector=f"gpu-slice/pool={pool}")
        return str(found["metadata"]["name"])

    def claim_of(self, pool: str) -> str:
        """The name of the only NodeClaim of *pool*."""
        (found,) = self.list("NodeClaim", label_selector=f"karpenter.sh/nodepool={pool}")
        return str(found["metadata"]["name"])

    @contextmanager
    def changed(
        self, kind: str, name: str, change: Callable[[Document], object], namespace: str | None = None
    ) -> Iterator[None]:
        """Within the block an object is as *change*, which edits it, makes it.  Its status is left alone."""
        before = self.get(kind, name, namespace)
        self._edit(kind, name, namespace, change)
        try:
            yield
        finally:
            self._edit(kind, name, namespace, lambda document: _restore(document, before))
            self.settle()

    @contextmanager
    def status(self, kind: str, name: str, change: Callable[[Document], object]) -> Iterator[None]:
        """Within the block the status of an object without namespace is as *change* makes it, if nobody disagrees."""
        before = self.get(kind, name)["status"]
        after = copy.deepcopy(before)
        change(after)
        self._write_status(kind, name, after)
        try:
            yield
        finally:
            self._write_status(kind, name, before)

    @contextmanager
    def without(self, kind: str, name: str, namespace: str | None = None) -> Iterator[None]:
        """Within the block an object is not there."""
        before = self.get(kind, name, namespace)
        if kind == "NodePool":
            # It would take its nodes with it.  `--cascade=orphan` is no help: the garbage collector looks only every
            # half minute which kinds there are, and until then does not see who is owned.
            for claim in self.list("NodeClaim", label_selector=f"karpenter.sh/nodepool={name}"):
                owned = {"metadata": {"ownerReferences": None}}
                self.cluster.patch("NodeClaim", claim["metadata"]["name"], owned, api=VERSIONS["NodeClaim"])
        where = ["-n", namespace] if namespace else []
        gone = self.cluster.kubectl("delete", kind, name, "--now", *where)
        assert gone.returncode == 0, gone.stderr
        try:
            yield
        finally:
            for key in SERVER_OWNED:
                before["metadata"].pop(key, None)
            self.cluster.create(before)
            self.settle()

    def settle(self) -> None:
        """Wait until Karpenter and the controllers have caught up."""
        wait_for("everything is ready", lambda: not _unready(self))

    @contextmanager
    def with_also(self, *documents: Document) -> Iterator[None]:
        """Within the block *documents* are there too."""
        with ExitStack() as stack:
            for document in documents:
                metadata = document["metadata"]
                self.cluster.create(document)
                stack.callback(
                    self.cluster.delete,
                    document["kind"], metadata["name"], metadata.get("namespace"), document["apiVersion"],
                )  # fmt: skip
            yield

    def user(self, namespace: str, rules: Sequence[Document], cluster_rules: Sequence[Document] = ()) -> Path:
        """The kubeconfig of a new user who may do *rules* in *namespace*, and *cluster_rules* everywhere."""
        name = f"user-{len(list(self.folder.glob('user-*')))}"
        account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        made: list[tuple[str, dict[str, str], Sequence[Document]]] = [("", {"namespace": namespace}, rules)]
        made += [("Cluster", {}, cluster_rules)] if cluster_rules else []
        self.cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, namespace)
        for prefix, where, given in made:
            about = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name, **where}}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": name}
            self.cluster.create({**about, "kind": f"{prefix}Role", "rules": list(given)})
            self.cluster.create({**about, "kind": f"{prefix}RoleBinding", "roleRef": role, "subjects": [account]})
        token = self.cluster.kubectl("create", "token", name, "-n", namespace).stdout.strip()
        kubeconfig = json.loads(self.cluster.plane.kubeconfig.read_text())
        kubeconfig["users"][0]["user"] = {"token": token}
        kubeconfig["contexts"][0]["context"]["namespace"] = namespace
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(kubeconfig))
        return path

    def _edit(self, kind: str, name: str, namespace: str | None, change: Callable[[Document], object]) -> None:
        def edited() -> bool:
            document = self.get(kind, name, namespace)
            change(document)
            try:
                self.cluster.replace(document)
            except ConflictError:  # a controller wrote in between
                return False
            return True

        wait_for(f"{kind} {name} is changed", edited)

    def _write_status(self, kind: str, name: str, status: Document) -> None:
        def written() -> bool:
            resource = self.cluster.client.resources.get(api_version=VERSIONS[kind], kind=kind)
            document = self.get(kind, name) | {"status": status}
            try:
                resource.subresources["status"].replace(document, name=name)
            except ConflictError:
                return False
            return True

        wait_for(f"the status of {kind} {name} is changed", written)


def _restore(document: Document, before: Document) -> None:
    kept = {key: document["metadata"][key] for key in SERVER_OWNED if key in document["metadata"]}
    status = {"status": document["status"]} if "status" in document else {}
    document.clear()
    document |= copy.deepcopy(before) | status
    document["metadata"] |= kept


def karpenter_deployment(version: str = "1.15.0", gates: str = GATES) -> Document:
    """The Deployment of Karpenter, as its chart makes it: what `check` may read of it."""
    selected = {"app.kubernetes.io/name": "karpenter", "app.kubernetes.io/instance": "karpenter"}
    container = {
        "name": "controller",
        "image": f"public.ecr.aws/karpenter/controller:{version}@sha256:{'0' * 64}",
        "env": [
            {"name": "KARPENTER_SERVICE", "value": "karpenter"},
            {"name": "FEATURE_GATES", "value": gates},
            {"name": "AWS_FEATURE_GATES", "value": "NodeClassCEL=false,DRANVIDIAGPU=false,DRAEFA=false"},
            {"name": "CLUSTER_NAME", "value": "my-cluster"},
            {"name": "IGNORE_DRA_REQUESTS", "value": "true"},
        ],
    }
    chart = {"helm.sh/chart": f"karpenter-{version}", "app.kubernetes.io/version": version}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "karpenter", "namespace": "kube-system", "labels": selected | chart},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": selected},
            "template": {"metadata": {"labels": selected}, "spec": {"containers": [container]}},
        },
    }


def nvidia_plugin(name: str, pool: str) -> Document:
    """NVIDIA's device plugin as its own chart makes it, on the nodes of *pool*."""
    selected = {"app.kubernetes.io/name": "nvidia-device-plugin", "app.kubernetes.io/instance": name}
    in_pool = {"matchExpressions": [{"key": "gpu-slice/pool", "operator": "In", "values": [pool]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [in_pool]}}}
    container = {
        "name": "nvidia-device-plugin-ctr",
        "image": "nvcr.io/nvidia/k8s-device-plugin:v0.20.0",
        "env": [{"name": "MIG_STRATEGY", "value": "mixed"}],
        "securityContext": {"privileged": True},
    }
    spec = {"affinity": affinity, "tolerations": [{"operator": "Exists"}], "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": selected},
        "spec": {
            "selector": {"matchLabels": selected},
            "template": {"metadata": {"labels": selected}, "spec": spec},
        },
    }


def pod(name: str, asked: str | None = None, namespace: str = "default", **spec: Any) -> Document:
    """A pod with one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"gpu-slice": asked} if asked else {}},
        "spec": {"containers": [{"name": "main", "image": "a/b:1"}], **spec},
    }


@contextmanager
def world(folder: Path, text: str = FLEET) -> Iterator[World]:
    """The cluster of the fleet *text*, installed, with its nodes and pods.  Raises `programs.BuildError`."""
    fleet_file = folder / "fleet.yaml"
    fleet_file.write_text(text)
    fleet = files.fleet_at(fleet_file)
    programs.karpenter_aws()
    with ExitStack() as stack:
        cluster = stack.enter_context(control_plane_and_kubelet(folder / "control-plane"))
        install_crds(cluster)
        aws = stack.enter_context(cloud(cluster.plane.logs, fleet))
        for document in nodes(fleet)[:1]:
            cluster.add_node(document)
        tls, records = _certify(folder / "tls")
        server = Running(tls, "--fleet", str(fleet_file))
        stack.callback(server.stop)
        made = World(cluster, aws, fleet, fleet_file, folder, tls, server)
        _install(made, text, records)
        for subject in ("node-classes", "node-pools", "node-overlays", "device-plugin"):
            for document in documents_of(fleet, subject):
                cluster.create(document)
        cluster.create(karpenter_deployment())
        stack.enter_context(controller(cluster, aws, fleet, folder / "home"))
        _make_nodes(made)
        made.settle()
        yield made


def _certify(tls: Path) -> tuple[Path, bytes]:
    """A folder with a leaf for the Service and for loopback, and the records of its authority."""
    now = datetime.now(UTC)
    root = authority.create_authority("gpu-slice", now=now)
    names = [*authority.service_names("webhook", "gpu-slice"), LOOPBACK]
    write(tls, authority.issue_leaf(root, names, now=now), root.certificate)
    return tls, write_records([Authority(root.certificate, root.key, published=now)])


def _install(made: World, text: str, records: bytes) -> None:
    cluster = made.cluster
    applied = cluster.kubectl("apply", "-k", str(MANIFESTS))
    assert applied.returncode == 0, applied.stderr
    cluster.patch("ConfigMap", "fleet", {"data": {"fleet.yaml": text}}, "gpu-slice")
    leaf = {name: _encoded((made.tls / name).read_bytes()) for name in ("tls.crt", "tls.key", "ca.crt")}
    for name, data in (("webhook-ca", {RECORDS: _encoded(records)}), ("webhook-tls", leaf)):
        cluster.patch("Secret", name, {"data": data}, "gpu-slice")
    for kind, name, path in ((CONFIGURATION, NAME, "mutate"), (ADVICE, ADVISER, "advise")):
        document = made.get(kind, name)
        url = f"https://{LOOPBACK}:{made.server.port}/{path}"
        for entry in document["webhooks"]:
            entry["clientConfig"] = {"url": url, "caBundle": leaf["ca.crt"]}
        cluster.replace(document)
    installation = Installation(cluster)
    wait_for("the webhook is asked", lambda: installation.probe() == "created")


def _make_nodes(made: World) -> None:
    for pool in made.fleet.pools:
        if pool.entry.nodes == "existing":
            made.cluster.add_node(node(pool, pool.shapes[0], f"{pool.name}-1"))
            made.cluster.create(nvidia_plugin("nvidia-device-plugin", pool.name))
    wait_for("the overlays are evaluated", lambda: not _unready(made, ("NodeOverlay", "NodePool", "EC2NodeClass")))
    for name, (asked, _) in ASKED.items():
        made.cluster.create(pod(name, asked))
    launched: set[str] = set()
    wanted = {pool for _, pool in ASKED.values() if made.pools[pool].entry.nodes == "karpenter"}

    def booted() -> bool:
        for claim in made.list("NodeClaim"):
            pool, provider_id = claim["metadata"]["labels"]["karpenter.sh/nodepool"], claim.get("status", {})
            identity = provider_id.get("providerID", "").rpartition("/")[2]
            if identity and pool not in launched:
                boot(made.cluster, made.cloud.instances()[identity], made.pools[pool])
                launched.add(pool)
        return launched == wanted

    wait_for("the nodes are booted", booted)


def _unready(made: World, kinds: Sequence[str] = ("NodeOverlay", "NodePool", "EC2NodeClass", "NodeClaim")) -> list[str]:
    """What is not as it is to be yet."""
    found = []
    for kind in kinds:
        for document in made.list(kind):
            conditions = {each["type"]: each["status"] for each in document.get("status", {}).get("conditions", ())}
            if conditions.get("Ready") != "True":
                found.append(f"{kind} {document['metadata']['name']}")
    if "NodeClaim" not in kinds:
        return found
    for kind, wanted, ready in (
        ("Deployment", "replicas", "availableReplicas"),
        ("DaemonSet", "desiredNumberScheduled", "numberAvailable"),
    ):
        for document in made.list(kind):
            status = document.get("status", {})
            count = document["spec"]["replicas"] if kind == "Deployment" else status.get(wanted)
            seen = status.get("observedGeneration") == document["metadata"]["generation"]
            updated = status.get("updatedNumberScheduled" if kind == "DaemonSet" else "updatedReplicas")
            if not count or not seen or (status.get(ready), updated) != (count, count):
                found.append(f"{kind} {document['metadata']['name']}")
    found += [f"Pod {each}" for each in ASKED if made.get("Pod", each, "default")["status"].get("phase") != "Running"]
    return found


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


if __name__ == "__main__":  # for a look by hand: python -m tests.cluster.world FOLDER
    import sys

    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    with world(place) as here:
        print(f"export KUBECONFIG={here.cluster.plane.kubeconfig} PATH={here.cluster.plane.kubectl.parent}:$PATH")
        sys.stdout.flush()
        sys.stdin.read() if not os.isatty(0) else input()
