"""Mistakes in fleet files that people make: all of them are told at once, and each with what to write instead."""

from __future__ import annotations

import json
from pathlib import Path

import jsonpatch
import pytest
import yaml
from click.testing import CliRunner

from tests.pods import plan, pod_of
from tests.rendering import documents_of
from tests.unit.fleet_text import A10G, H100, load, pool_text, problems, text
from webhook.cli import files
from webhook.cli.main import main

DOCS = Path(__file__).parents[2] / "docs" / "recipes.md"

NODE_CLASS = (
    "amiFamily", "amiSelectorTerms", "associatePublicIPAddress", "blockDeviceMappings",
    "capacityReservationSelectorTerms", "connectionTracking", "context", "cpuOptions", "detailedMonitoring",
    "instanceProfile", "instanceStorePolicy", "ipPrefixCount", "kubelet", "metadataOptions", "networkInterfaces",
    "placementGroupSelector", "role", "securityGroupSelectorTerms", "subnetSelectorTerms", "userData",
)  # fmt: skip
"""Fields of an EC2NodeClass' spec that a pool does not have under the same name: karpenter-provider-aws v1.15.0
``karpenter.k8s.aws_ec2nodeclasses.yaml``."""

NODE_POOL = (
    "disruption", "limits", "template", "consolidateAfter", "consolidationPolicy", "annotations", "nodeClassRef",
    "requirements",
)  # fmt: skip
"""Fields of a NodePool's spec, and of what is in it, that a pool does not have under the same name: karpenter
``karpenter.sh_nodepools.yaml``.  ``replicas`` is left out: whoever writes that means shares of a GPU."""


def hint_of(extra: str, **fields: str | None) -> str:
    """The whole refusal of a pool with one more field."""
    (problem,) = problems(text(pool_text(**fields)[:-1] + f", {extra}}}"))
    return str(problem)


class TestFieldsOfKarpenter:
    """A field that Karpenter has, and a pool has not, is told where it goes."""

    @pytest.mark.parametrize("name", NODE_CLASS)
    def test_of_an_ec2_node_class(self, name: str) -> None:
        told = hint_of(f"{name}: x")
        assert f"pools[0].{name}: is a field of Karpenter's EC2NodeClass, not of the fleet file. " in told

    @pytest.mark.parametrize("name", NODE_POOL)
    def test_of_a_node_pool(self, name: str) -> None:
        told = hint_of(f"{name}: x")
        assert f"pools[0].{name}: is a field of Karpenter's NodePool, not of the fleet file. " in told

    @pytest.mark.parametrize(
        ("written", "hint"),
        [
            ("role: r", "Write 'nodeRole'."),
            ("disruption: {consolidateAfter: 5m}", "Write 'emptyFor', 'consolidation' and 'budgets'."),
            ("limits: {nvidia.com/gpu: 8}", "Write 'limit', as in 'limit: {nodes: 10}'."),
            ("requirements: []", "Write 'instanceTypes', 'capacityTypes' and 'zones'."),
            ("amiSelectorTerms: [{id: ami-1}]", "Write 'ami', as in 'al2023@v20260724', or as in '[{id: ami-…}]'."),
            ("blockDeviceMappings: []", "Write it in the pool's 'nodeClass', as it stands in the EC2NodeClass."),
            ("kmsKeyID: key", "Write it under blockDeviceMappings in the pool's 'nodeClass'."),
            ("subnetSelectorTerms: []", "Write 'subnets'."),
            ("annotations: {}", "Write it in the pool's 'nodePool', under template, metadata."),
            ("volumeSize: 100Gi", "Write 'disk', as in 'disk: 200Gi'."),
            ("ttlSecondsAfterEmpty: 30", "Write 'emptyFor'."),
        ],
    )
    def test_what_to_write(self, written: str, hint: str) -> None:
        assert hint in hint_of(written)

    @pytest.mark.parametrize(
        ("written", "meant"),
        [("kublet", "kubelet"), ("metadataOption", "metadataOptions")],
    )
    def test_also_if_it_is_misspelt(self, written: str, meant: str) -> None:
        assert f"is not a known field; '{meant}' is a field of Karpenter's EC2NodeClass" in hint_of(f"{written}: x")

    def test_also_at_the_top_of_the_file(self) -> None:
        (problem,) = problems(text(extra="kubelet: {maxPods: 110}\n"))
        assert "EC2NodeClass" in problem.hint

    def test_the_patches_that_the_documentation_shows_fit_what_is_rendered(self) -> None:
        section = DOCS.read_text().split("## What the fleet file cannot say")[1]
        shown = yaml.safe_load(section.split("```yaml")[1].split("```")[0])
        for patch in shown["patches"]:
            target = patch["target"]
            subject = {"EC2NodeClass": "node-classes", "NodePool": "node-pools"}[target["kind"]]
            rendered = documents_of(files.fleet_at(None), subject)
            named = [
                each for each in rendered if target.get("name", each["metadata"]["name"]) == each["metadata"]["name"]
            ]
            for document in named:
                patched = jsonpatch.apply_patch(document, yaml.safe_load(patch["patch"]))
                assert set(patched["spec"]) >= set(document["spec"])
            assert named


