"""The metrics of Karpenter that the alerts ask for: their names, labels and values, as Karpenter itself gives them."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.control_plane import LOOPBACK
from tests.cluster.world import World
from tests.unit.test_monitoring import OTHERS
from tests.waiting import wait_for

NODE_CLASS = "operator_ec2nodeclass_status_condition_current_status_seconds"
NODE_POOL = "operator_nodepool_status_condition_current_status_seconds"


def metrics(live: World) -> Iterator[Metric]:
    port = (live.folder / "home" / "metrics-port").read_text()
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=60) as answer:
        yield from text_string_to_metric_families(answer.read().decode())


def not_ready(live: World, metric: str) -> set[str]:
    """The names of what is not Ready, as the alert asks for it."""
    return {
        sample.labels["name"]
        for family in metrics(live)
        for sample in family.samples
        if sample.name == metric and sample.labels["type"] == "Ready" and sample.labels["status"] != "True"
    }


def test_what_the_alerts_ask_karpenter_for_is_what_it_measures(live: World) -> None:
    asked = {name: labels for name, labels in OTHERS.items() if name.startswith("operator_")}
    assert len(asked) == 3

    def measured() -> bool:
        found = {sample.name: sample.labels.keys() for family in metrics(live) for sample in family.samples}
        return all(labels <= found.get(name, set()) for name, labels in asked.items())

    wait_for("Karpenter measures all of it", measured)
    names = {family.name for family in metrics(live)}
    assert not any("nodeoverlay_status" in name for name in names), "then kube-state-metrics is not needed for it"


def test_a_node_class_that_is_not_ready_is_measured_with_its_node_pool(live: World) -> None:
    assert not_ready(live, NODE_CLASS) == set()

    def elsewhere(document: dict) -> None:
        document["spec"]["subnetSelectorTerms"] = [{"tags": {"karpenter.sh/discovery": "elsewhere"}}]

    with live.changed("EC2NodeClass", "shared", elsewhere):
        wait_for("the node class is not ready", lambda: not_ready(live, NODE_CLASS) == {"shared"})
        wait_for("nor is the NodePool", lambda: not_ready(live, NODE_POOL) == {"shared"})
    wait_for("both are ready again", lambda: not not_ready(live, NODE_CLASS) | not_ready(live, NODE_POOL))
