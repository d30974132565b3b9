"""From an annotated pod to a node that boots from its user data: Karpenter's own provider for AWS on moto's AWS."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.cluster import programs
from tests.cluster.aws.cloud import Call, Cloud, cloud, tags, values
from tests.cluster.aws.node import NODE_CONFIG, SCRIPT, boot, labels_and_taints, nodeadm, parts
from tests.cluster.aws.provider import all_pools, controller, log
from tests.cluster.aws.server import GOLDEN, GROUP, PRIVATE, RESERVATIONS, SUBNET
from tests.cluster.cluster import Cluster, Document
from tests.cluster.cluster import cluster as control_plane_and_kubelet
from tests.cluster.conftest import skip, told
from tests.cluster.install import Installation
from tests.cluster.karpenter import install_crds
from tests.rendering import BOOT, documents_of
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli import files
from webhook.cli.main import main
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.boot import BootFiles, user_data

CLAIM = ("NodeClaim", "karpenter.sh/v1")
CLASS = ("EC2NodeClass", "karpenter.k8s.aws/v1")
POOL = ("NodePool", "karpenter.sh/v1")
OVERLAY = ("NodeOverlay", "karpenter.sh/v1alpha1")
LATE = "scale-late"
"""The pool whose overlay is not there from the beginning."""
MOST_USER_DATA = 16 * 1024
"""Bytes of user data that EC2 takes."""
DOCS = (Path(__file__).parents[2] / "docs" / "eks.md").read_text()


@dataclass
class World:
    """A cluster of which AWS has no instance yet."""

    cluster: Cluster
    cloud: Cloud
    fleet: Fleet
    home: Path
    pools: dict[str, Pool] = field(init=False)

    def __post_init__(self) -> None:
        self.pools = {pool.name: pool for pool in self.fleet.pools}

    def claims(self, pool: str) -> list[Document]:
        """The NodeClaims of a pool."""
        return self.cluster.list(*CLAIM[:1], api_version=CLAIM[1], label_selector=f"karpenter.sh/nodepool={pool}")

    def launched(self, pool: str) -> dict[str, Any]:
        """The instance of the only NodeClaim of *pool*; waits for it."""

        def instance() -> dict[str, Any] | None:
            found = [each.get("status", {}).get("providerID") for each in self.claims(pool)]
            (provider_id,) = found or [None]
            return provider_id and self.cloud.instances()[provider_id.rpartition("/")[2]]

        return wait_for(f"an instance of {pool} is launched", instance)

    def launched_types(self, pool: str) -> set[str]:
        """The types of all instances of *pool*; waits for the first."""

        def types() -> set[str]:
            found = [each.get("status", {}).get("providerID") for each in self.claims(pool)]
            return {self.cloud.instances()[each.rpartition("/")[2]]["type"] for each in found if each}

        return wait_for(f"an instance of {pool} is launched", types)

    def claimed(self, pool: str, condition: str, status: str = "True") -> Document:
        """The only NodeClaim of *pool*, once *condition* holds."""

        def claim() -> Document | None:
            (found,) = self.claims(pool)
            return found if conditions(found).get(condition, {}).get("status") == status else None

        return wait_for(f"the NodeClaim of {pool} is {condition}", claim)

    def started(self, node: str, pool: Pool) -> None:
        """Remove the startup taints of *pool*, as the program does for which it has them."""
        startup = {taint.key for taint in pool.entry.startup_taints}
        taints = self.cluster.get("Node", node)["spec"]["taints"]
        kept = [taint for taint in taints if taint["key"] not in startup]
        assert len(taints) - len(kept) == len(startup)
        self.cluster.patch("Node", node, {"spec": {"taints": kept}})

    def says(self, pod: str, about: str) -> str:
        """An event of Karpenter on *pod* that has *about* in it; waits for it."""

        def said() -> str | None:
            events = self.cluster.list("Event", "default", field_selector=f"involvedObject.name={pod}")
            return next((each["message"] for each in events if about in each["message"]), None)

        return wait_for(f"Karpenter says '{about}' of {pod}", said)


def conditions(document: Document) -> dict[str, dict[str, str]]:
    """The conditions of an object, by type."""
    return {each["type"]: each for each in document.get("status", {}).get("conditions", ())}


def ready(documents: list[Document]) -> bool:
    """Whether all are Ready."""
    found = [conditions(each).get("Ready", {}) for each in documents]
    return len(found) >= 30 and all(each.get("status") == "True" for each in found)


@pytest.fixture(scope="module", name="world")
def _world(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    fleet_file = folder / "fleet.yaml"
    fleet_file.write_text(all_pools())
    fleet = files.fleet_at(fleet_file)
    with ExitStack() as stack:
        try:
            programs.karpenter_aws()
            found = stack.enter_context(control_plane_and_kubelet(folder / "control-plane"))
            install_crds(found)
        except programs.BuildError as error:
            skip(error)
        told.logs = found.plane.logs
        aws = stack.enter_context(cloud(found.plane.logs, fleet))
        server = Running(tls, "--fleet", str(fleet_file))
        stack.callback(server.stop)
        for subject in ("node-classes", "node-pools", "node-overlays"):
            for each in documents_of(fleet, subject):
                if subject != "node-overlays" or LATE not in each["metadata"]["name"]:
                    found.create(each)
        installation = Installation(found)
        installation.guard()
        installation.point_at(server.port, tls / "ca.crt", lambda said: "ValidatingAdmission" not in said)
        yield World(found, aws, fleet, folder / "home")


@pytest.fixture(scope="module", name="running")
def _running(world: World) -> Iterator[World]:
    """The same with Karpenter."""
    with controller(world.cluster, world.cloud, world.fleet, world.home):
        yield world


def pod(name: str, asked: str | None, pool: str | list[str], **spec: Any) -> Document:
    pools = [pool] if isinstance(pool, str) else pool
    term = {"matchExpressions": [{"key": "gpu-slice/pool", "operator": "In", "values": pools}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    resources = spec.pop("resources", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": {"gpu-slice": asked} if asked else {}},
        "spec": {
            "affinity": affinity,
            "containers": [{"name": "main", "image": "a/b:1", "resources": resources}],
            **spec,
        },
    }


def test_with_the_feature_gate_off_nothing_is_launched_and_no_overlay_has_a_condition(world: World) -> None:
    """The first here, as the others share a Karpenter whose gate is on."""
    with controller(world.cluster, world.cloud, world.fleet, world.home, gates="NodeOverlay=false"):
        # Karpenter's first word on a pod is its last for five minutes.
        wait_for("the pools are Ready", lambda: ready(world.cluster.list(POOL[0], api_version=POOL[1])))
        world.cluster.create(pod("waits", "1g.5gb", "scale-light"))
        world.says("waits", quoted("no instance type has enough resources"))
        explained = CliRunner().invoke(
            main,
            ["explain", "waits", "--fleet", str(world.home.parent / "fleet.yaml"), "-o", "json"],
            env={"KUBECONFIG": str(world.cluster.plane.kubeconfig)},
        )

    assert json.loads(explained.stdout)[0]["cause"]["id"] == "gate-off", explained.output
    assert world.claims("scale-light") == []
    assert not any(conditions(each) for each in world.cluster.list(OVERLAY[0], api_version=OVERLAY[1]))
    assert quoted('"controller":"nodeoverlay.controller"') not in log(world.cluster)
    world.cluster.delete("Pod", "waits", "default")


CLAIMS = """\
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec: {selectors: [{cel: {expression: "device.driver == 'gpu.nvidia.com'"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: gpu, namespace: default}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com}}]}}
"""


def test_with_dra_switched_on_a_slice_gets_its_node_and_a_claim_of_a_gpu_no_node_that_is_cut(world: World) -> None:
    """The nodes that Karpenter believes to have whole GPUs for DRA are those of our pools, too."""
    applied = world.cluster.kubectl("apply", "-f", "-", stdin=CLAIMS)
    assert applied.returncode == 0, applied.stderr
    claims = pod("claims", None, [name for name, pool in world.pools.items() if pool.taints])
    claims["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "gpu"}]
    claims["spec"]["containers"][0]["resources"] = {"claims": [{"name": "gpu"}]}
    with controller(world.cluster, world.cloud, world.fleet, world.home, dra=True):
        world.cluster.create(pod("beside-dra", "1g.5gb", "teams-small"))

        node = boot(world.cluster, world.launched("teams-small"), world.pools["teams-small"])

        world.claimed("teams-small", "Initialized")
        assert world.cluster.scheduled("beside-dra", "default") == node["metadata"]["name"]
        world.cluster.create(claims)  # now that all pools are Ready
        world.says("claims", "did not tolerate taint")
        assert len(world.cluster.list(CLAIM[0], api_version=CLAIM[1])) == 1
    world.cluster.delete("Pod", "claims", "default")


@pytest.mark.parametrize(("kind", "api"), [pytest.param(*each, id=each[0]) for each in (CLASS, POOL, OVERLAY)])
def test_every_document_of_every_fleet_is_ready(kind: str, api: str, running: World) -> None:
    wait_for("all are Ready", lambda: ready(running.cluster.list(kind, api_version=api)))
    wait_for(
        "the controller of overlays is logged", lambda: '"controller":"nodeoverlay.controller"' in log(running.cluster)
    )


@dataclass(frozen=True)
class Launch:
    """What followed from one pod."""

    world: World
    pod: str
    pool: Pool
    asked_of_ec2: Call
    template: Call
    instance: dict[str, Any]
    node: Document


@pytest.fixture(
    scope="module",
    name="launch",
    params=[
        pytest.param(("1g.5gb", "scale-light"), id="a slice of MIG, from spot"),
        pytest.param(("3g.40gb", "scale-layout"), id="of a layout of several"),
        pytest.param(("1g.10gb@h100", "scale-single"), id="called nvidia.com/gpu under single"),
        pytest.param(("shared@a10g", "scale-turns"), id="time-sliced, of two sizes of nodes"),
        pytest.param(("shared@l4", "scale-mps"), id="by MPS"),
        pytest.param(("shared@t4g", "corners-arm-shared"), id="arm64"),
        pytest.param(("1g.5gb", "corners-untainted"), id="without a taint"),
        pytest.param(("3g.71gb", "more-taints"), id="with the fleet's own taints"),
        pytest.param(("1g.5gb", "more-brocket"), id="Bottlerocket, MIG"),
        pytest.param(("shared@a10g", "more-brocket-turns"), id="Bottlerocket, time-sliced"),
        pytest.param(("2g.10gb", "more-company"), id="with all that a company demands"),
        pytest.param(("3g.20gb", "more-operator"), id="cut by the GPU Operator"),
        pytest.param(("1g.10gb", "more-reserved"), id="of a Capacity Block that another account shares"),
        pytest.param(("1g.5gb", "recipe-a100-1g-5gb"), id="as documented, MIG, reserved"),
        pytest.param(("shared@a10g", "recipe-a10g-shared"), id="as documented, time-sliced"),
        pytest.param(("1g.5gb", "recipe-operator"), id="as documented, cut by the GPU Operator"),
    ],
)
def _launch(request: pytest.FixtureRequest, running: World) -> Launch:
    asked, name = request.param
    fleets, templates = (running.cloud.calls(each) for each in ("CreateFleet", "CreateLaunchTemplate"))
    running.cluster.create(pod(f"on-{name}", asked, name))
    instance = running.launched(name)
    (asked_of_ec2,) = running.cloud.calls("CreateFleet")[len(fleets) :]
    names = values(asked_of_ec2, "LaunchTemplateConfigs.*.LaunchTemplateSpecification.LaunchTemplateName")
    (template, *_) = [
        each
        for each in running.cloud.calls("CreateLaunchTemplate")[len(templates) :]
        if each["LaunchTemplateName"] in names
    ]
    node = boot(running.cluster, instance, running.pools[name])
    return Launch(running, f"on-{name}", running.pools[name], asked_of_ec2, template, instance, node)


def test_what_is_asked_of_ec2_is_what_the_pool_says(launch: Launch) -> None:
    entry, asked, template = launch.pool.entry, launch.asked_of_ec2, launch.template
    overrides = "LaunchTemplateConfigs.*.Overrides.*"
    assert set(values(asked, f"{overrides}.InstanceType")) == set(entry.instance_types)
    subnets, zones = (set(values(asked, f"{overrides}.{field}")) for field in ("SubnetId", "AvailabilityZone"))
    assert len(subnets) == len(zones) >= 1
    assert launch.instance["subnet"] in subnets
    bought = "spot" if "spot" in entry.capacity_types else "on-demand"
    block = launch.pool.name == "more-reserved"
    assert asked["TargetCapacitySpecification.DefaultTargetCapacityType"] == ("capacity-block" if block else bought)
    for resource in ("instance", "fleet"):
        assert tags(asked, resource)["karpenter.sh/nodepool"] == launch.pool.name
        assert tags(asked, resource)["eks:eks-cluster-name"] == launch.world.fleet.cluster
        assert entry.tags.items() <= tags(asked, resource).items()

    image = launch.instance["image"]
    assert "nvidia" in image
    eks = "bottlerocket" if entry.bottlerocket else "amazon-eks-node-al2023"
    assert image.startswith(GOLDEN if launch.pool.name in RESERVED_RECIPES else eks)
    assert {"arm64": "arm64", "amd64": "x86_64"}[launch.pool.architecture] in image
    disk = "LaunchTemplateData.BlockDeviceMapping.1"
    assert template[f"{disk}.DeviceName"] == ("/dev/xvdb" if "bottlerocket" in image else "/dev/xvda")
    assert template[f"{disk}.Ebs.Encrypted"] == "true"


def test_a_pool_of_reserved_capacity_is_launched_into_its_reservation(launch: Launch) -> None:
    reservations = [each for each in RESERVATIONS if each["CapacityReservationId"] == reservation_of(launch.pool)]
    specified = "LaunchTemplateData.CapacityReservationSpecification"
    if not reservations:
        assert launch.template[f"{specified}.CapacityReservationPreference"] == "none"
        return
    (reservation,) = reservations
    assert launch.template[f"{specified}.CapacityReservationPreference"] == "capacity-reservations-only"
    target = launch.template[f"{specified}.CapacityReservationTarget.CapacityReservationId"]
    assert target == reservation["CapacityReservationId"]
    market = launch.template.get("LaunchTemplateData.InstanceMarketOptions.MarketType", "default")
    assert market == reservation["ReservationType"]
    assert launch.instance["zone"] == reservation["AvailabilityZone"]

    labels = launch.world.claimed(launch.pool.name, "Launched")["metadata"]["labels"]
    assert labels["karpenter.sh/capacity-type"] == "reserved"
    assert labels["karpenter.k8s.aws/capacity-reservation-id"] == reservation["CapacityReservationId"]


def reservation_of(pool: Pool) -> str | None:
    """By its id, or the only one with those tags that the other account shares."""
    (term,) = pool.entry.capacity_reservations or [None]
    return term and (term.id or "cr-0b")


RECIPE = {
    "BlockDeviceMapping.1.DeviceName": "/dev/xvda",
    "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
    "BlockDeviceMapping.1.Ebs.Encrypted": "true",
    "BlockDeviceMapping.1.Ebs.Iops": "6000",
    "BlockDeviceMapping.1.Ebs.KmsKeyId": "alias/nodes",
    "BlockDeviceMapping.1.Ebs.VolumeSize": "300",
    "BlockDeviceMapping.1.Ebs.VolumeType": "gp3",
    "EnclaveOptions.Enabled": "false",
    "MetadataOptions.HttpEndpoint": "enabled",
    "MetadataOptions.HttpProtocolIpv6": "disabled",
    "MetadataOptions.HttpPutResponseHopLimit": "1",
    "MetadataOptions.HttpTokens": "required",
    "MetadataOptions.InstanceMetadataTags": "disabled",
    "Monitoring.Enabled": "false",
    "NetworkInterface.1.DeviceIndex": "0",
    "Placement.Tenancy": "default",
}
"""What the launch template of the documentation's recipe has, but for what has a name of its own in each run."""
RESERVED_RECIPES = ("recipe-a100-1g-5gb", "recipe-operator")
RUN = ("CapacityReservation", "IamInstanceProfile", "ImageId", "NetworkInterface.1.Sec", "TagSpecification", "UserData")


