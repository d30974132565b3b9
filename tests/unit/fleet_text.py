"""Fleets as text, for the tests of fleets."""

from __future__ import annotations

import pytest

from tests.stories import FLEETS
from webhook.cli import files
from webhook.errors import BadFleet, FleetProblem
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer, Offer, Pool, SharedOffer
from webhook.slices.profile import MigProfile

STORIES = [pytest.param(path, id=name) for name, path in FLEETS.items() if path]
"""The fleets that pods in tests/stories meet."""
SMALLEST = {
    "name": "p",
    "gpu": "a100-40gb",
    "partition": "{mig: {1g.5gb: 7}}",
    "instanceTypes": "[p4d.24xlarge]",
}
H100 = {"gpu": "h100-80gb", "partition": "{mig: {1g.10gb: 7}}", "instanceTypes": "[p5.48xlarge]"}
A10G = {"gpu": "a10g", "partition": "{timeSlicing: {replicas: 4}}", "instanceTypes": "[g5.xlarge]"}


def pool_text(**fields: str | None) -> str:
    """One pool in YAML: the smallest that there is, with *fields* instead or besides; None leaves one out."""
    given = {**SMALLEST, **fields}
    return "{" + ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None) + "}"


def text(*pools: str, extra: str = "") -> str:
    """A fleet file with *pools*, or with the smallest one."""
    lines = "".join(f"  - {each}\n" for each in pools or (pool_text(),))
    return f"apiVersion: gpu-slice/v1\npools:\n{lines}{extra}"


def load(*pools: str, extra: str = "") -> Fleet:
    return files.load_fleet(text(*pools, extra=extra).encode())


def pool(**fields: str | None) -> Pool:
    (found,) = load(pool_text(**fields)).pools
    return found


def problems(written: str | bytes) -> tuple[FleetProblem, ...]:
    with pytest.raises(BadFleet) as refused:
        files.load_fleet(written.encode() if isinstance(written, str) else written)
    return refused.value.problems


def offer(written: str, gpu_name: str) -> Offer:
    """One kind of slice, as a pool's driver prints it; without the rest of the pool."""
    gpu = files.catalogue().gpus[gpu_name]
    if written == "shared":
        return SharedOffer(gpu, "nvidia.com/gpu.shared", 4, 0)
    name = MigProfile.parse(written)
    found = gpu.profile(name)
    assert found is not None
    size = (found.compute_slices, name.memory_gb, int(name.media_extensions))
    return MigOffer(gpu, name.resource, 1, 0, name, found, size)
