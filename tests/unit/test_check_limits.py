"""`check`: a limit that is reached is a failure only for pods that no node is on its way for."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.rendering import documents_of
from tests.unit.check_facts import NOW, OLD, SLICED, YOUNG, done, facts, told
from webhook.cli.files import load_fleet
from webhook.cluster.check import Line, Status
from webhook.cluster.objects import NODE_CLAIMS, NODE_POOLS, PODS

Document = dict[str, Any]
SLICE = "nvidia.com/mig-1g.5gb"
FLEET = load_fleet(b"""\
apiVersion: gpu-slice/v1
cluster: my-cluster
pools:
- {name: a100, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {nodes: 1}}
- {name: more, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {nodes: 1}}
""")


def node_pools(**used: str) -> list[Document]:
    """The NodePools with so many nodes."""
    found = [copy.deepcopy(each) for each in documents_of(FLEET, "node-pools")]
    for each in found:
        each["status"] = {"resources": {"nodes": used.get(each["metadata"]["name"], "0")}}
    return found


def waits(name: str = "p", pools: str = "a100", count: int = 1, **metadata: Any) -> Document:
    pod = copy.deepcopy(SLICED)
    del pod["spec"]["nodeName"]
    pod["spec"]["containers"][0]["resources"] = {key: {SLICE: str(count)} for key in ("limits", "requests")}
    pod["metadata"] |= {"name": name, **metadata}
    pod["metadata"]["annotations"]["gpu-slice/pools"] = pools
    return pod


def claim(pool: str = "a100", age: Any = YOUNG, step: str = "Registered", **metadata: Any) -> Document:
    """A NodeClaim that has come to *step*, and no further."""
    steps = ["Launched", "Registered", "Initialized"]
    stated = [{"type": each, "status": "True"} for each in steps[: steps.index(step)]]
    labels = {"karpenter.sh/nodepool": pool}
    created = (NOW - age).isoformat()
    return {
        "metadata": {"name": f"{pool}-1", "labels": labels, "creationTimestamp": created, **metadata},
        "status": {"conditions": stated},
    }


def limit(pods: list[Document], claims: list[Document], **used: str) -> Line:
    return done(
        "node-pool-limit", facts({NODE_POOLS: node_pools(**used), NODE_CLAIMS: claims, PODS: pods}, fleet=FLEET)
    )


@pytest.mark.parametrize("step", ["Launched", "Registered", "Initialized"])
def test_the_launch_of_the_last_node_that_is_allowed_is_no_failure(step: str) -> None:
    line = limit([waits()], [claim(step=step)], a100="1")
    assert line.status is Status.WARNING
    assert told(line) == "a100: its limit of 1 nodes is reached (1 in use), so no further node is launched"


def test_pods_beyond_what_that_node_will_have_wait() -> None:
    pods = [waits(f"p{number}", count=14, creationTimestamp=f"2026-11-25T11:5{number}:00Z") for number in range(6)]
    line = limit(pods, [claim()], a100="1")
    assert line.status is Status.FAILED
    assert told(line).endswith("and 2 pods wait, such as default/p4")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([], id="none is launched"),
        pytest.param([claim(age=OLD)], id="it is stuck"),
        pytest.param([claim(deletionTimestamp=NOW.isoformat())], id="it goes"),
        pytest.param([claim("more")], id="of another pool"),
    ],
)
def test_a_node_that_will_not_have_room_for_the_pod_leaves_a_failure(wrong: list[Document]) -> None:
    line = limit([waits()], wrong, a100="1", more="1")
    assert line.status is Status.FAILED
    assert "and 1 pod waits, such as default/p" in told(line)


def test_a_pod_that_another_pool_may_serve_does_not_wait_for_this_limit() -> None:
    both = waits(pools="a100, more")
    assert limit([both], [], a100="1").status is Status.WARNING
    assert limit([both], [claim("more")], a100="1", more="1").status is Status.WARNING
    assert limit([both], [], a100="1", more="1").status is Status.FAILED


def test_nor_does_one_that_is_being_deleted() -> None:
    assert limit([waits(deletionTimestamp=NOW.isoformat())], [], a100="1").status is Status.WARNING
