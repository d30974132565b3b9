"""Drawings: each shows all that there is, once, inside its frame, and can be read by everybody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.drawings import FOLDER, drawings
from tests.stories import FLEETS
from tests.unit.test_layout import CUT, maximal, unhurried
from webhook.cli import files
from webhook.cli.main import main
from webhook.draw import bars, blocks, layout, node, placements, request
from webhook.draw.node import Use
from webhook.draw.svg import PALETTE, STYLE, WIDTH
from webhook.fleet.pool import MigOffer, Pool
from webhook.slices.catalogue import Catalogue, Gpu, GpuProfile
from webhook.slices.entries import CatalogueFile
from webhook.slices.layout import place

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
POOLS = [
    pytest.param(pool, id=f"{name}: {pool.name}")
    for name, path in FLEETS.items()
    for pool in files.fleet_at(path).pools
]
GPUS = files.catalogue().gpus
HOSTILE = "<script>alert(1)</script>\"'&]]>\x00\x1b[31m\ud800\ufffe\u202e"


def parse(text: str) -> Element:
    """The drawing, after what holds for each: it is well-formed, has a name and words, and nothing leaves its frame."""
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [root[0].get("id"), root[1].get("id")]
    assert [root[0].tag, root[1].tag] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text
    assert root[1].text
    left, top, width, height = map(float, root.get("viewBox").split())
    for shape in root.iter(f"{SVG}rect"):
        x, y, wide, high = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
        assert wide > 0
        assert high > 0
        assert left <= x
        assert x + wide <= left + width
        assert top <= y
        assert y + high <= top + height
    for line in root.iter(f"{SVG}text"):
        assert top < float(line.get("y")) < top + height
        assert left <= float(line.get("x")) <= left + width
        assert line.text
    assert len(text) < 60_000
    return root


def slices(root: Element) -> Iterator[tuple[str, list[Element]]]:
    """What is drawn as a slice: its name, and its rectangles."""
    for group in root.iter(f"{SVG}g"):
        rectangles = [each for each in group.iter(f"{SVG}rect") if "slice" in each.get("class", "")]
        if rectangles:
            yield group[0].text.split(",")[0], rectangles


def check_layout(pool: Pool) -> None:
    """Every slice of one GPU is drawn once, and nothing lies on anything."""
    root = parse(layout.draw(pool))
    drawn = list(slices(root))
    assert Counter(name for name, _ in drawn) == {str(offer): offer.per_gpu for offer in pool.offers}
    rows: dict[str, list[tuple[float, float]]] = {}
    for shape in root.iter(f"{SVG}rect"):
        if {"slice", "unused"} & set(shape.get("class", "").split()):
            x = float(shape.get("x"))
            assert x >= 0
            assert x + float(shape.get("width")) <= WIDTH
            rows.setdefault(shape.get("y"), []).append((x, x + float(shape.get("width"))))
    for row in rows.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(row)))
    if pool.entry.partition.mig is not None:
        memory = rows[max(rows, key=float)]
        assert sum(end - start + 2 for start, end in memory) == pytest.approx(WIDTH, abs=1)
        unit = WIDTH / pool.gpu.memory_slices
        sizes = Counter(round((float(memory.get("width")) + 2) / unit) for _, (_, memory) in drawn)
        assert sizes == sum((Counter({o.profile.size: o.per_gpu}) for o in pool.offers), Counter())
        assert len({len(rectangles) for _, rectangles in drawn}) == 1


@pytest.mark.parametrize("pool", POOLS)
def test_every_slice_of_a_pool_is_drawn_once(pool: Pool) -> None:
    check_layout(pool)


def pool_of(gpu: Gpu, wanted: dict[GpuProfile, int]) -> Pool:
    """A pool whose GPUs are cut so; GPUs that no instance type has are among them."""
    base = files.fleet_at(None).pools[0]
    offers = tuple(
        MigOffer(gpu, each.profile.resource, count, 0, each.profile, each, (0, 0, 0)) for each, count in wanted.items()
    )
    return replace(base, gpu=gpu, offers=offers)


@unhurried
@given(st.data())
def test_every_layout_of_every_gpu_can_be_drawn(data: st.DataObject) -> None:
    gpu = data.draw(st.sampled_from(CUT))
    whole = data.draw(st.sampled_from(maximal(gpu)))
    part = {each: data.draw(st.integers(0, count)) for each, count in whole.items()}
    if wanted := {each: count for each, count in part.items() if count}:
        check_layout(pool_of(gpu, wanted))


@st.composite
def geometries(draw: st.DrawFn) -> Gpu:
    """A GPU as a fleet may add it: any numbers, and profiles that begin anywhere."""
    compute, memory = draw(st.integers(1, 12)), draw(st.integers(1, 100))
    sizes = draw(st.lists(st.integers(1, max(1, memory // 4)), min_size=1, max_size=3))
    return own_gpu(
        compute,
        memory,
        [
            {
                "computeSlices": draw(st.integers(1, max(1, compute // 4))),
                "most": draw(st.integers(1, 20)),
                "starts": draw(st.lists(st.integers(0, memory - size), min_size=1, max_size=6, unique=True)),
                "size": size,
            }
            for size in sizes
        ],
    )


def own_gpu(compute: int, memory: int, entries: list[dict[str, Any]]) -> Gpu:
    """A GPU of a fleet's own with these roles."""
    roles = {f"r{number}": entry for number, entry in enumerate(entries)}
    profiles = {f"r{number}": {"name": f"{number + 1}g.{number + 1}gb"} for number in range(len(entries))}
    geometry = {"source": "x", "computeSlices": compute, "memorySlices": memory, "roles": roles}
    added = {"geometries": {"g": geometry}, "gpus": {"own": {"source": "x", "geometry": "g", "profiles": profiles}}}
    return Catalogue.build(files.catalogue().file, CatalogueFile.model_validate(added)).gpus["own"]


