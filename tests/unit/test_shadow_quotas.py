"""ResourceQuotas know no shadow: what is said of them where a namespace is in shadow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.check_facts import done, facts, told
from tests.unit.test_check_quotas import names, quota
from webhook.cli import files
from webhook.cli.main import main
from webhook.cluster.check import Status
from webhook.cluster.check.facts import Facts
from webhook.cluster.objects import NAMESPACES, QUOTAS
from webhook.fleet.fleet import Fleet
from webhook.render.quota import quotas

TEXT = """
apiVersion: gpu-slice/v1
pools: [{name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}]
namespaces: {"*": {mode: %s}, none: {mode: shadow, pools: []}, few: {mode: shadow, quota: {1g.5gb: 2}},
  live: {mode: enforce, pools: []},
  free: {mode: shadow}}
"""
SLICE = "mig-1g.5gb"


def about(live: dict[Any, Any], fleet: Fleet) -> Facts:
    return replace(facts(live, fleet), rendered=tuple(dict(made.manifest) for made in quotas(fleet)))


@pytest.mark.parametrize(
    ("namespace", "resource", "most", "said"),
    [
        pytest.param("none", SLICE, "0", "ResourceQuota none/q refuses pods of none, although it is in shadow",
                     id="it may use nothing"),
        pytest.param("few", SLICE, "2", "ResourceQuota few/q refuses pods of few, although it is in shadow",
                     id="it may use some"),
        pytest.param("none", "mig-7g.40gb", "0", "", id="a quota of what the fleet does not have"),
        pytest.param("free", SLICE, "9", "", id="a quota that the fleet does not ask for"),
    ],
)  # fmt: skip
def test_a_quota_of_a_namespace_in_shadow_is_a_warning(namespace: str, resource: str, most: str, said: str) -> None:
    fleet = files.load_fleet((TEXT % "enforce").encode())
    live = {QUOTAS: [quota(namespace, **{resource: most})], NAMESPACES: names("none", "few", "free")}
    line = done("quotas", about(live, fleet))
    assert (line.status, told(line)) == (Status.WARNING if said else Status.GOOD, said)
    assert [line.cure(problem) for problem in line.problems] == [
        f"Run kubectl -n {namespace} delete resourcequota q until {namespace} enforces." for _ in line.problems
    ]


def test_a_namespace_in_shadow_needs_no_quota_and_one_that_enforces_does() -> None:
    fleet = files.load_fleet((TEXT % "shadow").encode())
    line = done("quotas", about({NAMESPACES: names("none", "few", "live")}, fleet))
    assert told(line) == "nothing keeps live from nvidia.com/mig-1g.5gb, which the fleet denies it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(TEXT % "shadow", "quota refuse pods in shadow too: none, few\n", id="two are limited"),
        pytest.param("\n".join(TEXT.splitlines()[:3]) + "\nmode: shadow\n", None, id="none is limited"),
    ],
)
def test_fleet_check_does_not_promise_that_no_pod_is_denied(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "fleet.yaml").write_text(text)
    result = CliRunner().invoke(main, ["fleet", "check", str(tmp_path / "fleet.yaml")])
    assert result.exit_code == 0, result.output
    assert "note: in shadow, so that the webhook changes and denies no pod: all namespaces" in result.stderr
    assert (said or "") in result.stderr
    assert ("ResourceQuotas" in result.stderr) is (said is not None)
