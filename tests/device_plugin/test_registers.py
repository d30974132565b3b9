"""What NVIDIA's device plugin registers on the nodes of a fleet is what pods ask for, and what Karpenter is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from msgspec import structs

from tests.device_plugin.node import Container, Machine, node, node_of
from tests.device_plugin.rendering import container, promised
from tests.stories import DEFAULT, FLEETS
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, MigOffer, Pool
from webhook.render.device_plugin import configurations
from webhook.slices.catalogue import Gpu

pytestmark = pytest.mark.slow


@cache
def fleet_of(name: str) -> Fleet:
    return files.fleet_at(FLEETS[name])


def pool_of(fleet: Fleet, name: str) -> Pool:
    (found,) = [each for each in fleet.pools if each.name == name]
    return found


def engines(pool: Pool) -> bool:
    """Whether it has slices such as 1g.10gb+me."""
    return any(isinstance(offer, MigOffer) and offer.name.attribute for offer in pool.offers)


def nodes(*, with_engines: bool) -> list[Any]:
    """Each pool that has a generated plugin, with each number of GPUs that its nodes have."""
    return [
        pytest.param(name, pool.name, gpus, id=f"{name}-{pool.name}-{gpus}")
        for name in FLEETS
        for pools in configurations(fleet_of(name)).values()
        for pool in pools
        for gpus in sorted({each.instance_type.gpus for each in pool.shapes})
        if engines(pool) == with_engines
    ]


@pytest.mark.parametrize(("fleet_name", "pool_name", "gpus"), nodes(with_engines=False))
def test_the_plugin_registers_what_pods_ask_for_and_karpenter_is_told(
    machine: Machine, fleet_name: str, pool_name: str, gpus: int
) -> None:
    fleet = fleet_of(fleet_name)
    pool = pool_of(fleet, pool_name)

    ended = machine.run(container(fleet, pool), node_of(pool, gpus))

    assert ended.code == 0, ended.log
    for shape in pool.shapes:
        if shape.instance_type.gpus == gpus:
            assert ended.registered == shape.capacity, ended.log
            assert ended.registered == promised(fleet, pool, shape.instance_type.name), ended.log


# The plugin that can be had as a Go module is v0.19.  When a newer one makes this test fail, it can go, and the test
# above take these pools too.
@pytest.mark.parametrize(("fleet_name", "pool_name", "gpus"), nodes(with_engines=True))
def test_a_plugin_before_v0_20_counts_slices_with_media_engines_as_plain_ones(
    machine: Machine, fleet_name: str, pool_name: str, gpus: int
) -> None:
    fleet = fleet_of(fleet_name)
    pool = pool_of(fleet, pool_name)
    plain: Counter[str] = Counter()
    for offer in pool.offers:
        plain[structs.replace(offer.name, attribute="").resource] += offer.per_gpu * gpus

    ended = machine.run(container(fleet, pool), node_of(pool, gpus))

    assert (ended.code, ended.registered) == (0, plain), ended.log


@pytest.mark.parametrize("gpu", [gpu for gpu in files.catalogue().gpus.values() if gpu.mig], ids=lambda gpu: gpu.name)
def test_the_plugin_names_the_profiles_of_every_gpu_as_the_catalogue_does(machine: Machine, gpu: Gpu) -> None:
    fleet = fleet_of(DEFAULT)
    profiles = [each for each in gpu.profiles if not each.profile.attribute]

    ended = machine.run(container(fleet, fleet.pools[0]), node(gpu, 1, dict.fromkeys(profiles, 1)))

    names = [each.profile.resource for each in profiles]
    assert (ended.code, ended.registered) == (0, Counter(names)), ended.log


def misspelled(right: Container, word: str, wrong: str) -> Container:
    """The same container, with *wrong* for *word* in its configuration file."""
    found = {
        path: {name: text.replace(f"{word}:", f"{wrong}:") for name, text in texts.items()}
        for path, texts in right.files.items()
    }
    assert found != right.files
    return replace(right, files=found)


@pytest.mark.parametrize(
    ("word", "wrong", "registered"),
    [
        pytest.param("renameByDefault", "renameByDefalt", 4, id="shares that look like whole GPUs"),
        pytest.param("sharing", "shareing", 1, id="no shares at all"),
    ],
)
def test_a_misspelled_word_in_the_plugins_file_is_ignored_and_whole_gpus_are_registered(
    machine: Machine, word: str, wrong: str, registered: int
) -> None:
    fleet = fleet_of(DEFAULT)
    pool = pool_of(fleet, "a10g-shared")

    ended = machine.run(misspelled(container(fleet, pool), word, wrong), node_of(pool, 1))

    assert (ended.code, ended.registered) == (0, {WHOLE_GPU: registered}), ended.log


def test_under_single_the_plugin_ends_on_a_node_with_two_profiles(machine: Machine) -> None:
    fleet, single = fleet_of(DEFAULT), fleet_of("single")

    ended = machine.run(container(single, single.pools[0]), node_of(pool_of(fleet, "a100-mixed"), 8))

    assert (ended.code, ended.registered) == (1, {}), ended.log
    assert "more than one MIG device type present on node" in ended.log