@unhurried
@given(geometries(), st.lists(st.integers(0, 4), min_size=3, max_size=3))
def test_every_layout_of_a_fleets_own_gpu_can_be_drawn(gpu: Gpu, counts: list[int]) -> None:
    wanted = {each: count for each, count in zip(gpu.profiles, counts, strict=False) if count}
    if not wanted or place(gpu, wanted) is None:
        return
    pool = pool_of(gpu, wanted)
    if gpu.memory_slices <= layout.FINEST:
        check_layout(pool)
    else:
        assert "too fine to draw" in parse(layout.draw(pool))[-1].text


@pytest.mark.parametrize(
    ("compute", "memory", "starts", "size", "count"),
    [
        pytest.param(2, 4, [0, 1, 2, 3], 1, 2, id="two compute slices over the first half of the memory"),
        pytest.param(2, 5, [0, 4], 1, 2, id="memory that begins where no compute slice is"),
        pytest.param(4, 2, [0, 1], 1, 2, id="more compute slices than memory slices"),
    ],
)
def test_compute_slices_never_overlap_and_never_leave_the_gpu(
    compute: int, memory: int, starts: list[int], size: int, count: int
) -> None:
    role = {"computeSlices": 1, "most": count, "starts": starts, "size": size}
    check_layout(pool_of(gpu := own_gpu(compute, memory, [role]), {gpu.profiles[0]: count}))


@unhurried
@given(st.data())
def test_slices_are_placed_where_the_gpu_allows_it(data: st.DataObject) -> None:
    gpu = data.draw(st.sampled_from(CUT))
    wanted = data.draw(st.sampled_from(maximal(gpu)))
    placed = place(gpu, wanted)
    assert placed is not None
    assert Counter(profile for _, profile in placed) == wanted
    assert all(start in profile.starts for start, profile in placed)
    taken = [number for start, profile in placed for number in range(start, start + profile.size)]
    assert len(taken) == len(set(taken))


def test_the_pods_own_slices_are_marked_with_a_word_and_not_by_colour_alone() -> None:
    pool = files.fleet_at(None).pools[1]
    root = parse(layout.draw(pool, highlight="nvidia.com/mig-1g.5gb", count=2))
    marked = [group[0].text for group in root.iter(f"{SVG}g") if "marked" in group[1].get("class")]
    assert marked == ["1g.5gb, 4.75 GiB, this pod"] * 2
    assert [line.text for line in root.iter(f"{SVG}text") if "▲" in line.text] == ["▲ this pod", "▲"]
    assert "The pod has 2 of the 2 × 1g.5gb." in root[1].text


def test_of_several_equal_slices_only_as_many_are_marked_as_the_pod_has() -> None:
    root = parse(layout.draw(files.fleet_at(None).pools[0], highlight="nvidia.com/mig-1g.5gb"))
    assert len([group for group in root.iter(f"{SVG}g") if "marked" in group[1].get("class")]) == 1
    assert "The pod has 1 of the 7 × 1g.5gb." in root[1].text


def test_a_resource_that_the_pool_does_not_have_marks_nothing() -> None:
    pool = files.fleet_at(None).pools[0]
    assert layout.draw(pool, highlight="nvidia.com/mig-7g.40gb") == layout.draw(pool)


def test_what_is_left_unused_is_hatched_and_said() -> None:
    text = layout.draw(files.fleet_at(None).pools[0])
    assert len([g for g in parse(text).iter(f"{SVG}g") if g[0].text == "unused"]) == 1
    assert "Hatched: 1 memory slice, not used by this layout." in text


