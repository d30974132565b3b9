"""Which slices fit on one GPU together: NVIDIA's own maxima, and a second, naive opinion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import combinations, combinations_with_replacement, pairwise, permutations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.cli import files
from webhook.slices.catalogue import Catalogue, CatalogueFile, Gpu, GpuProfile
from webhook.slices.layout import fits, maximal_layouts
from webhook.slices.profile import MigProfile

SEVEN = {"1g": "1g.5gb", "d": "1g.10gb", "2g": "2g.10gb", "3g": "3g.20gb", "4g": "4g.20gb", "7g": "7g.40gb"}
"""What the layouts below call each profile of an A100-40GB; d is the one with double memory."""

WITHOUT_DOUBLE = """
    7×1g        5×1g+2g     4×1g+3g     3×1g+2×2g   3×1g+4g     2×1g+2g+3g
    1g+3×2g     1g+2g+4g    2×2g+3g     2×3g        3g+4g       7g
"""
WITH_DOUBLE = """
    6×1g+d      4×1g+2×d    4×1g+d+2g   2×1g+3×d    2×1g+2×d+2g 2×1g+d+2×2g
    2×1g+d+3g   2×1g+d+4g   4×d         3×d+2g      2×d+2×2g    2×d+3g
    2×d+4g      d+3×2g      d+2g+3g     d+2g+4g
