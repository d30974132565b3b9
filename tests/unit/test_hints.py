"""What a denial says to write instead is accepted for that very pod, and is no less than what was asked."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
import yaml

from tests.pods import FLEETS, container, fleet_of, fleet_text_of, plan, pod_of
from webhook.admission.plan import Plan
from webhook.cli.files import load_fleet
from webhook.documents import write
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer

FIELD = "metadata.annotations[gpu-slice]"

UNMEASURED = """
pools:
- {name: lab, gpu: lab, partition: {mig: {2g.20gb: 3, 1g.10gb: 1}}, instanceTypes: [x1.large]}
catalogue:
  gpus:
    lab:
      source: ours
      geometry: seven-slice
      profiles: {1g: {name: 1g.10gb}, 2g: {name: 2g.20gb}, 3g: {name: 3g.40gb}}
  instanceTypes: {x1.large: {gpu: lab, gpus: 2}}
"""
RTX = """
pools:
- {name: media, gpu: rtx-pro-6000, partition: {mig: {1g.24gb+me.all: 1, 1g.24gb-me: 3}}, instanceTypes: [g7e.2xlarge]}
- {name: halves, gpu: rtx-pro-6000, partition: {mig: {2g.48gb+gfx: 1, 1g.24gb+me: 1, 1g.24gb: 1}},
   instanceTypes: [g7e.2xlarge]}
- {name: turns, gpu: rtx-pro-4500, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g7.2xlarge]}
"""
SHARES = "pools: [{name: a, gpu: t4, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g4dn.xlarge]}]"
NAMES = [*FLEETS, "built-in", UNMEASURED, RTX, SHARES]

WORDS = """
    1g.5gb 1g.6gb 1g.7gb 2g.10gb 2g.11gb 3g.20gb 7g.40gb 1g.10gb+me 1g.24gb-me 1g.24gb 1g.24gb+gfx
    1g.24gb+me.all 2g.48gb+me.all 4g.96gb 1g.23gb 1g.16gb 1c.3g.20gb 5g.50gb 9g.1gb 1/7 1/2 2/3 1/1 3/2 8/7
    5gb 20gb 21gb 100gb 1Gi 9Gi 10Gi 20Gi 23Gi 40Gi 500Gi shared Shared 4.75Gi 9.5gb 1.5gb 0.5gib 10GiB 10G
    20480Mi 4864MiB 30% 99% .3 0.66 1g5gb 1g-6gb mig-1g.5gb nvidia.com/mig-3g.20gb 3*1g.5gb 2X1g7gb 1.10gi
    1g.10Gi
