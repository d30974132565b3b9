"""The fleet file: what works without being said, what each pool offers, and every way in which a file is refused."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import pods
from tests.stories import FLEETS
from webhook.cli import files
from webhook.errors import BadFleet, FleetProblem
from webhook.fleet import fleet as fleets
from webhook.fleet.file import path, schema
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer, Offer, Pool, SharedOffer
from webhook.slices.catalogue import Catalogue
from webhook.slices.profile import MigProfile
from webhook.slices.request import parse
from webhook.slices.suggest import distance, nearest

STORIES = [pytest.param(path, id=name) for name, path in FLEETS.items() if path]
"""The fleets that pods in tests/stories meet."""

SMALLEST = {
    "name": "p",
    "gpu": "a100-40gb",
    "partition": "{mig: {1g.5gb: 7}}",
    "instanceTypes": "[p4d.24xlarge]",
}
H100 = {"gpu": "h100-80gb", "partition": "{mig: {1g.10gb: 7}}", "instanceTypes": "[p5.48xlarge]"}
A10G = {"gpu": "a10g", "partition": "{timeSlicing: {replicas: 4}}", "instanceTypes": "[g5.xlarge]"}


def pool_text(**fields: str | None) -> str:
    """One pool in YAML: the smallest that there is, with *fields* instead or besides; None leaves one out."""
    given = {**SMALLEST, **fields}
    return "{" + ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None) + "}"


def text(*pools: str, extra: str = "") -> str:
    """A fleet file with *pools*, or with the smallest one."""
    lines = "".join(f"  - {each}\n" for each in pools or (pool_text(),))
    return f"apiVersion: gpu-slice/v1\npools:\n{lines}{extra}"


def load(*pools: str, extra: str = "") -> Fleet:
    return files.load_fleet(text(*pools, extra=extra).encode())


def pool(**fields: str | None) -> Pool:
    (found,) = load(pool_text(**fields)).pools
    return found


def problems(written: str | bytes) -> tuple[FleetProblem, ...]:
    with pytest.raises(BadFleet) as refused:
        files.load_fleet(written.encode() if isinstance(written, str) else written)
    return refused.value.problems


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


NOT_MIG = "not a MIG profile: expected"

REFUSED = [
    # the text, the path of the problem, the problem and the hint or the telling part of each
    pytest.param("", "fleet", "has 0 documents", "one fleet", id="an empty file"),
    pytest.param("# nothing\n", "fleet", "has 0 documents", "one fleet", id="a comment"),
    pytest.param(text() + "---\n" + text(), "fleet", "has 2 documents", "one fleet", id="two documents"),
    pytest.param("- name: p\n", "fleet", "[…] is not a fleet", "Begin with 'apiVersion: gpu-slice/v1'", id="a list"),
    pytest.param("fleet\n", "fleet", "'fleet' is not a fleet", "apiVersion: gpu-slice/v1", id="a text"),
    pytest.param("pools: [\n", "fleet", "cannot be read", "fleet:", id="no YAML"),
    pytest.param(
        "apiVersion: a\napiVersion: b\n",
        "fleet",
        "cannot be read",
        "fleet:2: duplicate key 'apiVersion'. Keep one of them; the first is on line 1",
        id="a key twice",
    ),
    pytest.param(
        text(pool_text(labels="{a: x, a: y}")),
        "fleet",
        "cannot be read",
        "fleet:3: duplicate key 'a'. Keep one of them; the first is on line 3",
        id="a key twice, further down",
    ),
    pytest.param(
        text().replace("/v1", "/v2"), "apiVersion", "not 'gpu-slice/v2'", "gpu-slice/v1', or upgrade", id="a newer one"
    ),
    pytest.param(
        "pools: []\napiVersion: 1\n",
        "apiVersion",
        "this version of gpu-slice reads gpu-slice/v1, not 1",
        "Write 'apiVersion: gpu-slice/v1', or upgrade",
        id="a number for the version",
    ),
    pytest.param(text().split("\n", 1)[1], "apiVersion", "is missing", "Add it", id="no version"),
    pytest.param("apiVersion: gpu-slice/v1\n", "pools", "is missing", "Add it", id="no pools"),
    pytest.param(
        "apiVersion: gpu-slice/v1\npools: []\n",
        "pools",
        "is empty",
        "Add at least one entry",
        id="an empty list of pools",
    ),
    pytest.param(
        "apiVersion: gpu-slice/v1\npools: {p: {}}\n", "pools", "{…} is a mapping", "Write a list", id="a map of pools"
    ),
    pytest.param(
        "apiVersion: gpu-slice/v1\npools: [p]\n",
        "pools[0]",
        "'p' is a string",
        "Write a mapping",
        id="a pool by name only",
    ),
    pytest.param(
        text(extra="cluster: my cluster\n"),
        "cluster",
        "'my cluster' is not well formed",
        "Use letters, digits, '-' and '_', at most 100 characters",
        id="a cluster with a space",
    ),
    # fields that do not exist
    pytest.param(
        text(extra="namespace: {}\n"),
        "namespace",
        "is not a known field",
        "Write 'namespaces'",
        id="a field misspelt",
    ),
    pytest.param(
        text(extra="xyz: {}\n"),
        "xyz",
        "is not a known field",
        "The known fields are apiVersion, cluster, mode, defaults, pools, namespaces, devicePlugin, prices, catalogue",
        id="a field like no other",
    ),
    pytest.param(
        text(pool_text(instanceType="[a]")),
        "pools[0].instanceType",
        "is not a known field",
        "Write 'instanceTypes'",
        id="in a pool",
    ),
    pytest.param(
        text(pool_text(instance_types="[a]")),
        "pools[0].instance_types",
        "is not a known field",
        "Write 'instanceTypes'",
        id="as Python spells it",
    ),
    pytest.param(
        text(pool_text(partition="{migs: {1g.5gb: 7}}")),
        "pools[0].partition.migs",
        "is not a known field",
        "Write 'mig'",
        id="in a partition",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {replicas: 4, renameByDefalt: true}}")),
        "pools[0].partition.timeSlicing.renameByDefalt",
        "is not a known field",
        "The known fields are replicas",
        id="in time-slicing, where the plugin would ignore it",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, efect: NoSchedule}]")),
        "pools[0].taints[0].efect",
        "is not a known field",
        "Write 'effect'",
        id="in a taint",
    ),
    pytest.param(
        text(pool_text(limit="{node: 1}")),
        "pools[0].limit.node",
        "is not a known field",
        "Write 'nodes'",
        id="in a limit",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{tag: {a: b}}]")),
        "pools[0].capacityReservations[0].tag",
        "is not a known field",
        "Write 'tags'",
        id="in a reservation",
    ),
    pytest.param(
        text(extra="namespaces: {a: {pool: [p]}}\n"),
        "namespaces.a.pool",
        "is not a known field",
        "Write 'pools'",
        id="in a namespace",
    ),
    pytest.param(
        text(extra="namespaces: {mps: {pool: [p]}}\n"),
        "namespaces.mps.pool",
        "is not a known field",
        "Write 'pools'",
        id="in a namespace that is called like a field",
    ),
    pytest.param(
        text(extra="catalogue: {gpu: {}}\n"),
        "catalogue.gpu",
        "is not a known field",
        "Write 'gpus'",
        id="in the catalogue",
    ),
    pytest.param(
        text(extra="catalogue: {gpus: {x: {source: a, aliasses: {}}}}\n"),
        "catalogue.gpus.x.aliasses",
        "is not a known field",
        "Write 'aliases'",
        id="in a GPU of its own",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x: {gpu: h200, gpus: 1, gpuNam: a}}}\n"),
        "catalogue.instanceTypes.x.gpuNam",
        "is not a known field",
        "Write 'gpuName'",
        id="in an instance type of its own",
    ),
    # name and gpu
    pytest.param(text(pool_text(name=None)), "pools[0].name", "is missing", "Add it", id="no name"),
    pytest.param(
        text(pool_text(name="My_Pool")),
        "pools[0].name",
        "'My_Pool' is not well formed",
        "Use lower-case letters, digits and '-', at most 63 characters",
        id="no DNS label",
    ),
    pytest.param(
        text(pool_text(name="a" * 64)),
        "pools[0].name",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not well formed",
        "Use lower-case letters, digits and '-', at most 63 characters",
        id="a name of 64 letters",
    ),
    pytest.param(
        text(pool_text(name="1")),
        "pools[0].name",
        "1 is a number",
        "Write a string: put it in quotes",
        id="a number for a name",
    ),
    pytest.param(
        text(pool_text(), pool_text()), "pools[1].name", "'p' is the name of two", "Rename", id="two of a name"
    ),
    pytest.param(text(pool_text(gpu=None)), "pools[0].gpu", "is missing", "Add it", id="no gpu"),
    pytest.param(
        text(pool_text(gpu="null")),
        "pools[0].gpu",
        "the value is null",
        "Write a string: put it in quotes",
        id="gpu is null",
    ),
    pytest.param(
        text(pool_text(gpu="a100-40bg")),
        "pools[0].gpu",
        "'a100-40bg' is not a GPU of the catalogue",
        "Write 'a100-40gb', or add it under catalogue.gpus",
        id="a gpu misspelt",
    ),
    pytest.param(
        text(pool_text(gpu="quadro")),
        "pools[0].gpu",
        "'quadro' is not a GPU of the catalogue",
        "`gpu-slice profiles --all` lists them; add it under catalogue.gpus",
        id="a gpu like no other",
    ),
    pytest.param(
        text(pool_text(gpu="a100")),
        "pools[0].gpu",
        "'a100' is not a GPU of the catalogue",
        "Write 'a100-40gb' or 'a100-80gb'",
        id="a family for a gpu",
    ),
    # partition
    pytest.param(text(pool_text(partition=None)), "pools[0].partition", "is missing", "Add it", id="no partition"),
    pytest.param(
        text(pool_text(partition="{}")),
        "pools[0].partition",
        "nothing is given",
        "mig, timeSlicing",
        id="none of three",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb: 7}, mps: {replicas: 4}}")),
        "pools[0].partition",
        "mig and mps are given",
        "Give one of mig, timeSlicing and mps",
        id="two of three",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {replicas: 2}, mps: {replicas: 4}}")),
        "pools[0].partition",
        "timeSlicing and mps",
        "Give one",
        id="both ways to share, of which the plugin would ignore one",
    ),
    pytest.param(
        text(pool_text(partition="mig")),
        "pools[0].partition",
        "'mig' is a string",
        "Write a mapping",
        id="a word for it",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {}}")),
        "pools[0].partition.mig",
        "is empty",
        "Add at least one entry",
        id="an empty layout",
    ),
    pytest.param(
        text(pool_text(partition="{mig: [1g.5gb]}")),
        "pools[0].partition.mig",
        "['1g.5gb'] is a list, and all GPUs of a pool are cut alike",
        "Write the layout of one GPU, such as '{1g.5gb: 7}', and make another pool",
        id="a list of profiles",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb: 0}}")),
        "pools[0].partition.mig[1g.5gb]",
        "0 is out of range",
        "Write at least 1",
        id="none of one",
    ),
    pytest.param(
        text(pool_text(partition='{mig: {1g.5gb: "7"}}')),
        "pools[0].partition.mig[1g.5gb]",
        "'7' is a string",
        "whole number, without quotes",
        id="a count in quotes",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g5gb: 7}}")),
        "pools[0].partition.mig[1g5gb]",
        NOT_MIG,
        "1g.5gb",
        id="misspelt",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.6gb: 7}}")),
        "pools[0].partition.mig[1g.6gb]",
        "a100-40gb has no profile '1g.6gb'",
        "1g.5gb, 1g.5gb+me, 1g.10gb",
        id="a profile of another gpu",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1c.3g.20gb: 2}}")),
        "pools[0].partition.mig[1c.3g.20gb]",
        "does not advertise a compute instance",
        "'3g.20gb'",
        id="a compute instance, which the plugin counts as its whole GPU instance",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb+me: 1, 1g.5gb.me: 1}}")),
        "pools[0].partition.mig[1g.5gb.me]",
        "'1g.5gb+me' is given twice",
        "once",
        id="one profile in two spellings",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {4g.20gb: 2}}")),
        "pools[0].partition.mig",
        "2 x 4g.20gb does not fit on one a100-40gb, which has 7 compute and 8 memory slices",
        "4g.20gb: 1",
        id="room for two, but no placement",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {1g.5gb: 8}}")),
        "pools[0].partition.mig",
        "8 x 1g.5gb does not fit on one a100-40gb, which has 7 compute and 8 memory slices",
        "The largest counts of one profile alone are 1g.5gb: 7; combine fewer",
        id="eight",
    ),
    pytest.param(
        text(pool_text(partition="{mig: {3g.20gb: 1, 4g.20gb: 1, 1g.5gb: 1}}")),
        "pools[0].partition.mig",
        "1 x 1g.5gb + 1 x 3g.20gb + 1 x 4g.20gb does not fit",
        "combine fewer",
        id="each fits, all do not",
    ),
    pytest.param(
        text(pool_text(**{**A10G, "partition": "{mig: {1g.6gb: 4}}"})),
        "pools[0].partition.mig",
        "a10g has no MIG",
        "timeSlicing: {replicas: 4}",
        id="mig on a gpu that has none",
    ),
    pytest.param(
        text(pool_text(gpu="rtx-pro-4500", partition="{mig: {1g.16gb: 2}}", instanceTypes="[g7.2xlarge]")),
        "pools[0].partition.mig",
        "it is not known where the slices of one rtx-pro-4500 lie, so a layout cannot be checked",
        "Copy two-slice-rtx to catalogue.geometries, with the starts that `nvidia-smi mig -lgipp` prints",
        id="mig on a gpu whose placements nobody knows",
    ),
    pytest.param(
        text(
            pool_text(
                gpu="rtx-pro-6000", partition="{mig: {1g.24gb+me.all: 1, 1g.24gb: 3}}", instanceTypes="[g7e.2xlarge]"
            )
        ),
        "pools[0].partition.mig",
        "does not fit on one rtx-pro-6000: it takes 7 decoders, of which it has 4",
        "Beside '+me.all' only profiles with '-me' fit",
        id="more engines than the gpu has",
    ),
    pytest.param(
        text(pool_text(gpu="a30", partition="{mig: {1g.6gb+me: 1, 2g.12gb+me: 1}}", instanceTypes="[p4d.24xlarge]")),
        "pools[0].partition.mig",
        "it takes 2 JPEG engines, of which it has 1",
        "one slice may have '+me'",
        id="media engines twice",
    ),
    pytest.param(
        text(pool_text(gpu="l4", partition="{mps: {replicas: 49}}", instanceTypes="[g6.xlarge]")),
        "pools[0].partition.mps.replicas",
        "NVIDIA's MPS daemon exits with more than 48 replicas, not 49",
        "Write at most 48, or timeSlicing",
        id="more mps clients than the daemon allows",
    ),
    pytest.param(
        text(pool_text(gpu="NVIDIA H100 80GB HBM3")),
        "pools[0].gpu",
        "'NVIDIA H100 80GB HBM3' is not a GPU of the catalogue",
        "Write 'h100-80gb', or add it under catalogue.gpus",
        id="a gpu as nvidia-smi prints it",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {replicas: 1}}")),
        "pools[0].partition.timeSlicing.replicas",
        "1 is out of range",
        "Write at least 2",
        id="one replica",
    ),
    pytest.param(
        text(pool_text(partition="{mps: {replicas: 1}}")),
        "pools[0].partition.mps.replicas",
        "1 is out of range",
        "Write at least 2",
        id="one of mps",
    ),
    pytest.param(
        text(pool_text(partition='{timeSlicing: {replicas: "4"}}')),
        "pools[0].partition.timeSlicing.replicas",
        "'4' is a string",
        "whole number, without quotes",
        id="replicas in quotes, which the plugin refuses",
    ),
    pytest.param(
        text(pool_text(partition="{mps: {replicas: true}}")),
        "pools[0].partition.mps.replicas",
        "true is a boolean",
        "Write a whole number, without quotes",
        id="true is not 1",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {}}")),
        "pools[0].partition.timeSlicing.replicas",
        "is missing",
        "Add it",
        id="no replicas",
    ),
    pytest.param(
        text(pool_text(strategy="single", partition="{mig: {3g.20gb: 1, 4g.20gb: 1}}")),
        "pools[0].partition.mig",
        "'single' the device plugin needs one profile",
        "strategy: mixed",
        id="single with two profiles, which ends the plugin",
    ),
    pytest.param(
        text(pool_text(strategy="single", partition="{timeSlicing: {replicas: 4}}")),
        "pools[0].strategy",
        "'single' is for MIG",
        "Remove strategy",
        id="single with time-slicing",
    ),
    pytest.param(
        text(pool_text(strategy="mixd")),
        "pools[0].strategy",
        "'mixd' is not known",
        "'mixed'",
        id="a strategy misspelt",
    ),
    pytest.param(
        text(pool_text(strategy="none")),
        "pools[0].strategy",
        "'none' is not known",
        "Write 'mixed' or 'single'",
        id="the plugin's own default",
    ),
    # instance types
    pytest.param(
        text(pool_text(instanceTypes="p4d.24xlarge")),
        "pools[0].instanceTypes",
        "'p4d.24xlarge' is a string",
        "Write a list",
        id="one, no list",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[]")),
        "pools[0].instanceTypes",
        "is empty",
        "Add at least one entry",
        id="no instance type",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4d.24xlrge]")),
        "pools[0].instanceTypes[0]",
        "'p4d.24xlrge' is not in the catalogue",
        "'p4d.24xlarge', or add it under catalogue.instanceTypes",
        id="one misspelt",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4d.24xlarge, zz]")),
        "pools[0].instanceTypes[1]",
        "'zz' is not in the catalogue",
        "Add it under catalogue.instanceTypes",
        id="one like no other",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4de.24xlarge]")),
        "pools[0].instanceTypes[0]",
        "'p4de.24xlarge' carries a100-80gb, not a100-40gb",
        "'gpu: a100-80gb'",
        id="the larger A100",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4d.24xlarge, p4d.24xlarge]")),
        "pools[0].instanceTypes[1]",
        "'p4d.24xlarge' is given twice",
        "once",
        id="one twice",
    ),
    pytest.param(
        text(pool_text(gpu="l4", partition="{mps: {replicas: 2}}", instanceTypes="[g6.xlarge, gr6f.4xlarge]")),
        "pools[0].instanceTypes[1]",
        "'gr6f.4xlarge' has only a fraction of a GPU",
        "whole GPU",
        id="a fraction of a GPU",
    ),
    pytest.param(
        text(
            pool_text(**{**H100, "instanceTypes": "[p5.48xlarge, x1.large]"}),
            extra="catalogue: {instanceTypes: {x1.large: {gpu: h100-80gb, gpus: 1, architecture: arm64}}}\n",
        ),
        "pools[0].instanceTypes",
        "'p5.48xlarge' is amd64 and 'x1.large' is arm64",
        "a pool for each",
        id="two architectures",
    ),
    # labels and taints
    pytest.param(
        text(pool_text(labels='{"a b": x}')),
        "pools[0].labels[a b]",
        "'a b' is not well formed",
        "Write a label key, such as 'nvidia.com/gpu'",
        id="a bad label key",
    ),
    pytest.param(
        text(pool_text(labels="{a: x y}")),
        "pools[0].labels.a",
        "'x y' is not well formed",
        "Use letters, digits, '-', '_' and '.', at most 63 characters, and quote numbers",
        id="a bad label value",
    ),
    pytest.param(
        text(pool_text(labels="{a: 1g.5gb+me}")),
        "pools[0].labels.a",
        "'1g.5gb+me' is not well formed",
        "Use letters, digits, '-', '_' and '.', at most 63 characters, and quote numbers",
        id="a plus in a label",
    ),
    pytest.param(
        text(pool_text(labels="{a: 1}")),
        "pools[0].labels.a",
        "1 is a number",
        "Write a string: put it in quotes",
        id="a number in a label",
    ),
    pytest.param(
        text(pool_text(labels="{a: yes}")),
        "pools[0].labels.a",
        "true is a boolean",
        "Write a string: put it in quotes",
        id="yes is true",
    ),
    *(
        pytest.param(
            text(pool_text(labels=f"{{{key}: x}}")),
            f"pools[0].labels[{key}]",
            "this label is set by Karpenter, the cloud or gpu-slice",
            "gpu-slice/pool",
            id=f"a label that others set: {key}",
        )
        for key in (
            "karpenter.sh/nodepool",
            "karpenter.k8s.aws/instance-gpu-name",
            "gpu-slice/pool",
            "kubernetes.io/arch",
            "node.kubernetes.io/instance-type",
            "beta.kubernetes.io/instance-type",
        )
    ),
    pytest.param(
        text(pool_text(taints="[]")),
        "pools[0].taints",
        "without a taint any pod may be scheduled to these nodes",
        "Remove 'taints' for the default, or add 'untainted: true'",
        id="no taint by error",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, effect: PreferNoSchedule}]")),
        "pools[0].taints",
        "PreferNoSchedule keeps no pod away: any pod may be scheduled to these nodes",
        "or add 'untainted: true'",
        id="a taint that keeps no pod away",
    ),
    pytest.param(
        text(pool_text(labels="{topology.kubernetes.io/zone: us-east-1a}")),
        "pools[0].labels[topology.kubernetes.io/zone]",
        "this label is set by Karpenter, the cloud or gpu-slice",
        "Write 'zones: [NAME]'",
        id="a zone as a label",
    ),
    *(
        pytest.param(
            text(pool_text(zones=f"[{zone}]")),
            "pools[0].zones[0]",
            f"'{zone}' is not well formed",
            "such as 'us-east-1a', and not a region or the id of a zone",
            id=f"no zone: {zone}",
        )
        for zone in ("us-east-1", "use1-az1", "a", "us-east-1A", "us-east-1aa")
    ),
    pytest.param(text(pool_text(zones="[]")), "pools[0].zones", "is empty", "Add at least one entry", id="no zones"),
    pytest.param(
        text(pool_text(zones="[us-east-1a, us-east-1b, us-east-1a]")),
        "pools[0].zones[2]",
        "'us-east-1a' is given twice",
        "Give it once",
        id="a zone twice",
    ),
    pytest.param(
        text(pool_text(nodes="existing", labels="{gpu-slice/pool: p}")),
        "pools[0].labels[gpu-slice/pool]",
        "this label is set by",
        "gpu-slice/pool is set to the pool's name",
        id="our own label on existing nodes",
    ),
    *(
        pytest.param(
            text(pool_text(nodes="existing", labels=f"{{{key}: x}}")),
            f"pools[0].labels[{key}]",
            f"'p4d.24xlarge' has '{value}' there, not 'x'",
            "Correct it, or instanceTypes",
            id=f"what the type contradicts: {key}",
        )
        for key, value in (
            ("node.kubernetes.io/instance-type", "p4d.24xlarge"),
            ("beta.kubernetes.io/arch", "amd64"),
            ("kubernetes.io/os", "linux"),
            ("karpenter.k8s.aws/instance-family", "p4d"),
        )
    ),
    pytest.param(
        text(pool_text(untainted="true")), "pools[0].untainted", "default taint", "'taints: []'", id="untainted alone"
    ),
    pytest.param(
        text(pool_text(untainted="true", taints="[{key: a}]")),
        "pools[0].untainted",
        "the pool has taints",
        "'taints: []'",
        id="untainted with taints",
    ),
    pytest.param(
        text(pool_text(taints="[{value: a}]")), "pools[0].taints[0].key", "is missing", "Add it", id="a taint's key"
    ),
    pytest.param(
        text(pool_text(taints="[{key: a b}]")),
        "pools[0].taints[0].key",
        "'a b' is not well formed",
        "Write a label key, such as 'nvidia.com/gpu'",
        id="a taint's bad key",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, value: true}]")),
        "pools[0].taints[0].value",
        "true is a boolean",
        "Write a string: put it in quotes",
        id="a taint's value without quotes",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, effect: NoWay}]")),
        "pools[0].taints[0].effect",
        "'NoWay' is not known",
        "'NoSchedule'",
        id="an effect that Kubernetes has not",
    ),
    # nodes
    pytest.param(text(pool_text(nodes="eks")), "pools[0].nodes", "'eks' is not known", "'existing'", id="nodes of eks"),
    pytest.param(
        text(pool_text(capacityTypes="[sport]")),
        "pools[0].capacityTypes[0]",
        "'sport' is not known",
        "Write 'spot', 'on-demand' or 'reserved'",
        id="spot misspelt",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[]")),
        "pools[0].capacityTypes",
        "is empty",
        "Add at least one entry",
        id="no capacity type",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]")),
        "pools[0].capacityTypes",
        "'reserved' needs a capacity reservation",
        "capacityReservations: [{id: cr-…}]",
        id="reserved without reservations",
    ),
    pytest.param(
        text(pool_text(capacityReservations="[{id: cr-1}]")),
        "pools[0].capacityReservations",
        "the pool does not use them",
        "Add 'reserved'",
        id="reservations without reserved",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{id: cr-1, tags: {a: b}}]")),
        "pools[0].capacityReservations[0]",
        "id and tags are given",
        "Give one of them",
        id="a reservation by id and tags",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{id: cr-1}, {}]")),
        "pools[0].capacityReservations[1]",
        "nothing is given",
        "Give id or tags or instanceMatchCriteria",
        id="a reservation by nothing",
    ),
    *[
        pytest.param(
            text(pool_text(capacityTypes="[reserved]", capacityReservations=f"[{term}]")),
            f"pools[0].capacityReservations[0]{where}",
            problem,
            hint,
            id=f"a reservation by {term}",
        )
        for term, where, problem, hint in [
            ("{ownerID: '123456789012'}", "", "only ownerID is given", "Give id or tags or instanceMatchCriteria"),
            ("{id: cr-1, ownerID: '123456789012'}", "", "id and ownerID are given", "Give one of them"),
            (
                "{id: cr-1, instanceMatchCriteria: open}",
                "",
                "id and instanceMatchCriteria are given",
                "Give one of them",
            ),
            ("{tags: {a: b}, ownerID: 123456789012}", ".ownerID", "123456789012 is a number", "put it in quotes"),
            ("{tags: {a: b}, ownerID: '1'}", ".ownerID", "'1' is not well formed", "the twelve digits"),
            ("{tags: {a: b}, owner: '1'}", ".owner", "is not a known field", "Write 'ownerID'"),
            ("{instanceMatchCriteria: Open}", ".instanceMatchCriteria", "'Open' is not known", "'open' or 'targeted'"),
            ("{tags: {a: ''}}", ".tags.a", "is empty", "Write it, or remove it"),
            ("{tags: {'': a}}", ".tags[]", "is empty", "Write it, or remove it"),
        ]
    ],
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{id: i-1}]")),
        "pools[0].capacityReservations[0].id",
        "'i-1' is not well formed",
        "Write an id such as 'cr-0123456789abcdef0'",
        id="an id of something else",
    ),
    pytest.param(text(pool_text(limit="{}")), "pools[0].limit", "nothing is given", "slices or nodes", id="no limit"),
    pytest.param(
        text(pool_text(limit="{slices: 1, nodes: 1}")),
        "pools[0].limit",
        "slices and nodes",
        "slices or nodes",
        id="two limits",
    ),
    pytest.param(
        text(pool_text(limit="{nodes: -1}")),
        "pools[0].limit.nodes",
        "-1 is out of range",
        "Write at least 0",
        id="a limit below nothing",
    ),
    pytest.param(text(pool_text(limit="10")), "pools[0].limit", "10 is a number", "Write a mapping", id="of what"),
    pytest.param(
        text(pool_text(emptyFor="5 minutes")),
        "pools[0].emptyFor",
        "'5 minutes' is not well formed",
        "Write a duration such as '300s' or '720h', or 'Never'",
        id="minutes",
    ),
    pytest.param(
        text(pool_text(emptyFor="300")),
        "pools[0].emptyFor",
        "300 is a number",
        "Write a string: put it in quotes",
        id="seconds or what",
    ),
    pytest.param(
        text(pool_text(expireAfter="30d")),
        "pools[0].expireAfter",
        "'30d' is not well formed",
        "Write a duration such as '300s' or '720h', or 'Never'",
        id="days",
    ),
    pytest.param(
        text(pool_text(consolidation="Never")),
        "pools[0].consolidation",
        "'Never' is not known",
        "Write 'WhenEmpty' or 'WhenEmptyOrUnderutilized'",
        id="consolidation",
    ),
    pytest.param(
        text(pool_text(weight="0")), "pools[0].weight", "0 is out of range", "Write at least 1", id="no weight"
    ),
    pytest.param(
        text(pool_text(weight="101")),
        "pools[0].weight",
        "101 is out of range",
        "Write at most 100",
        id="too much weight",
    ),
    pytest.param(
        text(pool_text(disk="200")),
        "pools[0].disk",
        "200 is a number",
        "Write a string: put it in quotes",
        id="a disk of what",
    ),
    pytest.param(
        text(pool_text(disk="200GB")),
        "pools[0].disk",
        "'200GB' is not well formed",
        "Write a size such as '200Gi'",
        id="a disk in GB",
    ),
    pytest.param(
        text(pool_text(name="a"), pool_text(name="b"), extra="defaults: {disk: 2}\n"),
        "defaults.disk",
        "is a number",
        "Write a string",
        id="a default of a wrong type",
    ),
    pytest.param(
        text(extra="defaults: {taint: []}\n"),
        "defaults.taint",
        "is not a known field",
        "Write 'taints'",
        id="a default that is no field of a pool",
    ),
    pytest.param(
        text(extra="defaults: []\n"),
        "defaults",
        "is a list",
        "Write a mapping",
        id="a list of defaults",
    ),
    pytest.param(
        text(
            pool_text(
                partitionedBy="gpu-operator", gpu="a10g", partition="{mps: {replicas: 2}}", instanceTypes="[g5.xlarge]"
            )
        ),
        "pools[0].partitionedBy",
        "the GPUs of this pool are not cut",
        "Remove it",
        id="the operator and nothing to cut",
    ),
    pytest.param(
        text(pool_text(partitionedBy="gpu-operator", taints="[]", untainted="true")),
        "pools[0].partitionedBy",
        "a node shows them as whole ones, and no taint keeps pods from them",
        "Remove 'taints' for the default",
        id="the operator and no taint",
    ),
    pytest.param(
        text(
            pool_text(partitionedBy="gpu-operator"),
            pool_text(name="q", partitionedBy="gpu-operator", strategy="single"),
        ),
        "pools[1].strategy",
        "the GPU Operator has one strategy for the whole cluster, and pools[0] has another",
        "Write 'mixed'",
        id="the operator and two strategies",
    ),
    pytest.param(
        text(pool_text(strategy="single", taints="[{key: nvidia.com/gpu}]")),
        "pools[0].taints",
        "every pod that asks for nvidia.com/gpu tolerates this taint, and so is a slice of this pool called",
        "Remove 'taints' for the default",
        id="single behind the taint of whole GPUs",
    ),
    pytest.param(
        text(pool_text(partitionedBy="gpu-operator", nodeLabels="{nvidia.com/mig.config: all-3g.20gb}")),
        "pools[0].nodeLabels[nvidia.com/mig.config]",
        "this label is set by Karpenter, the cloud or gpu-slice",
        "Choose another key",
        id="another layout for the operator",
    ),
    pytest.param(
        text(pool_text(labels="{nvidia.com/gpu.deploy.operands: 'true', nvidia.com/gpu: a100}")),
        "pools[0].labels[nvidia.com/gpu.deploy.operands]",
        "this label is set by Karpenter, the cloud or gpu-slice",
        "Choose another key",
        id="the operator let in",
    ),
    pytest.param(
        text(pool_text(zones="[us-east-1b]", labels="{topology.ebs.csi.aws.com/zone: us-east-1a}")),
        "pools[0].labels[topology.ebs.csi.aws.com/zone]",
        "this label is set by Karpenter, the cloud or gpu-slice",
        "Write 'zones: [NAME]'",
        id="a zone by another name",
    ),
    pytest.param(
        text(pool_text(nodePool="{template: {spec: {nodeClassRef: {}}}}")),
        "pools[0].nodePool.template.spec.nodeClassRef",
        "the pool has a field for this",
        "Remove it: an EC2NodeClass is rendered for each pool",
        id="another class",
    ),
    *[
        pytest.param(text(pool_text(**{field: value})), f"pools[0].{where}", problem, hint, id=f"{field}: {value}")
        for field, value, where, problem, hint in [
            ("budgets", "[{nodes: 1}]", "budgets[0].nodes", "is a number", "put it in quotes"),
            ("budgets", "[{nodes: '150%'}]", "budgets[0].nodes", "is not well formed", "such as '1' or '10%'"),
            ("budgets", "[{nodes: '0', schedule: 0 9 * * *}]", "budgets[0]", "belong together", "Give both"),
            ("budgets", "[{nodes: '0', duration: 1d}]", "budgets[0].duration", "is not well formed", "'8h' or '90m'"),
            ("budgets", "[{nodes: '0', reasons: [drifted]}]", "budgets[0].reasons[0]", "is not known", "'Drifted'"),
            ("budgets", "[{nodes: '0', schedule: 0 25 * * *, duration: 8h}]", "budgets[0].schedule", "no", "in UTC"),
            (
                "budgets",
                "[{nodes: '0', schedule: TZ=A/B 0 9 * * *, duration: 8h}]",
                "budgets[0].schedule",
                "not",
                "UTC",
            ),
            ("subnets", "[{ids: [subnet-1]}]", "subnets[0].ids", "is not a known field", "Write 'id'"),
            ("subnets", "[{id: 'arn:aws:ec2:x'}]", "subnets[0].id", "is not well formed", "'subnet-0123456789abcdef0'"),
            ("subnets", "[{id: subnet-1, tags: {a: b}}]", "subnets[0]", "id and tags are given", "Give one of them"),
            ("securityGroups", "[{name: a, tags: {a: b}}]", "securityGroups[0]", "name and tags are given", "Give one"),
            ("ami", "[{}]", "ami[0]", "nothing is given", "Give id or ssmParameter or name or tags"),
            ("ami", "[{alias: al2023@latest}]", "ami[0].alias", "is not a known field", "The known fields are"),
            ("ami", "[{id: ami-1, name: a}]", "ami[0]", "id and name are given", "Give one of them"),
            ("ami", "[{owner: self}]", "ami[0]", "only owner is given", "Give id or ssmParameter or name or tags"),
            ("ami", "[{name: ''}]", "ami[0].name", "is empty", "Write it, or remove it"),
            ("subnets", "[{tags: {tier: ''}}]", "subnets[0].tags.tier", "is empty", "Write it, or remove it"),
            ("subnets", f"[{', '.join(['{id: subnet-1}'] * 31)}]", "subnets", "has 31 entries", "Write at most 30"),
            (
                "securityGroups",
                f"[{{tags: {{{', '.join(f't{number}: a' for number in range(21))}}}}}]",
                "securityGroups[0].tags",
                "has 21 entries",
                "Write at most 20",
            ),
            (
                "nodeClass",
                "{blockDeviceMappings: [{deviceName: /dev/sda1}]}",
                "nodeClass.blockDeviceMappings",
                "none is '/dev/xvda'",
                "Add '{deviceName: /dev/xvda",
            ),
        ]
    ],
    pytest.param(
        text(pool_text(disk="100Gi", nodeClass="{blockDeviceMappings: [{deviceName: /dev/xvda}]}")),
        "pools[0].disk",
        "nodeClass has blockDeviceMappings, which replace it",
        "Give one of the two",
        id="two sizes of a disk",
    ),
    pytest.param(
        text(pool_text(strategy="single", ami="bottlerocket@1.57.0", nodeClass='{userData: "#!/bin/bash\\necho a"}')),
        "pools[0].nodeClass.userData",
        "Bottlerocket reads TOML, and this is none",
        "[settings.kubernetes]",
        id="a script for Bottlerocket",
    ),
    pytest.param(
        text(
            pool_text(nodes="existing", nodePools="[gpu]"), pool_text(name="q", nodes="existing", nodePools="[m, gpu]")
        ),
        "pools[1].nodePools[1]",
        "NodePool 'gpu' belongs to pools[0]",
        "Name another NodePool",
        id="two pools of one NodePool",
    ),
    pytest.param(
        text(pool_text(), pool_text(name="q", nodes="existing", nodePools="[p]")),
        "pools[1].nodePools[0]",
        "NodePool 'p' belongs to pools[0]",
        "Name another NodePool",
        id="the NodePool of another pool",
    ),
    pytest.param(
        text(pool_text(name="all-disabled", partitionedBy="gpu-operator")),
        "pools[0].name",
        "'all-disabled' is a layout of the GPU Operator's own",
        "Choose another name",
        id="a name that the operator has taken",
    ),
    pytest.param(
        text(pool_text(nodePools="[a]")),
        "pools[0].nodePools",
        "this pool has a NodePool of its own",
        "write 'nodes: existing'",
        id="two NodePools for one pool",
    ),
    pytest.param(
        text(pool_text(nodeClass="{amiFamily: Bottlerocket}")),
        "pools[0].nodeClass.amiFamily",
        "the pool has a field for this",
        "Write it as the pool's 'ami'",
        id="a family of images beside the image",
    ),
    pytest.param(
        text(pool_text(nodePool="{template: {spec: {taints: []}}}")),
        "pools[0].nodePool.template.spec.taints",
        "the pool has a field for this",
        "Write it as the pool's 'taints'",
        id="taints that the webhook would not know of",
    ),
    pytest.param(
        text(pool_text(nodePool="{template: null}")),
        "pools[0].nodePool.template",
        "is null",
        "Write a mapping",
        id="a pool without its template",
    ),
    pytest.param(
        text(pool_text(nodeClass="{userData: '[settings]'}")),
        "pools[0].nodeClass.userData",
        "its first line, '[settings]', is of no kind",
        "Begin with '#!/bin/bash'",
        id="a part that cloud-init does not know",
    ),
    pytest.param(
        text(pool_text(nodeClass='{userData: "#!/bin/sh\\r--gpu-slice--\\r\\n"}')),
        "pools[0].nodeClass.userData",
        "has carriage returns",
        "Write it with the line ends of Unix",
        id="user data that end a part for a mail parser",
    ),
    pytest.param(
        text(pool_text(nodeClass='{userData: "#!/bin/sh\\n--gpu-slice--\\n"}')),
        "pools[0].nodeClass.userData",
        "begins with '--gpu-slice'",
        "Remove the line",
        id="a part that ends all parts",
    ),
    pytest.param(
        text(pool_text(nodeClass="{userData: '#!" + "a" * 9000 + "'}")),
        "pools[0].nodeClass.userData",
        "has 9,002 bytes, and there is room for 8,192",
        "Shorten it",
        id="a part that leaves no room",
    ),
    pytest.param(
        text(pool_text(nodeLabels="{kubernetes.io/os: windows}")),
        "pools[0].nodeLabels[kubernetes.io/os]",
        "this label is set by Karpenter",
        "Choose another key",
        id="a label of the nodes that others set",
    ),
    pytest.param(
        text() + "devicePlugin: {image: 'mirror.example/k8s-device-plugin:v0.19.3'}\n",
        "devicePlugin.image",
        "is older than v0.20",
        "Write a newer one",
        id="an old device plugin",
    ),
    pytest.param(
        text() + "prices: {p4d.24xlrge: 21.96}\n",
        "prices[p4d.24xlrge]",
        "'p4d.24xlrge' is not in the catalogue",
        "Write 'p4d.24xlarge'",
        id="the price of no instance type",
    ),
    pytest.param(
        text() + "prices: {p4d.24xlarge: 0}\n",
        "prices[p4d.24xlarge]",
        "0 is out of range",
        "Write more than 0",
        id="a price of nothing",
    ),
    pytest.param(
        text() + "prices: {p4d.24xlarge: $21.96}\n",
        "prices[p4d.24xlarge]",
        "is a string",
        "Write a number, without quotes",
        id="a price with a sign",
    ),
    pytest.param(
        text() + "devicePlugin: {image: 'k8s device plugin'}\n",
        "devicePlugin.image",
        "'k8s device plugin' is not well formed",
        "Write it with its registry",
        id="an image without a registry",
    ),
    pytest.param(
        text() + "devicePlugin: {pullSecrets: [Mirror]}\n",
        "devicePlugin.pullSecrets[0]",
        "'Mirror' is not well formed",
        "Use lower-case letters",
        id="a secret that cannot be",
    ),
    pytest.param(
        text(pool_text(ami="al2@v1")),
        "pools[0].ami",
        "'al2@v1' is not well formed",
        "Write one such as 'al2023@v20260724' or 'bottlerocket@1.57.0'",
        id="an image of before",
    ),
    pytest.param(
        text(pool_text(ami="ami-0123")),
        "pools[0].ami",
        "'ami-0123' is not well formed",
        "Write one such as 'al2023@v20260724' or 'bottlerocket@1.57.0'",
        id="an image by its id",
    ),
    pytest.param(
        text(pool_text(ami="bottlerocket@1.57.0")),
        "pools[0].strategy",
        "Bottlerocket's own device plugin runs the strategy 'single'",
        "Write 'strategy: single', or an al2023 ami",
        id="bottlerocket with mixed",
    ),
    pytest.param(
        text(pool_text(ami="bottlerocket@1.57.0", strategy="single", partition="{mig: {1g.5gb+me: 1}}")),
        "pools[0].partition.mig",
        "Bottlerocket does not make profiles with an attribute",
        "al2023",
        id="bottlerocket with an attribute",
    ),
    pytest.param(
        text(pool_text(ami="bottlerocket@1.57.0", strategy="single", partition="{mig: {1g.5gb: 6}}")),
        "pools[0].partition.mig",
        "as many slices as fit: 7 x 1g.5gb, not 6",
        "Write '1g.5gb: 7', or an al2023 ami",
        id="bottlerocket with a GPU that is not used up",
    ),
    pytest.param(
        text(
            pool_text(
                gpu="gb200",
                ami="bottlerocket@1.57.0",
                strategy="single",
                partition="{mig: {1g.23gb: 7}}",
                instanceTypes="[p6e-gb200.36xlarge]",
            )
        ),
        "pools[0].partition.mig",
        "Bottlerocket does not cut gb200",
        "al2023",
        id="bottlerocket with a GPU that it does not know",
    ),
    pytest.param(
        text(pool_text(ami="bottlerocket@v1.57.0-" + "a" * 10)),
        "pools[0].ami",
        "is longer than 30 characters",
        "'al2023@v20260724'",
        id="an image whose name Karpenter refuses",
    ),
    pytest.param(
        text(pool_text(nodes="existing", weight="5", ami="al2023@latest")),
        "pools[0].ami",
        "this field is for nodes that Karpenter launches",
        "'nodes: existing'",
        id="how to make nodes that exist already",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, value: b}, {key: a, value: c}]")),
        "pools[0].taints[1]",
        "the pool has another taint 'a'",
        "remove the other",
        id="two taints that Kubernetes refuses together",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[spot, spot]")),
        "pools[0].capacityTypes[1]",
        "'spot' is given twice",
        "once",
        id="a capacity type twice",
    ),
    # namespaces
    pytest.param(
        text(extra="namespaces: {Team_A: {}}\n"),
        "namespaces.Team_A",
        "'Team_A' is not well formed",
        "Write a namespace's name, in lower-case letters, digits and '-', or '*' for all others",
        id="no namespace's name",
    ),
    pytest.param(
        text(pool_text(name="a100-small"), extra="namespaces: {a: {pools: [a100-smal]}}\n"),
        "namespaces.a.pools[0]",
        "'a100-smal' is not a pool of this fleet",
        "'a100-small'",
        id="a pool misspelt",
    ),
    pytest.param(
        text(extra="namespaces: {a: {pools: [p, other]}}\n"),
        "namespaces.a.pools[1]",
        "'other' is not a pool of this fleet",
        "The pools are p",
        id="a pool like no other",
    ),
    pytest.param(
        text(extra='namespaces: {"*": {slices: [1g.5gb, 2g.10gb]}}\n'),
        "namespaces[*].slices[1]",
        "'2g.10gb' is not a slice of this fleet",
        "The slices are 1g.5gb",
        id="a slice that is not offered",
    ),
    pytest.param(
        text(extra="namespaces: {a: {slices: [shared]}}\n"),
        "namespaces.a.slices[0]",
        "'shared' is not a slice",
        "The slices are 1g.5gb",
        id="shared where nothing is",
    ),
    pytest.param(
        text(pool_text(**A10G), extra="namespaces: {a: {slices: [share]}}\n"),
        "namespaces.a.slices[0]",
        "'share' is not a slice",
        "The slices are shared",
        id="shared misspelt",
    ),
    pytest.param(
        text(extra="namespaces: {a: {slices: [1/7]}}\n"),
        "namespaces.a.slices[0]",
        "'1/7' is not a slice of this fleet",
        "The slices are 1g.5gb",
        id="a fraction",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: 1g5gb}}\n"),
        "namespaces.a.default",
        "'1g5gb' is not a MIG profile: expected a dot",
        "Write '1g.5gb'",
        id="a default that is misspelt",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: 2g.10gb}}\n"),
        "namespaces.a.default",
        "no pool gives '2g.10gb' to pods of this namespace",
        "Write a slice that the namespace may use",
        id="a default that the fleet does not offer",
    ),
    pytest.param(
        text(pool_text(), pool_text(name="q", **A10G), extra="namespaces: {a: {slices: [shared], default: 1g.5gb}}\n"),
        "namespaces.a.default",
        "no pool gives '1g.5gb'",
        "Write a slice that the namespace may use",
        id="a default that the namespace may not use",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: 57x1g.5gb}}\n"),
        "namespaces.a.default",
        "no pool gives '57x1g.5gb'",
        "Write a slice that the namespace may use",
        id="a default that no node has",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: main=1g.5gb}}\n"),
        "namespaces.a.default",
        "'main=1g.5gb' names a container",
        "Write the slice alone",
        id="a default for a container",
    ),
    # the catalogue of its own
    pytest.param(
        text(extra="catalogue: {gpus: {x: {family: f}}}\n"),
        "catalogue.gpus.x.source",
        "is missing",
        "Add it",
        id="no source",
    ),
    pytest.param(
        text(extra="catalogue: {gpus: {x: {like: h201, source: s}}}\n"),
        "catalogue.gpus.x.like",
        "'h201' is not a GPU",
        "no 'like'",
        id="a GPU like none",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x1: {gpu: h201, gpus: 1}}}\n"),
        "catalogue.instanceTypes.x1.gpu",
        "'h201' is not a GPU",
        "correct it",
        id="an instance type with none",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x1: {gpu: h200, gpus: -1}}}\n"),
        "catalogue.instanceTypes.x1.gpus",
        "-1 is out of range",
        "Write at least 0",
        id="an instance type with less than none",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x1: {gpu: h200, gpus: 1, architecture: x86}}}\n"),
        "catalogue.instanceTypes.x1.architecture",
        "'x86' is not known",
        "'amd64'",
        id="an architecture by another name",
    ),
]
EVERYTHING = """
apiVersion: gpu-slice/v1
cluster: c
pools:
- name: p
  gpu: mine
  partition: {mig: {1g.8gb: 1}}
  instanceTypes: [x1.large]
  strategy: mixed
  labels: {nvidia.com/gpu: a}
  taints: [{key: k, value: v, effect: NoSchedule}]
  untainted: false
  nodes: karpenter
  capacityTypes: [spot, reserved]
  capacityReservations: [{id: cr-1}, {tags: {a: b}}]
  emptyFor: 300s
  consolidation: WhenEmpty
  expireAfter: 720h
  limit: {slices: 5}
  weight: 10
  ami: al2023@latest
  nodeRole: r
  disk: 200Gi
