"""The rows that people read: what a fleet offers, and what the catalogue knows."""

from __future__ import annotations

import pytest

from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.fleet.listing import Known, Offered, known, offered
from webhook.slices.catalogue import Catalogue

FLEET = b"""
apiVersion: gpu-slice/v1
pools:
  - name: mixed
    gpu: a100-40gb
    partition: {mig: {3g.20gb: 1, 1g.5gb.me: 1}}
    instanceTypes: [p4d.24xlarge]
    capacityTypes: [spot, on-demand]
  - name: single
    gpu: h100-80gb
    partition: {mig: {1g.10gb: 7}}
    strategy: single
    instanceTypes: [p5.4xlarge, p5.48xlarge]
  - name: other-driver
    gpu: a100-80gb
    partition: {mig: {7g.79gb: 1}}
    instanceTypes: [p4de.24xlarge]
  - name: shared
    gpu: a10g
    partition: {timeSlicing: {replicas: 4}}
    instanceTypes: [g5.xlarge, g5.12xlarge]
"""


def test_what_is_offered_is_one_row_for_each_slice_of_each_pool() -> None:
    assert list(offered(files.load_fleet(FLEET))) == [
        Offered("3g.20gb", "nvidia.com/mig-3g.20gb", "mixed", "a100-40gb", "a100", 19968, 1, {"p4d.24xlarge": 8}),
        Offered("1g.5gb+me", "nvidia.com/mig-1g.5gb.me", "mixed", "a100-40gb", "a100", 4864, 1, {"p4d.24xlarge": 8}),
        Offered(
            "1g.10gb", "nvidia.com/gpu", "single", "h100-80gb", "h100", 9984, 7, {"p5.4xlarge": 7, "p5.48xlarge": 56}
        ),
        Offered(
            "7g.79gb", "nvidia.com/mig-7g.79gb", "other-driver", "a100-80gb", "a100", 80384, 1, {"p4de.24xlarge": 8}
        ),
        Offered(
            "shared", "nvidia.com/gpu.shared", "shared", "a10g", "a10g", None, 4, {"g5.xlarge": 4, "g5.12xlarge": 16}
        ),
    ]


def test_the_built_in_fleet_offers_56_small_slices_on_a_node(fleet: Fleet) -> None:
    first = next(offered(fleet))
    assert (first.slice, first.pool, first.per_gpu, first.per_node) == (
        "1g.5gb",
        "a100-1g-5gb",
        7,
        {"p4d.24xlarge": 56},
    )


@pytest.mark.parametrize(
    ("gpu", "profile", "row"),
    [
        pytest.param(
            "a100-40gb",
            "1g.5gb",
            Known(
                "a100-40gb",
                "a100",
                "1g.5gb",
                "nvidia.com/mig-1g.5gb",
                1,
                4864,
                7,
                ["p4d.24xlarge"],
                "go-nvml a100.go; mig-parted; HyperPod (p4d)",
                "",
            ),
            id="a profile that was seen",
        ),
        pytest.param(
            "a800-40gb",
            "1g.5gb+me",
            Known(
                "a800-40gb",
                "a800",
                "1g.5gb+me",
                "nvidia.com/mig-1g.5gb.me",
                1,
                4864,
                1,
                [],
                "mig-parted, which treats it as the A100 40GB",
                "",
            ),
            id="a GPU that EC2 has not, and a profile of which one fits",
        ),
        pytest.param(
            "t4",
            None,
            Known(
                "t4",
                "t4",
                None,
                None,
                None,
                None,
                None,
                [
                    "g4dn.xlarge",
                    "g4dn.2xlarge",
                    "g4dn.4xlarge",
                    "g4dn.8xlarge",
                    "g4dn.12xlarge",
                    "g4dn.16xlarge",
                    "g4dn.metal",
                ],
                "MIG guide; test-infra t4",
                "",
            ),
            id="a GPU without MIG has one row",
        ),
    ],
)
def test_what_is_known_of_a_gpu(catalogue: Catalogue, gpu: str, profile: str | None, row: Known) -> None:
    assert [each for each in known(catalogue) if (each.gpu, each.profile) == (gpu, profile)] == [row]


def test_memory_that_nobody_has_seen_is_not_shown(catalogue: Catalogue) -> None:
    rows = [row for row in known(catalogue) if row.gpu == "b300"]
    assert len(rows) == 7
    assert {row.memory_mib for row in rows} == {None}
    assert {row.unverified for row in rows} == {"MiB of one instance"}


def test_a_fraction_of_a_gpu_is_no_place_for_slices(catalogue: Catalogue) -> None:
    types = next(row.instance_types for row in known(catalogue) if row.gpu == "l4")
    assert "g6.xlarge" in types
    assert not [name for name in types if name.startswith(("g6f.", "gr6f."))]


def test_everything_that_the_catalogue_has_is_known_once_in_its_order(catalogue: Catalogue) -> None:
    rows = list(known(catalogue))
    assert [row.gpu for row in rows] == [
        gpu.name for gpu in catalogue.gpus.values() for _ in range(max(1, len(gpu.profiles)))
    ]
    assert len({(row.gpu, row.profile) for row in rows}) == len(rows)
