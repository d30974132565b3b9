"""`fit`: which layouts are compared, and that none of them is better than the one that is proposed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tests.unit.fit_needs import answer, pod, pools_of, run
from tests.unit.test_packing import least
from webhook.admission.plan import plan
from webhook.admission.pod import convert
from webhook.cli import files
from webhook.errors import BadFleet, Denial
from webhook.fit.demand import demand_of, kind_of
from webhook.fit.fit import fit
from webhook.fit.problem import Bin, Item
from webhook.fleet.fleet import Fleet
from webhook.slices.layout import fits
from webhook.slices.profile import MigProfile

GPUS = {"one-a100": "a100-80gb", "one-a40": "a100-40gb", "one-h100": "h100-80gb"}
SLICES = ["1g.10gb", "2g.20gb", "3g.40gb"]
CUTS = ["{3g.40gb: 2}", "{1g.10gb: 3, 2g.20gb: 2}", "{1g.10gb: 4}", "{7g.80gb: 1}", "{2g.20gb: 3}"]
WANTED = ["1g.10gb", "2g.20gb", "3g.40gb", "9Gi", "15Gi", "1g.10gb@h100", "2g.20gb@a100", "1/7", "2/7|1g.10gb"]
MORE: list[dict[str, Any]] = [
    {}, {}, {"retired": True}, {"mode": "shadow"}, {"nodes": "existing"}, {"nodeLabels": {"team": "ml"}}
]  # fmt: skip
LIMITS = [{}, {}, {"pools": ["p0"]}, {"pools": ["p0", "p1"]}, {"slices": ["1g.10gb"]}]


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, Any]:
    """Two or three pools of nodes with one GPU and prices.  The first one has two kinds of slices."""
    pools = []
    for number in range(draw(st.integers(2, 3))):
        kind = draw(st.sampled_from(list(GPUS) if number else ["one-a100", "one-h100"]))
        cut = draw(st.sampled_from(["{1g.10gb: 4}", "{1g.5gb: 7}"] if kind == "one-a40" else CUTS))
        pools.append({
            "name": f"p{number}", "gpu": GPUS[kind], "instanceTypes": [kind],
            "partition": {"mig": yaml.safe_load(cut if number else CUTS[1])},
            **draw(st.sampled_from(MORE if number else [{}])),
        })  # fmt: skip
    types = {kind: {"gpu": gpu, "gpus": 1, "architecture": "amd64"} for kind, gpu in GPUS.items()}
    return {
        "apiVersion": "gpu-slice/v1",
        "pools": pools,
        "prices": {kind: draw(st.sampled_from([2, 3, 5, 9])) for kind in GPUS},
        "namespaces": {"default": draw(st.sampled_from(LIMITS))},
        "catalogue": {"instanceTypes": types},
    }


def load(text: Mapping[str, Any]) -> Fleet:
    return files.load_fleet(json.dumps(text).encode()).enforced()


def all_layouts(fleet: Fleet, gpu: str) -> Iterator[dict[str, int]]:
    """Every way to cut *gpu* into some of `SLICES`."""
    model = fleet.catalogue.gpus[gpu]
    profiles = [profile for name in SLICES if (profile := model.profile(MigProfile.parse(name)))]
    for counts in product(*(range(profile.most + 1) for profile in profiles)):
        if any(counts) and fits(model, dict(zip(profiles, counts, strict=True))):
            yield {str(profile): count for profile, count in zip(profiles, counts, strict=True) if count}


def serves(text: Mapping[str, Any], pool: Mapping[str, Any], document: dict[str, Any], slice: str) -> bool:
    """Whether the webhook gives *document* the *slice* in a new pool that is like *pool* and has this slice alone."""
    if load(text).catalogue.gpus[pool["gpu"]].profile(MigProfile.parse(slice)) is None:
        return False
    cut = {"partition": {"mig": {slice: 1}}, "mode": "enforce"}
    other = {**text, "pools": [*text["pools"], {**pool, **cut, "name": "new"}], "namespaces": {"default": {}}}
    limits = text["namespaces"]["default"]
    if "slices" in limits:
        other["namespaces"]["default"]["slices"] = limits["slices"]
    if "pools" in limits:
        other["namespaces"]["default"]["pools"] = limits["pools"] + ["new"] * (pool["name"] in limits["pools"])
    resolution = plan(convert(document), load(other), None).resolution
    assert resolution is not None
    return str(resolution.assignments[0].offer) == slice and "new" in {each.name for each in resolution.pools}


@settings(max_examples=40)
@given(
    fleets(),
    st.dictionaries(
        st.sampled_from(WANTED),
        st.tuples(st.integers(1, 4), st.sampled_from([{}, {}, {"team": "ml"}])),
        min_size=1,
        max_size=2,
    ),
)
def test_no_layout_of_any_pool_that_pods_may_use_is_cheaper(
    text: dict[str, Any], wanted: dict[str, tuple[int, dict[str, str]]]
) -> None:
    try:
        fleet = load(text)
        documents = {value: pod(value, nodeSelector=selector) for value, (_, selector) in wanted.items()}
        kinds = {value: kind_of(convert(document), fleet, None) for value, document in documents.items()}
    except (BadFleet, Denial):
        reject()
    bins: dict[tuple[tuple[bool, ...], int, str], dict[str, int]] = {}
    for index, pool in enumerate(fleet.pools):
        entry = next(each for each in text["pools"] if each["name"] == pool.name)
        now = tuple(any(index == i for i, _ in kind.served) for kind in kinds.values() if kind)
        later = tuple(
            not pool.entry.retired and serves(text, entry, documents[value], kind.slices[0][0].name)
            for value, kind in kinds.items()
            if kind
        )
        for able, layouts in ((now, [entry["partition"]["mig"]]), (later, all_layouts(fleet, pool.gpu.name))):
            for layout in layouts if any(able) else ():
                bins[able, text["prices"][entry["instanceTypes"][0]], str(layout)] = layout
    items = [
        Item(
            {kind.slices[0][0].name: 1},
            wanted[value][0],
            frozenset(n for n, (able, _, _) in enumerate(bins) if able[k]),
        )
        for k, (value, kind) in enumerate(kinds.items())
        if kind
    ]
    nodes = [Bin(n, "any", layout, cost) for n, ((_, cost, _), layout) in enumerate(bins.items())]
    unplaced, cost = least(nodes, items, {})

    found = fit(demand_of((kind, wanted[value][0]) for value, kind in kinds.items() if kind), fleet, text["prices"])

    assert unplaced == 0
    assert found.best.cost == pytest.approx(cost)
    assert found.best.exact


TWO = """\
apiVersion: gpu-slice/v1
pools:
- {name: a, gpu: a100-80gb, partition: {mig: {3g.40gb: 2}}, instanceTypes: [p4de.24xlarge]}
- {name: h, gpu: h100-80gb, partition: {mig: {1g.10gb: 3, 2g.20gb: 2}}, instanceTypes: [p5.48xlarge]}
"""
PRICES = "prices: {p4de.24xlarge: 30, p5.48xlarge: 55}\n"


def written(folder: Path, text: str) -> str:
    (folder / "fleet.yaml").write_text(text)
    return str(folder / "fleet.yaml")


def test_a_pool_that_serves_nothing_of_it_today_is_compared_too(tmp_path: Path) -> None:
    arguments = ["--need=1g.10gb=112", "--fleet", written(tmp_path, TWO + PRICES)]
    found = answer(*arguments)

    assert found["compared"] == ["a", "h"]
    assert (found["dollarsPerHour"], found["best"]["dollarsPerHour"]) == (275, 60)
    assert pools_of(found["best"]) == {"a100-80gb-7x1g-10gb": 2}
    proof = "Proved: with any layouts of these slices, in new pools like a and h, it cannot be less.\n"
    assert proof in run(*arguments).stdout


def test_a_pool_that_serves_nothing_of_it_today_stays_in_the_suggestion(tmp_path: Path) -> None:
    result = run("--need=1g.10gb=112", "--fleet", written(tmp_path, TWO + PRICES), "-o", "fleet")

    assert [pool["name"] for pool in yaml.safe_load(result.stdout)["pools"]] == ["a", "a100-80gb-7x1g-10gb"]
    assert "pool h is left out" in result.stderr


def test_what_has_no_price_and_serves_nothing_today_is_named_and_not_compared(tmp_path: Path) -> None:
    fleet = written(tmp_path, TWO + "prices: {p5.48xlarge: 55}\n")
    result = run("--need=1g.10gb=112", "--fleet", fleet)

    assert result.stderr == "no layout of p4de.24xlarge is compared: the fleet has no price of it\n"
    assert "$275.00 an hour" in result.stdout
    assert "Proved: with any layouts of these slices, in new pools like h, it cannot be less.\n" in result.stdout


@pytest.mark.parametrize(
    ("pool", "compared"),
    [
        pytest.param("gpu: a100-80gb, partition: {mig: {7g.80gb: 1}}, instanceTypes: [p4de.24xlarge]", True, id="any"),
        pytest.param("gpu: a100-40gb, partition: {mig: {7g.40gb: 1}}, instanceTypes: [p4d.24xlarge]", True,
                     id="a GPU of which fewer fit"),
        pytest.param("gpu: a100-80gb, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [p4de.24xlarge]", True,
                     id="time-sliced"),
        pytest.param("gpu: a100-80gb, partition: {mig: {7g.80gb: 1}}, instanceTypes: [p4de.24xlarge], nodes: existing",
                     True, id="existing nodes"),
        pytest.param("gpu: h200, partition: {mig: {1g.18gb: 7}}, instanceTypes: [p5en.48xlarge]", False,
                     id="no such slice"),
        pytest.param("gpu: a100-80gb, partition: {mig: {7g.80gb: 1}}, instanceTypes: [p4de.24xlarge], retired: true",
                     False, id="retired"),
        pytest.param("gpu: a100-80gb, partition: {mig: {7g.80gb: 1}}, instanceTypes: [p4de.24xlarge], strategy: single",
                     False, id="another resource"),
        pytest.param("gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]", False,
                     id="a GPU without MIG"),
    ],
)  # fmt: skip
def test_the_pools_that_new_ones_may_be_like(pool: str, compared: bool, tmp_path: Path) -> None:
    own = TWO.splitlines(keepends=True)
    fleet = written(tmp_path, f"{own[0]}{own[1]}- {{name: other, {pool}}}\n{own[3]}")
    assert answer("--need=1g.10gb=3", "--fleet", fleet)["compared"] == ["other"] * compared + ["h"]


def test_pods_that_name_their_pool_can_be_in_no_new_one(tmp_path: Path) -> None:
    fleet = written(tmp_path, TWO)
    result = run("-", "--fleet", fleet, text=yaml.safe_dump(pod("1g.10gb", nodeSelector={"gpu-slice/pool": "h"})))
    assert (
        "No layout can be compared: there is no pool that a new one with room for these pods could be like.\n"
        in result.stdout
    )