- name: q
  gpu: mine
  partition: {timeSlicing: {replicas: 4}}
  instanceTypes: [x1.large]
namespaces:
  a: {pools: [p], slices: [1g.8gb, shared]}
catalogue:
  geometries:
    two: {source: s, computeSlices: 2, memorySlices: 2, unverified: u, roles: {
      half: {computeSlices: 1, most: 2, starts: [0, 1], size: 1}}}
  gpus:
    mine: {family: f, product: f, memory: m, geometry: two, source: s, unverified: u, deviceIds: [a],
      aliases: {1g.7gb: 1g.8gb}, profiles: {half: {name: 1g.8gb, memoryMiB: 1}}}
    copy: {like: mine, source: s}
  instanceTypes:
    x1.large: {gpu: mine, gpus: 1, architecture: amd64, gpuName: a, gpuMemory: 1}
"""
"""A file in which every field is given."""

TEXTS = [str(row.values[0]) for row in REFUSED]


@pytest.mark.parametrize(("written", "where", "problem", "hint"), REFUSED)
def test_a_fleet_that_cannot_be_is_refused_by_the_path_of_the_mistake(
    written: str, where: str, problem: str, hint: str
) -> None:
    found = problems(written)
    assert [each for each in found if each.path == where and problem in each.problem and hint in each.hint], found


@pytest.mark.parametrize("written", TEXTS, ids=[row.id for row in REFUSED])
def test_a_refusal_is_one_line_for_each_problem(written: str) -> None:
    found = problems(written)
    for each in found:
        assert str(each).isprintable()
        assert str(each).startswith(f"{each.path}: ")
        assert str(each).endswith(".")
        assert each.hint
    with pytest.raises(BadFleet) as refused:
        files.load_fleet(written.encode())
    assert str(refused.value).splitlines() == [str(each) for each in found]


def test_no_refusal_speaks_the_language_of_the_library_that_found_it() -> None:
    """The reader wrote YAML: no class of ours, no sentence of pydantic's, no regular expression."""
    foreign = re.compile(r"instance of|dictionary|after validation|must match|\^|Input should")
    spoken = [str(each) for written in TEXTS for each in problems(written) if foreign.search(str(each))]
    assert spoken == []


