"""A pool that is retired: nothing of it is offered, and all of it stays rendered until its nodes are gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.pods import fleet_of, fleet_text_of, plan, pod_of
from tests.rendering import BOOT, documents_of
from tests.stories import FLEETS
from tests.unit.check_facts import Document, done, facts, node, told
from tests.unit.explain_world import World
from webhook import documents
from webhook.admission.pod import convert
from webhook.admission.why_not import reasons
from webhook.cli import files
from webhook.cli.main import main
from webhook.cluster.check.result import Status
from webhook.cluster.objects import NODE_CLAIMS, NODE_POOLS, NODES, PODS
from webhook.errors import BadFleet, Denial
from webhook.fleet.listing import offered
from webhook.render import SUBJECTS, Output

FLEET = files.fleet_at(FLEETS["retired"])
BEFORE_TEXT = FLEETS["retired"].read_bytes().replace(b"retired: true", b"retired: false")
BEFORE = files.load_fleet(BEFORE_TEXT)
KARPENTER = ("node-pools", "node-classes", "node-overlays", "device-plugin")


def test_what_it_had_is_listed_no_more() -> None:
    assert [f"{each.pool} {each.slice}" for each in offered(FLEET)] == ["new 1g.5gb"]


@pytest.mark.parametrize("subject", ["node-classes", "node-overlays", "device-plugin"])
def test_what_its_nodes_need_stays_as_it_is(subject: str) -> None:
    assert documents_of(FLEET, subject) == documents_of(BEFORE, subject) != []


def test_its_node_pool_launches_nothing_and_loses_its_empty_nodes() -> None:
    """The template is the same: another one would replace running nodes."""
    pairs = zip(documents_of(FLEET, "node-pools"), documents_of(BEFORE, "node-pools"), strict=True)
    for after, before in pairs:
        name, spec = after["metadata"]["name"], after["spec"]
        assert spec["template"] == before["spec"]["template"]
        assert (spec["limits"] == {"nodes": "0"}) == (name != "new")
        assert spec["disruption"]["consolidateAfter"] == "300s"


def test_each_pool_says_why_the_pod_is_not_for_it() -> None:
    found = {pool.name: why for pool, why in reasons(convert(pod_of("1g.5gb")), FLEET)}
    assert found == {"new": None} | dict.fromkeys(("old", "gone", "standing"), "it is retired: new pods are not for it")


def test_a_pod_that_has_its_slice_keeps_it_and_its_pool() -> None:
    record = {"gpu-slice/assigned": "1g.10gb -> main=nvidia.com/mig-1g.10gb:1", "gpu-slice/pools": "gone"}
    limits = {"nvidia.com/mig-1g.10gb": "1"}
    main = {"name": "main", "image": "a/b:1", "resources": {"limits": limits, "requests": limits}}
    pod = pod_of("1g.10gb", main, annotations=record, nodeSelector={"nvidia.com/gpu": "h100"})
    assert plan(pod, FLEET).given == "main gets 1 nvidia.com/mig-1g.10gb (pool gone)"
    found = {pool.name: why for pool, why in reasons(convert(pod), FLEET)}
    assert found["gone"] is None


def test_a_namespace_may_go_on_to_name_it_but_cannot_have_its_slice_as_default() -> None:
    pools = FLEETS["retired"].read_text().partition("\n")[2].partition("\n")[2].partition("\n")[2]
    assert fleet_of(f"{pools}namespaces: {{a: {{pools: [gone], slices: [1g.10gb], quota: {{1g.10gb: 2}}}}}}")
    with pytest.raises(BadFleet, match=r"no pool gives '1g.10gb' to pods of this namespace"):
        fleet_of(f"{pools}namespaces: {{a: {{default: 1g.10gb}}}}")


ALL = ("pools: [{name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], retired: true},"
       "{name: b, gpu: t4, partition: {mps: {replicas: 2}}, instanceTypes: [g4dn.xlarge], retired: true}]")  # fmt: skip


def test_a_fleet_of_which_all_is_retired_offers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(fleet_text_of(ALL))
    profiles = CliRunner().invoke(main, ["profiles", "--fleet", str(path), "-o", "json"])
    assert (profiles.exit_code, json.loads(profiles.stdout)) == (0, [])
    with pytest.raises(Denial, match="'shared' was offered by pool b, now retired"):
        plan(pod_of("shared"), fleet_of(ALL))
    with pytest.raises(Denial, match="'1/7' was offered by pool a, now retired"):
        plan(pod_of("1/7"), fleet_of(ALL))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_what_runs_there_keeps_what_beside_tools_were_told(subject: Output) -> None:
    text = subject.text(fleet_of(ALL), BOOT)
    if subject.name not in ("kueue", "node-pools", "fleet", "admission-policy", "policy-alone"):
        assert text == subject.text(fleet_of(ALL.replace("retired: true", "retired: false")), BOOT)
    assert bool(text) == (subject.name not in ("kueue", "quota", "gpu-operator"))


def test_karpenter_does_not_choose_between_it_and_its_successor(tmp_path: Path) -> None:
    for text, warns in ((FLEETS["retired"].read_bytes(), False), (BEFORE_TEXT, True)):
        (tmp_path / "fleet.yaml").write_bytes(text)
        result = CliRunner().invoke(main, ["fleet", "check", str(tmp_path / "fleet.yaml")])
        assert result.exit_code == 0
        assert ("with equal weight, so Karpenter launches 'old'" in result.stderr) is warns


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["render", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_render_retires_a_pool_as_if_the_file_said_so(tmp_path: Path) -> None:
    written = tmp_path / "fleet.yaml"
    text = files.default_fleet_text().decode()
    written.write_text(text.replace("name: a100-mixed\n", "name: a100-mixed\n    retired: true\n"))
    for subject in (*KARPENTER, "fleet"):
        code, rendered, said = run("--retire=a100-mixed", f"--only={subject}")
        assert code == 0
        if subject != "fleet":
            assert rendered == run(f"--fleet={written}", f"--only={subject}")[1]
        else:
            (config,) = documents.read(rendered)
            again = files.load_fleet(config.value["data"]["fleet.yaml"].encode())
            assert [pool.name for pool in again.pools if pool.entry.retired] == ["a100-mixed"]
        assert said == (
            "write 'retired: true' into pool a100-mixed of the fleet file too: the webhook reads it there\n"
        )


def test_only_a_pool_can_be_retired() -> None:
    code, _, said = run("--retire=a100-mixd")
    assert code == 2
    assert "'a100-mixd' is not a pool. The pools are a100-1g-5gb, a100-mixed," in said


def test_all_that_every_cluster_needs_is_found_by_one_label_and_nothing_else_is() -> None:
    options = run("--prune-list")[1].split()
    assert options[:2] == ["--prune", "--selector=app.kubernetes.io/part-of=gpu-slice-fleet"]
    kinds = {each.partition("=")[2] for each in options[2:]}
    text = FLEETS["teams"].read_text()
    fleet = files.load_fleet(text.encode())
    found = [each for subject in (*KARPENTER, "quota") for each in documents_of(fleet, subject)]
    assert {each["metadata"]["labels"].get("app.kubernetes.io/part-of") for each in found} == {"gpu-slice-fleet"}
    assert {_kind(each) for each in found} <= kinds
    for each in found:  # a label there would start every pod of the plugin anew
        template = each["spec"].get("template", {}) if each["kind"] == "DaemonSet" else {}
        assert "app.kubernetes.io/part-of" not in template.get("metadata", {}).get("labels", {})
    beside = [each for subject in ("fleet", "mig-parted", "dra", "kueue") for each in documents_of(fleet, subject)]
    assert not any("app.kubernetes.io/part-of" in (each["metadata"].get("labels") or {}) for each in beside)
    manifests = [path.read_text() for path in (Path(__file__).parents[2] / "manifests").rglob("*.yaml")]
    assert not any("part-of: gpu-slice-fleet" in each for each in manifests)


def _kind(document: Document) -> str:
    group, _, version = document["apiVersion"].rpartition("/")
    return f"{group or 'core'}/{version}/{document['kind']}"


def test_a_prune_list_is_of_what_is_applied() -> None:
    assert run("--prune-list", "--only=node-pools")[1].split()[2:] == ["--prune-allowlist=karpenter.sh/v1/NodePool"]
    code, _, said = run("--prune-list", "--only=fleet")
    assert code == 2
    assert "nothing of fleet is left behind" in said


def nodes(**of: int) -> list[Document]:
    found: list[Any] = []
    for name, count in of.items():
        for number in range(count):
            each = node()
            each["metadata"]["name"] = f"{name}-{number}"
            each["metadata"]["labels"] = {"gpu-slice/pool": name}
            found.append(each)
    return found


def test_check_says_when_the_last_node_of_a_retired_pool_is_gone() -> None:
    line = done("nodes", facts({NODES: nodes(old=2, new=1, gone=1, standing=1)}, FLEET))
    assert (line.status, line.notes) == (
        Status.GOOD, ("old (retired): 2, new: 1, gone (retired): 1, standing (retired): 1",)
    )  # fmt: skip
    claim = {"metadata": {"name": "gone-x", "labels": {"karpenter.sh/nodepool": "gone"}}}
    line = done("nodes", facts({NODES: nodes(new=1), NODE_CLAIMS: [claim]}, FLEET))
    assert line.status is Status.WARNING
    assert told(line) == (
        "old is retired and has none any more: it can be removed | "
        "standing is retired and has none any more: it can be removed"
    )
    assert "docs/change-a-layout.md" in line.problems[0].cure


def test_check_finds_no_fault_with_a_limit_that_is_meant_or_with_pods_that_run_to_their_end() -> None:
    of_old = {"gpu-slice": "1g.5gb", "gpu-slice/assigned": "1g.5gb -> main=nvidia.com/mig-1g.5gb:1"}
    main = {"name": "main", "resources": {"limits": {"nvidia.com/mig-1g.5gb": "1"}}}
    pod = {
        "metadata": {"name": "a", "namespace": "default", "annotations": {**of_old, "gpu-slice/pools": "old"}},
        "spec": {"containers": [main], "nodeName": "old-0"},
    }
    live = documents_of(FLEET, "node-pools")
    for each in live:
        each["status"] = {"resources": {"nodes": "3", "nvidia.com/mig-1g.5gb": "96"}}
    about = facts({PODS: [pod], NODE_POOLS: live, NODES: nodes(old=1)}, FLEET)
    assert [done(id, about).status for id in ("pods-stale", "node-pool-limit")] == [Status.GOOD] * 2
    pod["metadata"]["annotations"]["gpu-slice/pools"] = "unheard-of"
    line = done("pods-stale", facts({PODS: [pod]}, FLEET))
    assert told(line) == "default/a: its slice was of unheard-of, and now is of new"


def test_explain_says_it_of_a_pod_that_waits_for_a_node_of_it() -> None:
    retired = fleet_of("""
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], retired: true}
""")
    world = World()
    world.full()
    world.around["fleet"] = retired
    assert [each.id for each in world.explain().also] == ["slices-in-use"]
    world.node_pools.clear()  # also where somebody has deleted it already
    found = world.explain()
    assert (found.cause.id, found.cause.sentence) == (
        "pool-retired",
        "Pool a100 is retired, so no node of it is launched.",
    )


def test_a_node_that_karpenter_launched_before_is_waited_for() -> None:
    world = World()
    world.full()
    world.around["fleet"] = fleet_of("""
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], retired: true}
""")
    world.claim("2026-11-25T11:58:00Z", Launched=("True", "Launched", ""), Registered=("Unknown", "NodeNotFound", ""))
    world.says("karpenter", "Pod should schedule on: nodeclaim/a100-x7k2p", "Nominated")
    assert world.explain().cause.id == "launching"


def test_the_page_that_check_and_the_schema_name_is_there() -> None:
    page = Path(__file__).parents[2] / "docs" / "change-a-layout.md"
    assert re.search("retired: true", page.read_text())


@pytest.mark.parametrize(
    ("retired", "empty_for", "written"),
    [("true", "Never", "300s"), ("true", "2s", "2s"), ("false", "Never", "Never"), ("false", "2s", "2s")],
)
def test_empty_nodes_of_a_retired_pool_stay_no_longer_than_its_file_says(
    retired: str, empty_for: str, written: str
) -> None:
    more = f"retired: {retired}, emptyFor: {empty_for}"
    text = ALL.replace("retired: true", more, 1)
    (pool, _) = documents_of(files.load_fleet(f"apiVersion: gpu-slice/v1\n{text}".encode()), "node-pools")
    assert pool["spec"]["disruption"]["consolidateAfter"] == written