class TestFieldsInTheWrongPlace:
    @pytest.mark.parametrize(
        ("written", "where"),
        [
            ("mig: {1g.5gb: 7}", "in pools[].partition."),
            ("replicas: 4", "in pools[].partition.timeSlicing."),
            ("slices: 560", "in pools[].limit."),
            ("effect: NoSchedule", "in pools[].taints."),
            ("cluster: prod", "at the top of the file."),
            ("namespaces: {}", "at the top of the file."),
        ],
    )
    def test_in_a_pool(self, written: str, where: str) -> None:
        assert hint_of(written).endswith(f"is not a known field. Write it {where}")

    @pytest.mark.parametrize("field", ["taints: []", "instanceTypes: [p4d.24xlarge]", "disk: 100Gi"])
    def test_at_the_top(self, field: str) -> None:
        (problem,) = problems(text(extra=f"{field}\n"))
        assert problem.hint == "Write it in pools[]"


ALIKE = "all GPUs of a pool are cut alike"


@pytest.mark.parametrize(
    "partition",
    [
        pytest.param("{mig: [{1g.5gb: 7}, {3g.20gb: 2}]}", id="a list of layouts"),
        pytest.param("{mig: [1g.5gb, 3g.20gb]}", id="a list of profiles"),
        pytest.param("[{mig: {1g.5gb: 7}}, {mig: {3g.20gb: 2}}]", id="a list of partitions"),
        pytest.param("{mig: {0-3: {1g.5gb: 7}, 4-7: {3g.20gb: 2}}}", id="a layout for some devices"),
        pytest.param("{mig: {gpu0: [1g.5gb]}}", id="a list for one device"),
        pytest.param("{mig: {1g.5gb: 7, full: 1}}", id="a full GPU beside"),
        pytest.param("{mig: {1g.5gb: 7, nvidia.com/gpu: 4}}", id="whole GPUs beside, by their resource"),
        pytest.param("{mig: {'0': 7}}", id="the number of a GPU"),
        pytest.param("{mig: {1g.5gb: 7}, whole: 4}", id="a field for whole GPUs"),
        pytest.param("{mig: {1g.5gb: 7}, devices: [0, 1]}", id="a field for devices"),
        pytest.param("{mig: {1g.5gb: 7}, timeSlicing: {replicas: 4}}", id="slices and shares"),
        pytest.param("{timeSlicing: [{replicas: 4}, {replicas: 8}]}", id="two numbers of shares"),
    ],
)
def test_gpus_that_are_cut_differently_need_two_pools(partition: str) -> None:
    told = [str(problem) for problem in problems(text(pool_text(partition=partition)))]
    assert all(ALIKE in each for each in told), told
    assert all("another pool" in each or "two pools" in each for each in told)