NUMBERS: list[Any] = [None, True, 0, -1, 10**30, 1.5]
WORDS: list[Any] = ["", "x", "a b", "4", "*", "\U0001f600", "x" * 300]
ODD = [*NUMBERS, *WORDS, [], [None], [[]], {}, {"": 1}, {"a": {}}]


def places(value: Any, here: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    """Every place inside *value*."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, each in inside for place in places(each, (*here, key)))]


def test_an_odd_value_anywhere_is_refused_or_means_something(catalogue: Catalogue) -> None:
    """Nothing that a file may contain ends the program: not even where it is no fleet at all."""
    whole = yaml.safe_load(EVERYTHING)
    assert fleets.load(EVERYTHING, catalogue).pools
    for place in places(whole):
        for odd in ODD:
            changed = deepcopy({"fleet": whole})
            *way, last = ("fleet", *place)
            owner: Any = changed
            for step in way:
                owner = owner[step]
            owner[last] = odd
            with suppress(BadFleet):
                fleets.load(json.dumps(changed["fleet"]), catalogue)


def test_one_mistake_is_told_once() -> None:
    assert len(problems(text(extra="namespaces: {Team_A: {}}\n"))) == 1


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


def offers(where: Pool) -> list[tuple[str, str, int]]:
    return [(str(each), each.resource, each.per_gpu) for each in where.offers]


class TestOffers:
    """Resource names are those that NVIDIA's device plugin registered when it was run with such settings."""

    @pytest.mark.parametrize(
        ("fields", "expected", "per_node"),
        [
            pytest.param(
                {}, [("1g.5gb", "nvidia.com/mig-1g.5gb", 7)], {"nvidia.com/mig-1g.5gb": 56}, id="mixed: 56 on a p4d"
            ),
            pytest.param(
                {"partition": "{mig: {3g.20gb: 1, 2g.10gb: 1, 1g.5gb+me: 1, 1g.5gb: 1}}"},
                [
                    ("3g.20gb", "nvidia.com/mig-3g.20gb", 1),
                    ("2g.10gb", "nvidia.com/mig-2g.10gb", 1),
                    ("1g.5gb+me", "nvidia.com/mig-1g.5gb.me", 1),
                    ("1g.5gb", "nvidia.com/mig-1g.5gb", 1),
                ],
                {
                    "nvidia.com/mig-3g.20gb": 8,
                    "nvidia.com/mig-2g.10gb": 8,
                    "nvidia.com/mig-1g.5gb.me": 8,
                    "nvidia.com/mig-1g.5gb": 8,
                },
                id="mixed: several",
            ),
            pytest.param(
                {"strategy": "single"},
                [("1g.5gb", "nvidia.com/gpu", 7)],
                {"nvidia.com/gpu": 56},
                id="single: slices under the name of GPUs",
            ),
            pytest.param(
                A10G, [("shared", "nvidia.com/gpu.shared", 4)], {"nvidia.com/gpu.shared": 4}, id="time-slicing, renamed"
            ),
            pytest.param(
                {**A10G, "partition": "{mps: {replicas: 3}}", "instanceTypes": "[g5.48xlarge]"},
                [("shared", "nvidia.com/gpu.shared", 3)],
                {"nvidia.com/gpu.shared": 24},
                id="mps, renamed, on eight GPUs",
            ),
            pytest.param(
                {"gpu": "a100-80gb", "partition": "{mig: {7g.79gb: 1}}", "instanceTypes": "[p4de.24xlarge]"},
                [("7g.79gb", "nvidia.com/mig-7g.79gb", 1)],
                {"nvidia.com/mig-7g.79gb": 8},
                id="as the pool's own driver prints it",
            ),
            pytest.param(
                {
                    "gpu": "rtx-pro-6000",
                    "partition": "{mig: {1g.24gb-me: 2, 2g.48gb+me.all: 1}}",
                    "instanceTypes": "[g7e.12xlarge]",
                },
                [
                    ("2g.48gb+me.all", "nvidia.com/mig-2g.48gb.me.all", 1),
                    ("1g.24gb-me", "nvidia.com/mig-1g.24gb-me", 2),
                ],
                {"nvidia.com/mig-1g.24gb-me": 4, "nvidia.com/mig-2g.48gb.me.all": 2},
                id="attributes, on two GPUs",
            ),
        ],
    )
    def test_of_a_pool(
        self, fields: dict[str, str], expected: list[tuple[str, str, int]], per_node: dict[str, int]
    ) -> None:
        found = pool(**fields)
        assert offers(found) == expected
        assert [shape.capacity for shape in found.shapes] == [per_node]

    def test_of_a_fleet_are_in_the_order_of_the_file(self, fleet: Fleet) -> None:
        order = [offer.order for _, offer in fleet.offers]
        assert order == list(range(len(order)))
        assert [f"{where.name} {offer}" for where, offer in fleet.offers][:4] == [
            "a100-1g-5gb 1g.5gb",
            "a100-mixed 3g.20gb",
            "a100-mixed 2g.10gb",
            "a100-mixed 1g.5gb",
        ]

    @pytest.mark.parametrize(
        "asked", ["10gb", "1/7", "1g.10gb", "2g.10gb@a100", "1g.10gb+me", "shared", "9Gi", "3g.20gb"]
    )
    def test_those_that_satisfy_a_choice_are_found(self, asked: str) -> None:
        fleet = pods.fleet_of("built-in")
        (choice,) = parse(asked)[0].choices
        right = [str(offer) for _, offer in fleet.offers if offer.satisfies(choice)]
        assert [str(offer) for _, offer in fleet.satisfying(choice)] == right

    def test_the_best_of_several_is_the_smallest(self) -> None:
        """Fewest compute slices, then the least memory, then without media, then first in the fleet."""
        fleet = load(
            pool_text(name="a", partition="{mig: {2g.10gb: 1, 1g.10gb: 1, 1g.5gb+me: 1, 1g.5gb: 2}}"),
            pool_text(name="b"),
        )
        best = sorted((offer for _, offer in fleet.offers), key=lambda offer: offer.size)
        assert [(str(offer), offer.order) for offer in best] == [
            ("1g.5gb", 3),
            ("1g.5gb", 4),
            ("1g.5gb+me", 2),
            ("1g.10gb", 1),
            ("2g.10gb", 0),
        ]


def offer(written: str, gpu_name: str) -> Offer:
    """One kind of slice, as a pool's driver prints it; without the rest of the pool."""
    gpu = files.catalogue().gpus[gpu_name]
    if written == "shared":
        return SharedOffer(gpu, "nvidia.com/gpu.shared", 4, 0)
    name = MigProfile.parse(written)
    found = gpu.profile(name)
    assert found is not None
    size = (found.compute_slices, name.memory_gb, int(name.media_extensions))
    return MigOffer(gpu, name.resource, 1, 0, name, found, size)


def test_a_fleet_may_say_where_the_slices_of_a_gpu_lie() -> None:
    """Its own geometry of the same name takes the place of the one whose placements nobody has seen."""
    whole, half = {"computeSlices": 2, "size": 2}, {"computeSlices": 1, "size": 1}
    roles = {
        "1g": {**half, "most": 2, "starts": [0, 1]},
        "1g+gfx": {**half, "most": 2, "starts": [0, 1]},
        "1g+me.all": {**half, "most": 1, "starts": [0, 1]},
        "1g-me": {**half, "most": 2, "starts": [0, 1]},
        "2g": {**whole, "most": 1, "starts": [0]},
        "2g+gfx": {**whole, "most": 1, "starts": [0]},
    }
    geometry = {"source": "our lab", "computeSlices": 2, "memorySlices": 2, "roles": roles}
    fleet = load(
        pool_text(gpu="rtx-pro-4500", partition="{mig: {1g.16gb: 2}}", instanceTypes="[g7.12xlarge]"),
        extra=f"catalogue: {json.dumps({'geometries': {'two-slice-rtx': geometry}})}\n",
    )
    assert fleet.pools[0].largest.capacity == {"nvidia.com/mig-1g.16gb": 4}


def test_48_replicas_of_mps_are_what_the_daemon_allows() -> None:
    found = pool(gpu="l4", partition="{mps: {replicas: 48}}", instanceTypes="[g6.xlarge]")
    assert found.largest.capacity == {"nvidia.com/gpu.shared": 48}


def test_the_order_in_which_a_layout_is_written_changes_no_pool() -> None:
    for order in permutations(["1g.5gb: 2", "3g.20gb: 1", "2g.10gb: 1"]):
        found = pool(partition=f"{{mig: {{{', '.join(order)}}}}}")
        assert list(map(str, found.offers)) == ["3g.20gb", "2g.10gb", "1g.5gb"]


@pytest.mark.parametrize(
    ("offered", "gpu", "asked", "satisfied"),
    [
        pytest.param("1g.5gb", "a100-40gb", "1g.5gb", True, id="the profile itself"),
        pytest.param("2g.10gb", "a100-40gb", "1g.10gb", False, id="a larger profile is another one"),
        pytest.param("1g.5gb+me", "a100-40gb", "1g.5gb", False, id="media is another profile"),
        pytest.param("1g.5gb", "a100-40gb", "1g.5gb+me", False, id="no media is another profile"),
        pytest.param("1g.5gb+me", "a100-40gb", "1g.5gb.me", True, id="another spelling is not"),
        pytest.param("7g.79gb", "a100-80gb", "7g.80gb", True, id="what another driver prints"),
        pytest.param("7g.80gb", "a100-80gb", "7g.79gb", True, id="and the other way"),
        pytest.param("3g.20gb", "a100-40gb", "1c.3g.20gb", False, id="no compute instance"),
        pytest.param("1g.5gb", "a100-40gb", "shared", False, id="a slice is no share"),
        pytest.param("shared", "a10g", "shared", True, id="a share"),
        pytest.param("shared", "a100-40gb", "1g.5gb", False, id="a share is no slice"),
        pytest.param("shared", "a100-40gb", "1/7", False, id="a share is no fraction: nothing is isolated"),
        pytest.param("shared", "a100-40gb", "5gb", False, id="a share promises no memory"),
        pytest.param("shared", "a100-40gb", "1Gi", False, id="a share promises no real memory"),
        pytest.param("1g.5gb", "a100-40gb", "1g.5gb@a100", True, id="the family"),
        pytest.param("1g.5gb", "a100-40gb", "1g.5gb@a100-40gb", True, id="the GPU"),
        pytest.param("1g.10gb", "a100-40gb", "1g.10gb@a100-80gb", False, id="its sister"),
        pytest.param("1g.10gb", "a100-40gb", "1g.10gb@h100", False, id="another family"),
        pytest.param("shared", "a10g", "shared@a10g", True, id="a share of that GPU"),
        pytest.param("shared", "a10g", "shared@t4", False, id="a share of another GPU"),
        pytest.param("1g.5gb", "a100-40gb", "1/7", True, id="a seventh"),
        pytest.param("1g.5gb", "a100-40gb", "1/8", True, id="more than an eighth"),
        pytest.param("1g.5gb", "a100-40gb", "1/6", False, id="less than a sixth"),
        pytest.param("3g.20gb", "a100-40gb", "1/2", False, id="three sevenths are less than half"),
        pytest.param("4g.20gb", "a100-40gb", "1/2", True, id="four sevenths are half and more"),
        pytest.param("4g.20gb", "a100-40gb", "4/7", True, id="four sevenths"),
        pytest.param("7g.40gb", "a100-40gb", "1/1", True, id="the whole"),
        pytest.param("4g.20gb", "a100-40gb", "1/1", False, id="not the whole"),
        pytest.param("2g.12gb", "a30", "1/2", True, id="half of four slices"),
        pytest.param("1g.6gb", "a30", "1/4", True, id="a quarter of four slices"),
        pytest.param("1g.6gb", "a30", "2/7", False, id="a quarter is less than two sevenths"),
        pytest.param("1g.10gb", "a100-40gb", "10gb", True, id="memory by name"),
        pytest.param("3g.20gb", "a100-40gb", "10gb", True, id="more memory by name"),
        pytest.param("3g.71gb", "h200", "70Gi", False, id="71424 MiB are more than 70 GB and less than 70 GiB"),
        pytest.param("1g.5gb", "a100-40gb", "6gb", False, id="less memory by name"),
        pytest.param("7g.79gb", "a100-80gb", "80gb", False, id="the number that this driver prints"),
        pytest.param("1g.10gb", "a100-40gb", "10Gi", False, id="10gb is 9856 MiB, less than 10 GiB"),
        pytest.param("1g.10gb", "a100-40gb", "9Gi", True, id="and more than 9"),
        pytest.param("1g.18gb", "h200", "16Gi", True, id="exactly 16 GiB"),
        pytest.param("1g.18gb", "h200", "17Gi", False, id="not 17"),
        pytest.param("1g.12gb", "h20", "1Gi", False, id="memory that nobody has seen satisfies no Gi"),
        pytest.param("1g.12gb", "h20", "12gb", True, id="but it has a number"),
        pytest.param("1g.5gb", "a100-40gb", "7x1g.5gb", True, id="the count is another question"),
    ],
)
def test_an_offer_satisfies_a_choice(offered: str, gpu: str, asked: str, satisfied: bool) -> None:
    assert offer(offered, gpu).satisfies(parse(asked)[0].choices[0]) is satisfied


class TestNodes:
    """What is known of a node before it exists."""

    def test_a_node_of_karpenter(self) -> None:
        (shape,) = pool(labels="{nvidia.com/gpu: a100, team: a}").shapes
        assert shape.instance_type.name == "p4d.24xlarge"
        assert {key: value for key, value in shape.labels.items() if value is not None} == {
            "gpu-slice/pool": "p",
            "karpenter.k8s.aws/ec2nodeclass": "p",
            "nvidia.com/gpu.deploy.operands": "false",
            "karpenter.k8s.aws/instance-capability-flex": "false",
            "karpenter.k8s.aws/instance-category": "p",
            "karpenter.k8s.aws/instance-generation": "4",
            "karpenter.k8s.aws/instance-family": "p4d",
            "karpenter.k8s.aws/instance-gpu-count": "8",
            "karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia",
            "karpenter.k8s.aws/instance-gpu-memory": "40960",
            "karpenter.k8s.aws/instance-gpu-name": "a100",
            "karpenter.k8s.aws/instance-size": "24xlarge",
            "karpenter.sh/capacity-type": "on-demand",
            "karpenter.sh/nodepool": "p",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": "p4d.24xlarge",
            "beta.kubernetes.io/instance-type": "p4d.24xlarge",
            "nvidia.com/gpu": "a100",
            "team": "a",
        }

    def test_what_a_node_never_has_is_known_too(self) -> None:
        (shape,) = pool().shapes
        assert sorted(key for key, value in shape.labels.items() if value is None) == [
            "karpenter.k8s.aws/capacity-reservation-id",
            "karpenter.k8s.aws/capacity-reservation-interruptible",
            "karpenter.k8s.aws/capacity-reservation-type",
            "karpenter.k8s.aws/instance-accelerator-count",
            "karpenter.k8s.aws/instance-accelerator-manufacturer",
            "karpenter.k8s.aws/instance-accelerator-name",
            "node.kubernetes.io/windows-build",
        ]

    def test_a_node_that_stands_there_may_have_been_launched_by_karpenter_or_not(self) -> None:
        shapes = pool(nodes="existing").shapes
        assert [shape.labels["karpenter.k8s.aws/instance-family"] for shape in shapes] == ["p4d", None]
        for shape in shapes:
            assert "karpenter.sh/nodepool" not in shape.labels
            assert shape.labels["gpu-slice/pool"] == "p"
            assert shape.labels["nvidia.com/gpu"] == "a100"
            assert shape.labels["node.kubernetes.io/instance-type"] == "p4d.24xlarge"

    def test_nodes_of_node_pools_that_are_named_are_known_to_be_theirs(self) -> None:
        shapes = pool(nodes="existing", nodePools="[a, b]").shapes
        assert [shape.labels["karpenter.sh/nodepool"] for shape in shapes] == ["a", "b"]
        assert {shape.labels["karpenter.k8s.aws/instance-category"] for shape in shapes} == {"p"}

    def test_only_reserved_nodes_are_of_a_reservation(self) -> None:
        found = pool(capacityTypes="[reserved, spot]", capacityReservations="[{id: cr-1}]").shapes
        known = ["karpenter.k8s.aws/capacity-reservation-id" in each.labels for each in found]
        assert known == [False, True]

    def test_there_is_one_kind_for_each_zone(self) -> None:
        zones = [
            (each.labels["topology.kubernetes.io/zone"], each.labels["topology.kubernetes.io/region"])
            for each in pool(zones="[us-east-1a, us-west-2-lax-1a, us-east-1-wl1-bos-wlz-1, us-gov-west-1b]").shapes
        ]
        assert zones == [
            ("us-east-1a", "us-east-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
            ("us-gov-west-1b", "us-gov-west-1"),
        ]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("p4d.24xlarge", ("p", "4", "p4d", "24xlarge", "false")),
            ("p6-b200.48xlarge", ("p", "6", "p6-b200", "48xlarge", "false")),
            ("gr6.4xlarge", ("gr", "6", "gr6", "4xlarge", "false")),
            ("g5g.metal", ("g", "5", "g5g", "metal", "false")),
            ("u-6tb1.metal", ("u", "1", "u-6tb1", "metal", "false")),
            ("m7i-flex.large", ("m", "7", "m7i-flex", "large", "true")),
            ("our-own", (None, None, None, None, "false")),
            ("a.b.c", (None, None, None, None, "false")),
        ],
    )
    def test_what_follows_from_the_name_of_a_type(self, name: str, expected: tuple[str | None, ...]) -> None:
        """Held against the names in Karpenter's ``instance-types.md``."""
        types = f"catalogue: {{instanceTypes: {{{name}: {{gpu: a100-40gb, gpus: 8}}}}}}\n"
        (shape,) = load(pool_text(instanceTypes=f"[{name}]"), extra=types).pools[0].shapes
        assert expected == tuple(
            shape.labels[f"karpenter.k8s.aws/instance-{what}"]
            for what in ("category", "generation", "family", "size", "capability-flex")
        )

    def test_there_is_one_kind_for_each_type_and_each_way_to_buy_it(self) -> None:
        found = pool(**{**H100, "instanceTypes": "[p5.4xlarge, p5.48xlarge]"}, capacityTypes="[spot, on-demand]")
        kinds = [
            (each.instance_type.name, each.labels["karpenter.sh/capacity-type"], each.capacity) for each in found.shapes
        ]
        assert kinds == [
            ("p5.4xlarge", "spot", {"nvidia.com/mig-1g.10gb": 7}),
            ("p5.4xlarge", "on-demand", {"nvidia.com/mig-1g.10gb": 7}),
            ("p5.48xlarge", "spot", {"nvidia.com/mig-1g.10gb": 56}),
            ("p5.48xlarge", "on-demand", {"nvidia.com/mig-1g.10gb": 56}),
        ]

    def test_a_type_that_karpenter_does_not_list_has_no_gpu_labels(self) -> None:
        shape, _ = pool(
            gpu="gb200", partition="{mig: {1g.23gb: 7}}", instanceTypes="[p6e-gb200.36xlarge]", nodes="existing"
        ).shapes
        assert shape.labels["kubernetes.io/arch"] == "arm64"
        assert not [key for key in shape.labels if key.startswith("karpenter.k8s.aws/instance-gpu-")]