def test_two_drawings_in_one_page_do_not_share_ids() -> None:
    ids = re.findall(r'\bid="([^"]+)"', "".join(drawings().values()))
    assert len(set(ids)) == len(ids) > 2 * len(drawings())


@pytest.mark.parametrize("gpu", GPUS.values(), ids=lambda gpu: gpu.name)
def test_every_placement_of_a_gpu_is_drawn(gpu: Gpu) -> None:
    root = parse(placements.draw(gpu))
    drawn = {group[0].text for group in root.iter(f"{SVG}g")}
    alike = {(each.starts, each.size, each.compute_slices): each for each in reversed(gpu.profiles)}
    expected = {
        f"{each}: memory slices {start} to {start + each.size - 1}" for each in alike.values() for start in each.starts
    }
    assert drawn == expected
    assert all(str(each) in root[1].text for each in gpu.profiles)


@pytest.mark.parametrize(
    ("used", "capacity", "filled", "empty"),
    [
        pytest.param(3, 7, 3, 4, id="some"),
        pytest.param(0, 7, 0, 7, id="none"),
        pytest.param(7, 7, 7, 0, id="all"),
        pytest.param(0, 0, 0, 0, id="no slices"),
        pytest.param(8, 7, 8, 0, id="more than there are, because a GPU failed"),
        pytest.param(3, 200, 3, 197, id="several rows"),
    ],
)
def test_a_node_has_a_square_for_each_slice(used: int, capacity: int, filled: int, empty: int) -> None:
    root = parse(node.draw("n", [Use("1g.5gb", used, capacity)]))
    kinds = Counter(square.get("class") for square in root.iter(f"{SVG}rect"))
    assert kinds == Counter({"page": 1, "marked": filled, "free": empty})
    assert f"1g.5gb: {used} of {capacity} used, {max(capacity - used, 0)} free" in root[1].text


def test_a_node_says_that_it_does_not_know_on_which_gpu_its_slices_are() -> None:
    root = parse(node.draw("n", [Use("1g.5gb", 3, 7)]))
    assert "On which GPU they are is not known" in root[1].text
    assert any("On which GPU they are is not known" in line.text for line in root.iter(f"{SVG}text"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(node.draw(HOSTILE, [Use(HOSTILE, 1, 2)]), id="a node"),
        pytest.param(node.draw("n" * 10_000, [Use("x" * 10_000, 1, 2)]), id="long names"),
        pytest.param(node.draw("n", [Use("x", 10**9, 2 * 10**9)]), id="many slices"),
        pytest.param(node.draw("n", [Use(f"k{number}", 100, 200) for number in range(9)]), id="several kinds"),
        pytest.param(bars.draw(HOSTILE, {HOSTILE: [(HOSTILE, 1.0)]}, HOSTILE), id="bars"),
        pytest.param(request.draw(HOSTILE, HOSTILE), id="a request"),
        pytest.param(
            placements.draw(replace(GPUS["h200"], product=HOSTILE, memory_slices=10**9)), id="a GPU of a fleet's own"
        ),
    ],
)
def test_names_and_numbers_of_others_do_no_harm(text: str) -> None:
    root = parse(text)
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "style", "defs", "pattern", "rect", "text", "g", "path", "circle",
    }  # fmt: skip