@pytest.mark.parametrize(
    ("role", "hint"),
    [
        ("arn:aws:iam::123456789012:role/KarpenterNodeRole-prod", "Write 'KarpenterNodeRole-prod'."),
        ("arn:aws-us-gov:iam::123456789012:role/team/nodes/Mine", "Write 'Mine'."),
        ("/team/Mine", "Write 'Mine'."),
        ("arn:aws:iam::123456789012:instance-profile/Mine", "Write the name of an IAM role, not an ARN or a path"),
        ("arn:aws:iam::123456789012:role/", "Write the name of an IAM role, not an ARN or a path"),
        ("", "Write the name of an IAM role"),
        ("my role", "Write the name of an IAM role"),
        ("r" * 65, "Write the name of an IAM role"),
    ],
)
def test_a_role_is_a_name(role: str, hint: str) -> None:
    (problem,) = problems(text(pool_text(nodeRole=f"'{role}'")))
    assert problem.path == "pools[0].nodeRole"
    assert hint in str(problem)


@pytest.mark.parametrize(
    ("disk", "told"),
    [
        ("1Gi", "is smaller than the image's own volume, and EC2 refuses it. Write at least '20Gi'."),
        ("19Gi", "is smaller than the image's own volume"),
        ("59Ti", "is not a size that Karpenter's EC2NodeClass takes. Write at most '58Ti'."),
        ("64Ti", "Write at most '58Ti'."),
        ("59001Gi", "Write at most '58Ti'."),
        ("999999999Gi", "Write at most '58Ti'."),
        ("18Ti", "is not a size that Karpenter's EC2NodeClass takes. Write '18432Gi'."),
    ],
)
def test_a_disk_that_cannot_be_had_is_refused(disk: str, told: str) -> None:
    (problem,) = problems(text(pool_text(disk=disk)))
    assert str(problem).startswith(f"pools[0].disk: '{disk}' ")
    assert told in str(problem)


def test_a_disk_of_any_number_of_digits_is_refused() -> None:
    (problem,) = problems(text(pool_text(disk="9" * 5000 + "Gi")))
    assert problem.hint == "Write a size such as '200Gi'"


@pytest.mark.parametrize("disk", ["20Gi", "16Ti", "17Ti", "18432Gi", "58Ti", "59000Gi"])
def test_a_disk_that_can_be_had(disk: str) -> None:
    assert load(pool_text(disk=disk)).pools[0].entry.disk == disk


@pytest.mark.parametrize(
    ("fields", "least", "largest"),
    [
        pytest.param({}, 56, "p4d.24xlarge", id="MIG"),
        pytest.param({**H100, "instanceTypes": "[p5.4xlarge, p5.48xlarge]"}, 56, "p5.48xlarge", id="two types"),
        pytest.param({"partition": "{mig: {3g.20gb: 1, 1g.5gb: 4}}"}, 40, "p4d.24xlarge", id="several kinds"),
        pytest.param(A10G, 4, "g5.xlarge", id="time-slicing"),
    ],
)
def test_a_limit_of_slices_has_room_for_a_node_of_each_type(fields: dict[str, str], least: int, largest: str) -> None:
    (problem,) = problems(text(pool_text(**fields, limit=f"{{slices: {least - 1}}}")))
    assert problem.path == "pools[0].limit.slices"
    assert problem.problem == f"{least - 1} is less than one '{largest}' has, so Karpenter launches none"
    assert problem.hint.startswith(f"Write at least {least}")
    assert load(pool_text(**fields, limit=f"{{slices: {least}}}"))


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"instanceTypes": "p4d.24xlarge"}, "Write a list, such as [p4d.24xlarge]"),
        ({"partition": "{timeSlicing: 4}"}, "Write a mapping, such as {replicas: 4}"),
        ({"partition": "{mig: 1g.5gb}"}, "Write a mapping, such as {1g.5gb: 7}"),
        ({"emptyFor": "300"}, "Write a duration such as '300s'"),
        ({"disk": "200"}, "Write a size such as '200Gi'"),
        ({"taints": "{key: a}"}, "Write a list, such as [{key: nvidia.com/gpu-shared, effect: NoSchedule}]"),
    ],
)
def test_a_wrong_type_is_answered_with_an_example(fields: dict[str, str], hint: str) -> None:
    (problem,) = problems(text(pool_text(**fields)))
    assert problem.hint == hint


