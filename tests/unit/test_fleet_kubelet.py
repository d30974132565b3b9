"""Types in ``nodeClass.kubelet`` and keys of tags, which only Karpenter checks."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import pool_text, problems, text
from webhook.cli import files


def loads(node_class: str) -> None:
    files.load_fleet(text(pool_text(nodeClass=node_class)).encode())


@pytest.mark.parametrize(
    ("kubelet", "field", "problem", "hint"),
    [
        pytest.param("many", "", "'many' is a string", "Write a mapping", id="a word"),
        pytest.param("[maxPods]", "", "is a list", "Write a mapping", id="a list"),
        pytest.param("{maxPods: true}", ".maxPods", "is a boolean", "Write a whole number", id="yes"),
        pytest.param("{maxPods: 1.5}", ".maxPods", "1.5 is a number", "Write a whole number", id="half a pod"),
        pytest.param("{maxPods: -1}", ".maxPods", "-1 is out of range", "Write 0 to", id="less than none"),
        pytest.param("{maxPods: 2147483648}", ".maxPods", "out of range", "2,147,483,647", id="too many"),
        pytest.param("{podsPerCore: '4'}", ".podsPerCore", "'4' is a string", "without quotes", id="quotes"),
        pytest.param("{evictionMaxPodGracePeriod: 5s}", ".evictionMaxPodGracePeriod", "a string", "", id="5s"),
        pytest.param("{cpuCFSQuota: 'no'}", ".cpuCFSQuota", "'no' is a string", "Write true or false", id="no"),
        pytest.param("{clusterDNS: 10.0.0.10}", ".clusterDNS", "no list of strings", "Write one", id="one address"),
        pytest.param("{clusterDNS: [10]}", ".clusterDNS", "no list of strings", "Write one", id="a number in it"),
        pytest.param("{systemReserved: 1Gi}", ".systemReserved", "a string", "Write a mapping", id="an amount alone"),
        pytest.param("{kubeReserved: {cpu: 1}}", ".kubeReserved.cpu", "1 is a number", "in quotes", id="one core"),
        pytest.param(
            "{evictionHard: {memory.available: 5}}", ".evictionHard[memory.available]", "5 is a number", "in quotes",
            id="a threshold",
        ),
        pytest.param(
            "{evictionSoftGracePeriod: {memory.available: 90}}", ".evictionSoftGracePeriod[memory.available]",
            "90 is a number", "in quotes", id="seconds",
        ),
    ],
)  # fmt: skip
def test_a_type_that_karpenter_refuses_is_refused(kubelet: str, field: str, problem: str, hint: str) -> None:
    (found,) = problems(text(pool_text(nodeClass=f"{{kubelet: {kubelet}}}")))
    assert found.path == f"pools[0].nodeClass.kubelet{field}"
    assert problem in found.problem
    assert hint in found.hint


@pytest.mark.parametrize(
    "kubelet",
    [
        "{}",
        "null",
        "{maxPods: null}",
        "{maxPods: 0}",
        "{maxPods: 2147483647}",
        "{maxPods: 'max(110, default)'}",
        "{podsPerCore: 4, cpuCFSQuota: false, clusterDNS: ['10.100.0.10']}",
        "{systemReserved: {cpu: '1', memory: 1Gi}, evictionHard: {memory.available: 5%}}",
        "{kubeReserved: {memory: null}}",
        "{featureGates: {A: true}, registryPullQPS: 10}",
    ],
)
def test_a_type_that_karpenter_takes_is_taken(kubelet: str) -> None:
    loads(f"{{kubelet: {kubelet}}}")


@pytest.mark.parametrize(
    "key",
    ["karpenter.sh/nodepool", "karpenter.sh/nodeclaim", "karpenter.k8s.aws/ec2nodeclass", "eks:eks-cluster-name",
     "kubernetes.io/cluster", "kubernetes.io/cluster/west", "kubernetes.io/clusters", "aws:x", "AWS:x", "Aws:x"],
)  # fmt: skip
def test_a_tag_that_an_ec2nodeclass_refuses_is_refused(key: str) -> None:
    (found,) = problems(text(pool_text(tags=f"{{'{key}': a}}")))
    assert found.path == f"pools[0].tags[{key}]"


@pytest.mark.parametrize(
    "key",
    ["karpenter.sh/nodepool-owner", "karpenter.sh/nodeclaims", "karpenter.k8s.aws/ec2nodeclass/x",
     "eks:eks-cluster-name-2", "awsome", "a/kubernetes.io/cluster", "karpenter.sh/NodePool"],
)  # fmt: skip
def test_a_tag_that_only_looks_like_one_of_those_is_taken(key: str) -> None:
    files.load_fleet(text(pool_text(tags=f"{{'{key}': a}}")).encode())
