"""What people write in place of a slice is told the value that they mean, and the pod gets its slice with that."""

from __future__ import annotations

import re

import pytest

from tests.pods import container, fleet_of, plan, pod_of
from webhook.admission.correction import correction
from webhook.admission.preview import preview
from webhook.budget import MOST_STEPS, Budget
from webhook.errors import Denial
from webhook.slices.request import parse


def denied(asked: str, *names: str) -> Denial:
    with pytest.raises(Denial) as refused:
        plan(pod_of(asked, *map(container, names)), fleet_of("built-in"))
    return refused.value


SAYINGS = {
    "1/7@a100": "1/7 A100;1/7 of an a100;1/7 of a100;a100:1/7;a100 1/7;1/7th of an A100;seventh of an a100;1/7 (a100)",
    "2x1g.5gb": "1g.5gb x2;1g.5gb x 2;1g.5gbx2;1g.5gb*2;1g.5gb ×2;2 1g.5gb;1g.5gb:2;1g.5gb: 2;1g.5gb=2;2 of 1g.5gb;"
    "mig-1g.5gb: 2;nvidia.com/mig-1g.5gb=2;nvidia.com/mig-1g.5gb: 2;two 1g.5gb slices;2 x 1g.5gb gpus;1g.5gb (x2)",
    "1g.5gb": "nvidia.com/mig-1g.5gb=1;1g.5gb gpu;1g.5gb slice;1 x 1g.5gb slice;[1g.5gb];['1g.5gb'];gpu: 1g.5gb;"
    "mig 1g.5gb slice;1g.5gb x1;1g.5gb.;1g.5gb;;- 1g.5gb;{slice: 1g.5gb};one 1g.5gb",
    "1g.5gb@a100": "a100/1g.5gb;1g.5gb/a100;a100-1g.5gb;1g.5gb on a100;1g.5gb (A100);a100: 1g.5gb",
    "1g.10gb@h100": "h100:1g.10gb;h100-1g.10gb;H100/1g.10gb;1g.10gb h100;an h100 1g.10gb slice",
    "2g.20gb@a100-80gb": "2g.20gb/a100-80gb;a100-80gb/2g.20gb;a100-80gb:2g.20gb;a100-80gb-2g.20gb",
    "2x1g.5gb@a100": "1g.5gb x 2 @ a100;1g.5gb@a100 x2;1g.5gb@a100:2;2 x a100/1g.5gb;2xa100:1g.5gb;2x1g.5gb on a100",
    "1/2": "half;a half;half a gpu;half of a GPU;1/2 gpu;1 of 2;one half;50 % of a gpu;0.5 gpu;50% gpu;0.5gpu",
    "1/4": "quarter;a quarter;a quarter gpu;1 fourth;25 %;1/4th;1 out of 4",
    "2/7": "2 sevenths;two sevenths of a GPU;2 of 7;2/7 gpu;2/7ths of a gpu",
    "10gb": "10 GB;10GB vram;10 GB of memory;10gb memory;10gb gpu",
    "10Gi": "10 GiB of memory;10Gi memory;10 Gi gpu",
    "shared": "shared:1;shared: 1;shared x1;shared=1;1 shared gpu;a share;time-sliced gpu;time sliced;mps share",
    "shared@a10g": "shared a10g;a10g shared;a10g:shared;shared-a10g;a10g-shared;share of an a10g;shared on a10g",
    "main=1g.5gb": "main:1g.5gb;main: 1g.5gb;{main: 1g.5gb};main: 1g.5gb gpu",
    "1g.5gb|2g.10gb": "1g.5gb or 2g.10gb;1g.5gb OR 2g.10gb",
}


@pytest.mark.parametrize(
    ("asked", "meant"), [(asked.strip(), meant) for meant, all in SAYINGS.items() for asked in re.split(";(?!;)", all)]
)
def test_what_is_meant_is_proposed(asked: str, meant: str) -> None:
    denial = denied(asked)
    assert denial.hint.startswith(f"Write '{meant}'"), str(denial)
    plan(pod_of(meant), fleet_of("built-in"))
    (shown,) = preview(pod_of(asked), fleet_of("built-in"))
    assert correction(shown, fleet_of("built-in"), "default") == meant


@pytest.mark.parametrize(
    "asked",
    ["1g.5gb 2g.10gb", "1g.5gb;2g.10gb", "2x1g.5gb x2", "1g.5gb x2 x3", "1g.5gb a100 h100", "small", "1:7", "2x", "two",
     "1g.5gb please", "1g.5gb or", "1/7/2", "1g.5gb - 2g.10gb", "2 gpus", "1g.5gb@a100@h100", "default"],
)  # fmt: skip
def test_nothing_is_proposed_for_what_may_mean_something_else(asked: str) -> None:
    assert not re.match("Write '(?!container=)", denied(asked).hint)


def test_a_gpus_name_with_its_memory_is_no_slice_of_that_memory() -> None:
    assert "1/7@a100-40gb" in denied("A100 40GB").hint


def test_one_of_several_containers() -> None:
    assert denied("main=1g.5gb x2,side=1g.5gb", "main", "side").hint == "Write '2x1g.5gb'"
    assert denied("side=1g.5gb, main: seventh", "main", "side").hint.startswith("Write 'main=1/7'")
    said = denied("main=1g.5gb x2,side=half", "main", "side").hint
    assert said == "Write '2x1g.5gb', and correct the rest: 'half' is not a slice"


def test_a_container_that_is_called_like_a_gpu() -> None:
    assert denied("a100:1g.5gb", "a100", "side").hint == "Write '1g.5gb@a100', or 'a100=1g.5gb'"
    assert denied("gpt2: 1g.5gb", "gpt2", "side").hint == "Write 'gpt2=1g.5gb'"


@pytest.mark.parametrize(
    "sign", ["1g.5gb x", " of", "a100:", "1/", "x ", "half", "- ", "or ", "10 g", "=1", "a-", "=", "-"]
)
def test_long_values_cost_no_more_than_short_ones(sign: str) -> None:
    budget = Budget()
    with pytest.raises(Denial):
        parse(("a " + sign * 32_768)[:32_000] + "A:=1g.5gb x2", budget)
    assert budget.left > MOST_STEPS // 2