@pytest.mark.parametrize(
    "fields",
    [{"partition": "{mig: {1g.5gb: 56}}"}, {"partition": "{mig: {1g.5gb: 7}, mps: {replicas: 9}}"}],
    ids=["a layout that does not fit", "two partitions"],
)
def test_a_limit_is_not_compared_with_nodes_that_cannot_be(fields: dict[str, str]) -> None:
    (problem,) = problems(text(pool_text(**fields, limit="{slices: 1}")))
    assert problem.path.startswith("pools[0].partition")


STANDING = {"nodes": "existing"}


def test_what_is_for_karpenter_is_told_once_for_existing_nodes() -> None:
    told = [problem.path for problem in problems(text(pool_text(disk="1Gi", limit="{slices: 1}", **STANDING)))]
    assert sorted(told) == ["pools[0].disk", "pools[0].limit"]


def test_a_gpu_that_is_called_partition_is_no_partition() -> None:
    (problem,) = problems(text(extra="catalogue: {gpus: {partition: []}}\n"))
    assert problem.problem == "[] is a list"


class TestLabelsOfExistingNodes:
    @pytest.mark.parametrize(
        "label",
        [
            "karpenter.sh/nodepool: gpu",
            "topology.kubernetes.io/zone: us-east-1a",
            "node.kubernetes.io/instance-type: p4d.24xlarge",
            "kubernetes.io/arch: amd64",
            "karpenter.k8s.aws/instance-family: p4d",
        ],
    )
    def test_labels_that_somebody_else_sets_may_select_them(self, label: str) -> None:
        key, _, value = label.partition(": ")
        assert load(pool_text(labels=f"{{{label}}}", **STANDING)).pools[0].labels == {key: value}
        (problem,) = problems(text(pool_text(labels=f"{{{label}}}")))
        assert "this label is set by Karpenter, the cloud or gpu-slice" in problem.problem

    @pytest.mark.parametrize(
        "key",
        [
            "topology.kubernetes.io/zone",
            "eks.amazonaws.com/nodegroup",
            "nvidia.com/gpu.product",
            "karpenter.sh/nodepool",
        ],
    )
    def test_nodes_of_another_pool_may_have_them_too(self, key: str) -> None:
        fleet = load(
            pool_text(name="one", labels=f"{{{key}: a}}", **STANDING),
            pool_text(name="two", partition="{mig: {2g.10gb: 3}}", **STANDING),
        )
        resolution = plan(pod_of("2g.10gb", nodeSelector={key: "b"}), fleet).resolution
        assert resolution is not None
        assert resolution.names == "two"

    @pytest.mark.parametrize(
        ("label", "real"),
        [
            ("node.kubernetes.io/instance-type: p4de.24xlarge", "'p4d.24xlarge' has 'p4d.24xlarge' there, not 'p4de"),
            ("kubernetes.io/arch: arm64", "'p4d.24xlarge' has 'amd64' there, not 'arm64'"),
            ("beta.kubernetes.io/os: windows", "'p4d.24xlarge' has 'linux' there, not 'windows'"),
            ("gpu-slice/pool: p", "this label is set by"),
        ],
    )
    def test_a_label_that_they_cannot_have_is_refused(self, label: str, real: str) -> None:
        (problem,) = problems(text(pool_text(labels=f"{{{label}}}", **STANDING)))
        assert real in problem.problem


@pytest.mark.parametrize("kind", ["timeSlicing", "mps"])
def test_only_existing_nodes_have_shares_that_are_not_renamed(kind: str) -> None:
    fields = {**A10G, "partition": f"{{{kind}: {{replicas: 4, renamed: false}}}}"}
    (offer,) = load(pool_text(**fields, **STANDING)).pools[0].offers
    assert (offer.resource, offer.per_gpu) == ("nvidia.com/gpu", 4)
    (problem,) = problems(text(pool_text(**fields)))
    assert problem.path == f"pools[0].partition.{kind}.renamed"
    assert problem.hint == "Remove it, or write 'nodes: existing'"


