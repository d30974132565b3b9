"""The policy in the API server, told pods that are as expensive as somebody can make them: each gets a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Document
from tests.cluster.test_admission_policy import _cluster, asking, create, install, remove  # noqa: F401  # a fixture
from webhook.admission.assigned import DECIDED
from webhook.slices.request import ASSIGNED

MANY = "denied request: spec: it has more than 100 containers, 1000 limits and requests, 500 tolerations or 100 labels "
RECORD = "denied request: metadata.annotations[gpu-slice/assigned]: it is '"


@pytest.fixture(scope="module", name="policed")
def _policed(cluster: Cluster) -> Any:
    install(cluster, "policy-alone", "default")
    yield cluster
    remove(cluster)


def containers(number: int, limits: int = 0, resource: str = "example.com/r") -> list[Document]:
    quantities = {f"{resource}{each}": "1" for each in range(limits)}
    resources = {"limits": quantities, "requests": quantities}
    return [{"name": f"c{each}", "image": "a/b:1", "resources": resources} for each in range(number)]


def requiring(terms: int, expressions: int) -> Document:
    selected = [{"key": f"a{each}", "operator": "Exists"} for each in range(expressions)]
    required = {"nodeSelectorTerms": [{"matchExpressions": selected}] * terms}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


@pytest.mark.parametrize(
    ("spec", "annotations", "said"),
    [
        pytest.param({"containers": containers(2_000, 5)}, {}, MANY, id="2,000 containers with 5 limits each"),
        pytest.param({"containers": containers(101)}, {}, MANY, id="101 containers"),
        pytest.param({"initContainers": containers(100)}, {}, MANY, id="100 init containers"),
        pytest.param({"containers": containers(1, 3_000)}, {}, MANY, id="3,000 limits in one container"),
        pytest.param({"initContainers": containers(1, 3_000)}, {}, MANY, id="3,000 limits in an init container"),
        pytest.param({"affinity": requiring(1, 2_000)}, {}, MANY, id="2,000 match expressions"),
        pytest.param({"affinity": requiring(2_000, 1)}, {}, MANY, id="2,000 terms"),
        pytest.param({"nodeSelector": {f"a{each}": "b" for each in range(2_000)}}, {}, MANY, id="2,000 labels"),
        pytest.param(
            {"tolerations": [{"key": f"a{each}", "operator": "Exists"} for each in range(3_000)]}, {}, MANY,
            id="3,000 tolerations",
        ),
        pytest.param({}, {ASSIGNED: "a" * 9_000}, MANY, id="a long record"),
        pytest.param({}, {ASSIGNED: ""}, RECORD, id="an empty record"),
        pytest.param({}, {ASSIGNED: "a" * 1_900}, RECORD + "a" * 200 + "...', which", id="a record of 1,900 letters"),
        pytest.param(
            {"containers": containers(1, 450, "nvidia.com/mig-r")}, {},
            "denied request: spec.containers: c0 asks for nvidia.com/mig-r", id="450 slices in one container",
        ),
        pytest.param(
            {"containers": containers(2, 200, "nvidia.com/mig-r")}, {},
            "denied request: spec.containers: c0 asks for nvidia.com/mig-r", id="200 slices in each of two",
        ),
    ],
)  # fmt: skip
def test_what_is_too_much_for_the_policy_is_refused_with_a_sentence(
    policed: Cluster, spec: Document, annotations: dict[str, str], said: str
) -> None:
    pod = asking("large", **annotations)
    refused = create(policed, {**pod, "spec": {**pod["spec"], **spec}})
    assert isinstance(refused, str)
    assert said in refused.replace("the policy of default", "the policy in the cluster")
    assert "\n" not in refused
    assert len(refused) < 2_000


@pytest.mark.parametrize("asked", ["x" * 100_000, "no=" + "1g.5gb|" * 100 + "1g.5gb", f"{'a' * 63}=1g.5gb"])
def test_a_long_annotation_is_refused_with_a_sentence(policed: Cluster, asked: str) -> None:
    refused = create(policed, asking("long", asked))
    assert isinstance(refused, str)
    assert "denied request: metadata.annotations[gpu-slice]: " in refused
    assert len(refused) < 2_000


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"containers": containers(100)}, id="100 containers"),
        pytest.param({"containers": containers(10, 45)}, id="900 limits and requests"),
        pytest.param({"affinity": requiring(1, 99)}, id="99 match expressions"),
        pytest.param(
            {"tolerations": [{"key": f"a{each}", "operator": "Exists"} for each in range(490)]}, id="490 tolerations"
        ),
    ],
)
def test_what_is_large_and_not_too_much_is_decided(policed: Cluster, spec: Document) -> None:
    pod = asking("large")
    stored = create(policed, {**pod, "spec": {**pod["spec"], **spec}})
    assert isinstance(stored, dict), stored
    assert stored["metadata"]["annotations"][DECIDED] == "default"
