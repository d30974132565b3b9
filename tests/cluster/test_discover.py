"""`gpu-slice fleet discover` on a real API server, with nodes that Karpenter launched and one that stood there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.test_usage import READ_NODES, READ_PODS
from tests.cluster.world import World
from webhook.cli import files


def test_the_fleet_of_a_cluster_is_found_again(live: World, tmp_path: Path) -> None:
    result = live.gpu_slice("fleet", "discover")
    assert result.exit_code == 0, result.output
    path = tmp_path / "fleet.yaml"
    path.write_text(result.stdout)
    again = files.fleet_at(path)
    assert again.cluster == live.fleet.cluster
    assert {
        pool.name: [(str(offer), offer.resource, offer.per_gpu) for offer in pool.offers] for pool in again.pools
    } == {
        pool.name: [(str(offer), offer.resource, offer.per_gpu) for offer in pool.offers] for pool in live.fleet.pools
    }
    for pool in again.pools:
        before = live.pools[pool.name].entry
        assert (pool.entry.nodes, pool.entry.limit, pool.entry.taints) == (before.nodes, before.limit, before.taints)
    checked = live.gpu_slice("fleet", "check", str(path))
    assert checked.exit_code == 0, checked.output


def test_json_is_a_fleet_too(live: World) -> None:
    result = live.gpu_slice("fleet", "discover", "-o", "json", "--cluster", "other")
    assert json.loads(result.stdout)["cluster"] == "other"
    assert len(files.load_fleet(result.stdout.encode()).pools) == 3


def test_who_may_list_nodes_alone_gets_a_fleet_of_standing_nodes_and_is_told(live: World) -> None:
    kubeconfig = live.user("default", [READ_PODS], [READ_NODES])
    result = live.gpu_slice("fleet", "discover", kubeconfig=kubeconfig)
    assert result.exit_code == 0
    assert {pool.entry.nodes for pool in files.load_fleet(result.stdout.encode()).pools} == {"existing"}
    assert "could not look: you may not list nodepools\n" in result.stderr
    assert "could not look: you may not list ec2nodeclasses\n" in result.stderr


def test_who_may_not_list_nodes_gets_no_answer(live: World) -> None:
    result = live.gpu_slice("fleet", "discover", kubeconfig=live.user("default", [READ_PODS]))
    assert result.exit_code == 3
    assert "you may not list nodes" in result.output