"""

# Compute slices, starts and size in memory slices, as a real H200 answers; not read from gpus.yaml.
PLACEMENTS: dict[str, tuple[int, tuple[int, ...], int]] = {
    "1g.5gb": (1, (0, 1, 2, 3, 4, 5, 6), 1),
    "1g.5gb+me": (1, (0, 1, 2, 3, 4, 5, 6), 1),
    "1g.10gb": (1, (0, 2, 4, 6), 2),
    "2g.10gb": (2, (0, 2, 4), 2),
    "3g.20gb": (3, (0, 4), 4),
    "4g.20gb": (4, (0,), 4),
    "7g.40gb": (7, (0,), 8),
}

GPUS = files.catalogue().gpus
CUT = [gpu for gpu in GPUS.values() if gpu.mig]
"""Parameters are made before any fixture is."""

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def maximal(gpu: Gpu) -> list[dict[GpuProfile, int]]:
    """Its maximal layouts, searched once: a law asks a hundred times."""
    return maximal_layouts(gpu)


def profile(gpu: Gpu, name: str) -> GpuProfile:
    found = gpu.profile(MigProfile.parse(name))
    assert found is not None
    return found


def layout(gpu: Gpu, text: str) -> dict[GpuProfile, int]:
    """``2 x 3g.20gb + 1g.5gb``, as a count for each profile."""
    counts: Counter[GpuProfile] = Counter()
    for part in text.split(" + "):
        count, _, name = part.rpartition(" x ")
        counts[profile(gpu, name)] += int(count or 1)
    return dict(counts)


def written(text: str, names: dict[str, str]) -> set[frozenset[tuple[str, int]]]:
    """Layouts such as ``2×1g+3g``, between spaces."""
    found = set()
    for each in text.split():
        parts = [part.rpartition("×") for part in each.split("+")]
        found.add(frozenset((names[role], int(count or 1)) for count, _, role in parts))
    return found


def named(layouts: Iterable[dict[GpuProfile, int]]) -> list[frozenset[tuple[str, int]]]:
    return [frozenset((str(profile), count) for profile, count in each.items()) for each in layouts]


def same(found: list[frozenset[tuple[str, int]]], expected: set[frozenset[tuple[str, int]]]) -> bool:
    """Equal, and nothing twice."""
    return len(found) == len(expected) and set(found) == expected


def test_an_a100_has_the_twelve_well_known_layouts_and_sixteen_with_double_memory(catalogue: Catalogue) -> None:
    expected = written(WITHOUT_DOUBLE, SEVEN) | written(WITH_DOUBLE, SEVEN)
    assert len(expected) == 28
    assert same(named(maximal_layouts(catalogue.gpus["a100-40gb"])), expected)


@pytest.mark.parametrize(
    ("gpu", "names"),
    [
        pytest.param(
            "a100-80gb",
            {"1g": "1g.10gb", "d": "1g.20gb", "2g": "2g.20gb", "3g": "3g.40gb", "4g": "4g.40gb", "7g": "7g.80gb"},
            id="a100-80gb: what is double memory on the smaller one is the base here",
        ),
        pytest.param(
            "h100-80gb",
            {"1g": "1g.10gb", "d": "1g.20gb", "2g": "2g.20gb", "3g": "3g.40gb", "4g": "4g.40gb", "7g": "7g.80gb"},
            id="h100-80gb",
        ),
        pytest.param(
            "h200",
            {"1g": "1g.18gb", "d": "1g.35gb", "2g": "2g.35gb", "3g": "3g.71gb", "4g": "4g.71gb", "7g": "7g.141gb"},
            id="h200",
        ),
    ],
)
def test_the_larger_gpus_are_cut_like_an_a100(catalogue: Catalogue, gpu: str, names: dict[str, str]) -> None:
    expected = written(WITHOUT_DOUBLE + WITH_DOUBLE, names)
    assert same(named(maximal_layouts(catalogue.gpus[gpu])), expected)


@pytest.mark.parametrize(
    ("gpu", "names"),
    [
        pytest.param("a30", {"1g": "1g.6gb", "2g": "2g.12gb", "4g": "4g.24gb"}, id="a30"),
        pytest.param("rtx-pro-6000", {"1g": "1g.24gb", "2g": "2g.48gb", "4g": "4g.96gb"}, id="rtx-pro-6000"),
    ],
)
def test_a_gpu_of_four_slices_has_four_layouts(catalogue: Catalogue, gpu: str, names: dict[str, str]) -> None:
    expected = written("4×1g 2×1g+2g 2×2g 4g", names)
    assert same(named(maximal_layouts(catalogue.gpus[gpu])), expected)


def test_a_gpu_without_mig_has_no_layout(catalogue: Catalogue) -> None:
    assert maximal_layouts(catalogue.gpus["a10g"]) == []


@pytest.mark.parametrize("gpu", CUT, ids=lambda gpu: gpu.name)
def test_as_many_of_one_kind_fit_as_nvidia_says_and_not_one_more(gpu: Gpu) -> None:
    for each in gpu.profiles:
        assert fits(gpu, {each: each.most})
        assert not fits(gpu, {each: each.most + 1})


@pytest.mark.parametrize("gpu", CUT, ids=lambda gpu: gpu.name)
def test_placements_and_compute_slices_alone_give_that_number_too(gpu: Gpu) -> None:
    """`most` is no third opinion: it follows from the rest, but for attributes, of which a GPU may have only one."""
    for each in gpu.profiles:
        if not each.profile.attribute:
            apart = [
                places
                for count in range(1, gpu.memory_slices + 1)
                for places in combinations(each.starts, count)
                if all(one + each.size <= other for one, other in pairwise(places))
                and count * each.compute_slices <= gpu.compute_slices
                and places[-1] + each.size <= gpu.memory_slices
            ]
            assert max(map(len, apart)) == each.most


@pytest.mark.parametrize(
    ("gpu", "text"),
    [
        pytest.param("a100-40gb", "3g.20gb + 4g.20gb", id="seven compute slices, all memory"),
        pytest.param("a100-40gb", "2 x 3g.20gb", id="one compute slice is left over"),
        pytest.param("a100-40gb", "4 x 1g.10gb", id="three compute slices are left over"),
        pytest.param("a100-40gb", "6 x 1g.5gb + 1g.5gb+me", id="+me takes the place of one 1g"),
        pytest.param("a100-40gb", "3g.20gb + 2g.10gb + 2 x 1g.5gb", id="the built-in fleet's mixed pool"),
        pytest.param("a100-40gb", "4g.20gb + 2g.10gb + 1g.5gb+me", id="+me beside large ones"),
        pytest.param("a30", "2g.12gb+me + 2g.12gb", id="a30: media on one of two"),
        pytest.param("rtx-pro-6000", "2 x 1g.24gb+gfx + 2g.48gb-me", id="rtx: graphics beside no media"),
        pytest.param("rtx-pro-6000", "1g.24gb+me.all + 3 x 1g.24gb-me", id="rtx: one has all the media engines"),
    ],
)
def test_a_layout_that_fits(catalogue: Catalogue, gpu: str, text: str) -> None:
    assert fits(catalogue.gpus[gpu], layout(catalogue.gpus[gpu], text))


@pytest.mark.parametrize(
    ("gpu", "text"),
    [
        pytest.param("a100-40gb", "2 x 4g.20gb", id="room for two, but 4g starts only at 0"),
        pytest.param("a100-40gb", "8 x 1g.5gb", id="eight memory slices, but seven compute slices"),
        pytest.param("a100-40gb", "2 x 1g.5gb+me", id="one set of media engines"),
        pytest.param("a100-40gb", "3g.20gb + 4g.20gb + 1g.5gb", id="no compute slice is left"),
        pytest.param("a100-40gb", "2 x 3g.20gb + 1g.5gb", id="a compute slice is left, but no memory"),
        pytest.param("a100-40gb", "3 x 3g.20gb", id="two halves of memory"),
        pytest.param("a100-40gb", "4 x 1g.10gb + 1g.5gb", id="memory is used up by four doubles"),
        pytest.param("a100-40gb", "5 x 1g.10gb", id="a fifth double"),
        pytest.param("a100-40gb", "4 x 2g.10gb", id="eight compute slices"),
        pytest.param("a100-40gb", "7g.40gb + 1g.5gb", id="something beside the whole"),
        pytest.param("a100-40gb", "7 x 1g.5gb + 1g.5gb+me", id="+me is no eighth slice"),
        pytest.param("a100-40gb", "4g.20gb + 2 x 2g.10gb", id="2g does not start at 6, and compute would be eight"),
        pytest.param("a100-40gb", "3 x 2g.10gb + 2 x 1g.5gb", id="memory would do, compute does not"),
        pytest.param("a30", "2g.12gb+me + 1g.6gb+me", id="a30: media twice, in two sizes"),
        pytest.param("a30", "4g.24gb + 1g.6gb", id="a30: something beside the whole"),
        pytest.param("a30", "3 x 1g.6gb + 2g.12gb", id="a30: five slices"),
        pytest.param("rtx-pro-6000", "1g.24gb+me + 1g.24gb+me.all", id="rtx: media and all media"),
        pytest.param("rtx-pro-6000", "1g.24gb+me + 2g.48gb+me.all", id="rtx: media in two sizes"),
        pytest.param("rtx-pro-6000", "3 x 1g.24gb + 2 x 1g.24gb-me", id="rtx: five slices under two names"),
        pytest.param("rtx-pro-6000", "2 x 4g.96gb+gfx", id="rtx: the whole twice"),
    ],
)
def test_a_layout_that_does_not_fit(catalogue: Catalogue, gpu: str, text: str) -> None:
    assert not fits(catalogue.gpus[gpu], layout(catalogue.gpus[gpu], text))


def test_compute_slices_count_where_placements_would_leave_room(catalogue: Catalogue) -> None:
    """On every GPU that is known the placements alone forbid it; a fleet may add one where they do not."""
    role = {"computeSlices": 1, "most": 2, "starts": [0, 1, 2, 3], "size": 1}
    added = CatalogueFile.model_validate(
        {
            "geometries": {
                "g": {"source": "x", "computeSlices": 2, "memorySlices": 4, "roles": {"one": role, "other": role}}
            },
            "gpus": {
                "wide": {
                    "source": "x",
                    "geometry": "g",
                    "profiles": {"one": {"name": "1g.5gb"}, "other": {"name": "1g.6gb"}},
                }
            },
        }
    )
    gpu = Catalogue.build(catalogue.file, added).gpus["wide"]
    assert fits(gpu, layout(gpu, "1g.5gb + 1g.6gb"))
    assert not fits(gpu, layout(gpu, "2 x 1g.5gb + 1g.6gb"))


def test_the_order_in_which_a_layout_is_written_does_not_matter(catalogue: Catalogue) -> None:
    gpu = catalogue.gpus["a100-40gb"]
    for text in ("3g.20gb + 2g.10gb + 2 x 1g.5gb", "3g.20gb + 4g.20gb + 1g.5gb"):
        answers = {fits(gpu, dict(order)) for order in permutations(layout(gpu, text).items())}
        assert len(answers) == 1


@unhurried
@given(st.data())
def test_what_fits_still_fits_with_one_slice_less(data: st.DataObject) -> None:
    gpu = data.draw(st.sampled_from(CUT))
    whole = data.draw(st.sampled_from(maximal(gpu)))
    part = {each: data.draw(st.integers(0, count)) for each, count in whole.items()}
    assert fits(gpu, part)


@unhurried
@given(st.data())
def test_nothing_can_be_added_to_a_maximal_layout(data: st.DataObject) -> None:
    gpu = data.draw(st.sampled_from(CUT))
    whole = data.draw(st.sampled_from(maximal(gpu)))
    more = data.draw(st.sampled_from([each for each in gpu.profiles if not each.profile.attribute]))
    assert not fits(gpu, {**whole, more: whole.get(more, 0) + 1})


def naively_fits(names: tuple[str, ...]) -> bool:
    """Try every start of every instance; no cleverness that could be shared with `fits`."""
    if names.count("1g.5gb+me") > 1 or sum(PLACEMENTS[name][0] for name in names) > 7:
        return False
    for starts in product(*(PLACEMENTS[name][1] for name in names)):
        used = [start + step for name, start in zip(names, starts, strict=True) for step in range(PLACEMENTS[name][2])]
        if len(used) == len(set(used)):
            return True
    return False


def test_a_naive_search_agrees_on_every_set_of_up_to_four_slices(catalogue: Catalogue) -> None:
    gpu = catalogue.gpus["a100-40gb"]
    sets = [names for size in range(5) for names in combinations_with_replacement(PLACEMENTS, size)]
    disagreements = [
        names
        for names in sets
        if fits(gpu, {profile(gpu, name): count for name, count in Counter(names).items()}) != naively_fits(names)
    ]
    assert disagreements == []
    assert {naively_fits(names) for names in sets} == {True, False}