class TestAllAtOnce:
    FAULTS = (
        ("gpu", "a100"),
        ("gpu", "quadro"),
        ("partition", "{mig: {1g.6gb: 1}}"),
        ("disk", "59Ti"),
        ("weight", "'5'"),
        ("limit", "{slices: 1}"),
        ("instanceTypes", "[p5.48xlarge]"),
        ("taints", "[]"),
    )

    def faulty(self) -> list[str]:
        return [pool_text(name=f"p{index}", **{field: value}) for index, (field, value) in enumerate(self.FAULTS)]

    def test_a_wrong_type_in_one_pool_hides_nothing_in_others(self) -> None:
        told = [problem.path for problem in problems(text(*self.faulty()))]
        assert {path.split(".")[0] for path in told} == {f"pools[{index}]" for index in range(8)}

    @pytest.mark.parametrize("odd", ["p", "[]", "5", "null"])
    def test_nor_does_a_pool_that_is_none(self, odd: str) -> None:
        told = [problem.path for problem in problems(text(*self.faulty(), odd))]
        assert {path.split(".")[0] for path in told} == {f"pools[{index}]" for index in range(9)}

    def test_nor_in_the_same_pool(self) -> None:
        wrong = pool_text(gpu="a100", disk="59Ti", weight="'5'", nodeRole="a/b", limit="{slices: 1}")
        assert {problem.path for problem in problems(text(wrong))} == {
            f"pools[0].{field}" for field in ("gpu", "disk", "weight", "nodeRole", "limit.slices")
        }

    def test_what_depends_on_a_field_that_cannot_be_read_is_not_told(self) -> None:
        for field in (
            "taints: 5, untainted: true",
            "taints: [], untainted: 5",
            "capacityReservations: [{id: cr-1}], capacityTypes: [x]",
        ):
            told = problems(text(pool_text()[:-1] + f", {field}}}"))
            assert len(told) == 1, told

    def test_a_fault_in_the_file_or_a_namespace_hides_nothing(self) -> None:
        extra = (
            "cluster: 5\ndevicePlugin: {image: 'a/k8s-device-plugin:v0.19.0'}\n"
            "prices: {p4d.24xlarge: '5', p9.large: 7}\n"
            "namespaces: {a: {pools: 5}, b: {pools: [x]}, c: {slices: [banana]}}\n"
        )
        told = {problem.path for problem in problems(text(pool_text(gpu="a100"), extra=extra))}
        assert told == {
            "cluster", "devicePlugin.image", "namespaces.a.pools", "namespaces.b.pools[0]", "namespaces.c.slices[0]",
            "pools[0].gpu", "prices[p4d.24xlarge]",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "extra",
        ["catalogue: {gpus: {mine: {source: 5}}}\n", "catalogue: {gpus: {mine: {like: nothing, source: here}}}\n"],
        ids=["a wrong type", "a contradiction"],
    )
    def test_nor_does_a_fault_in_the_catalogue_and_what_it_would_add_is_not_missed(self, extra: str) -> None:
        own = pool_text(name="own", gpu="mine", instanceTypes="[x1.large]")
        told = [problem.path for problem in problems(text(own, pool_text(disk="59Ti"), extra=extra))]
        assert [path for path in told if not path.startswith("catalogue")] == ["pools[1].disk"]
        assert len(told) == 2

    def test_two_pools_of_a_name_are_told_beside_a_pool_without_one(self) -> None:
        told = [problem.path for problem in problems(text(pool_text(name=None), pool_text(), pool_text()))]
        assert told == ["pools[0].name", "pools[2].name"]

    def test_a_pool_without_a_name_may_be_the_one_that_a_namespace_names(self) -> None:
        told = [
            problem.path
            for problem in problems(text(pool_text(name="'A b'"), extra="namespaces: {a: {pools: [A b]}}\n"))
        ]
        assert told == ["pools[0].name"]

    def test_the_command_lists_them_all(self, tmp_path: Path) -> None:
        (tmp_path / "fleet.yaml").write_text(text(*self.faulty()))
        result = CliRunner().invoke(main, ["fleet", "check", str(tmp_path / "fleet.yaml")])
        assert result.exit_code == 1
        assert {line.split(".")[0] for line in result.stdout.splitlines()} == {f"pools[{index}]" for index in range(8)}