NAMESPACES = """
namespaces:
  notebooks: {pools: [shared]}
  team-a: {slices: [1g.5gb, 7g.80gb]}
  team-b: {pools: [small, mixed], slices: [2g.10gb]}
  nobody: {slices: []}
  nowhere: {pools: []}
  anything: {}
"""


class TestPolicies:
    """What a namespace may use."""

    @staticmethod
    def fleet(extra: str = NAMESPACES) -> Fleet:
        return load(
            pool_text(name="small"),
            pool_text(name="mixed", partition="{mig: {2g.10gb: 1, 1g.5gb: 1}}"),
            pool_text(name="large", gpu="a100-80gb", partition="{mig: {7g.79gb: 1}}", instanceTypes="[p4de.24xlarge]"),
            pool_text(name="shared", **A10G),
            extra=extra,
        )

    ALL: tuple[str, ...] = ("small 1g.5gb", "mixed 2g.10gb", "mixed 1g.5gb", "large 7g.79gb", "shared shared")

    @pytest.mark.parametrize(
        ("namespace", "permitted"),
        [
            pytest.param("notebooks", ["shared shared"], id="one pool"),
            pytest.param(
                "team-a", ["small 1g.5gb", "mixed 1g.5gb", "large 7g.79gb"], id="slices, whatever the driver calls them"
            ),
            pytest.param("team-b", ["mixed 2g.10gb"], id="pools and slices: both must agree"),
            pytest.param("nobody", [], id="no slice"),
            pytest.param("nowhere", [], id="no pool"),
            pytest.param("anything", ALL, id="an entry without limits"),
            pytest.param("other", ALL, id="no entry"),
            pytest.param(None, ALL, id="no namespace"),
        ],
    )
    def test_by_name(self, namespace: str | None, permitted: list[str]) -> None:
        fleet = self.fleet()
        policy = fleet.policy(namespace)
        found = [f"{where.name} {each}" for where, each in fleet.offers if policy.permits(where, each)]
        assert found == list(permitted)

    @pytest.mark.parametrize(
        ("namespace", "may"),
        [
            pytest.param("other", False, id="those without an entry fall under the star"),
            pytest.param("anything", True, id="an entry of its own replaces the star, even an empty one"),
            pytest.param("default", True, id="the namespace default"),
            pytest.param(None, True, id="none is default"),
            pytest.param("", True, id="an empty one too"),
        ],
    )
    def test_by_the_star(self, namespace: str | None, may: bool) -> None:
        fleet = self.fleet('namespaces: {"*": {slices: [shared]}, anything: {}, default: {slices: [1g.5gb]}}\n')
        where, small = fleet.offers[0]
        assert fleet.policy(namespace).permits(where, small) is may