def test_the_recipe_of_the_documentation_reaches_ec2_field_by_field(launch: Launch) -> None:
    if not launch.pool.name.startswith("recipe"):
        return
    prefix = "LaunchTemplateData."
    data = {key.removeprefix(prefix): text for key, text in launch.template.items() if key.startswith(prefix)}
    assert {key: text for key, text in data.items() if not key.startswith(RUN)} == RECIPE
    assert launch.instance["groups"] == [GROUP]
    for call, resources in ((launch.asked_of_ec2, "instance volume fleet"), (launch.template, "network-interface")):
        for resource in resources.split():
            assert {"team": "ml", "cost-center": "42"}.items() <= tags(call, resource).items()

    overrides = "LaunchTemplateConfigs.*.Overrides.*"
    fields = [values(launch.asked_of_ec2, f"{overrides}.{name}") for name in ("InstanceType", "SubnetId")]
    types, subnets = launch.pool.entry.instance_types, [SUBNET, PRIVATE]
    reserved = launch.pool.name in RESERVED_RECIPES
    assert {*zip(*fields, strict=True)} == {*product(types, subnets[1:] if reserved else subnets)}

    documents = documents_of(launch.world.fleet, "node-pools")
    (spec,) = [each["spec"] for each in documents if each["metadata"]["name"] == launch.pool.name]
    assert spec["disruption"]["budgets"] == [
        {"nodes": "1"},
        {"nodes": "0", "schedule": "0 9 * * mon-fri", "duration": "8h"},
    ]
    claim = launch.world.claimed(launch.pool.name, "Launched")
    assert claim["spec"]["terminationGracePeriod"] == "2h0m0s"
    assert claim["metadata"]["labels"]["example.com/team"] == "ml"