class TestDefaults:
    """A mistake in `defaults` is told there, and once."""

    @pytest.mark.parametrize(
        ("defaults", "where"),
        [
            ("{disk: 59Ti}", "defaults.disk"),
            ("{limit: {slices: 1}}", "defaults.limit.slices"),
            ("{labels: {gpu-slice/x: a}}", "defaults.labels[gpu-slice/x]"),
            ("{taints: [{key: a}, {key: a}]}", "defaults.taints[1]"),
            ("{nodeRole: a/b}", "defaults.nodeRole"),
            ("{taints: 5}", "defaults.taints"),
            ("{kublet: {}}", "defaults.kublet"),
        ],
    )
    def test_in_one_place(self, defaults: str, where: str) -> None:
        (problem,) = problems(text(pool_text(name="a"), pool_text(name="b"), extra=f"defaults: {defaults}\n"))
        assert problem.path == where

    def test_but_what_a_pool_says_itself_is_told_there(self) -> None:
        (problem,) = problems(text(pool_text(disk="1Gi"), extra="defaults: {disk: 100Gi}\n"))
        assert problem.path == "pools[0].disk"


@pytest.mark.parametrize("ami", ["[5]", "[[a]]", "[b]"])
def test_terms_for_an_image_are_mappings(ami: str) -> None:
    (problem,) = problems(text(pool_text(ami=ami)))
    assert problem.path == "pools[0].ami[0]"
    assert problem.hint == "Write a mapping, such as {id: ami-…}"


def test_a_startup_taint_is_not_one_of_the_taints() -> None:
    """Karpenter refuses a NodePool that has one twice, in whichever list."""
    (problem,) = problems(text(pool_text(taints="[{key: a}]", startupTaints="[{key: b}, {key: a}]")))
    assert problem.path == "pools[0].startupTaints[1]"
    assert problem.problem == "the pool has another taint 'a' with the effect NoSchedule"


@pytest.mark.parametrize("tag", ["aws:x", "AWS:x", "Aws:x", "''", "kubernetes.io/cluster/a", "karpenter.sh/nodepool"])
def test_a_tag_that_others_set_is_refused(tag: str) -> None:
    (problem,) = problems(text(pool_text(tags=f"{{{tag}: a}}")))
    assert problem.problem == "AWS or Karpenter sets this tag"


class TestTagsThatEc2Refuses:
    """An instance that EC2 refuses is one that Karpenter tries to launch for ever."""

    @pytest.mark.parametrize(
        ("tags", "told"),
        [
            pytest.param(
                {f"t{index}": "a" for index in range(45)},
                "pools[0].tags: has 45, and EC2 takes 50 with the 6 that Karpenter adds. Write at most 44.",
                id="too many",
            ),
            pytest.param(
                {"k" * 129: "a"},
                f"pools[0].tags: the key '{'k' * 80}'… has 129 characters, and EC2 takes 128. Shorten it.",
                id="a long key",
            ),
            pytest.param(
                {"team": "v" * 257},
                "pools[0].tags.team: its value has 257 characters, and EC2 takes 256. Shorten it.",
                id="a long value",
            ),
        ],
    )
    def test_with_its_limit(self, tags: dict[str, str], told: str) -> None:
        (problem,) = problems(text(pool_text(tags=json.dumps(tags))))
        assert str(problem) == told

    def test_and_a_key_and_its_value_are_told_apart(self) -> None:
        found = problems(text(pool_text(tags=json.dumps({"k" * 129: "v" * 257, "aws:a": "v" * 257}))))
        assert [problem.path for problem in found] == ["pools[0].tags"] * 2 + ["pools[0].tags[aws:a]"] * 2

    def test_in_defaults_once(self) -> None:
        tags = f"defaults: {{tags: {{team: {'v' * 257}}}}}\n"
        (problem,) = problems(text(pool_text(name="a"), pool_text(name="b"), extra=tags))
        assert problem.path == "defaults.tags.team"

    def test_and_not_what_it_just_takes(self) -> None:
        tags = {f"t{index}": "a" for index in range(43)} | {
            "ü" * 128: "ü" * 256,
            "Name": "given instead of Karpenter's",
        }
        assert len(load(pool_text(tags=json.dumps(tags))).pools[0].entry.tags) == 45
