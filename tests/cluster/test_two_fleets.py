"""Two replicas in the minute in which only one of them has read the new fleet file: a pod may be shown to both."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.cluster.neighbour import Answer, Neighbour, beside_ours, changing, neighbour
from tests.cluster.nodes import nodes
from tests.cluster.test_order import inject
from tests.pods import pod_of
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli import files
from webhook.cli.loopback import LOOPBACK

BEFORE = """
apiVersion: gpu-slice/v1
pools:
- {name: renamed, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], labels: {model: a100}}
"""
AFTER = BEFORE.replace("model: a100", "accelerator: a100")
HOME = "two-fleets"
NODE = "renamed-1"


@pytest.fixture(scope="module", name="replicas")
def _replicas(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """One of each fleet."""
    made = {}
    for name, text in (("before", BEFORE), ("after", AFTER)):
        path = tmp_path_factory.mktemp(name) / "fleet.yaml"
        path.write_text(text)
        made[name] = Running(tls, "--fleet", str(path))
    yield made
    for each in made.values():
        each.stop()


@pytest.fixture(scope="module", name="service")
def _service(cluster: Cluster, ours: Ours, tls: Path) -> Iterator[Neighbour]:
    """What stands before both, as the Service does in a cluster; a neighbour after us, so that we are asked twice."""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}})
    with neighbour(tls) as service, neighbour(tls) as other:
        ours.installation.point_at(service.port, service.ca, lambda _: bool(service.calls))
        with beside_ours(cluster, other, "z-neighbour", "IfNeeded", HOME):
            other.behaviour = changing(inject)
            yield service
        ours.serve()
    cluster.delete("Namespace", HOME)


def asked(replica: Running, request: Document, tls: Path) -> Answer:
    """What *replica* answers."""
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    url, headers = f"https://{LOOPBACK}:{replica.port}/mutate", {"Content-Type": "application/json"}
    call = urllib.request.Request(url, json.dumps(review).encode(), headers)
    with urllib.request.urlopen(call, context=ssl.create_default_context(cafile=str(tls / "ca.crt"))) as answer:
        return Answer(answer.read())


@pytest.mark.parametrize(("first", "second"), [("before", "after"), ("after", "before")], ids=["new", "old"])
@pytest.mark.parametrize("standing", [BEFORE, AFTER], ids=["on a node of before", "on a node of after"])
def test_a_pod_that_both_see_selects_what_the_first_said_and_runs_on_its_nodes(
    first: str, second: str, standing: str, cluster, service, replicas, tls
) -> None:
    order = iter([replicas[first], replicas[second]])
    service.behaviour = lambda request: asked(next(order), request, tls)
    labels = {"before": {"model": "a100"}, "after": {"accelerator": "a100"}}
    node = nodes(files.load_fleet(standing.encode()))[1]
    cluster.add_node(node)
    try:
        stored: Any = cluster.create(pod_of("main=1g.5gb"), HOME)
        assert next(order, None) is None  # both were asked
        assert stored["spec"]["nodeSelector"] == labels[first]
        if labels[first].items() <= node["metadata"]["labels"].items():
            assert cluster.scheduled("notebook", HOME) == NODE
        else:  # as if nobody had been asked but the first
            assert "didn't match Pod's node affinity/selector" in cluster.unschedulable("notebook", HOME)
    finally:
        cluster.delete("Pod", "notebook", HOME)
        wait_for("the pod is gone", lambda: not cluster.get("Pod", "notebook", HOME))
        cluster.delete("Node", NODE)


def test_a_label_with_another_value_is_refused_by_the_second_and_the_next_attempt_succeeds(
    cluster, service, replicas, tls, tmp_path
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(BEFORE.replace("model: a100", "model: a100-40gb"))
    new = Running(tls, "--fleet", str(path))
    try:
        order = iter([replicas["before"], new, new, new])
        service.behaviour = lambda request: asked(next(order), request, tls)
        with pytest.raises(Exception, match="gpu-slice") as refused:
            cluster.create(pod_of("main=1g.5gb"), HOME, dry_run=True)
        assert "spec.nodeSelector[model]: 'a100' matches no node that serves '1g.5gb' (pool renamed)" in said(
            refused.value
        )
        again = cluster.create(pod_of("main=1g.5gb"), HOME, dry_run=True)
        assert again["spec"]["nodeSelector"] == {"model": "a100-40gb"}
    finally:
        new.stop()
