"""What the catalogue says of each GPU and instance type, held to a real H200 and to NVIDIA's and Karpenter's tables."""

from __future__ import annotations

import gzip
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from webhook.slices.catalogue import BadCatalogue, Catalogue, Gpu, GpuProfile
from webhook.slices.entries import CatalogueFile, Engines
from webhook.slices.profile import MigProfile

H200 = (Path(__file__).parent / "data" / "nvidia-smi-mig-h200.txt").read_text("utf-8")
"""What ``nvidia-smi`` and NVML answered on a real H200."""


def profile(gpu: Gpu, name: str) -> GpuProfile:
    found = gpu.profile(MigProfile.parse(name))
    assert found is not None, f"{gpu.name} has no {name}"
    return found


class TestRealH200:
    """The catalogue agrees with the one GPU that was asked."""

    def test_names_and_instances(self, catalogue: Catalogue) -> None:
        answered = {
            name: int(total)
            for name, total in re.findall(r"MIG (\S+) +\d+ +\d+/(\d+) ", H200.split("# $ nvidia-smi")[1])
        }
        assert len(answered) == 7
        assert {str(each): each.most for each in catalogue.gpus["h200"].profiles} == answered

    def test_placements(self, catalogue: Catalogue) -> None:
        names = {number: name for name, number in re.findall(r"MIG (\S+) +(\d+) +\d+/\d+ ", H200)}
        answered = {
            names[number]: (tuple(map(int, starts.split(","))), int(size))
            for number, starts, size in re.findall(r"Profile ID +(\d+) Placements? *: \{([\d,]+)\}:(\d+)", H200)
        }
        assert len(answered) == 7
        assert {str(each): (each.starts, each.size) for each in catalogue.gpus["h200"].profiles} == answered

    def test_slices_instances_and_memory(self, catalogue: Catalogue) -> None:
        answered = {
            name: (int(slices), int(most), int(memory))
            for name, slices, most, memory in re.findall(r"^MIG ([^,]+),(\d+),(\d+),(\d+),", H200, re.MULTILINE)
        }
        assert len(answered) == 7
        found = {
            str(each): (each.compute_slices, each.most, each.memory_mib) for each in catalogue.gpus["h200"].profiles
        }
        assert found == answered

    def test_the_whole_gpu_is_as_large_as_its_largest_profile(self, catalogue: Catalogue) -> None:
        gpu, whole = catalogue.gpus["h200"], profile(catalogue.gpus["h200"], "7g.141gb")
        assert (gpu.compute_slices, gpu.memory_slices) == (whole.compute_slices, whole.size) == (7, 8)


class TestRealH100:
    """The catalogue agrees with a real H100, too."""

    ROWS = re.findall(
        r"^(\dg\.\S+) +\d+ +(\d) +(\d) +\d+ +(\d) +(\d) +(\d) +(\d+) +\{([\d,]+)\}:(\d)$",
        (Path(__file__).parent / "data" / "nvml-h100-80gb.txt").read_text("utf-8"),
        re.MULTILINE,
    )

    def test_every_profile_with_its_slices_memory_engines_and_placements(self, catalogue: Catalogue) -> None:
        answered = {
            (name, *map(int, (slices, most, decoders, jpeg, ofa, mib, size)), tuple(map(int, starts.split(","))))
            for name, slices, most, decoders, jpeg, ofa, mib, starts, size in self.ROWS
        }
        assert len(answered) == 7
        found = {
            (
                str(each), each.compute_slices, each.most,
                each.engines.decoders, each.engines.jpeg, each.engines.ofa,
                each.memory_mib, each.size, each.starts,
            )
            for each in catalogue.gpus["h100-80gb"].profiles
        }  # fmt: skip
        assert found == answered

    def test_the_engines_of_an_h200_are_those_that_nvidia_smi_prints(self, catalogue: Catalogue) -> None:
        rows = re.findall(
            r"MIG (\S+) +\d+ +\d/\d +\S+ +No +\d+ +(\d) +(\d) +\|\n\| +\d+ +(\d) +(\d) +\|",
            H200.split("# $ nvidia-smi")[1],
        )
        answered = {name: (int(dec), int(enc), int(jpeg), int(ofa)) for name, dec, enc, jpeg, ofa in rows}
        assert len(answered) == 7
        found = {
            str(each): (each.engines.decoders, each.engines.encoders, each.engines.jpeg, each.engines.ofa)
            for each in catalogue.gpus["h200"].profiles
        }
        assert found == answered