"""
SLICES = WORDS.split()
GPUS = ["", "@a100", "@a100-40gb", "@h100", "@t4", "@a10g", "@b200", "@gb200", "@h10", "@NVIDIA A100-SXM4-40GB",
    "@NVIDIA-H100-80GB-HBM3", "@H100", "@Tesla T4", "@mi300x", "@rtx-pro-4500", "@rtx-pro-6000", "@lab"]  # fmt: skip
SELECTORS: list[dict[str, str]] = [
    {},
    {"nvidia.com/gpu": "a100"},
    {"nvidia.com/gpu": "h100"},
    {"kubernetes.io/arch": "arm64"},
    {"gpu-slice/pool": "several"},
]


def proposed(denial: Denial) -> str | None:
    """The slice that the hint says to write, where nothing else of the pod must change."""
    found = re.match(r"Write '([^']+)'", denial.hint)
    return found[1] if found and denial.field == FIELD and ", and correct spec." not in denial.hint else None


def real(offer: MigOffer) -> Fraction:
    """GiB of one slice; nothing where it is not known."""
    return Fraction(offer.profile.memory_mib or 0, 1024)


def no_less(asked: str, made: Plan) -> bool:
    """Whether what the pod got is at least what *asked* says, as a person reads it."""
    assert made.resolution is not None
    ((count, offer),) = [(part.count, part.offer) for part in made.resolution.assignments]
    times, word = re.fullmatch(r"(?:(\d+)[xX*])?(.*)", asked.partition("@")[0]).groups()  # type: ignore[union-attr]
    word = word.lower().removeprefix("nvidia.com/").removeprefix("mig-")
    if word == "shared":
        return True
    if not isinstance(offer, MigOffer):
        return False
    share = Fraction(offer.profile.compute_slices, offer.gpu.compute_slices)
    if memory := re.fullmatch(r"([\d.]+)(mib?|gib?|gb?)", word):
        amount = Fraction(memory[1]) / (1024 if memory[2][0] == "m" else 1)
        if "i" in memory[2]:
            return real(offer) >= amount
        return offer.name.memory_gb >= amount
    if fraction := re.fullmatch(r"(\d+)/(\d+)", word):
        return count * share >= int(times or 1) * Fraction(int(fraction[1]), int(fraction[2]))
    if percent := re.fullmatch(r"([\d.]+)(%?)", word):
        return share >= Fraction(percent[1]) / (100 if percent[2] else 1)
    profile = re.fullmatch(r"(?:\dc\.)?(\d)g[.-]?(\d+)(?:gb|gi)?([+-].*)?", word)
    assert profile is not None, word
    large = offer.name.compute_slices >= int(profile[1]) and offer.name.memory_gb >= int(profile[2])
    own, wanted = offer.name.attribute, profile[3] or ""
    whole = share == 1
    engines = {
        "": own != "-me",
        "-me": True,
        "+gfx": own == "+gfx",
        "+me": own in ("+me", "+me.all") or whole,
        "+me.all": own == "+me.all" or whole,
    }[wanted]
    return large and engines and count >= int(times or 1)


def refused(pod: dict[str, Any], fleet: Fleet, namespace: str | None = None) -> Denial | None:
    try:
        plan(pod, fleet, namespace)
    except Denial as denial:
        return denial
    return None


@pytest.mark.parametrize("name", NAMES, ids=[*FLEETS, "built-in", "unmeasured", "rtx", "shares"])
@pytest.mark.parametrize("selector", SELECTORS, ids=str)
def test_what_a_hint_says_to_write_is_accepted_and_is_no_less(name: str, selector: dict[str, str]) -> None:
    fleet = fleet_of(name)
    namespace = "one" if selector else None  # whose pods may not use everything of the fleet 'limited'
    hints = 0
    for asked in [slice + gpu for slice in SLICES for gpu in (GPUS[:3] if selector else GPUS)]:
        pod = pod_of(asked, nodeSelector=selector)
        denial = refused(pod, fleet, namespace)
        instead = proposed(denial) if denial is not None else None
        if denial is None or instead is None:
            continue
        hints += 1
        try:
            made = plan(pod_of(instead, nodeSelector=selector), fleet, namespace)
        except Denial as again:
            pytest.fail(f"{asked}: {denial}\n{instead}: {again}")
        assert no_less(asked, made), f"{asked}: {denial}"
    assert hints or selector


@pytest.mark.parametrize("name", NAMES, ids=[*FLEETS, "built-in", "unmeasured", "rtx", "shares"])
@pytest.mark.parametrize("beside", ["1g.5gb", "1g.10gb", "shared", "2x1g.5gb"])
def test_of_several_containers_each_is_told_what_the_pod_gets(name: str, beside: str) -> None:
    fleet, containers = fleet_of(name), (container("main"), container("side"))
    possible = refused(pod_of(f"side={beside}", *containers), fleet) is None
    for asked in [slice + gpu for slice in SLICES for gpu in GPUS[:5]] if possible else []:
        denial = refused(pod_of(f"main={asked},side={beside}", *containers), fleet)
        instead = proposed(denial) if denial is not None else None
        if denial is None or instead is None or (denial.position or 0) >= len(f"main={asked}"):
            continue
        again = refused(pod_of(f"main={instead},side={beside}", *containers), fleet)
        assert again is None, f"{asked}: {denial}\n{again}"


@pytest.mark.parametrize("name", NAMES, ids=[*FLEETS, "built-in", "unmeasured", "rtx", "shares"])
def test_what_is_said_to_be_written_for_alternatives_is_accepted(name: str) -> None:
    fleet = fleet_of(name)
    alone = [slice for slice in SLICES if (denial := refused(pod_of(slice), fleet)) and denial.reason != "grammar"]
    for first, second in product(alone, alone):
        denial = refused(pod_of(f"{first}|{second}"), fleet)
        assert denial is not None
        instead = proposed(denial)
        assert instead is None or refused(pod_of(instead), fleet) is None, str(denial)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        pytest.param(
            "20Gi", "The largest that is offered is '2g.20gb' (pool lab, lab), whose real memory is not known", id="no"
        ),
        pytest.param("15Gi", "'2g.20gb' (pool lab, lab) may have it, but its real memory is not known", id="perhaps"),
        pytest.param(
            "9Gi", "'1g.10gb' (pool lab, lab) may have it, but its real memory is not known", id="the smallest"
        ),
        pytest.param(
            "20.5gb", "Nothing that is offered has as much: the largest is '2g.20gb' (pool lab, lab)", id="by name"
        ),
    ],
)
def test_a_slice_of_unknown_memory_is_unknown_and_not_zero(asked: str, hint: str) -> None:
    denial = refused(pod_of(asked), fleet_of(UNMEASURED))
    assert denial is not None
    assert denial.hint.startswith(hint)
    assert proposed(denial) is None


@pytest.mark.parametrize(
    ("fleet", "asked", "hint"),
    [
        pytest.param("built-in", "1/7@t4", "Write '1g.5gb', the nearest", id="of a GPU that cannot be cut"),
        pytest.param("built-in", "a10g", "Write 'shared@a10g'", id="a GPU without MIG, and no slice"),
        pytest.param("built-in", "NVIDIA A10G", "Write 'shared@a10g'", id="as nvidia-smi prints it"),
        pytest.param("built-in", "v100", "Write '1g.5gb', the nearest", id="a GPU of which there is nothing"),
        pytest.param("built-in", "h100", "Write '1/7@h100' for a slice of this GPU", id="a GPU of which there is"),
        pytest.param("built-in", "NVIDIA H100 80GB HBM3", "Write '1g.10gb@h100-80gb'", id="in NVIDIA's words"),
        pytest.param(SHARES, "Tesla T4", "Write 'shared@t4'", id="where there are only shares, in NVIDIA's words"),
        pytest.param("built-in", "69.75Gi", "Write '3g.71gb', which has exactly this memory", id="as it is printed"),
        pytest.param("built-in", "4864Mi", "Write '1g.5gb', which has exactly this memory", id="in MiB"),
        pytest.param("built-in", "19.5Gi@a100", "Write '2g.20gb@a100', which has", id="of a family"),
        pytest.param("built-in", "2x 4864 MiB", "Write '2x1g.5gb', which has", id="twice, with spaces"),
        pytest.param("built-in", "9984Mi", "Write '1g.10gb@h100-80gb', which has", id="more than another of the name"),
        pytest.param("built-in", "9984Mi@a100", "Write '10Gi@a100' for real memory", id="not what another GPU has"),
        pytest.param("built-in", "4.7Gi", "Write '5Gi' for real memory", id="a memory size that is no whole number"),
        pytest.param(SHARES, "1/7@t4", "There are only shares of GPUs", id="where there are only shares"),
        pytest.param("built-in", "1g.7gb", "Write '1g.10gb'", id="no smaller profile, however near"),
        pytest.param("built-in", "8g.80gb", "Nothing that is offered has as much", id="too large"),
        pytest.param("built-in", "30%", "Write '1/3'", id="no smaller fraction"),
        pytest.param("built-in", "10GiB", "Write '10Gi' for real memory", id="no smaller unit"),
        pytest.param("built-in", "1g.5gb@NVIDIA A100-SXM4-40GB", "Write '1g.5gb@a100-40gb'", id="nvidia-smi -L"),
        pytest.param("built-in", "1/7@NVIDIA-H100-80GB-HBM3", "Write '1g.10gb@h100-80gb'", id="as the label has it"),
        pytest.param("built-in", "100x1g.5gb@mi300x", "is as large, but the pod's count", id="a count of no node"),
        pytest.param(SHARES, "10gb@t4", "There are only shares of GPUs, without a size", id="a share is no size"),
        pytest.param("built-in", "shared@NVIDIA-A10G-SHARED", "Write 'shared@a10g'", id="the label of a share"),
        pytest.param("built-in", "1/7@b200", "Write '3g.71gb'", id="a fraction of a GPU with more memory"),
        pytest.param("built-in", "14%@b200", "Write '3g.71gb'", id="as a percentage"),
        pytest.param("built-in", "1/7@NVIDIA B200", "Write '3g.71gb'", id="as NVIDIA prints its name"),
        pytest.param("built-in", "2/7@b200", "Write '3g.71gb'", id="two sevenths of it"),
        pytest.param("built-in", "2/7@h100", "Write '3g.71gb'", id="20096 MiB, not the 19968 of a 2g.20gb here"),
        pytest.param("built-in", "3/7@a100-80gb", "Write '3g.71gb'", id="a fraction of the larger of a family"),
        pytest.param("built-in", "3/7@h100", "Write '3g.71gb'", id="three sevenths"),
        pytest.param("built-in", "1/7@a800-80gb", "Write '1g.10gb'", id="as much memory, and no more"),
        pytest.param("built-in", "1/4@l40s", "Write '2g.20gb'", id="12 GB of a GPU that cannot be cut"),
        pytest.param("built-in", "1g.10gb+me", "No slice with media engines is offered", id="no media engines"),
        pytest.param("built-in", "1g.24gb+me.all", "No slice with all media engines is offered", id="nor all"),
        pytest.param("built-in", "1g.24gb+gfx", "No slice with graphics is offered", id="no graphics"),
        pytest.param(RTX, "4g.96gb+me", "the largest is '1g.24gb+me.all'", id="the largest with media engines"),
        pytest.param("built-in", "1g.5gb@mi300x", "adds the GPU to the fleet's catalogue", id="unknown"),
    ],
)  # fmt: skip
def test_what_the_hint_is(fleet: str, asked: str, hint: str) -> None:
    denial = refused(pod_of(asked), fleet_of(fleet))
    assert denial is not None
    assert hint in denial.hint


ALMOST = """
    a10g;t4;v100;h100;A100;l4;NVIDIA A10G;NVIDIA-A100-SXM4-40GB;Tesla T4;RTX PRO 4500;A100 40GB;2xh100;gpu1;h100@1g.10gb
    500m;250m;143m@a100;2x500m;1000m;1 / 7;1/ 2@a100
    2 x 1 / 7;'1g.5gb';"1/7@a100";'shared';`10Gi`;2×1g.5gb;2× 10Gi;2x 10Gi
    MIG 1g.5gb;mig 10gb;nvidia.com/gpu.shared;timeslicing;time sliced;69.75Gi;4864Mi;19.5Gi;9.75Gi;9.625Gi;2x4.75Gi@a100
    22.8125Gi;23.12Gi;10 GB;10 gib;1g. 5gb;1 1g.5gb;a100 1g.10gb;2xh100@1g.10gb;h100 of all