def test_our_part_of_the_user_data_arrives_as_it_was_rendered(launch: Launch) -> None:
    arrived, rendered = launch.instance["userData"], user_data(launch.pool, BOOT)
    assert len(arrived.encode()) < MOST_USER_DATA
    if launch.pool.entry.bottlerocket:
        ours = tomllib.loads(rendered)["settings"]["kubelet-device-plugins"]
        assert tomllib.loads(arrived)["settings"]["kubelet-device-plugins"] == ours
        return
    ours = parts(rendered) if launch.pool.entry.partition.mig and not launch.pool.entry.by_operator else []
    text = launch.pool.entry.node_class.get("userData", "")
    added = [(SCRIPT if text.startswith("#!") else NODE_CONFIG, text)] if text else []
    *before, (kind, _) = parts(arrived)
    assert before == (ours or added)
    assert ours[: len(added)] == (added if ours else [])
    assert kind == NODE_CONFIG


def test_what_is_merged_over_the_node_class_reaches_ec2_and_the_kubelet(launch: Launch) -> None:
    merged = launch.pool.entry.node_class
    options = {"httpTokens": "required"} | merged.get("metadataOptions", {})
    (ebs,) = [each["ebs"] for each in merged.get("blockDeviceMappings", ())] or [{"volumeSize": launch.pool.entry.disk}]
    for place, wanted in {"MetadataOptions": options, "BlockDeviceMapping.1.Ebs": ebs}.items():
        for name, value in wanted.items():
            found = launch.template[f"LaunchTemplateData.{place}.{'KmsKeyId' if 'kms' in name else upper(name)}"]
            assert found == str(value).removesuffix("Gi").replace("True", "true")
    if "kubelet" in merged:
        *_, config = [yaml.safe_load(text) for kind, text in parts(launch.instance["userData"]) if kind == NODE_CONFIG]
        assert merged["kubelet"].items() <= config["spec"]["kubelet"]["config"].items()


