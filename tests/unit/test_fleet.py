"""Fleets that are read: defaults, what may be written, and how several fields go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fleet_text import A10G, H100, STORIES, load, pool, pool_text, problems, text
from webhook.cli import files
from webhook.errors import BadFleet
from webhook.fleet import fleet as fleets
from webhook.fleet.file import path
from webhook.fleet.fleet import Fleet
from webhook.slices.catalogue import Catalogue
from webhook.slices.request import parse


class TestDefaults:
    """What a pool of name, gpu, partition and instanceTypes is."""

    def test_the_four_fields_that_a_pool_needs_are_enough(self) -> None:
        entry = load().file.pools[0]
        assert entry.model_fields_set == {"name", "gpu", "partition", "instance_types"}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("strategy", "mixed"),
            ("taints", [{"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"}]),
            ("untainted", False),
            ("nodes", "karpenter"),
            ("zones", None),
            ("capacityTypes", ["on-demand"]),
            ("capacityReservations", []),
            ("emptyFor", "300s"),
            ("consolidation", "WhenEmpty"),
            ("expireAfter", "720h"),
            ("limit", {"slices": None, "nodes": 10}),
            ("weight", 10),
            ("ami", "al2023@v20260724"),
            ("nodeRole", None),
            ("disk", "200Gi"),
        ],
    )
    def test_a_field_that_is_not_given_has_its_default(self, field: str, value: object) -> None:
        assert load().file.pools[0].model_dump(by_alias=True)[field] == value

    def test_the_label_is_the_family_of_the_gpu(self) -> None:
        assert pool().labels == {"nvidia.com/gpu": "a100"}
        assert pool(**H100).labels == {"nvidia.com/gpu": "h100"}

    def test_no_label_is_given_where_none_is_wanted(self) -> None:
        assert pool(labels="{}").labels == {}

    def test_the_cluster_has_a_name(self) -> None:
        assert load().cluster == "my-cluster"
        assert load(extra="cluster: prod_1\n").cluster == "prod_1"

    def test_a_namespace_may_use_everything(self) -> None:
        fleet = load()
        assert all(fleet.policy("any").permits(where, offer) for where, offer in fleet.offers)

    def test_nodes_are_amd64_where_the_instance_types_are(self) -> None:
        assert pool().architecture == "amd64"
        graviton = pool(gpu="t4g", partition="{timeSlicing: {replicas: 2}}", instanceTypes="[g5g.xlarge]")
        assert graviton.architecture == "arm64"


class TestValid:
    """What is written as DESIGN says is read."""

    def test_the_built_in_fleet(self, fleet: Fleet) -> None:
        assert [each.name for each in fleet.pools] == [
            "a100-1g-5gb",
            "a100-mixed",
            "a100-80gb",
            "h100-1g-10gb",
            "h200-large",
            "a10g-shared",
        ]

    @pytest.mark.parametrize("written", STORIES)
    def test_the_fleets_of_the_stories(self, written: Path) -> None:
        assert files.load_fleet(written.read_bytes()).pools

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"strategy": "single"}, id="single with one profile"),
            pytest.param({"partition": "{mig: {4g.20gb: 1, 3g.20gb: 1}}"}, id="mixed with two"),
            pytest.param({"partition": "{mig: {1g.5gb.me: 1, 1g.5gb: 6}}"}, id="a profile as resources spell it"),
            pytest.param({"partition": "{mig: {1g.5gb: 3}}"}, id="a GPU that is not used up"),
            pytest.param({"partition": "{timeSlicing: {replicas: 2}}"}, id="time-slicing on a GPU that has MIG"),
            pytest.param({"partition": "{mps: {replicas: 48}}"}, id="mps"),
            pytest.param({"partition": "{mig: {1g.5gb: 7}, mps: null}"}, id="null is not given"),
            pytest.param({"taints": "[]", "untainted": "true"}, id="no taint, as was said"),
            pytest.param(
                {"taints": "[{key: a, effect: PreferNoSchedule}]", "untainted": "true"}, id="a soft taint, as was said"
            ),
            pytest.param(
                {"taints": "[{key: a, effect: PreferNoSchedule}, {key: b}]"}, id="a soft taint and a hard one"
            ),
            pytest.param({"zones": "[us-east-1a, us-gov-west-1b, us-west-2-lax-1a]"}, id="zones"),
            pytest.param({"zones": "[us-east-1-wl1-bos-wlz-1, eusc-de-east-1a]"}, id="zones of other kinds"),
            *(
                pytest.param({"nodes": "existing", "labels": f"{{{label}}}"}, id=f"existing nodes by {label}")
                for label in (
                    "karpenter.sh/nodepool: gpus",
                    "karpenter.k8s.aws/instance-family: p4d",
                    "topology.kubernetes.io/zone: us-east-1a",
                    "node.kubernetes.io/instance-type: p4d.24xlarge",
                    "kubernetes.io/hostname: ip-10-0-0-1",
                    "eks.amazonaws.com/nodegroup: gpus",
                )
            ),
            pytest.param({"taints": "[{key: gpu, effect: NoExecute}, {key: a.b/c, value: x}]"}, id="two taints"),
            pytest.param({"labels": '{team: "", a.b/c_d: X.1}'}, id="labels, also an empty one"),
            pytest.param(
                {"labels": '{eks.amazonaws.com/nodegroup: "1"}'}, id="a label of a cloud that is not reserved"
            ),
            pytest.param({"nodes": "existing"}, id="nodes that stand there"),
            pytest.param({"capacityTypes": "[spot, on-demand]"}, id="spot, then on-demand"),
            pytest.param(
                {
                    "capacityTypes": "[reserved]",
                    "capacityReservations": "[{id: cr-0a1}, {tags: {team: '*'}, ownerID: '123456789012'}, "
                    "{instanceMatchCriteria: targeted}]",
                },
                id="reserved, by id and by tags",
            ),
            pytest.param({"emptyFor": "1h30m", "expireAfter": "Never"}, id="durations"),
            pytest.param({"consolidation": "WhenEmptyOrUnderutilized"}, id="consolidation"),
            pytest.param({"limit": "{slices: 560}"}, id="a limit in slices"),
            pytest.param({"weight": "100"}, id="the largest weight"),
            pytest.param({"ami": "al2023@latest"}, id="the newest image"),
            pytest.param({"ami": "bottlerocket@1.57.0", "strategy": "single"}, id="bottlerocket with single"),
            pytest.param(
                {"ami": "bottlerocket@1.57.0", "strategy": "single", "partition": "{mig: {3g.20gb: 2}}"},
                id="bottlerocket with as many as fit",
            ),
            pytest.param({**A10G, "ami": "bottlerocket@1.57.0"}, id="bottlerocket with time-slicing on any GPU"),
            pytest.param(
                {"ami": "bottlerocket@1.57.0", "partition": "{mps: {replicas: 2}}"}, id="bottlerocket with mps"
            ),
            pytest.param({"ami": "al2023@v" + "2" * 22}, id="an image whose name is just short enough"),
            pytest.param({"nodeRole": "r", "disk": "1Ti"}, id="role and disk"),
            pytest.param({**H100, "instanceTypes": "[p5.4xlarge, p5.48xlarge]"}, id="nodes of two sizes"),
            pytest.param(
                {"gpu": "a100-80gb", "partition": "{mig: {7g.79gb: 1}}", "instanceTypes": "[p4de.24xlarge]"},
                id="a profile as another driver prints it",
            ),
        ],
    )
    def test_a_pool(self, fields: dict[str, str]) -> None:
        assert pool(**fields).offers

    def test_a_gpu_of_the_fleets_own(self) -> None:
        fleet = load(
            pool_text(gpu="h200-nvl", partition="{mig: {1g.18gb: 7}}", instanceTypes="[x1.large]"),
            extra="catalogue:\n"
            "  gpus: {h200-nvl: {like: h200, source: our lab}}\n"
            "  instanceTypes: {x1.large: {gpu: h200-nvl, gpus: 2, architecture: arm64}}\n",
        )
        (offer,) = fleet.pools[0].offers
        assert fleet.pools[0].shapes[0].capacity == {"nvidia.com/mig-1g.18gb": 14}
        assert fleet.pools[0].architecture == "arm64"
        assert offer.satisfies(parse("1g.18gb@h200-nvl")[0].choices[0])
        assert offer.satisfies(parse("1g.18gb@h200")[0].choices[0]), "it is of the family too"
        assert "h200-nvl" not in files.catalogue().gpus


class TestTogether:
    """All that is wrong is said at once."""

    def test_in_shape(self) -> None:
        found = problems(
            text(
                pool_text(name="A", weight="0", instanceTypes=None),
                pool_text(name="b", partition='{mps: {replicas: "4"}}'),
                extra="cluster: a b\nnamespace: {}\n",
            )
        )
        assert {each.path for each in found} == {
            "cluster",
            "namespace",
            "pools[0].name",
            "pools[0].weight",
            "pools[0].instanceTypes",
            "pools[1].partition.mps.replicas",
        }

    def test_in_meaning(self) -> None:
        found = problems(
            text(
                pool_text(gpu="a100", instanceTypes="[zz]", taints="[]", limit="{}"),
                pool_text(partition="{mig: {1g.6gb: 1, 9g: 1}}", capacityTypes="[reserved]", labels="{gpu-slice/a: b}"),
            )
        )
        assert [each.path for each in found] == [
            "pools[1].name",
            "pools[0].gpu",
            "pools[0].instanceTypes[0]",
            "pools[0].taints",
            "pools[0].limit",
            "pools[1].partition.mig[1g.6gb]",
            "pools[1].partition.mig[9g]",
            "pools[1].labels[gpu-slice/a]",
            "pools[1].capacityTypes",
        ]

    def test_in_namespaces(self) -> None:
        found = problems(text(extra="namespaces: {a: {pools: [x]}, b: {pools: [p, z]}}\n"))
        assert [each.path for each in found] == ["namespaces.a.pools[0]", "namespaces.b.pools[1]"]

        found = problems(text(extra="namespaces: {a: {slices: [9g.9gb]}, b: {slices: [1g.5gb, shared]}}\n"))
        assert [each.path for each in found] == ["namespaces.a.slices[0]", "namespaces.b.slices[1]"]

    def test_in_pools_and_namespaces(self) -> None:
        found = problems(text(pool_text(taints="[]"), extra="namespaces: {a: {pools: [x]}}\n"))
        assert [each.path for each in found] == ["pools[0].taints", "namespaces.a.pools[0]"]


def test_a_file_is_called_by_its_name(catalogue: Catalogue) -> None:
    with pytest.raises(BadFleet, match=r"^prod\.yaml: has 0 documents"):
        fleets.load("", catalogue, name="prod.yaml")


@pytest.mark.parametrize(
    ("steps", "written"),
    [
        pytest.param((), "fleet", id="the whole"),
        pytest.param(("pools", 0, "emptyFor"), "pools[0].emptyFor", id="fields and places"),
        pytest.param(("namespaces", "team-a", "pools"), "namespaces.team-a.pools", id="a hyphen"),
        pytest.param(("labels", "nvidia.com/gpu"), "labels[nvidia.com/gpu]", id="a key with dots"),
        pytest.param(("namespaces", "*"), "namespaces[*]", id="a star"),
    ],
)
def test_a_path_is_written_as_people_write_it(steps: tuple[int | str, ...], written: str) -> None:
    assert path(steps) == written