class TestSchema:
    """The same shape for editors.  The few words of JSON Schema that it uses are read here, without a library."""

    @staticmethod
    def errors(value: Any, shape: dict[str, Any], definitions: dict[str, Any], where: str = "") -> list[str]:
        """What is wrong with *value*, by the words that fleets depend on."""
        if "$ref" in shape:
            shape = definitions[shape["$ref"].rpartition("/")[2]]
        if "anyOf" in shape:
            tries = [TestSchema.errors(value, each, definitions, where) for each in shape["anyOf"]]
            return min(tries, key=len)
        if "const" in shape or "enum" in shape:
            return [] if value in shape.get("enum", [shape.get("const")]) else [f"{where} is not known"]
        types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
        if "type" in shape and (
            not isinstance(value, types[shape["type"]]) or (isinstance(value, bool) != (shape["type"] == "boolean"))
        ):
            return [f"{where} is no {shape['type']}"]
        found = []
        if isinstance(value, dict):
            known, others = shape.get("properties", {}), shape.get("additionalProperties", True)
            found += [f"{where}.{name} is missing" for name in shape.get("required", []) if name not in value]
            for name, each in value.items():
                if name in known:
                    found += TestSchema.errors(each, known[name], definitions, f"{where}.{name}")
                elif others is False:
                    found.append(f"{where}.{name} is no field")
                elif isinstance(others, dict):
                    found += TestSchema.errors(each, others, definitions, f"{where}.{name}")
        if isinstance(value, list):
            for index, each in enumerate(value):
                found += TestSchema.errors(each, shape.get("items", {}), definitions, f"{where}[{index}]")
            if len(value) < shape.get("minItems", 0):
                found.append(f"{where} is too short")
        if isinstance(value, int) and not shape.get("minimum", value) <= value <= shape.get("maximum", value):
            found.append(f"{where} is out of bounds")
        if isinstance(value, str) and not re.search(shape.get("pattern", ""), value):
            found.append(f"{where} is not well formed")
        return found

    def against(self, written: str | bytes) -> list[str]:
        whole = schema()
        return self.errors(yaml.safe_load(written), whole, whole["$defs"])

    def test_the_built_in_fleet_has_this_shape(self) -> None:
        assert self.against(files.default_fleet_text()) == []

    @pytest.mark.parametrize("written", STORIES)
    def test_the_fleets_of_the_stories_have_it(self, written: Path) -> None:
        assert self.against(written.read_bytes()) == []

    @pytest.mark.parametrize(
        ("written", "error"),
        [
            pytest.param(text(extra="namespace: {}\n"), ".namespace is no field", id="a field misspelt"),
            pytest.param(
                text(pool_text(instanceType="[a]")),
                ".pools[0].instanceType is no field",
                id="a field of a pool misspelt",
            ),
            pytest.param(text(pool_text(gpu=None)), ".pools[0].gpu is missing", id="a field left out"),
            pytest.param(text().replace("/v1", "/v2"), ".apiVersion is not known", id="a newer version"),
            pytest.param(
                text(pool_text(partition='{mps: {replicas: "4"}}')),
                ".pools[0].partition.mps.replicas is no integer",
                id="a number in quotes",
            ),
            pytest.param(
                text(pool_text(partition="{mps: {replicas: 1}}")),
                ".pools[0].partition.mps.replicas is out of bounds",
                id="one replica",
            ),
            pytest.param(text(pool_text(strategy="none")), ".pools[0].strategy is not known", id="a choice"),
            pytest.param(text(pool_text(name="A")), ".pools[0].name is not well formed", id="a name"),
            pytest.param(text(pool_text(instanceTypes="[]")), ".pools[0].instanceTypes is too short", id="no type"),
        ],
    )
    def test_a_mistake_of_shape_is_seen(self, written: str, error: str) -> None:
        assert self.against(written) == [error]

    def test_it_says_which_dialect_it_is(self) -> None:
        whole = schema()
        assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert whole["required"] == ["apiVersion", "pools"]

    def test_every_field_has_the_name_that_is_written(self) -> None:
        whole = schema()
        objects = [whole, *whole["$defs"].values()]
        names = {name for each in objects for name in each.get("properties", {})}
        assert {"apiVersion", "instanceTypes", "timeSlicing", "memoryMiB"} <= names
        assert not [name for name in names if "_" in name]
        assert {each["additionalProperties"] for each in objects} == {False}

    def test_the_less_obvious_fields_explain_themselves(self) -> None:
        pool_fields = schema()["$defs"]["PoolEntry"]["properties"]
        assert all(
            pool_fields[name].get("description") for name in ("untainted", "strategy", "emptyFor", "ami", "limit")
        )


@pytest.mark.parametrize(
    ("word", "found"),
    [
        pytest.param("a100-40bg", "a100-40gb", id="two letters changed places"),
        pytest.param("p5.48xlarg", "p5.48xlarge", id="a letter is missing"),
        pytest.param("zzz", None, id="like nothing"),
        pytest.param("x" * 64 + "z" * 100_000, "x" * 64, id="a stranger's long word, of which the beginning counts"),
    ],
)
def test_the_nearest_word(catalogue: Catalogue, word: str, found: str | None) -> None:
    assert nearest(word, [*catalogue.gpus, *catalogue.instance_types, "x" * 64]) == found


def test_the_nearest_profile_is_near_in_compute_then_in_memory_then_in_engines() -> None:
    wanted = MigProfile.parse("2g.12gb")
    known = [MigProfile.parse(name) for name in ("7g.12gb", "1g.12gb", "2g.20gb+me", "2g.20gb", "2g.10gb")]
    by_distance = sorted(known, key=lambda each: distance(wanted, each))
    assert [str(each) for each in by_distance] == ["2g.10gb", "2g.20gb", "2g.20gb+me", "1g.12gb", "7g.12gb"]