def upper(name: str) -> str:
    """The name of a field as EC2 has it."""
    return name[0].upper() + name[1:]


def test_nodeadm_accepts_the_user_data(launch: Launch) -> None:
    if launch.pool.entry.bottlerocket:
        pytest.skip("Bottlerocket has no nodeadm")
    program = programs.karpenter_aws() / "nodeadm"

    checked = nodeadm(program, launch.instance["userData"])
    spoilt = nodeadm(program, launch.instance["userData"].replace("kind: NodeConfig", "kind: Other"))

    assert checked.returncode == 0, checked.stderr
    assert spoilt.returncode != 0


def test_the_kubelet_registers_with_the_labels_and_taints_of_the_pool(launch: Launch) -> None:
    labels, taints = labels_and_taints(launch.instance["userData"])

    assert (dict(launch.pool.labels) | launch.pool.entry.node_labels).items() <= labels.items()
    assert labels.get("nvidia.com/mig.config") == (launch.pool.name if launch.pool.entry.by_operator else None)
    assert labels["gpu-slice/pool"] == labels["karpenter.sh/nodepool"] == launch.pool.name
    assert "nvidia.com/gpu.present" not in labels
    startup = [taint.model_dump() for taint in launch.pool.entry.startup_taints]
    both = [*(taint._asdict() for taint in launch.pool.taints), *startup]
    ours = [{key: value for key, value in taint.items() if value} for taint in both]
    unregistered = {"key": "karpenter.sh/unregistered", "effect": "NoExecute"}
    assert sorted(taints, key=lambda each: each["key"]) == sorted([*ours, unregistered], key=lambda each: each["key"])