# GPU: 1g ×7, 1g with double memory ×4, 2g ×3, 3g ×2, 4g ×1, 7g ×1; and 1g+me ×1.  From NVIDIA's guide and mig-parted.
SEVEN_SLICES = {
    "a100-40gb": "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb",
    "a800-40gb": "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb",
    "a100-80gb": "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",
    "a800-80gb": "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",
    "h100-80gb": "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",
    "h800-80gb": "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",
    "h100-94gb": "1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb",
    "h800-94gb": "1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb",
    "h100-96gb": "1g.12gb 1g.24gb 2g.24gb 3g.48gb 4g.48gb 7g.96gb",
    "gh200-96gb": "1g.12gb 1g.24gb 2g.24gb 3g.48gb 4g.48gb 7g.96gb",
    "h20": "1g.12gb 1g.24gb 2g.24gb 3g.48gb 4g.48gb 7g.96gb",
    "h200": "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb",
    "gh200-144gb": "1g.18gb 1g.36gb 2g.36gb 3g.72gb 4g.72gb 7g.144gb",
    "b200": "1g.23gb 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb",
    "gb200": "1g.23gb 1g.47gb 2g.47gb 3g.93gb 4g.93gb 7g.186gb",
    "b300": "1g.34gb 1g.67gb 2g.67gb 3g.135gb 4g.135gb 7g.269gb",
    "gb300": "1g.35gb 1g.70gb 2g.70gb 3g.139gb 4g.139gb 7g.278gb",
}
FOUR_SLICES = {
    "a30": {"1g.6gb": 4, "1g.6gb+me": 1, "2g.12gb": 2, "2g.12gb+me": 1, "4g.24gb": 1},
    "rtx-pro-6000": {
        "1g.24gb": 4,
        "1g.24gb+me": 1,
        "1g.24gb+gfx": 4,
        "1g.24gb+me.all": 1,
        "1g.24gb-me": 4,
        "2g.48gb": 2,
        "2g.48gb+gfx": 2,
        "2g.48gb+me.all": 1,
        "2g.48gb-me": 2,
        "4g.96gb": 1,
        "4g.96gb+gfx": 1,
    },
    "rtx-pro-4500": {
        "1g.16gb": 2,
        "1g.16gb+gfx": 2,
        "1g.16gb+me.all": 1,
        "1g.16gb-me": 2,
        "2g.32gb": 1,
        "2g.32gb+gfx": 1,
    },
}
WITHOUT = ["a10", "a10g", "l4", "l40s", "t4", "t4g", "v100"]
"""GPUs that have no MIG."""


@pytest.mark.parametrize(("gpu", "names"), SEVEN_SLICES.items(), ids=SEVEN_SLICES)
def test_a_gpu_of_seven_slices_has_nvidias_profiles_and_no_other(catalogue: Catalogue, gpu: str, names: str) -> None:
    ordered = names.split()
    expected = dict(zip(ordered, (7, 4, 3, 2, 1, 1), strict=True)) | {f"{ordered[0]}+me": 1}
    assert {str(each): each.most for each in catalogue.gpus[gpu].profiles} == expected


@pytest.mark.parametrize(("gpu", "expected"), FOUR_SLICES.items(), ids=FOUR_SLICES)
def test_a_gpu_of_four_slices_has_nvidias_profiles_and_no_other(
    catalogue: Catalogue, gpu: str, expected: dict[str, int]
) -> None:
    assert {str(each): each.most for each in catalogue.gpus[gpu].profiles} == expected


@pytest.mark.parametrize("gpu", WITHOUT)
def test_a_gpu_without_mig_has_no_profile(catalogue: Catalogue, gpu: str) -> None:
    assert not catalogue.gpus[gpu].mig
    assert catalogue.gpus[gpu].profiles == ()


def test_no_other_gpu_is_in_the_catalogue(catalogue: Catalogue) -> None:
    assert set(catalogue.gpus) == {*SEVEN_SLICES, *FOUR_SLICES, *WITHOUT}


@pytest.mark.parametrize("gpu", SEVEN_SLICES)
def test_every_gpu_of_seven_slices_is_cut_at_the_same_places(catalogue: Catalogue, gpu: str) -> None:
    def places(gpu: Gpu) -> list[tuple[int, int, tuple[int, ...], int]]:
        return [(each.compute_slices, each.most, each.starts, each.size) for each in gpu.profiles]

    assert places(catalogue.gpus[gpu]) == places(catalogue.gpus["h200"])


def test_a_g_number_is_the_compute_slices_that_it_takes(catalogue: Catalogue) -> None:
    for gpu in catalogue.gpus.values():
        for each in gpu.profiles:
            assert each.compute_slices == each.profile.compute_slices


