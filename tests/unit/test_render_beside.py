"""What a fleet renders to when it is asked for: quotas, and what others' tools are told.  Names, counts and zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import yaml

from tests.stories import FLEETS
from webhook import documents
from webhook.admission.preview import preview
from webhook.cli import files, render
from webhook.fleet.file import DevicePlugin
from webhook.fleet.fleet import Fleet
from webhook.render import (
    dcgm_exporter,
    device_plugin,
    dra,
    gpu_operator,
    helm_values,
    kueue,
    mig_parted,
    node_class,
    node_overlay,
    node_pool,
    quota,
)
from webhook.render.manifest import Commented, write

BUILDERS: dict[str, Callable[[Fleet], Iterable[Commented]]] = {
    "quota": quota.quotas,
    "mig-parted": mig_parted.mig_configs,
    "dra": dra.device_classes,
    "dcgm-exporter": dcgm_exporter.values,
    "kueue": kueue.queues,
    "helm-values": helm_values.helm_values,
}

EXISTING = """
apiVersion: gpu-slice/v1
pools:
- {name: a, gpu: a10g, partition: {timeSlicing: {replicas: 2}}, instanceTypes: [g5.xlarge], nodes: existing}
- name: b
  gpu: a100-40gb
  partition: {mig: {1g.5gb: 7}}
  strategy: single
  instanceTypes: [p4d.24xlarge]
  ami: bottlerocket@1.57.0
"""
"""Nodes whose device plugin and layout are others' business."""


def fleet_of(name: str) -> Fleet:
    return files.fleet_at(FLEETS[name])


def manifests(built: Iterable[Commented]) -> list[dict[str, Any]]:
    """As whoever applies the file reads them."""
    return [each.value for each in documents.read(write(built))]


def named(built: Iterable[Commented]) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in manifests(built)}


@pytest.fixture(name="any_fleet", params=FLEETS.values(), ids=FLEETS)
def _any_fleet(request: pytest.FixtureRequest) -> Fleet:
    return files.fleet_at(request.param)


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_what_is_written_is_what_was_built(any_fleet: Fleet, build: Callable[[Fleet], Iterable[Commented]]) -> None:
    built = list(build(any_fleet))
    assert manifests(built) == [each.manifest for each in built]
    assert max(map(len, write(built).splitlines()), default=0) < 240


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_the_first_document_says_what_it_is_for(fleet: Fleet, build: Callable[[Fleet], Iterable[Commented]]) -> None:
    assert all(str(each).startswith("# ") for each in list(build(fleet))[:1])


class TestQuotas:
    """None of what a namespace may not use."""

    def test_each_namespace_gets_zeros_for_what_it_may_not_use(self) -> None:
        small, middle, large, shared = (
            f"requests.nvidia.com/{each}" for each in ("mig-1g.5gb", "mig-2g.10gb", "mig-3g.20gb", "gpu.shared")
        )
        found = {
            each["metadata"]["namespace"]: each["spec"]["hard"] for each in manifests(quota.quotas(fleet_of("teams")))
        }
        assert found == {
            "notebooks": {small: "0", middle: "0", large: "0"},
            "research": {shared: "0"},
            "team-a": {large: "0", shared: "0"},
            "nobody": {small: "0", middle: "0", large: "0", shared: "0"},
        }

    def test_they_are_found_by_one_name(self) -> None:
        for each in manifests(quota.quotas(fleet_of("teams"))):
            assert (each["apiVersion"], each["kind"]) == ("v1", "ResourceQuota")
            assert each["metadata"]["name"] == "gpu-slice"

    def test_a_namespace_that_may_use_everything_gets_none(self, fleet: Fleet) -> None:
        assert list(quota.quotas(fleet)) == []
        text = files.default_fleet_text().decode() + "namespaces: {free: {}, all: {slices: [%s]}}\n"
        slices = ", ".join(dict.fromkeys(str(offer) for _, offer in fleet.offers))
        assert list(quota.quotas(files.load_fleet((text % slices).encode()))) == []

    def test_a_slice_of_two_pools_is_allowed_where_one_of_them_is(self) -> None:
        text = FLEETS["siblings"].read_text() + "namespaces: {a: {pools: [a100-40]}}\n"
        (found,) = manifests(quota.quotas(files.load_fleet(text.encode())))
        assert sorted(found["spec"]["hard"]) == [
            "requests.nvidia.com/mig-1g.10gb.me",
            "requests.nvidia.com/mig-2g.20gb",
            "requests.nvidia.com/mig-3g.40gb",
        ]

    def test_where_slices_are_called_as_whole_gpus_are_it_says_so(self) -> None:
        text = FLEETS["single"].read_text() + "namespaces: {a: {slices: []}}\n"
        (found,) = quota.quotas(files.load_fleet(text.encode()))
        assert found.manifest["spec"]["hard"] == {"requests.nvidia.com/gpu": "0"}
        assert "a whole GPU elsewhere" in str(found)