def test_the_booted_node_is_initialized_and_the_pod_bound_to_it(launch: Launch) -> None:
    launch.world.claimed(launch.pool.name, "Registered")
    if launch.pool.entry.startup_taints:
        launch.world.started(launch.node["metadata"]["name"], launch.pool)
    launch.world.claimed(launch.pool.name, "Initialized")

    assert launch.world.cluster.scheduled(launch.pod, "default") == launch.node["metadata"]["name"]
    node = launch.world.cluster.get("Node", launch.node["metadata"]["name"])
    assert "karpenter.sh/unregistered" not in str(node["spec"].get("taints"))
    # What the webhook filters by, before the node exists.
    (shape,) = [
        each
        for each in launch.pool.shapes
        if each.instance_type.name == launch.instance["type"]
        and each.labels["karpenter.sh/capacity-type"] == node["metadata"]["labels"]["karpenter.sh/capacity-type"]
    ]
    # None is a label that the node does not have.  Those of beta.kubernetes.io are of the cloud's controller.
    known = {key: value for key, value in shape.labels.items() if not key.startswith("beta.")}
    assert {key: node["metadata"]["labels"].get(key) for key in known} == known


def test_no_node_drifts_by_itself_or_with_a_release_that_renders_the_same_and_one_does_with_its_disk_or_layout(
    running: World,
) -> None:
    there, changed, cut = "scale-light", "scale-mps", "corners-untainted"
    for pool in (there, changed, cut):
        running.claimed(pool, "Initialized")
    # A release of ours: another version, and other comments in the script and the unit.
    newer = BootFiles(*(f"{text}# Another comment.\n" for text in (BOOT.script, BOOT.unit)))
    assert newer != BOOT
    for name in (there, changed):
        label = {"metadata": {"labels": {"app.kubernetes.io/version": "9.9.9"}}}
        running.cluster.patch(POOL[0], name, label, api=POOL[1])
        spec = {"spec": {"userData": user_data(running.pools[name], newer)}}
        running.cluster.patch(CLASS[0], name, label | spec, api=CLASS[1])

    classes = {each["metadata"]["name"]: each["spec"] for each in documents_of(running.fleet, "node-classes")}
    classes[changed]["blockDeviceMappings"][0]["ebs"]["volumeSize"] = "300Gi"
    assert "1g.5gb" in classes[cut]["userData"]
    classes[cut]["userData"] = classes[cut]["userData"].replace("1g.5gb,", "", 1)
    for name in (changed, cut):
        running.cluster.patch(CLASS[0], name, {"spec": classes[name]}, api=CLASS[1])

    for name in (changed, cut):
        assert conditions(running.claimed(name, "Drifted"))["Drifted"]["reason"] == "NodeClassDrift"
    drifted = {
        each["metadata"]["labels"]["karpenter.sh/nodepool"]
        for each in running.cluster.list(CLAIM[0], api_version=CLAIM[1])
        if "Drifted" in conditions(each)
    }
    assert drifted == {changed, cut}