# MiB of one instance as go-nvml's captures (A100, A30) and nvidia-smi in threads of mig-parted have them.
MEMORY = {
    "a100-40gb": "4864 1g.5gb, 4864 1g.5gb+me, 9856 1g.10gb, 9856 2g.10gb, 19968 3g.20gb, 19968 4g.20gb, 40192 7g.40gb",
    "a100-80gb": "9856 1g.10gb, 9856 1g.10gb+me, 19968 1g.20gb, 19968 2g.20gb, 40192 3g.40gb, 40192 4g.40gb, "
    "80384 7g.80gb",
    "a30": "5836 1g.6gb, 5836 1g.6gb+me, 11672 2g.12gb, 11672 2g.12gb+me, 23344 4g.24gb",
}
PRINTED = {
    "h100-94gb": "10.62 1g.12gb, 10.62 1g.12gb+me, 21.50 1g.24gb, 21.50 2g.24gb, 46.12 3g.47gb, 46.12 4g.47gb, "
    "92.62 7g.94gb",
    "gh200-96gb": "11.00 1g.12gb, 11.00 1g.12gb+me, 23.00 1g.24gb, 23.00 2g.24gb, 46.50 3g.48gb, 46.50 4g.48gb, "
    "93.00 7g.96gb",
    "gh200-144gb": "17.50 1g.18gb, 17.50 1g.18gb+me, 35.25 1g.36gb, 35.25 2g.36gb",
    "b200": "20.50 1g.23gb, 20.50 1g.23gb+me, 44.25 1g.45gb, 44.25 2g.45gb",
    "gb200": "20.00 1g.23gb, 20.00 1g.23gb+me, 45.50 1g.47gb, 45.50 2g.47gb",
    "rtx-pro-6000": ", ".join(
        [f"23.12 1g.24gb{attribute}" for attribute in ("", "+me", "+gfx", "+me.all", "-me")]
        + [f"47.38 2g.48gb{attribute}" for attribute in ("", "+gfx", "+me.all", "-me")]
        + ["95.00 4g.96gb", "95.00 4g.96gb+gfx"]
    ),
}
"""In GiB, as nvidia-smi prints it with two digits."""


@pytest.mark.parametrize(("gpu", "seen"), MEMORY.items(), ids=MEMORY)
def test_memory_is_what_was_seen_and_nothing_where_nothing_was(catalogue: Catalogue, gpu: str, seen: str) -> None:
    expected = {name: int(mib) for mib, name in (each.split() for each in seen.split(", "))}
    found = {str(each): each.memory_mib for each in catalogue.gpus[gpu].profiles if each.memory_mib is not None}
    assert found == expected


@pytest.mark.parametrize(("gpu", "seen"), PRINTED.items(), ids=PRINTED)
def test_memory_that_was_printed_is_rounded_down_and_the_smallest_counts(
    catalogue: Catalogue, gpu: str, seen: str
) -> None:
    """Where boards or drivers differ: a request in Gi is a promise."""
    expected = {name: int(float(gib) * 1024) for gib, name in (each.split() for each in seen.split(", "))}
    found = {str(each): each.memory_mib for each in catalogue.gpus[gpu].profiles if each.memory_mib is not None}
    assert found == expected


@pytest.mark.parametrize(
    ("gpu", "both"),
    [
        pytest.param("b200", ("20.50", "22.00"), id="b200: by driver"),
        pytest.param("gb200", ("20.00", "22.00"), id="gb200: by board"),
        pytest.param("rtx-pro-6000", ("23.12", "23.62", "95.00", "95.12"), id="rtx-pro-6000: by board"),
    ],
)
def test_where_values_differ_all_are_in_the_source(catalogue: Catalogue, gpu: str, both: tuple[str, ...]) -> None:
    assert all(value in catalogue.gpus[gpu].source for value in both)


@pytest.mark.parametrize("gpu", ["h100-96gb", "h20", "b300", "gb300", "rtx-pro-4500"])
def test_memory_that_is_only_nominal_is_not_given(catalogue: Catalogue, gpu: str) -> None:
    assert {each.memory_mib for each in catalogue.gpus[gpu].profiles} == {None}
    assert "MiB" in catalogue.gpus[gpu].unverified


@pytest.mark.parametrize(
    ("gpu", "printed", "name"),
    [
        pytest.param("a100-80gb", "7g.79gb", "7g.80gb", id="the PCIe board"),
        pytest.param("a100-80gb", "3g.39gb", "3g.40gb", id="drivers 535 and 545"),
        pytest.param("a800-80gb", "3g.39gb", "3g.40gb", id="inherited with the rest"),
        pytest.param("gb200", "1g.24gb", "1g.23gb", id="another board: one slice"),
        pytest.param("gb200", "1g.24gb+me", "1g.23gb+me", id="another board: one slice with media engines"),
        pytest.param("gb200", "3g.95gb", "3g.93gb", id="another board: three"),
        pytest.param("gb200", "4g.95gb", "4g.93gb", id="another board: four"),
        pytest.param("gb200", "7g.189gb", "7g.186gb", id="another board: the whole"),
    ],
)
def test_a_profile_is_found_under_the_names_of_other_drivers(
    catalogue: Catalogue, gpu: str, printed: str, name: str
) -> None:
    assert profile(catalogue.gpus[gpu], printed) is profile(catalogue.gpus[gpu], name)


