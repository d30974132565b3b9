"""`gpu-slice usage` on a real API server: what runs and waits there, and what a user with few rights is told."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from functools import partial
from typing import Any

from tests.cluster.world import World, pod

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
READ_NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}


def looked(live: World, *options: str) -> dict[str, Any]:
    """The JSON."""
    result = live.gpu_slice("usage", "-o", "json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_pool_says_what_its_pods_hold(live: World) -> None:
    found = looked(live, "--price", "p4d.24xlarge=28")
    pools = {pool["name"]: pool for pool in found["pools"]}
    assert {name: (pool["used"], pool["free"], pool["total"]) for name, pool in pools.items()} == {
        "a100": (1, 55, 56),
        "shared": (1, 3, 4),
        "standing": (1, 55, 56),
    }
    (node,) = pools["a100"]["nodes"]
    assert node["slices"][0]["pods"] == [{"namespace": "default", "name": "sliced", "count": 1}]
    assert (node["price"], node["freeCost"]) == (28, 27.5)
    assert found["problems"] == found["waiting"] == found["stranded"] == []


def test_a_pod_that_waits_is_said_with_its_pool_and_what_it_strands(live: World) -> None:
    too_many = pod("many", "1g.10gb") | {"spec": {"nodeSelector": {"gpu-slice/pool": "standing"}, "containers": [
        {"name": "main", "image": "a/b:1", "resources": {"limits": {"nvidia.com/mig-1g.10gb": "56"}}}
    ]}}  # fmt: skip
    too_many["metadata"]["annotations"] = {"gpu-slice": "56x1g.10gb"}
    with live.with_also(too_many):
        (queue,) = looked(live)["waiting"]
        assert (queue["slice"], queue["pools"], queue["count"], queue["free"]) == ("1g.10gb", ["standing"], 56, 55)
        stranded = looked(live)["stranded"]
        assert {(lost["pool"], lost["why"]) for lost in stranded} == {
            ("a100", "nobody waits for it, and pods wait for 1g.10gb"),
            ("shared", "nobody waits for it, and pods wait for 1g.10gb"),
        }


def test_a_cordoned_node_strands_its_free_slices(live: World) -> None:
    with live.changed("Node", "standing-1", lambda node: node["spec"].update(unschedulable=True)):
        (lost,) = looked(live)["stranded"]
        assert (lost["count"], lost["nodes"], lost["why"]) == (55, ["standing-1"], "the node is cordoned")
        table = live.gpu_slice("usage", "--draw").stdout
        assert "1g.10gb  (node is cordoned)" in table
        assert "1 of 56 used" in table


def test_csv_and_namespaces_say_the_same(live: World) -> None:
    rows = list(csv.DictReader(live.gpu_slice("usage", "-o", "csv").stdout.splitlines()))
    assert {row["pool"]: (row["used"], row["free"]) for row in rows} == {
        "a100": ("1", "55"), "shared": ("1", "3"), "standing": ("1", "55"),
    }  # fmt: skip
    rows = list(csv.DictReader(live.gpu_slice("usage", "-o", "csv", "--by", "namespace").stdout.splitlines()))
    assert [(row["namespace"], row["slice"], row["used"]) for row in rows] == [
        ("default", "1g.5gb", "1"), ("default", "shared", "1"), ("default", "1g.10gb", "1"),
    ]  # fmt: skip
    assert "default/sliced" in live.gpu_slice("usage", "--by", "namespace").stdout
    assert live.gpu_slice("usage", "-o", "short").stdout.startswith("3 of 116 slices are used (3%)")


def test_a_user_of_one_namespace_sees_what_its_pods_use_and_is_told_what_not(live: World) -> None:
    result = live.gpu_slice("usage", "--fleet", str(live.fleet_file), kubeconfig=live.user("default", [READ_PODS]))
    assert result.exit_code == 3
    assert "could not look: you may not list nodes\n" in result.stderr
    assert "could not look: you may not list pods in all namespaces\n" in result.stderr
    assert "default/sliced" in result.stdout
    assert "at least 3 slices are used" in result.stdout


def test_a_user_who_may_list_nodes_too_sees_how_many_there_are(live: World) -> None:
    kubeconfig = live.user("default", [READ_PODS], [READ_NODES])
    found = json.loads(
        live.gpu_slice("usage", "-o", "json", "--fleet", str(live.fleet_file), kubeconfig=kubeconfig).stdout
    )
    assert (found["used"], found["free"], found["total"]) == (3, None, 116)
    assert found["problems"] == ["you may not list pods in all namespaces"]


def test_a_user_who_may_read_nothing_gets_no_answer(live: World) -> None:
    kubeconfig = live.user("default", [])
    result = live.gpu_slice("usage", "--fleet", str(live.fleet_file), kubeconfig=kubeconfig)
    assert result.exit_code == 3
    assert "you may not list nodes; you may not list pods" in result.output
    assert live.gpu_slice("usage", kubeconfig=kubeconfig).exit_code == 3  # nor the fleet


def test_watching_ends_with_ctrl_c(live: World) -> None:
    command = [sys.executable, "-m", "webhook", "usage", "--watch", "1", "-o", "short"]
    environment = {"KUBECONFIG": str(live.cluster.plane.kubeconfig), "PATH": "/usr/bin:/bin"}
    # A shell that runs the tests in the background has all of them ignore it.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=heed) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert all(text.startswith("3 of 116 slices are used") for text in seen)