"""


@pytest.mark.parametrize("name", NAMES, ids=[*FLEETS, "built-in", "unmeasured", "rtx", "shares"])
@pytest.mark.parametrize("asked", [word.strip() for word in re.split("[;\n]", ALMOST) if word.strip()])
def test_each_value_that_a_hint_says_to_write_for_what_is_no_slice_is_accepted_as_it_stands(
    name: str, asked: str
) -> None:
    fleet = fleet_of(name)
    denial = refused(pod_of(asked), fleet)
    assert denial is not None
    said = re.match(r"Write ('[^']+'(?:,? [^';(]+)?)+", denial.hint.replace("profile's", "profile"))
    values = re.findall(r"'([^']+)'", said[0]) if said and "and correct spec." not in denial.hint else []
    for value in values:
        assert refused(pod_of(value), fleet) is None, f"{denial}: {value}"


def test_the_same_number_may_be_less_on_another_gpu() -> None:
    """A driver computes the number: 1g.24gb has 23.12 GiB on an RTX PRO 6000, and 20.00 GiB on some GB200."""
    pool = "pools: [{{name: p, gpu: gb200, partition: {{mig: {{{}}}}}, instanceTypes: [p6e-gb200.36xlarge]}}]"
    arm = {"kubernetes.io/arch": "arm64"}
    denial = refused(pod_of("1g.24gb@rtx-pro-6000", nodeSelector=arm), fleet_of(pool.format("1g.24gb: 7")))
    assert denial is not None
    assert denial.hint == "Nothing that is offered has as much: the largest is '1g.24gb' (pool p, gb200, 20Gi)"
    larger = refused(pod_of("1g.24gb@rtx-pro-6000", nodeSelector=arm), fleet_of(pool.format("1g.24gb: 3, 2g.47gb: 2")))
    assert larger is not None
    assert proposed(larger) == "2g.47gb"


def test_a_hint_on_a_fleet_of_a_thousand_pools_costs_no_more_than_a_review_may() -> None:
    entries = [
        f"- {{name: p{n}, gpu: a100-40gb, partition: {{mig: {{3g.20gb: 1, 2g.10gb: 1, 1g.5gb: 2}}}}, "
        f"instanceTypes: [p4d.24xlarge], labels: {{kind: k{n}}}}}"
        for n in range(1_000)
    ]
    denial = refused(pod_of("9g.9gb"), fleet_of("pools:\n" + "\n".join(entries)))
    assert denial is not None
    assert denial.problem == "no GPU has a profile '9g.9gb'"
    assert denial.hint == "`gpu-slice profiles --fleet FILE` lists what is offered"


def test_a_hint_is_for_this_pod() -> None:
    """Its container asks for one kind of slice by hand: the hint is not another kind."""
    pod = pod_of("1g.4gb", container("main", {"nvidia.com/mig-2g.10gb": 1}))
    denial = refused(pod, fleet_of("mixed"))
    assert denial is not None
    assert proposed(denial) == "2g.10gb"


def test_a_hint_names_a_pool_that_this_pod_may_run_in() -> None:
    denial = refused(pod_of("1g.4gb", nodeSelector={"gpu-slice/pool": "several"}), fleet_of("mixed"))
    assert denial is not None
    assert denial.hint == "Write '1g.5gb', the nearest that is offered (pool several, a100-40gb)"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        pytest.param("mian=1g.5gb", "Write 'main=1g.5gb'", id="alone"),
        pytest.param("side=shared|1g.5gb, mian=2x1g.5gb", "Write 'side=shared|1g.5gb,main=2x1g.5gb'", id="one of two"),
        pytest.param("main=1g.5gb,mainn=1/7", "Write 'main=1g.5gb,main2=1/7'", id="none that is named already"),
        pytest.param("mian=9g.1gb", "Its name is in 'main=9g.1gb', but no GPU has a profile '9g.1gb': nothing that is "
                     "offered has as much: the largest is '4g.71gb' (pool h200-large, h200, 69.75Gi)", id="and more"),
        pytest.param("zzz=1g.5gb", "The pod has 'main', 'main2', 'side'", id="none that is similar"),
        pytest.param("mian=" + "|".join(["1g.5gb"] * 32) + ",side=" + "|".join(["1g.5gb"] * 16),
                     "Write 'main' in its place", id="a long value"),
    ],
)  # fmt: skip
def test_a_misspelt_container_is_told_the_whole_value(asked: str, hint: str) -> None:
    containers = [container("main"), container("main2"), container("side")]
    denial = refused(pod_of(asked, *containers), fleet_of("built-in"))
    assert denial is not None
    assert denial.hint == hint


def turned(value: Any) -> Any:
    """*value* with every mapping in the other order."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES, ids=[*FLEETS, "built-in", "unmeasured", "rtx", "shares"])