class TestMigParted:
    """The layouts for the GPU Operator."""

    @staticmethod
    def configs(fleet: Fleet) -> dict[str, Any]:
        (config_map,) = manifests(mig_parted.mig_configs(fleet))
        assert (config_map["kind"], list(config_map["data"])) == ("ConfigMap", ["config.yaml"])
        config = yaml.safe_load(config_map["data"]["config.yaml"])
        assert config["version"] == "v1"
        return config["mig-configs"]

    def test_each_pool_that_is_cut_has_its_layout(self, any_fleet: Fleet) -> None:
        cut = {pool.name: pool for pool in any_fleet.pools if pool.entry.partition.mig}
        configs = self.configs(any_fleet)
        assert list(configs) == ["all-disabled", *cut]
        for name, pool in cut.items():
            layout = dict(pool.entry.partition.mig or {})
            assert configs[name] == [{"devices": "all", "mig-enabled": True, "mig-devices": layout}]

    def test_a_node_without_a_label_stays_whole(self, fleet: Fleet) -> None:
        assert self.configs(fleet)["all-disabled"] == [{"devices": "all", "mig-enabled": False}]

    def test_the_strategy_is_named(self, fleet: Fleet) -> None:
        assert "mig.strategy: mixed.\n" in write(mig_parted.mig_configs(fleet))
        assert "mig.strategy: single.\n" in write(mig_parted.mig_configs(fleet_of("single")))

    def test_two_strategies_are_one_too_many(self) -> None:
        both = FLEETS["single"].read_text().replace("    strategy: single\n", "", 1)
        assert "this fleet has pools of both" in write(mig_parted.mig_configs(files.load_fleet(both.encode())))

    def test_none_where_nothing_is_cut(self) -> None:
        assert list(mig_parted.mig_configs(files.load_fleet(EXISTING.encode()))) == []


OPERATOR = """
apiVersion: gpu-slice/v1
defaults: {partitionedBy: gpu-operator, gpu: a100-40gb, instanceTypes: [p4d.24xlarge]}
pools:
- {name: small, partition: {mig: {1g.5gb: 7}}, nodeClass: {userData: "#!/bin/sh\\n"}}
- {name: large, partition: {mig: {3g.20gb: 2}}, taints: [{key: example.com/gpu}]}
- {name: ours, partition: {mig: {2g.10gb: 3}}, partitionedBy: boot}
- {name: theirs, partition: {mig: {7g.40gb: 1}}, nodes: existing, nodePools: [gpu-a, gpu-b]}
"""


class TestGpuOperator:
    """Pools that NVIDIA's GPU Operator cuts."""

    def test_its_nodes_carry_the_layout_and_all_others_keep_it_away(self) -> None:
        pools = named(node_pool.node_pools(files.load_fleet(OPERATOR.encode())))
        labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in pools.items()}
        assert labels["small"]["nvidia.com/mig.config"] == "small"
        assert "nvidia.com/gpu.deploy.operands" not in labels["small"]
        assert labels["ours"]["nvidia.com/gpu.deploy.operands"] == "false"
        assert "nvidia.com/mig.config" not in labels["ours"]

    def test_the_layout_of_each_node_is_in_the_config_map(self) -> None:
        fleet = files.load_fleet(OPERATOR.encode())
        configs = TestMigParted.configs(fleet)
        for each in manifests(node_pool.node_pools(fleet)):
            name = each["spec"]["template"]["metadata"]["labels"].get("nvidia.com/mig.config")
            assert name is None or configs[name][0]["mig-enabled"]

    def test_we_neither_cut_nor_run_a_plugin_there(self) -> None:
        fleet = files.load_fleet(OPERATOR.encode())
        classes = named(node_class.node_classes(fleet, render.boot_files()))
        assert {name: each["spec"].get("userData", "")[:12] for name, each in classes.items()} == {
            "small": "#!/bin/sh\n", "large": "", "ours": "MIME-Version",
        }  # fmt: skip
        assert [pool.name for pools in device_plugin.configurations(fleet).values() for pool in pools] == ["ours"]

    def test_its_daemon_sets_tolerate_the_taints_of_its_pools(self) -> None:
        (values,) = manifests(gpu_operator.values(files.load_fleet(OPERATOR.encode())))
        keys = ["nvidia.com/gpu", "nvidia.com/gpu-shared", "example.com/gpu"]
        assert [each["key"] for each in values["daemonsets"]["tolerations"]] == keys
        assert values["node-feature-discovery"]["worker"]["tolerations"] == values["daemonsets"]["tolerations"]
        assert values["mig"] == {"strategy": "mixed"}
        (config_map,) = manifests(mig_parted.mig_configs(files.load_fleet(OPERATOR.encode())))
        assert values["migManager"]["config"]["name"] == config_map["metadata"]["name"]
        assert (
            values["migManager"]["config"]["default"]
            in yaml.safe_load(config_map["data"]["config.yaml"])["mig-configs"]
        )

    def test_karpenter_knows_the_slices_of_node_pools_that_others_made(self) -> None:
        overlays = named(node_overlay.node_overlays(files.load_fleet(OPERATOR.encode())))
        assert list(overlays) == ["small-8-gpus", "large-8-gpus", "ours-8-gpus", "theirs-8-gpus"]
        spec = overlays["theirs-8-gpus"]["spec"]
        assert spec["requirements"][0]["values"] == ["gpu-a", "gpu-b"]
        assert spec["capacity"] == {"nvidia.com/gpu": "0", "nvidia.com/mig-7g.40gb": "8"}

    def test_nothing_is_said_to_it_where_it_cuts_nothing(self, fleet: Fleet) -> None:
        assert list(gpu_operator.values(fleet)) == []


class TestDeviceClasses:
    """Slices for DRA."""

    def test_each_profile_with_a_resource_has_one(self, any_fleet: Fleet) -> None:
        found = {each["spec"]["extendedResourceName"] for each in manifests(dra.device_classes(any_fleet))}
        assert found == {
            offer.resource
            for pool in any_fleet.pools  # the retired ones, too: their pods run on
            for offer in pool.offers
            if pool.entry.partition.mig and pool.entry.strategy == "mixed"
        }

    def test_it_selects_by_the_name_that_the_driver_prints(self) -> None:
        media = named(dra.device_classes(fleet_of("siblings")))["mig-1g.10gb.me.gpu.nvidia.com"]
        assert (media["apiVersion"], media["kind"]) == ("resource.k8s.io/v1", "DeviceClass")
        assert media["spec"] == {
            "selectors": [
                {
                    "cel": {
                        "expression": "device.driver == 'gpu.nvidia.com' && "
                        "device.attributes['gpu.nvidia.com'].type == 'mig' && "
                        "device.attributes['gpu.nvidia.com'].profile == '1g.10gb+me'"
                    }
                }
            ],
            "extendedResourceName": "nvidia.com/mig-1g.10gb.me",
        }

    def test_none_where_a_slice_is_called_as_a_whole_gpu_is(self) -> None:
        assert list(dra.device_classes(fleet_of("single"))) == []


class TestOnTheNodes:
    """Daemons of others reach the same nodes as ours."""

    def test_the_chart_goes_where_our_device_plugin_goes(self, any_fleet: Fleet) -> None:
        ours = {
            name: each["spec"]["template"]["spec"]
            for name, each in named(device_plugin.device_plugins(any_fleet)).items()
            if each["kind"] == "DaemonSet" and not name.endswith("-daemon")
        }
        values = {each["fullnameOverride"]: each for each in manifests(helm_values.helm_values(any_fleet))}
        assert list(values) == list(device_plugin.configurations(any_fleet)) == list(ours)
        for name, each in values.items():
            assert each["affinity"] == ours[name]["affinity"]
            assert each["tolerations"] == ours[name]["tolerations"]

    def test_the_chart_is_configured_as_our_device_plugin_is(self, any_fleet: Fleet) -> None:
        values = {each["fullnameOverride"]: each for each in manifests(helm_values.helm_values(any_fleet))}
        for name, pools in device_plugin.configurations(any_fleet).items():
            config = values[name]["config"]
            given = yaml.safe_load(config["map"][config["default"]])
            environment = device_plugin.environment(pools[0])
            assert given["flags"].pop("plugin") == {
                "sharedDevicesAllocationPolicy": environment["SHARED_DEVICES_ALLOCATION_POLICY"]
            }
            assert given == device_plugin.configuration(pools[0])
            # As an environment variable: it tells the chart that its pods need MIG's monitor device.
            assert values[name].get("migStrategy") == environment.get("MIG_STRATEGY")

    def test_the_charts_mps_daemon_finds_the_label_that_it_waits_for(self) -> None:
        values = {each["fullnameOverride"]: each for each in manifests(helm_values.helm_values(fleet_of("corners")))}
        mps = values["gpu-slice-device-plugin-mps-3"]
        assert mps["gfd"] == {"enabled": True}
        assert mps["nfd"]["worker"]["tolerations"] == mps["tolerations"]
        assert "gfd" not in values["gpu-slice-device-plugin-mixed"]

    def test_each_of_several_releases_says_which_it_is(self) -> None:
        texts = [str(each) for each in helm_values.helm_values(fleet_of("corners"))]
        assert [f"# Release {number} of 3" in text for number, text in enumerate(texts, 1)] == [True] * 3
        (alone,) = helm_values.helm_values(fleet_of("siblings"))
        assert "Release" not in str(alone)

    def test_the_versions_are_those_of_our_device_plugin(self) -> None:
        assert DevicePlugin().image.endswith(f":v{helm_values.CHART}")

    def test_none_where_others_bring_the_plugin(self) -> None:
        assert list(helm_values.helm_values(files.load_fleet(EXISTING.encode()))) == []

    def test_usage_is_measured_on_every_node_of_the_fleet(self, any_fleet: Fleet) -> None:
        (values,) = manifests(dcgm_exporter.values(any_fleet))
        required = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ((here,),) = [term["matchExpressions"] for term in required["nodeSelectorTerms"]]
        assert here["values"] == [pool.name for pool in any_fleet.pools]
        tolerated = {(each["key"], each["effect"]) for each in values["tolerations"]}
        assert tolerated >= {(taint.key, taint.effect) for pool in any_fleet.pools for taint in pool.taints}

    @pytest.mark.parametrize(
        ("name", "variables"),
        [
            pytest.param("siblings", ["NVIDIA_MIG_MONITOR_DEVICES"], id="slices alone"),
            pytest.param(
                "default",
                ["NVIDIA_MIG_MONITOR_DEVICES", "NVIDIA_RESOURCE_NAMES", "KUBERNETES_VIRTUAL_GPUS"],
                id="shares of a GPU too",
            ),
        ],
    )
    def test_usage_is_told_what_the_fleet_has(self, name: str, variables: list[str]) -> None:
        (values,) = manifests(dcgm_exporter.values(fleet_of(name)))
        assert [each["name"] for each in values["extraEnv"]] == variables
        assert values["arguments"][-2:] == ["-d", "f"]
        assert values["serviceMonitor"] == {"honorLabels": True}


