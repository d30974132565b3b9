"""Which slices fit on one GPU together: NVIDIA's own maxima, and a second, naive opinion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import combinations, combinations_with_replacement, pairwise, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle import LAYOUTS, slices_fit
from webhook.cli import files
from webhook.slices.catalogue import Catalogue, Gpu, GpuProfile
from webhook.slices.entries import CatalogueFile, Engines
from webhook.slices.layout import engines_missing, fits, largest
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

GPUS = files.catalogue().gpus
CUT = [gpu for gpu in GPUS.values() if gpu.mig and gpu.profiles[0].starts]
"""Parameters are made before any fixture is."""


def maximal_layouts(gpu: Gpu) -> list[dict[GpuProfile, int]]:
    """Every layout of *gpu* to which no further instance can be added, of its profiles without attributes.

    Every smaller set of instances is part of one of these.
    """
    plain = [profile for profile in gpu.profiles if not profile.profile.attribute]
    valid = {frozenset(layout.items()): layout for layout in _layouts(gpu, plain)}
    return [layout for layout in valid.values() if not any(_grown(layout, p, valid) for p in plain)]


def _layouts(gpu: Gpu, profiles: list[GpuProfile]) -> Iterator[dict[GpuProfile, int]]:
    for instances in range(1, gpu.compute_slices + 1):
        for chosen in combinations_with_replacement(profiles, instances):
            layout = {profile: chosen.count(profile) for profile in profiles if profile in chosen}
            if fits(gpu, layout):
                yield layout


def _grown(
    layout: dict[GpuProfile, int],
    profile: GpuProfile,
    valid: Mapping[frozenset[tuple[GpuProfile, int]], object],
) -> bool:
    return frozenset({**layout, profile: layout.get(profile, 0) + 1}.items()) in valid


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


@pytest.mark.parametrize("name", ["a30", "a100-40gb", "h200"])
def test_the_largest_layouts_are_those_to_which_nothing_can_be_added(catalogue: Catalogue, name: str) -> None:
    gpu = catalogue.gpus[name]
    plain = [profile for profile in gpu.profiles if not profile.profile.attribute]

    assert same(named(largest(gpu, plain)), set(named(maximal(gpu))))
    assert [len(layout) for layout in largest(gpu, plain[:1])] == [1], "of one profile, as many as fit"


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
        pytest.param("rtx-pro-6000", "2g.48gb+me.all + 2g.48gb-me", id="rtx: also of two halves"),
        pytest.param("rtx-pro-6000", "1g.24gb+me + 2g.48gb + 1g.24gb+gfx", id="rtx: +me takes no more than the others"),
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
        pytest.param("rtx-pro-6000", "1g.24gb+me.all + 1g.24gb", id="rtx: no decoder is left for a plain one"),
        pytest.param("rtx-pro-6000", "1g.24gb+me.all + 1g.24gb+gfx", id="rtx: nor for graphics"),
        pytest.param("rtx-pro-6000", "2g.48gb+me.all + 2g.48gb", id="rtx: nor for the other half"),
        pytest.param("rtx-pro-6000", "1g.24gb+me.all + 2g.48gb-me + 1g.24gb+gfx", id="rtx: nor beside one without"),
        pytest.param("rtx-pro-4500", "1g.16gb", id="placements that nobody has seen"),
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


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_naive_search_with_a_table_of_its_own_agrees_on_every_set_of_slices(catalogue: Catalogue, name: str) -> None:
    gpu = catalogue.gpus[name]
    assert {str(each) for each in gpu.profiles} == set(LAYOUTS[name])
    sets = [names for size in range(5) for names in combinations_with_replacement(LAYOUTS[name], size)]
    disagreements = [
        names
        for names in sets
        if fits(gpu, {profile(gpu, each): count for each, count in Counter(names).items()}) != slices_fit(name, names)
    ]
    assert disagreements == []
    assert {slices_fit(name, names) for names in sets} == {True, False}


@pytest.mark.parametrize("gpu", CUT, ids=lambda gpu: gpu.name)
def test_the_whole_gpu_has_all_the_engines(gpu: Gpu) -> None:
    whole = [each for each in gpu.profiles if each.compute_slices == gpu.compute_slices]
    assert {each.engines for each in whole} == {gpu.engines}


@pytest.mark.parametrize("gpu", [gpu for gpu in GPUS.values() if gpu.mig], ids=lambda gpu: gpu.name)
def test_only_profiles_with_me_take_the_flow_accelerator_of_a_part(gpu: Gpu) -> None:
    parts = [each for each in gpu.profiles if each.compute_slices < gpu.compute_slices]
    assert {each.profile.attribute.startswith("+me") for each in parts if each.engines.ofa} <= {True}
    assert {each.engines for each in parts if each.profile.attribute == "-me"} <= {Engines()}
    for each in parts:
        if each.profile.attribute == "+me.all":
            assert each.engines == gpu.engines


def test_too_few_engines_are_said_in_words(catalogue: Catalogue) -> None:
    gpu = catalogue.gpus["rtx-pro-6000"]
    assert engines_missing(gpu, layout(gpu, "1g.24gb+me.all + 3 x 1g.24gb")) == "7 decoders, of which it has 4"
    assert (
        engines_missing(gpu, layout(gpu, "1g.24gb+me + 2g.48gb-me + 1g.24gb+me"))
        == "2 optical flow accelerators, of which it has 1"
    )
    assert engines_missing(gpu, layout(gpu, "1g.24gb+me.all + 3 x 1g.24gb-me")) == ""


def test_without_a_table_of_engines_me_is_for_one_slice(catalogue: Catalogue) -> None:
    """As a fleet's own geometry has none."""
    one = {"computeSlices": 1, "most": 1, "starts": [0, 1], "size": 1}
    geometry = {"source": "x", "computeSlices": 2, "memorySlices": 2, "roles": {"a": one, "b": one}}
    names = {"a": {"name": "1g.8gb+me"}, "b": {"name": "1g.9gb+me"}}
    entry = {"source": "x", "geometry": "g", "profiles": names}
    added = CatalogueFile.model_validate({"geometries": {"g": geometry}, "gpus": {"own": entry}})
    gpu = Catalogue.build(catalogue.file, added).gpus["own"]
    assert fits(gpu, layout(gpu, "1g.8gb+me"))
    assert not fits(gpu, layout(gpu, "1g.8gb+me + 1g.9gb+me"))
