"""What namespaces may use."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import A10G, load, pool_text
from webhook.fleet.fleet import Fleet

NAMESPACES = """
namespaces:
  notebooks: {pools: [shared]}
  team-a: {slices: [1g.5gb, 7g.80gb]}
  team-b: {pools: [small, mixed], slices: [2g.10gb]}
  nobody: {slices: []}
  nowhere: {pools: []}
  anything: {}
"""


class TestPolicies:
    """What a namespace may use."""

    @staticmethod
    def fleet(extra: str = NAMESPACES) -> Fleet:
        return load(
            pool_text(name="small"),
            pool_text(name="mixed", partition="{mig: {2g.10gb: 1, 1g.5gb: 1}}"),
            pool_text(name="large", gpu="a100-80gb", partition="{mig: {7g.79gb: 1}}", instanceTypes="[p4de.24xlarge]"),
            pool_text(name="shared", **A10G),
            extra=extra,
        )

    ALL: tuple[str, ...] = ("small 1g.5gb", "mixed 2g.10gb", "mixed 1g.5gb", "large 7g.79gb", "shared shared")

    @pytest.mark.parametrize(
        ("namespace", "permitted"),
        [
            pytest.param("notebooks", ["shared shared"], id="one pool"),
            pytest.param(
                "team-a", ["small 1g.5gb", "mixed 1g.5gb", "large 7g.79gb"], id="slices, whatever the driver calls them"
            ),
            pytest.param("team-b", ["mixed 2g.10gb"], id="pools and slices: both must agree"),
            pytest.param("nobody", [], id="no slice"),
            pytest.param("nowhere", [], id="no pool"),
            pytest.param("anything", ALL, id="an entry without limits"),
            pytest.param("other", ALL, id="no entry"),
            pytest.param(None, ALL, id="no namespace"),
        ],
    )
    def test_by_name(self, namespace: str | None, permitted: list[str]) -> None:
        fleet = self.fleet()
        policy = fleet.policy(namespace)
        found = [f"{where.name} {each}" for where, each in fleet.offers if policy.permits(where, each)]
        assert found == list(permitted)

    @pytest.mark.parametrize(
        ("namespace", "may"),
        [
            pytest.param("other", False, id="those without an entry fall under the star"),
            pytest.param("anything", True, id="an entry of its own replaces the star, even an empty one"),
            pytest.param("default", True, id="the namespace default"),
            pytest.param(None, True, id="none is default"),
            pytest.param("", True, id="an empty one too"),
        ],
    )
    def test_by_the_star(self, namespace: str | None, may: bool) -> None:
        fleet = self.fleet('namespaces: {"*": {slices: [shared]}, anything: {}, default: {slices: [1g.5gb]}}\n')
        where, small = fleet.offers[0]
        assert fleet.policy(namespace).permits(where, small) is may