class TestKueue:
    """Queues over the fleet, and a Job that waits in one."""

    def test_the_documents_name_each_other(self, any_fleet: Fleet) -> None:
        flavor, cluster_queue, local_queue, job = manifests(kueue.queues(any_fleet))
        kinds = [each["kind"] for each in (flavor, cluster_queue, local_queue, job)]
        assert kinds == ["ResourceFlavor", "ClusterQueue", "LocalQueue", "Job"]
        (group,) = cluster_queue["spec"]["resourceGroups"]
        assert [each["name"] for each in group["flavors"]] == [flavor["metadata"]["name"]]
        assert local_queue["spec"]["clusterQueue"] == cluster_queue["metadata"]["name"]
        assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": local_queue["metadata"]["name"]}
        assert job["metadata"]["namespace"] == local_queue["metadata"]["namespace"]

    def test_every_slice_of_the_fleet_is_counted(self) -> None:
        _, cluster_queue, *_ = manifests(kueue.queues(fleet_of("teams")))
        (group,) = cluster_queue["spec"]["resourceGroups"]
        (flavor,) = group["flavors"]
        assert group["coveredResources"] == [each["name"] for each in flavor["resources"]]
        assert {each["name"]: each["nominalQuota"] for each in flavor["resources"]} == {
            "nvidia.com/mig-1g.5gb": 8 * 7 + 8 * 2,
            "nvidia.com/mig-3g.20gb": 8,
            "nvidia.com/mig-2g.10gb": 8,
            "nvidia.com/gpu.shared": 4,
        }

    def test_the_job_asks_for_what_its_namespace_may_use(self) -> None:
        text = FLEETS["teams"].read_text() + "  default: {slices: [2g.10gb]}\n"
        *_, job = manifests(kueue.queues(files.load_fleet(text.encode())))
        assert job["spec"]["template"]["metadata"]["annotations"] == {"gpu-slice": "2g.10gb"}

    def test_the_webhook_takes_the_pods_of_the_job_as_kueue_counted_them(self, any_fleet: Fleet) -> None:
        *_, job = manifests(kueue.queues(any_fleet))
        (limits,) = [each["resources"]["limits"] for each in job["spec"]["template"]["spec"]["containers"]]

        (seen,) = preview(job, any_fleet)

        assert seen.denial is None
        assert seen.pod is not None
        assert seen.pod["metadata"]["annotations"].keys() > {"gpu-slice"}, "it was seen"
        (container,) = seen.pod["spec"]["containers"]
        assert {name: int(amount) for name, amount in container["resources"]["limits"].items()} == limits


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("registry.example/k8s-device-plugin:v1", ("registry.example/k8s-device-plugin", "v1")),
        ("registry.example:5000/k8s-device-plugin", ("registry.example:5000/k8s-device-plugin", "")),
        ("registry.example:5000/a/b:v1", ("registry.example:5000/a/b", "v1")),
        (f"registry.example/a:v1@sha256:{'0' * 64}", ("registry.example/a@sha256", "0" * 64)),
        (f"registry.example:5000/a@sha256:{'0' * 64}", ("registry.example:5000/a@sha256", "0" * 64)),
    ],
)
def test_an_image_is_split_as_the_chart_joins_it(image: str, parts: tuple[str, str]) -> None:
    assert helm_values.image_parts(image) == parts
