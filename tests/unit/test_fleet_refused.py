"""Fleets that are refused, by the path of the mistake."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.unit.fleet_text import problems, text
from tests.unit.refused_fleets import REFUSED
from webhook.cli import files
from webhook.errors import BadFleet
from webhook.fleet import fleet as fleets
from webhook.slices.catalogue import Catalogue

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
