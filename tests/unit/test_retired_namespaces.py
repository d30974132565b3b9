"""A namespace whose pools are retired: who writes the fleet is warned, and who writes a pod is told why."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.pods import fleet_of, fleet_text_of, plan, pod_of
from webhook.cli.main import main
from webhook.errors import Denial

POOLS = """
pools:
- {name: small, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], retired: true}
- {name: large, gpu: a100-40gb, partition: {mig: {3g.20gb: 2}}, instanceTypes: [p4d.24xlarge], retired: true}
- {name: mixed, gpu: a100-40gb, partition: {mig: {3g.20gb: 1, 1g.5gb: 4}}, instanceTypes: [p4d.24xlarge]}
- {name: whole, gpu: a100-40gb, partition: {mig: {7g.40gb: 1}}, instanceTypes: [p4d.24xlarge]}
"""
ONE, BOTH = "namespaces: {team-b: {pools: [small]}}", "namespaces: {team-b: {pools: [small, large]}}"


@pytest.mark.parametrize(
    ("namespaces", "asked", "says"),
    [
        (ONE, "1g.5gb", "namespace 'team-b' may use '1g.5gb' only from pool small, now retired. Ask the platform team: "
                        "it may use nothing else."),
        (ONE, "3g.20gb", "namespace 'team-b' may not use '3g.20gb'. Ask the platform team: it may use only pool small, "
                         "now retired."),
        (BOTH, "7g.40gb", "namespace 'team-b' may not use '7g.40gb'. Ask the platform team: it may use only pools "
                          "small and large, now retired."),
        (BOTH, "1g.5gb|3g.20gb", "namespace 'team-b' may use '1g.5gb|3g.20gb' only from pools small and large, now "
                                 "retired. Ask the platform team: it may use nothing else."),
        ("namespaces: {'*': {pools: [small]}}", "1/7", "namespace 'team-b' may use '1/7' only from pool small, now "
                                                       "retired. Ask the platform team: it may use nothing else."),
        ("namespaces: {team-b: {pools: [small, whole]}}", "1g.5gb", "namespace 'team-b' may use '1g.5gb' only from "
         "pool small, now retired. Write '7g.40gb', the nearest that this namespace may use (pool whole, a100-40gb)."),
        ("namespaces: {team-b: {pools: []}}", "1g.5gb", "namespace 'team-b' may not use '1g.5gb'. Ask the platform "
                                                        "team: it may not use any slices."),
        ("namespaces: {team-b: {pools: [whole]}}", "1g.5gb", "namespace 'team-b' may not use '1g.5gb'. Write '7g.40gb',"
                                               " the nearest that this namespace may use (pool whole, a100-40gb)."),
    ],
)  # fmt: skip
def test_a_denial_names_the_retired_pools_that_the_namespace_might_have_used(
    namespaces: str, asked: str, says: str
) -> None:
    with pytest.raises(Denial) as denied:
        plan(pod_of(asked), fleet_of(POOLS + namespaces), "team-b")
    assert (str(denied.value).split(": ", 1)[1], denied.value.reason) == (says, "namespace")


@pytest.mark.parametrize(
    ("namespaces", "warning"),
    [
        (ONE, "namespaces.team-b: every pool that it may use is retired (small), so its pods get no slices. "
              "Add a pool, or remove the namespace's limits"),
        (BOTH, "namespaces.team-b: every pool that it may use is retired (small, large), so its pods get no slices. "
               "Add a pool, or remove the namespace's limits"),
        ("namespaces: {'*': {pools: [mixed, small], slices: [1g.5gb]}, a: {pools: [small], slices: [1g.5gb]}}",
         "namespaces.a: every pool that it may use is retired (small), so its pods get no slices. "
         "Add a pool, or remove the namespace's limits"),
        ("namespaces: {team-b: {pools: [small, mixed]}, none: {pools: []}, a: {slices: []}, c: {slices: [1g.5gb]}}",
         ""),
    ],
)  # fmt: skip
def test_fleet_check_warns_of_a_namespace_that_may_use_nothing_any_more(
    tmp_path: Path, namespaces: str, warning: str
) -> None:
    (tmp_path / "fleet.yaml").write_bytes(fleet_text_of(POOLS + namespaces))
    result = CliRunner().invoke(main, ["fleet", "check", str(tmp_path / "fleet.yaml")])
    told = [line for line in result.stderr.splitlines() if "may use" in line]
    assert (result.exit_code, told) == (0, [f"warning: {warning}."] if warning else [])
