"""`explain`: what it does not say of a pod that runs, and what it says of each of several pools."""

from __future__ import annotations

from tests.pods import fleet_of
from tests.unit.explain_world import World, running

OTHER = fleet_of("""
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {2g.10gb: 3}}, instanceTypes: [p4d.24xlarge], limit: {slices: 560}}
""")
TWO = """
pools:
- {name: standing, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.48xlarge], nodes: existing}
- {name: spare, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.48xlarge], nodes: existing}
"""


def causes(world: World) -> dict[str, str]:
    """The sentence of each cause."""
    found = world.explain()
    return {cause.id: cause.sentence for cause in (found.cause, *found.also)}


def test_a_fleet_that_changed_is_told_of_a_pod_that_waits_and_not_of_one_that_runs() -> None:
    """It has its slice until it ends."""
    waits = World()
    waits.around.update(fleet=OTHER)
    assert "fleet-changed" in causes(waits)
    runs = World()
    running(runs)
    before = causes(runs)
    runs.around.update(fleet=OTHER)
    assert causes(runs) == before


def test_a_pool_without_nodes_is_told_beside_one_whose_nodes_are_full() -> None:
    world = World("1g.10gb")
    world.full("standing")
    world.around.update(fleet=fleet_of(TWO))
    told = causes(world)
    assert "slices-in-use" in told
    assert told["no-nodes"].startswith("Pool spare has no node")