@pytest.fixture(scope="module", name="emptied")
def _emptied(running: World) -> dict[str, Any]:
    """The instance of a node that has no pod any more."""
    instance = running.launched("scale-layout")
    running.claimed("scale-layout", "Initialized")
    running.cluster.delete("Pod", "on-scale-layout", "default")
    return instance


@pytest.mark.usefixtures("emptied")  # it takes Karpenter half a minute, in which other tests can be done
def test_56_slices_need_one_node_of_the_pool_that_holds_most_of_them(running: World) -> None:
    pools = ["default-a100-1g-5gb", "default-a100-mixed"]
    many = pod("many", "1g.5gb", pools, restartPolicy="Never")
    template = {"metadata": {"annotations": many["metadata"]["annotations"]}, "spec": many["spec"]}
    running.cluster.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "many", "namespace": "default"},
            "spec": {"parallelism": 56, "completions": 56, "template": template},
        }
    )

    boot(running.cluster, running.launched(pools[0]), running.pools[pools[0]])

    def bound() -> bool:
        nodes = [
            each["spec"].get("nodeName")
            for each in running.cluster.list("Pod", "default", label_selector="batch.kubernetes.io/job-name=many")
        ]
        return len(nodes) == 56 and None not in nodes

    wait_for("all are bound", bound)
    assert [len(running.claims(pool)) for pool in pools] == [1, 0]