@pytest.mark.parametrize("replicas", [16, 17, 10**9])
def test_shares_that_would_be_too_narrow_are_counted(replicas: int) -> None:
    pool = next(pool for pool in files.fleet_at(None).pools if pool.entry.partition.mig is None)
    root = parse(layout.draw(replace(pool, offers=(replace(pool.offers[0], per_gpu=replicas),))))
    assert len(list(slices(root))) == (replicas if replicas <= layout.MOST else 0)
    assert f"{replicas} × shared" in root[1].text


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        pytest.param("ink", "page", 4.5, id="text"),
        pytest.param("ink", "slice", 4.5, id="the name of a slice"),
        pytest.param("quiet", "page", 4.5, id="remarks"),
        pytest.param("on-marked", "marked", 4.5, id="the name of the pod's own slice"),
        pytest.param("edge", "page", 3, id="the edge of a slice"),
        pytest.param("line", "page", 3, id="lines, bars and free slices"),
        pytest.param("marked", "slice", 3, id="the pod's own beside the others"),
        pytest.param("marked", "page", 3, id="used slices"),
    ],
)
def test_everything_stands_out_in_light_and_dark(front: str, back: str, least: float, theme: int) -> None:
    """By the contrast of WCAG 2.2, 1.4.3 for text and 1.4.11 for shapes."""
    lighter, darker = sorted((luminance(PALETTE[name][theme]) for name in (front, back)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least
    assert PALETTE[front][theme] in STYLE


def test_every_class_has_a_style_and_nothing_outside_a_drawing_is_styled() -> None:
    rules = re.sub(r"@media \(prefers-color-scheme:dark\)\{(.*)\}$", r"\1", STYLE, flags=re.DOTALL)
    selectors = re.findall(r"([^{}]+)\{", rules)
    assert all(selector.strip().startswith(".gpu-slice ") for selector in selectors)
    known = set(re.findall(r"\.([\w-]+)(?=\{)", rules))
    for text in drawings().values():
        for value in re.findall(r'class="([^"]+)"', text):
            assert set(value.split()) <= known | {"gpu-slice"}


BARS = {"small pod": [("Rust", 400.0), ("ours", 200.0)], "full pod": [("ours", 30.0), ("a <slow> one", 3.0)]}


def test_bars_are_as_long_as_their_figures() -> None:
    root = parse(bars.draw("Reviews a second", BARS, "ours"))
    shapes = [shape for shape in root.iter(f"{SVG}rect") if "bar" in shape.get("class")]
    longest = WIDTH - bars.NAMES - bars.VALUES
    assert [(shape.get("class"), float(shape.get("width"))) for shape in shapes] == [
        ("bar", longest),
        ("bar marked", pytest.approx(longest / 2)),
        ("bar marked", longest),
        ("bar", pytest.approx(longest / 10, abs=0.1)),
    ]
    assert root[1].text == "small pod: Rust 400, ours 200. full pod: ours 30, a <slow> one 3."
    assert [line.text for line in root.iter(f"{SVG}text") if line.get("class") == "strong"] == [
        "ours", "200", "ours", "30",
    ]  # fmt: skip


def test_a_node_in_a_terminal_has_a_block_for_each_slice() -> None:
    uses = [Use("3g.20gb", 3, 8), Use("1g.5gb", 0, 2)]
    assert list(blocks.draw(uses)) == [
        "3g.20gb  ███░░░░░  3 of 8 used",
        "1g.5gb   ░░        0 of 2 used",
        "█ used, ░ free, one slice each; on which GPU they are is not known",
    ]
    assert next(blocks.draw(uses, ascii_only=True)) == "3g.20gb  ###.....  3 of 8 used"
    assert list(blocks.draw([])) == []


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=4), st.integers(10, 100))
def test_a_bar_of_blocks_never_says_none_or_all_where_it_is_not_so(uses: list[tuple[int, int]], width: int) -> None:
    lines = list(blocks.draw([Use("x", *use) for use in uses], width=width))
    assert len(lines) == len(uses) + 1
    for (used, capacity), line in zip(uses, lines, strict=False):
        assert ("█" in line) == (used > 0)
        assert ("░" in line) == (capacity > used)
        assert line.count("█") + line.count("░") <= width
        if max(max(use) for use in uses) <= width:
            assert (line.count("█"), line.count("░")) == (used, max(capacity - used, 0))


@pytest.mark.parametrize("name", drawings())
def test_a_drawing_in_the_documents_is_what_is_drawn_today(name: str) -> None:
    """Otherwise run ``python -m tests.drawings``."""
    parse(drawings()[name])
    assert (FOLDER / name).read_text() == drawings()[name]


def test_no_drawing_in_the_documents_is_left_over() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = set(re.findall(r"drawings/([\w-]+\.svg)", "".join(page.read_text() for page in pages)))
    assert {path.name for path in FOLDER.iterdir()} == set(drawings()) == shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["layout", "a100-mixed"], "One GPU of pool a100-mixed", id="a layout"),
        pytest.param(["layout", "a100-mixed", "--mark", "2g.10gb"], "▲ this pod", id="a layout with a pod"),
        pytest.param(["layout", "mps", "--fleet", str(FLEETS["corners"])], "MPS", id="of another fleet"),
        pytest.param(["placements", "h200"], "4g.71gb", id="placements"),
        pytest.param(["request"], "Karpenter", id="the way of a request"),
    ],
)
def test_the_command_draws_to_stdout(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, ["draw", *arguments])
    assert result.exit_code == 0, result.output
    assert expected in result.stdout
    parse(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["layout", "nowhere"], "'nowhere' is not a pool. Use one of: a100-1g-5gb", id="pool"),
        pytest.param(
            ["layout", "a100-mixed", "--mark", "7g.40gb"], "has no slice '7g.40gb'. Use one of: 3g", id="mark"
        ),
        pytest.param(["placements", "a100"], "'a100' is not a GPU. Use one of: a30", id="gpu"),
    ],
)
def test_a_name_that_is_not_known_is_called_wrongly(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, ["draw", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr
