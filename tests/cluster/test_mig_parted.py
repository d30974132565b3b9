"""The layouts for the GPU Operator, read by what its MIG manager runs: NVIDIA's mig-parted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.conftest import skip
from tests.rendering import documents_of
from tests.stories import FLEETS
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.slices.catalogue import Catalogue

Validate = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", name="validate")
def _validate(tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """What mig-parted says of a layout in a file: the command of its ``pkg/mig/reconfigure/reconfigure.go``."""
    try:
        program = programs.mig_parted()
    except programs.BuildError as error:
        skip(error)
    file = tmp_path_factory.mktemp("mig-parted") / "config.yaml"

    def validate(config: str, layout: str) -> subprocess.CompletedProcess[str]:
        file.write_text(config)
        command = [str(program), "assert", "--valid-config", "-f", str(file), "-c", layout]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return validate


def config_of(fleet: Fleet) -> str:
    """The file that the MIG manager mounts."""
    ((_, text),) = documents_of(fleet, "mig-parted")[0]["data"].items()
    return text


def operators(fleet: str) -> Fleet:
    """A fleet of ``tests/fleets`` in which the GPU Operator cuts what it can: it has one strategy."""
    path = FLEETS[fleet]
    data = yaml.safe_load(path.read_bytes() if path else files.default_fleet_text())
    strategies = [pool.get("strategy", "mixed") for pool in data["pools"] if "mig" in pool["partition"]]
    for pool in data["pools"]:
        theirs = "mig" in pool["partition"] and pool.get("nodes") != "existing" and not pool.get("untainted")
        if theirs and pool.get("strategy", "mixed") == strategies[0]:
            pool["partitionedBy"] = "gpu-operator"
    return files.load_fleet(yaml.safe_dump(data).encode())


@pytest.mark.parametrize("name", FLEETS)
def test_it_takes_the_layout_of_every_pool_of_every_fleet(name: str, validate: Validate) -> None:
    fleet = files.fleet_at(FLEETS[name])
    cut = [pool.name for pool in fleet.pools if pool.entry.partition.mig]

    for layout in [*cut, "all-disabled"] if cut else []:
        said = validate(config_of(fleet), layout)
        assert (said.returncode, said.stdout) == (0, "Selected MIG configuration is valid\n"), said.stderr


@pytest.mark.parametrize("name", FLEETS)
def test_it_takes_what_the_values_and_the_node_pools_of_the_operator_name(name: str, validate: Validate) -> None:
    fleet = operators(name)
    if not any(pool.entry.by_operator for pool in fleet.pools):
        assert documents_of(fleet, "gpu-operator") == []
        return
    (config_map,), (values,) = (documents_of(fleet, subject) for subject in ("mig-parted", "gpu-operator"))
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in documents_of(fleet, "node-pools")]
    named = [each["nvidia.com/mig.config"] for each in labels if "nvidia.com/mig.config" in each]

    assert values["migManager"]["config"]["name"] == config_map["metadata"]["name"]
    assert len(named) == sum(pool.entry.by_operator for pool in fleet.pools)
    for layout in [*named, values["migManager"]["config"]["default"]]:
        said = validate(config_map["data"]["config.yaml"], layout)
        assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        pytest.param("1g.5gb: 7", "1g.5: 7", "invalid format for '1g.5'", id="a profile"),
        pytest.param("1g.5gb: 7", "1g.5gb: 0", "all counts for all MigProfiles are 0", id="a count"),
        pytest.param("mig-enabled: true", "mig-enabled: false", "MIG devices included", id="slices without MIG"),
        pytest.param("devices: all", "devices: some", "invalid string input", id="some devices"),
        pytest.param("version: v1", "version: v2", "unknown version", id="a version"),
        pytest.param("  a100-1g-5gb:", "  a100:", "selected mig-config not present", id="another name"),
    ],
)
def test_it_refuses_what_is_wrong(right: str, wrong: str, why: str, validate: Validate) -> None:
    """That the layouts above are taken says something only if others are not."""
    config = config_of(files.fleet_at(None))
    assert right in config

    said = validate(config.replace(right, wrong), "a100-1g-5gb")

    assert said.returncode != 0
    assert why in said.stderr


@pytest.fixture(scope="module", name="layouts")
def _layouts() -> dict[str, list[dict[str, Any]]]:
    """The layouts that mig-parted brings for each GPU, some of them by NVIDIA's device ids."""
    try:
        source = programs.sources("mig-parted", "github.com/NVIDIA/mig-parted")
    except programs.BuildError as error:
        skip(error)
    return yaml.safe_load((source / "deployments/systemd/config-default.yaml").read_bytes())["mig-configs"]


def test_it_can_read_every_profile_of_the_catalogue_and_has_layouts_with_those_of_known_gpus(
    layouts, catalogue: Catalogue, validate: Validate
) -> None:
    profiles = {str(profile): 1 for gpu in catalogue.gpus.values() for profile in gpu.profiles}
    layout = {"devices": "all", "mig-enabled": True, "mig-devices": profiles}
    said = validate(yaml.safe_dump({"version": "v1", "mig-configs": {"all": [layout]}}), "all")
    assert said.returncode == 0, said.stderr

    named = {name for entries in layouts.values() for each in entries for name in each.get("mig-devices") or ()}
    known = [catalogue.gpus[name] for name, entry in catalogue.file.gpus.items() if entry.device_ids]
    assert {str(profile) for gpu in known for profile in gpu.profiles} - named == set()


def test_its_own_layouts_have_profiles_of_the_gpus_that_they_are_for(layouts, catalogue: Catalogue) -> None:
    by_id = {id: catalogue.gpus[gpu] for gpu, entry in catalogue.file.gpus.items() for id in entry.device_ids or ()}
    seen = 0
    for entry in (each for entries in layouts.values() for each in entries):
        ids = entry.get("device-filter", [])
        for each in [ids] if isinstance(ids, str) else ids:
            gpu = by_id[each.removeprefix("0x").removesuffix("10DE")]
            assert set(entry["mig-devices"]) <= {str(profile) for profile in gpu.profiles}, gpu.name
            seen += 1
    assert seen > 10
