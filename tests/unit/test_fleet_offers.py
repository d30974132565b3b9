"""What a pool offers, what satisfies a choice, and what is nearest."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from tests import pods
from tests.unit.fleet_text import A10G, load, offer, pool, pool_text
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.slices.catalogue import Catalogue
from webhook.slices.profile import MigProfile
from webhook.slices.request import parse
from webhook.slices.suggest import distance, nearest


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