def test_a_whole_gpu_is_not_launched_for(running: World) -> None:
    whole = pod("whole", None, "scale-dear", tolerations=[{"operator": "Exists"}])
    whole["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    running.cluster.create(whole)

    assert "no instance type" in running.says("whole", "no instance type")
    assert running.claims("scale-dear") == []
    running.cluster.delete("Pod", "whole", "default")


def test_without_its_overlay_nothing_is_launched_and_with_it_a_node(running: World) -> None:
    running.cluster.create(pod("early", "1g.23gb", LATE))
    running.says("early", quoted("no instance type has enough resources"))
    assert running.claims(LATE) == []

    running.cluster.create(overlay_of(running, LATE))

    # A drifted node of another pool may be replaced at this moment, and Karpenter then launches for this pod, too.
    assert running.launched_types(LATE) == {"p6-b200.48xlarge"}


@pytest.mark.parametrize(
    ("code", "pool", "asked", "text"),
    [
        pytest.param(
            "InsufficientInstanceCapacity",
            "default-h100-1g-10gb",
            "1g.10gb",
            "We currently do not have sufficient p5.48xlarge capacity",
            id="no capacity",
        ),
        pytest.param(
            "VcpuLimitExceeded",
            "default-h200-large",
            "3g.71gb",
            "You have requested more vCPU capacity than your current vCPU limit of 0 allows",
            id="no quota",
        ),
    ],
)
def test_why_ec2_launches_nothing_is_an_event_of_the_pod(
    code: str, pool: str, asked: str, text: str, running: World
) -> None:
    name = f"refused-{code.lower()}"
    with running.cloud.refusing("CreateFleet", code):
        running.cluster.create(pod(name, asked, pool))

        said = running.says(name, quoted("nominated for this pod failed to launch: creating instance"))

        assert quoted(f"{code}: {text}") in said
        running.cluster.delete("Pod", name, "default")
        wait_for("no NodeClaim is left to describe", lambda: running.claims(pool) == [])


def test_no_condition_and_seldom_an_event_says_that_a_reservation_is_not_found_or_full(running: World) -> None:
    for kind, api in (CLASS, POOL, OVERLAY):
        wait_for("all are Ready", lambda kind=kind, api=api: ready(running.cluster.list(kind, api_version=api)))
    for pool in ("more-unreserved", "more-full"):
        running.cluster.create(pod(pool, "1g.10gb", pool))
    running.says("more-unreserved", "Failed to schedule pod")
    deferred = quoted("due to limited reserved offering capacity")
    wait_for(f"the log has '{deferred}'", lambda: f'{deferred}","' in log(running.cluster))

    for pool, found in (("more-unreserved", []), ("more-full", ["cr-0c"])):
        node_class = running.cluster.get(CLASS[0], pool, api_version=CLASS[1])
        assert conditions(node_class)["Ready"]["status"] == "True"
        status = node_class["status"].get(quoted("capacityReservations"), [])
        assert [each["id"] for each in status] == found
        assert running.claims(pool) == []
        about = f"involvedObject.kind=Pod,involvedObject.name={pool}"
        events = running.cluster.list("Event", "default", field_selector=about)
        said = [each["message"] for each in events if "reserv" in re.sub(r"more-\w+", "", each["message"])]
        # While it replaces a node, Karpenter also tells what its simulation found of the pods that wait.
        assert [each for each in said if quoted("the only compatible reserved offering is full") not in each] == []


ELSEWHERE = [{"tags": {"karpenter.sh/discovery": "elsewhere"}}]


@pytest.mark.parametrize(
    ("name", "wrong", "condition", "reason", "message"),
    [
        pytest.param(
            "no-subnet",
            {"subnetSelectorTerms": ELSEWHERE},
            "SubnetsReady",
            "SubnetsNotFound",
            "SubnetSelector did not match any Subnets",
            id="subnet",
        ),
        pytest.param(
            "no-group",
            {"securityGroupSelectorTerms": ELSEWHERE},
            "SecurityGroupsReady",
            "SecurityGroupsNotFound",
            "SecurityGroupSelector did not match any SecurityGroups",
            id="security group",
        ),
        pytest.param(
            "no-rights",
            {},
            "ValidationSucceeded",
            "CreateFleetAuthCheckFailed",
            "Controller isn't authorized to call ec2:CreateFleet",
            id="rights",
        ),
        pytest.param(
            "no-image",
            {"amiSelectorTerms": [{"alias": "al2023@v20200101"}]},
            "AMIsReady",
            "",
            "failed to discover any AMIs for alias (alias=al2023@v20200101)",
            id="image, of which only the log tells",
        ),
        pytest.param(
            "no-role",
            {"role": "KarpenterNodeRole-elsewhere"},
            "InstanceProfileReady",
            "",
            "NoSuchEntity: Role KarpenterNodeRole-elsewhere not found",
            id="role, of which only the log tells",
        ),
    ],
)
def test_a_node_class_says_what_is_missing(
    name: str, wrong: Document, condition: str, reason: str, message: str, running: World
) -> None:
    like = "default-a100-80gb"
    found = [each for subject in ("node-classes", "node-pools") for each in documents_of(running.fleet, subject)]
    node_class, node_pool = (each for each in found if each["metadata"]["name"] == like)
    node_class["metadata"]["name"] = node_pool["metadata"]["name"] = name
    node_class["spec"] |= wrong
    node_pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] = name

    def seen() -> Document:
        return conditions(running.cluster.get(CLASS[0], name, api_version=CLASS[1]))

    with running.cloud.refusing("CreateFleet", "UnauthorizedOperation" if name == "no-rights" else ""):
        running.cluster.create(node_class)
        running.cluster.create(node_pool)
        if reason:
            wait_for(f"{name} is not Ready", lambda: seen().get(condition, {}).get("reason") == quoted(reason))
            assert quoted(message) in seen()[condition]["message"]
            wait_for(f"{name} is not Ready", lambda: seen()["Ready"]["status"] == "False")
        else:
            wait_for(f"the log has why {name} is not Ready", lambda: quoted(message) in log(running.cluster))
            assert (seen()["Ready"]["status"], seen()[condition]["status"]) == ("Unknown", "Unknown")


def test_pools_that_are_not_ready_do_not_keep_others_from_being_launched(running: World) -> None:
    broken = running.cluster.get(POOL[0], "no-subnet", api_version=POOL[1])
    assert conditions(broken)["Ready"]["status"] == "False"

    running.cluster.create(pod("beside", "2g.20gb", "default-a100-80gb"))

    assert running.launched("default-a100-80gb")["type"] == "p4de.24xlarge"


def test_an_emptied_node_is_terminated(emptied: dict[str, Any], running: World) -> None:
    wait_for(
        "the instance is terminated",
        lambda: running.cloud.instances()[emptied["id"]]["state"] in ("shutting-down", "terminated"),
    )
    wait_for("its NodeClaim is gone", lambda: running.claims("scale-layout") == [])


def overlay_of(world: World, pool: str) -> Document:
    (found,) = [each for each in documents_of(world.fleet, "node-overlays") if pool in each["metadata"]["name"]]
    return found


def quoted(text: str) -> str:
    """*text*, which ``docs/eks.md`` quotes."""
    assert text in " ".join(DOCS.split()), f"docs/eks.md does not quote: {text}"
    return text