def test_a_denial_is_the_same_whatever_the_order_of_the_keys(name: str) -> None:
    """Of the pod's mappings, and of those of the fleet and its catalogue."""
    text = fleet_text_of(name)
    fleet = fleet_of(name)
    other = load_fleet(write(turned(yaml.safe_load(text))).encode())
    denied = 0
    for asked in [slice + gpu for slice in SLICES for gpu in GPUS[:4]]:
        for selector in ({}, {"nvidia.com/gpu": "v1", "karpenter.sh/nodepool": "none", "disk": "ssd"}):
            for limits in ({}, {"nvidia.com/gpu": 2, "nvidia.com/mig-9g.9gb": 1, "nvidia.com/gpu.shared": 3}):
                pod = pod_of(asked, container("main", limits), container("side", limits), nodeSelector=selector)
                first = refused(pod, fleet)
                denied += first is not None
                assert str(refused(turned(pod), other)) == str(first)
    assert denied


def test_which_slice_a_fraction_gets_does_not_depend_on_the_order_of_a_layout() -> None:
    layouts = ["{1g.24gb: 2, 1g.24gb+gfx: 1, 1g.24gb-me: 1}", "{1g.24gb-me: 1, 1g.24gb+gfx: 1, 1g.24gb: 2}"]
    pool = "pools: [{{name: p, gpu: rtx-pro-6000, partition: {{mig: {}}}, instanceTypes: [g7e.2xlarge]}}]"
    for layout in layouts:
        made = plan(pod_of("1/4"), fleet_of(pool.format(layout)))
        assert made.resolution is not None
        assert made.resolution.assignments[0].resource == "nvidia.com/mig-1g.24gb"