@pytest.mark.parametrize(
    ("printed", "names"),
    [
        pytest.param("NVIDIA A100-SXM4-40GB", ["a100-40gb"], id="nvidia-smi -L on a p4d"),
        pytest.param("NVIDIA-A100-SXM4-40GB", ["a100-40gb"], id="the label nvidia.com/gpu.product"),
        pytest.param("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", ["a100-40gb"], id="the label under the strategy single"),
        pytest.param("NVIDIA-A10G-SHARED", ["a10g"], id="the label of a GPU that is shared"),
        pytest.param("NVIDIA A100-SXM4-80GB", ["a100-80gb"], id="p4de"),
        pytest.param("NVIDIA A100 80GB PCIe", ["a100-80gb"], id="a PCIe board"),
        pytest.param("A100-SXM4-40GB", ["a100-40gb"], id="without the vendor, as older drivers"),
        pytest.param("NVIDIA H100 80GB HBM3", ["h100-80gb"], id="p5"),
        pytest.param("NVIDIA-H100-80GB-HBM3", ["h100-80gb"], id="p5: the label"),
        pytest.param("NVIDIA H100 NVL", ["h100-94gb"], id="H100 NVL"),
        pytest.param("NVIDIA H100 PCIe", ["h100-80gb"], id="H100 PCIe"),
        pytest.param("NVIDIA H200", ["h200"], id="p5e"),
        pytest.param("NVIDIA H200 NVL", ["h200"], id="H200 NVL"),
        pytest.param("NVIDIA GH200 480GB", ["gh200-96gb"], id="a number that is the CPU's"),
        pytest.param("NVIDIA GH200 144G HBM3e", ["gh200-144gb"], id="GH200 144GB"),
        pytest.param("NVIDIA H20", ["h20"], id="H20"),
        pytest.param("NVIDIA H20-3e", [], id="another H20, of another size"),
        pytest.param("NVIDIA B200", ["b200"], id="p6-b200"),
        pytest.param("NVIDIA B300 SXM6 AC", ["b300"], id="p6-b300"),
        pytest.param("NVIDIA GB200", ["gb200"], id="p6e-gb200"),
        pytest.param("NVIDIA RTX PRO 6000 Blackwell Server Edition", ["rtx-pro-6000"], id="g7e"),
        pytest.param("NVIDIA RTX PRO 4500 Blackwell", ["rtx-pro-4500"], id="g7"),
        pytest.param("Tesla T4", ["t4"], id="g4dn"),
        pytest.param("Tesla V100-SXM2-32GB", ["v100"], id="p3dn"),
        pytest.param("Tesla V100-SXM2-16GB", [], id="p3: the smaller V100"),
        pytest.param("NVIDIA L4", ["l4"], id="g6"),
        pytest.param("NVIDIA L40S", ["l40s"], id="g6e"),
        pytest.param("NVIDIA L40", [], id="not the L40S"),
        pytest.param("NVIDIA A10G", ["a10g"], id="g5"),
        pytest.param("A100-40GB", ["a100-40gb"], id="the catalogue's name in upper case"),
        pytest.param("H100", ["h100-80gb", "h100-94gb", "h100-96gb"], id="a family"),
        pytest.param("NVIDIA A100", ["a100-40gb", "a100-80gb"], id="a family with its vendor"),
        pytest.param("AMD Instinct MI300X OAM", [], id="another vendor's"),
    ],
)
def test_a_product_is_found_by_the_name_that_nvidia_prints(
    catalogue: Catalogue, printed: str, names: list[str]
) -> None:
    assert catalogue.meant(printed) == names


def test_an_alias_is_of_one_gpu_only(catalogue: Catalogue) -> None:
    assert catalogue.gpus["h100-80gb"].profile(MigProfile.parse("7g.79gb")) is None


@pytest.mark.parametrize(
    ("name", "most"),
    [
        pytest.param(
            "1g.10gb",
            {"a100-40gb": 4, "a800-40gb": 4, "a100-80gb": 7, "a800-80gb": 7, "h100-80gb": 7, "h800-80gb": 7},
            id="double memory on the smaller A100, the base on the larger",
        ),
        pytest.param(
            "1g.12gb",
            {"h100-94gb": 7, "h800-94gb": 7, "h100-96gb": 7, "gh200-96gb": 7, "h20": 7},
            id="94 and 96 GB alike",
        ),
        pytest.param("3g.47gb", {"h100-94gb": 2, "h800-94gb": 2}, id="94 GB"),
        pytest.param("3g.48gb", {"h100-96gb": 2, "gh200-96gb": 2, "h20": 2}, id="96 GB"),
        pytest.param("1g.18gb", {"h200": 7, "gh200-144gb": 7}, id="H200 and GH200"),
        pytest.param("2g.36gb", {"gh200-144gb": 3}, id="GH200 alone"),
        pytest.param("1g.23gb", {"b200": 7, "gb200": 7}, id="B200 and GB200"),
        pytest.param(
            "1g.24gb",
            {
                "h100-94gb": 4,
                "h800-94gb": 4,
                "h100-96gb": 4,
                "gh200-96gb": 4,
                "h20": 4,
                "gb200": 7,
                "rtx-pro-6000": 4,
            },
            id="three things: double memory, a base, and a board's other name",
        ),
        pytest.param("1g.35gb", {"h200": 4, "gb300": 7}, id="double memory on the H200, the base on the GB300"),
        pytest.param("1g.5gb", {"a100-40gb": 7, "a800-40gb": 7}, id="the smaller A100 alone"),
        pytest.param("7g.40gb", {"a100-40gb": 1, "a800-40gb": 1}, id="the whole of the smaller A100"),
        pytest.param("3g.40gb", {"a100-80gb": 2, "a800-80gb": 2, "h100-80gb": 2, "h800-80gb": 2}, id="80 GB"),
        pytest.param("5g.50gb", {}, id="no GPU has it"),
    ],
)
def test_how_many_fit_depends_on_the_gpu_and_not_on_the_name(
    catalogue: Catalogue, name: str, most: dict[str, int]
) -> None:
    found = {gpu.name: profile(gpu, name).most for gpu in catalogue.having(MigProfile.parse(name))}
    assert found == most


def test_every_gpu_says_where_it_comes_from(catalogue: Catalogue) -> None:
    assert all(gpu.source and gpu.product and gpu.memory for gpu in catalogue.gpus.values())
    assert all(geometry.source for geometry in catalogue.file.geometries.values())


def test_a_gpu_says_of_itself_what_nobody_has_seen_of_its_geometry(catalogue: Catalogue) -> None:
    """Readers see the GPU's entry, not its geometry's."""
    for name, entry in catalogue.file.gpus.items():
        if entry.geometry and catalogue.file.geometries[entry.geometry].unverified:
            assert "placements" in catalogue.gpus[name].unverified, name


@pytest.mark.parametrize(
    ("name", "called"),
    [
        pytest.param("h100", {"h100-80gb", "h100-94gb", "h100-96gb"}, id="a family"),
        pytest.param("h100-80gb", {"h100-80gb"}, id="a name"),
        pytest.param("a100", {"a100-40gb", "a100-80gb"}, id="not the A800"),
        pytest.param("gh200", {"gh200-96gb", "gh200-144gb"}, id="a family whose members are built differently"),
        pytest.param("h20", {"h20"}, id="no beginning of h200"),
        pytest.param("b200", {"b200"}, id="no end of gb200"),
        pytest.param("mi300x", set(), id="nobody"),
    ],
)
def test_a_gpu_is_called_by_its_name_and_its_family(catalogue: Catalogue, name: str, called: set[str]) -> None:
    assert {gpu.name for gpu in catalogue.gpus.values() if gpu.called(name)} == called
    assert (name in catalogue.families()) == bool(called)


# Karpenter's docs/reference/instance-types.md: type, GPU here, GPUs, instance-gpu-name, instance-gpu-memory.
INSTANCE_TYPES = """
    p3dn.24xlarge                                              v100          8  v100                 32768
    p4d.24xlarge                                               a100-40gb     8  a100                 40960
    p4de.24xlarge                                              a100-80gb     8  a100                 81920
    p5.4xlarge                                                 h100-80gb     1  h100                 81920
    p5.48xlarge                                                h100-80gb     8  h100                 81920
    p5e.48xlarge,p5en.48xlarge                                 h200          8  h200                 144384
    p6-b200.48xlarge                                           b200          8  b200                 183359
    p6-b300.48xlarge                                           b300          8  b300                 275040
    g7e.2xlarge,g7e.4xlarge,g7e.8xlarge                        rtx-pro-6000  1  rtx-pro-server-6000  98304
    g7e.12xlarge                                               rtx-pro-6000  2  rtx-pro-server-6000  98304
    g7e.24xlarge                                               rtx-pro-6000  4  rtx-pro-server-6000  98304
    g7e.48xlarge                                               rtx-pro-6000  8  rtx-pro-server-6000  98304
    g7.2xlarge,g7.4xlarge,g7.8xlarge                           rtx-pro-4500  1  rtx-pro-4500         32768
    g7.12xlarge                                                rtx-pro-4500  2  rtx-pro-4500         32768
    g7.24xlarge                                                rtx-pro-4500  4  rtx-pro-4500         32768
    g7.48xlarge                                                rtx-pro-4500  8  rtx-pro-4500         32768
    g6e.xlarge,g6e.2xlarge,g6e.4xlarge,g6e.8xlarge,g6e.16xlarge  l40s        1  l40s                 45776
    g6e.12xlarge,g6e.24xlarge                                  l40s          4  l40s                 45776
    g6e.48xlarge                                               l40s          8  l40s                 45776
    g6.xlarge,g6.2xlarge,g6.4xlarge,g6.8xlarge,g6.16xlarge     l4            1  l4                   22888
    gr6.4xlarge,gr6.8xlarge                                    l4            1  l4                   22888
    g6.12xlarge,g6.24xlarge                                    l4            4  l4                   22888
    g6.48xlarge                                                l4            8  l4                   22888
    g6f.large,g6f.xlarge                                       l4            0  l4                   2861
    g6f.2xlarge                                                l4            0  l4                   5722
    g6f.4xlarge,gr6f.4xlarge                                   l4            0  l4                   11444
    g5.xlarge,g5.2xlarge,g5.4xlarge,g5.8xlarge,g5.16xlarge     a10g          1  a10g                 22888
    g5.12xlarge,g5.24xlarge                                    a10g          4  a10g                 22888
    g5.48xlarge                                                a10g          8  a10g                 22888
    g4dn.xlarge,g4dn.2xlarge,g4dn.4xlarge,g4dn.8xlarge,g4dn.16xlarge  t4     1  t4                   16384
    g4dn.12xlarge                                              t4            4  t4                   16384
    g4dn.metal                                                 t4            8  t4                   16384
    g5g.xlarge,g5g.2xlarge,g5g.4xlarge,g5g.8xlarge             t4g           1  t4g                  16384
    g5g.16xlarge,g5g.metal                                     t4g           2  t4g                  16384
    p6e-gb200.36xlarge                                         gb200         4  -                    -
"""
ROWS = [
    pytest.param(name, gpu, int(gpus), label, memory, id=name)
    for names, gpu, gpus, label, memory in (line.split() for line in INSTANCE_TYPES.strip().splitlines())
    for name in names.split(",")
]


@pytest.mark.parametrize(("name", "gpu", "gpus", "label", "memory"), ROWS)
def test_an_instance_type_has_karpenters_count_and_labels(
    catalogue: Catalogue, name: str, gpu: str, gpus: int, label: str, memory: str
) -> None:
    found = catalogue.instance_types[name]
    assert (found.name, found.gpu, found.gpus) == (name, gpu, gpus)
    assert (found.gpu_name or "-", str(found.gpu_memory or "-")) == (label, memory)
    assert found.architecture == ("arm64" if name.startswith(("g5g.", "p6e-gb200.")) else "amd64")


def test_instance_types_are_as_ec2_describes_them(catalogue: Catalogue) -> None:
    """moto ships what EC2's DescribeInstanceTypes answered, GPUs and all."""
    described = json.loads(gzip.decompress((files("moto") / "ec2/resources/instance_types.json.gz").read_bytes()))
    assert set(catalogue.instance_types) - set(described) == {"p6e-gb200.36xlarge"}
    for name in catalogue.instance_types.keys() & described.keys():
        ours, (gpus,) = catalogue.instance_types[name], described[name]["GpuInfo"]["Gpus"]
        architecture = {"amd64": "x86_64", "arm64": "arm64"}[ours.architecture]
        assert ours.gpus == gpus["Count"], name
        assert ours.gpu_name == gpus["Name"].lower().replace(" ", "-"), name  # as Karpenter writes it into the label
        assert ours.gpu_memory == gpus["MemoryInfo"]["SizeInMiB"], name
        assert described[name]["ProcessorInfo"]["SupportedArchitectures"] == [architecture], name


def test_no_other_instance_type_is_in_the_catalogue(catalogue: Catalogue) -> None:
    assert set(catalogue.instance_types) == {row.values[0] for row in ROWS}


def test_only_memory_tells_a_p4de_from_a_p4d(catalogue: Catalogue) -> None:
    small, large = (catalogue.instance_types[name] for name in ("p4d.24xlarge", "p4de.24xlarge"))
    assert small.gpu_name == large.gpu_name == "a100"
    assert (small.gpu_memory, large.gpu_memory) == (40960, 81920)


def test_there_is_no_instance_type_with_an_a30_or_an_a10(catalogue: Catalogue) -> None:
    assert not {each.gpu for each in catalogue.instance_types.values()} & {"a30", "a10"}


def more(**additions: Any) -> CatalogueFile:
    """An addition to the catalogue, as a fleet file writes it."""
    return CatalogueFile.model_validate(additions)


ROLES = {"half": {"computeSlices": 1, "most": 2, "starts": [0, 1], "size": 1}}
GEOMETRY = {"two": {"source": "made up", "computeSlices": 2, "memorySlices": 2, "roles": ROLES}}


class TestAdditions:
    """A fleet's own GPUs and instance types."""

    def test_a_gpu_like_another_has_its_profiles_under_a_name_of_its_own(self, catalogue: Catalogue) -> None:
        grown = Catalogue.build(
            catalogue.file, more(gpus={"h200-nvl": {"like": "h200", "product": "H200 NVL", "source": "our lab"}})
        )
        found, base = grown.gpus["h200-nvl"], grown.gpus["h200"]
        assert (found.name, found.family, found.product, found.source) == ("h200-nvl", "h200", "H200 NVL", "our lab")
        assert found.profiles == base.profiles
        assert (found.compute_slices, found.memory_slices) == (7, 8)

    def test_a_copy_does_not_take_the_name_of_its_model(self, catalogue: Catalogue) -> None:
        own = {"like": "a100-80gb", "source": "x", "printed": ["A100X"]}
        grown = Catalogue.build(catalogue.file, more(gpus={"copy": own}))
        assert grown.meant("NVIDIA A100X") == ["copy"]
        assert grown.meant("A100 80GB") == grown.meant("NVIDIA A100-SXM4-80GB") == ["a100-80gb"]

    def test_what_a_gpu_says_of_itself_goes_before_what_it_is_like(self, catalogue: Catalogue) -> None:
        grown = Catalogue.build(
            catalogue.file,
            more(
                gpus={
                    "mine": {
                        "like": "a100-80gb",
                        "family": "mine",
                        "source": "our lab",
                        "unverified": "everything",
                        "aliases": {"1g.11gb": "1g.12gb"},
                        "profiles": {"1g": {"name": "1g.12gb", "memoryMiB": 11000}},
                    }
                }
            ),
        )
        mine = grown.gpus["mine"]
        assert [(str(each), each.memory_mib, each.most) for each in mine.profiles] == [("1g.12gb", 11000, 7)]
        assert (mine.family, mine.unverified, mine.memory) == ("mine", "everything", "80GB")
        assert profile(mine, "1g.11gb") is profile(mine, "1g.12gb")
        assert mine.profile(MigProfile.parse("3g.39gb")) is None

    def test_the_gpus_that_are_like_another_have_their_own_source(self, catalogue: Catalogue) -> None:
        copies = {name: entry for name, entry in catalogue.file.gpus.items() if entry.like}
        assert set(copies) >= {"a800-40gb", "h800-80gb", "gh200-96gb", "h20"}
        for name, entry in copies.items():
            assert catalogue.gpus[name].source != catalogue.gpus[entry.like or ""].source

    def test_a_geometry_of_its_own(self, catalogue: Catalogue) -> None:
        grown = Catalogue.build(
            catalogue.file,
            more(
                geometries=GEOMETRY,
                gpus={"tiny": {"geometry": "two", "source": "x", "profiles": {"half": {"name": "1g.8gb"}}}},
                instanceTypes={"x1.large": {"gpu": "tiny", "gpus": 2}},
            ),
        )
        tiny = grown.gpus["tiny"]
        assert (tiny.family, tiny.product, tiny.memory) == ("tiny", "tiny", "")
        assert profile(tiny, "1g.8gb") == GpuProfile(MigProfile(1, 8), 1, 2, (0, 1), 1, None, Engines())
        added = grown.instance_types["x1.large"]
        assert (added.gpu, added.gpus, added.architecture, added.gpu_name) == ("tiny", 2, "amd64", None)

    def test_a_gpu_without_geometry_has_no_mig(self, catalogue: Catalogue) -> None:
        assert not Catalogue.build(catalogue.file, more(gpus={"a2": {"source": "x"}})).gpus["a2"].mig

    def test_what_was_there_is_still_there(self, catalogue: Catalogue) -> None:
        grown = Catalogue.build(catalogue.file, more(gpus={"a2": {"source": "x"}}))
        assert set(grown.gpus) == {*catalogue.gpus, "a2"}
        assert dict(grown.instance_types) == dict(catalogue.instance_types)
        assert "a2" not in catalogue.gpus

    def test_an_entry_of_the_same_name_replaces(self, catalogue: Catalogue) -> None:
        grown = Catalogue.build(
            catalogue.file,
            more(
                gpus={"b300": {"like": "b200", "family": "b300", "source": "our lab"}},
                instanceTypes={"p5.4xlarge": {"gpu": "h200", "gpus": 1}},
            ),
        )
        assert grown.gpus["b300"].profiles == catalogue.gpus["b200"].profiles
        assert grown.instance_types["p5.4xlarge"].gpu == "h200"

    def test_a_copy_follows_what_replaces_its_model(self, catalogue: Catalogue) -> None:
        entry = {"family": "h100", "source": "x", "geometry": "seven-slice", "profiles": {"1g": {"name": "1g.9gb"}}}
        grown = Catalogue.build(catalogue.file, more(gpus={"h100-80gb": entry}))
        assert [str(each) for each in grown.gpus["h800-80gb"].profiles] == ["1g.9gb"]


ONE = {"1g": {"name": "1g.5gb"}}


@pytest.mark.parametrize(
    ("additions", "path", "problem", "hint"),
    [
        pytest.param(
            {"instanceTypes": {"x1.large": {"gpu": "h201", "gpus": 1}}},
            "instanceTypes.x1.large.gpu",
            "'h201' is not a GPU of the catalogue",
            "Add it under gpus, or correct it",
            id="an instance type with a GPU that is not there",
        ),
        pytest.param(
            {"gpus": {"x": {"like": "h201", "source": "x"}}},
            "gpus.x.like",
            "'h201' is not a GPU with an entry of its own",
            "Name one that has no 'like'",
            id="like one that is not there",
        ),
        pytest.param(
            {"gpus": {"x": {"like": "a800-40gb", "source": "x"}}},
            "gpus.x.like",
            "'a800-40gb' is not a GPU with an entry of its own",
            "Name one that has no 'like'",
            id="like one that is itself a copy",
        ),
        pytest.param(
            {"gpus": {"x": {"like": "x", "source": "x"}}},
            "gpus.x.like",
            "'x' is not a GPU with an entry of its own",
            "Name one that has no 'like'",
            id="like itself",
        ),
        pytest.param(
            {"gpus": {"x": {"source": "x", "profiles": ONE}}},
            "gpus.x.profiles",
            "profiles need a geometry",
            "Add 'geometry', or remove them",
            id="profiles need a geometry",
        ),
        pytest.param(
            {"gpus": {"x": {"source": "x", "geometry": "eight-slice"}}},
            "gpus.x.geometry",
            "'eight-slice' is not a geometry",
            "four-slice-a30, four-slice-rtx, seven-slice, seven-slice-a100, two-slice-rtx",
            id="a geometry that is not there",
        ),
        pytest.param(
            {"gpus": {"x": {"source": "x", "geometry": "seven-slice", "profiles": {"5g": {"name": "5g.50gb"}}}}},
            "gpus.x.profiles.5g",
            "the geometry has no such role",
            "Name a role of the geometry",
            id="a role that the geometry has not",
        ),
        pytest.param(
            {"gpus": {"x": {"source": "x", "geometry": "seven-slice", "profiles": {"1g": {"name": "1g5gb"}}}}},
            "gpus.x.profiles.1g.name",
            "'1g5gb' is not a profile: expected a dot",
            "as the driver does",
            id="a misspelt profile",
        ),
        pytest.param(
            {"gpus": {"x": {"like": "h200", "source": "x", "aliases": {"1g18gb": "1g.18gb"}}}},
            "gpus.x.aliases",
            "'1g18gb' is not a profile: expected a dot",
            "as the driver does",
            id="a misspelt alias",
        ),
        pytest.param(
            {"gpus": {"x": {"like": "h200", "source": "x", "aliases": {"1g.17gb": "18gb"}}}},
            "gpus.x.aliases.1g.17gb",
            "'18gb' is not a profile: expected a dot",
            "as the driver does",
            id="an alias of something misspelt",
        ),
        pytest.param(
            {"gpus": {"x": {"like": "h200", "source": "x", "aliases": {"1g.17gb": "1g.19gb"}}}},
            "gpus.x.aliases",
            "'x' has no profile '1g.19gb'",
            "Name one that it has",
            id="an alias of a profile that the GPU has not",
        ),
        pytest.param(
            {
                "geometries": {
                    "two": {
                        **GEOMETRY["two"],
                        "roles": {"half": {"computeSlices": 1, "most": 2, "starts": [0, 2], "size": 1}},
                    }
                }
            },
            "geometries.two.roles.half",
            "an instance of 1 ends after the last of 2 memory slices",
            "Correct starts or size",
            id="a start behind the GPU's last memory slice",
        ),
        pytest.param(
            {"instanceTypes": {"x1.large": {"gpu": "h200", "gpus": 1, "gpuName": "h200"}}},
            "instanceTypes.x1.large",
            "gpuName and gpuMemory go together",
            "Give both, or neither",
            id="one of the two labels that go together",
        ),
    ],
)
def test_an_entry_that_contradicts_another_is_refused_by_its_path(
    catalogue: Catalogue, additions: dict[str, Any], path: str, problem: str, hint: str
) -> None:
    with pytest.raises(BadCatalogue) as refused:
        Catalogue.build(catalogue.file, more(**additions))
    assert refused.value.path.startswith(path)
    assert problem in refused.value.problem
    assert hint in refused.value.hint
    assert refused.value.hint
