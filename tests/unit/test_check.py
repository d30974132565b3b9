"""The checks together: their page, their ids, their cures, and the report."""

from __future__ import annotations

import re
from typing import Any

import click
import msgspec
import pytest
import yaml
from click.testing import CliRunner

from tests.unit.check_facts import FLEET, NOW, ROOT, SLICE, SLICED, deployment, done, facts, node, told
from webhook.cli import check as command
from webhook.cli.main import main
from webhook.cluster.check import (
    CATEGORIES,
    CHECKS,
    Facts,
    Line,
    Problem,
    Status,
    guard,
    registration,
    run,
)
from webhook.cluster.objects import (
    DEPLOYMENTS,
    NODES,
    WEBHOOKS,
    Node,
    Pod,
)
from webhook.cluster.snapshot import Listing, Snapshot

PAGE = (ROOT / "docs" / "checks.md").read_text()


def test_ids_are_unique_and_what_comes_first_stands_first() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    for check in CHECKS:
        assert check.category in CATEGORIES
        assert all(ids.index(other) < ids.index(check.id) for other in check.after), check.id


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_the_page_explains_every_check(check: Any) -> None:
    section = re.search(rf"^### `{check.id}`\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE)
    assert section is not None
    words, why, cure = section[1].strip().split("\n\n")
    assert words == f"√ {check.words}"
    assert len(why) > 40
    assert cure == f"What to do: {check.cure}"


def test_the_page_explains_no_other() -> None:
    assert re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE) == [check.id for check in CHECKS]


def test_the_rules_are_those_of_the_manifests() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/webhook/webhook.yaml").read_text())
    about = facts({WEBHOOKS: [manifest]})
    for id in ("webhook-registered", "webhook-fails-closed", "webhook-selects", "webhook-settings"):
        assert (done(id, about).status, told(done(id, about))) == (Status.GOOD, "")
    assert {entry["name"] for entry in manifest["webhooks"]} == set(registration.CONDITIONS)
    policy = yaml.safe_load((ROOT / "manifests/guard/policy.yaml").read_text())
    assert guard.digest(policy["spec"]) == guard.EXPRESSIONS
    keepers = next(yaml.safe_load_all((ROOT / "manifests/keeper/policy.yaml").read_text()))
    assert guard.digest(keepers["spec"]) == guard.KEEPERS


def test_an_installation_in_another_namespace_excludes_that_one() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/webhook/webhook.yaml").read_text().replace("[gpu-slice,", "[slices,"))
    assert done("webhook-selects", facts({WEBHOOKS: [manifest]}, namespace="slices")).status is Status.GOOD
    assert done("webhook-selects", facts({WEBHOOKS: [manifest]})).status is Status.FAILED


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_no_cure_replaces_the_fleet_or_the_image(check: Any) -> None:
    assert not re.search(r"apply -k manifests(/webhook|/keeper)?(?![/\w])", check.cure)
    for file in re.findall(r"manifests/\S+\.yaml", check.cure):
        assert (ROOT / file).exists()


def test_what_may_not_be_read_is_unknown_and_no_failure() -> None:
    about = facts()
    listings = {**about.snapshot.listings, NODES: Listing(problem="you may not list nodes")}
    line = done("node-slices", Facts(Snapshot(NOW, "v1.36.3", listings), FLEET))
    assert (line.status, line.unknown) == (Status.UNKNOWN, "could not look: you may not list nodes")


def test_what_follows_from_a_failure_is_not_told_twice() -> None:
    lines = {line.check.id: line for line in run(CHECKS, facts())}
    assert lines["webhook-registered"].status is Status.FAILED
    for id in ("webhook-selects", "webhook-answers", "ca-bundle"):
        assert lines[id].unknown == "not looked at, because 'webhook-registered' comes first"


def test_a_cluster_without_anything_is_no_traceback() -> None:
    assert all(line.status in Status for line in run(CHECKS, facts()))
    assert all(line.status in Status for line in run(CHECKS, facts(), before=True))


@pytest.mark.parametrize("text", ["5", "m", "5 m", "1d", "-5m"])
def test_a_time_without_a_unit_is_a_usage_error(text: str) -> None:
    result = CliRunner().invoke(main, ["check", "--wait", text])
    assert result.exit_code == 2
    assert "is no duration. Write a number and a unit, such as 90s, 5m or 1h" in result.stderr


@pytest.mark.parametrize(
    ("page", "failed"),
    [("README.md", ["node-slices"]), ("docs/live.md", ["karpenter-gate", "node-overlay-ready", "node-slices"])],
)
def test_the_docs_show_a_report_as_it_is_printed(page: str, failed: list[str]) -> None:
    slices = "ip-10-0-1-7 of a100-1g-5gb has 49 nvidia.com/mig-1g.5gb, and its layout promises 56"
    gate = done("karpenter-gate", facts({DEPLOYMENTS: [deployment(args=["--feature-gates=NodeOverlay=false"])]}))
    told_of = {
        "karpenter-gate": (gate.status, gate.problems, ""),
        "node-overlay-ready": (Status.UNKNOWN, (), "not looked at, because 'karpenter-gate' comes first"),
        "node-slices": (Status.FAILED, (Problem(slices),), ""),
    }
    told_of = {id: told_of[id] for id in failed}
    lines = []
    for check in CHECKS:
        status, problems, unknown = told_of.get(check.id, (Status.GOOD, (), ""))
        lines += [] if check.only_before else [Line(check, status, problems, unknown=unknown)]

    table = command.table(lines, command.verdict(lines)[1], command.PAGE, short=True)
    printed = click.unstyle("\n".join(table))

    assert f"```text\n$ kubectl gpu-slice check -o short\n{printed}\n```" in (ROOT / page).read_text(), printed


def test_views_have_what_the_checks_read() -> None:
    assert msgspec.convert(node(), Node).status.allocatable["nvidia.com/mig-1g.5gb"] == "56"
    assert msgspec.convert(SLICED, Pod).spec.containers[0].resources.limits == SLICE
