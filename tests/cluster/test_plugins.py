"""Beside the API server's own plugins, with those switched on that EKS leaves off and companies use."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster import programs
from tests.cluster.cluster import Cluster, Document, cluster, said
from tests.cluster.conftest import Ours, empty, installed, skip
from tests.cluster.install import MANIFESTS
from tests.cluster.nodes import nodes
from tests.pods import container, pod_of
from tests.waiting import wait_for
from webhook.fleet.fleet import Fleet

SLICE = "nvidia.com/mig-1g.5gb"
WHOLE = "nvidia.com/gpu"
SELECTOR = "scheduler.alpha.kubernetes.io/node-selector"
WHITELIST = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
OURS = 'admission webhook "pods.gpu-slice.io" denied the request: '
CRITICAL = "system-cluster-critical"

CONFIGURATION = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "ResourceQuota",
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "ResourceQuotaConfiguration",
                "limitedResources": [
                    {
                        "resource": "pods",
                        "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": [CRITICAL]}],
                    }
                ],
            },
        },
        {"name": "PodNodeSelector", "configuration": {"podNodeSelectorPluginConfig": {"listed": "team=a"}}},
    ],
}
"""Critical pods need a quota that names them; pods of the namespace ``listed`` may select ``team: a`` alone."""


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[Cluster]:
    """A control plane of this module's own."""
    try:
        programs.control_plane()
    except programs.BuildError as error:
        skip(error)
    folder = tmp_path_factory.mktemp("strict")
    with cluster(folder, ["PodNodeSelector", "PodTolerationRestriction"], CONFIGURATION) as made:
        for each in nodes(fleet):
            made.add_node(each)
        yield made


@pytest.fixture(scope="module", name="ours", autouse=True)
def _ours(cluster: Cluster, tls: Path) -> Iterator[Ours]:
    """The webhook and its guard in it."""
    with installed(cluster, tls) as ours:
        yield ours


_numbers = itertools.count(1)


@pytest.fixture(name="space")
def _space(cluster: Cluster) -> Iterator[Any]:
    """Make a namespace with annotations, and in it a LimitRange for containers."""
    made: list[str] = []

    def space(limits: Document | None = None, name: str | None = None, **annotations: str) -> str:
        name = name or f"space-{next(_numbers)}"
        metadata = {"name": name, "annotations": annotations}
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made.append(name)
        if limits is not None:
            spec = {"limits": [{"type": "Container", **limits}]}
            document = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "caps"}, "spec": spec}
            cluster.create(document, name)
            # The plugin reads it from a cache.
            wait_for("it has an effect", lambda: has_limits(cluster, name, limits))
        return name

    yield space
    for name in made:
        empty(cluster, name)
        cluster.delete("Namespace", name)


def has_limits(cluster: Cluster, namespace: str, limits: Document) -> bool:
    """Whether the LimitRange writes into the pods of *namespace*, or refuses them."""
    seen = answer(cluster, plain(), namespace)
    return isinstance(seen, str) or bool(resources(seen))


def answer(cluster: Cluster, pod: Document, namespace: str) -> Document | str:
    """The pod as it would be stored, or the refusal."""
    try:
        return cluster.create(pod, namespace, dry_run=True)
    except DynamicApiError as error:
        return said(error)


def plain(**spec: Any) -> Document:
    """A pod that asks for no slice."""
    pod = pod_of("", **spec)
    del pod["metadata"]["annotations"]
    return pod


def asking(asked: str, *containers: Document, **spec: Any) -> Document:
    """A pod that asks for a slice, with images."""
    return pod_of(asked, *({"image": "example/main:1", **each} for each in containers), **spec)


def resources(pod: Document | str, container: int = 0) -> Document:
    """What a container of a stored pod has in limits, as in requests."""
    assert isinstance(pod, dict), pod
    found = pod["spec"]["containers"][container].get("resources", {})
    assert found.get("limits", {}) == found.get("requests", {})
    return found.get("limits", {})


class TestLimitRange:
    """It writes into pods before and after us, and refuses at the end."""

    def test_one_that_forbids_whole_gpus_lets_slices_be(self, cluster, space) -> None:
        namespace = space({"max": {WHOLE: "0"}})

        sliced = answer(cluster, asking("1g.5gb"), namespace)
        rescued = answer(cluster, asking("1g.5gb", container(limits={WHOLE: "1"})), namespace)
        several = answer(cluster, asking("b=1g.5gb", container("a"), container("b")), namespace)
        whole = answer(
            cluster, plain(containers=[asking("", container(limits={WHOLE: "1"}))["spec"]["containers"][0]]), namespace
        )

        assert resources(sliced) == resources(rescued) == {WHOLE: "0", SLICE: "1"}
        assert [resources(several, 0), resources(several, 1)] == [{WHOLE: "0"}, {WHOLE: "0", SLICE: "1"}]
        assert "maximum nvidia.com/gpu usage per Container is 0, but limit is 1" in whole

    def test_one_that_forbids_a_slice_refuses_it_in_its_own_words(self, cluster, space) -> None:
        namespace = space({"max": {SLICE: "0"}})

        assert resources(answer(cluster, asking("2g.10gb"), namespace)) == {SLICE: "0", "nvidia.com/mig-2g.10gb": "1"}
        assert f"maximum {SLICE} usage per Container is 0, but limit is 1" in answer(
            cluster, asking("1g.5gb"), namespace
        )

    def test_one_with_a_maximum_and_defaults_of_zero_caps_slices(self, cluster, space) -> None:
        namespace = space({"max": {SLICE: "2"}, "default": {SLICE: "0"}, "defaultRequest": {SLICE: "0"}})

        assert resources(answer(cluster, plain(), namespace)) == {SLICE: "0"}
        assert resources(answer(cluster, asking("1g.5gb"), namespace)) == {SLICE: "1"}
        assert resources(answer(cluster, asking("2x1g.5gb"), namespace)) == {SLICE: "2"}
        assert f"maximum {SLICE} usage per Container is 2, but limit is 3" in answer(
            cluster, asking("3x1g.5gb"), namespace
        )

    @pytest.mark.parametrize("limits", [{"max": {SLICE: "1"}}, {"default": {SLICE: "1"}}], ids=["max", "default"])
    def test_one_without_such_defaults_gives_a_slice_to_each_container_and_is_named_as_the_writer(
        self, cluster, space, limits: Document
    ) -> None:
        namespace = space(limits)

        assert resources(answer(cluster, plain(), namespace)) == {SLICE: "1"}
        assert resources(answer(cluster, asking("1g.5gb"), namespace)) == {SLICE: "1"}
        assert answer(cluster, asking("2x1g.5gb"), namespace) == (
            f"{OURS}spec.containers[0].resources.limits[{SLICE}]: 'main' asks for 1 of '{SLICE}', and the annotation "
            "gives it 2. Write the same count in both, or remove it from the container; if you did not write it, "
            "a LimitRange or a webhook did."
        )
        assert answer(cluster, asking("2g.10gb"), namespace).endswith("a LimitRange or a webhook did.")

    def test_one_that_gives_whole_gpus_is_named_as_the_writer(self, cluster, space) -> None:
        namespace = space({"default": {WHOLE: "1"}})

        refused = answer(cluster, asking("a=1g.5gb", container("a"), container("b")), namespace)

        assert refused.startswith(f"{OURS}spec.containers[1].resources.limits[{WHOLE}]: 'b' asks for a whole GPU, ")
        assert refused.endswith("if you did not write it, a LimitRange or a webhook did.")

    def test_a_bare_pod_with_a_zero_of_its_own_can_be_applied_twice(self, cluster, space) -> None:
        namespace = space()
        document = json.dumps(asking("1g.5gb", container(limits={WHOLE: "0"})))
        for expected in ("created", "unchanged"):
            done = cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=document)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"pod/notebook {expected}\n", "")


def whitelist(*tolerations: Document) -> Document:
    """The annotation of a namespace that allows these, and those that the API server adds to each pod."""
    own = [
        {"key": f"node.kubernetes.io/{name}", "operator": "Exists"}
        for name in ("not-ready", "unreachable", "memory-pressure")
    ]
    return {WHITELIST: json.dumps([*own, *tolerations])}


OUR_KEY = {"key": "nvidia.com/gpu-shared", "operator": "Exists"}
TAINT = {"key": "nvidia.com/gpu-shared", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
OF_SLICE = {"key": SLICE, "operator": "Exists", "effect": "NoSchedule"}


class TestTolerationRestriction:
    """A namespace may list the tolerations that its pods may have."""

    def test_a_list_with_both_of_ours_lets_a_sliced_pod_be(self, cluster, space) -> None:
        namespace = space(**whitelist(OUR_KEY, OF_SLICE))
        assert resources(answer(cluster, asking("1g.5gb"), namespace)) == {SLICE: "1"}

    @pytest.mark.parametrize(
        "allowed", [[OUR_KEY], [OF_SLICE], [OUR_KEY | {"effect": "NoSchedule"}, OF_SLICE], [TAINT, OF_SLICE], []],
        ids=["not the slice's", "not the taint's", "one effect alone", "the taint alone", "neither"],
    )  # fmt: skip
    def test_another_list_refuses_it(self, cluster, space, allowed: list[Document]) -> None:
        namespace = space(**whitelist(*allowed))
        assert answer(cluster, asking("1g.5gb"), namespace) == (
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"
        )
        assert isinstance(answer(cluster, plain(), namespace), dict)

    @pytest.mark.parametrize("narrow", [TAINT, OUR_KEY | {"effect": "NoSchedule"}], ids=["the taint", "its effect"])
    def test_a_pod_that_writes_a_narrower_one_gets_no_wider(self, cluster, space, narrow: Document) -> None:
        namespace = space(**whitelist(narrow, OF_SLICE))
        stored = answer(cluster, asking("1g.5gb", tolerations=[narrow]), namespace)
        assert resources(stored) == {SLICE: "1"}
        assert OUR_KEY not in stored["spec"]["tolerations"]


@pytest.mark.parametrize(
    ("key", "bound"), [("nvidia.com/gpu-shared", True), ("maintenance", False)], ids=["our key", "another key"]
)
def test_a_node_is_closed_to_sliced_pods_by_a_taint_with_another_key_alone(
    cluster, space, key: str, bound: bool
) -> None:
    namespace = space()
    node = cluster.get("Node", "h200-large-1")
    taints = node["spec"]["taints"]
    cluster.patch(
        "Node", "h200-large-1", {"spec": {"taints": [*taints, {"key": key, "value": "drain", "effect": "NoExecute"}]}}
    )
    try:
        if bound:
            cluster.create(asking("4g.71gb"), namespace)
            assert cluster.scheduled("notebook", namespace) == "h200-large-1"
        else:
            assert "untolerated taint" in cluster.turned_away(asking("4g.71gb"), namespace)
    finally:
        cluster.patch("Node", "h200-large-1", {"spec": {"taints": taints}})


class TestNodeSelector:
    """A namespace may give its pods a node selection, and list what they may select."""

    def test_one_that_agrees_is_merged(self, cluster, space) -> None:
        stored = answer(cluster, asking("1g.5gb"), space(**{SELECTOR: "team=a,nvidia.com/gpu=a100"}))
        assert stored["spec"]["nodeSelector"] == {"nvidia.com/gpu": "a100", "team": "a"}

    def test_one_that_no_pool_satisfies_is_named_as_the_writer(self, cluster, space) -> None:
        assert answer(cluster, asking("1g.5gb"), space(**{SELECTOR: "nvidia.com/gpu=h100"})) == (
            f"{OURS}spec.nodeSelector[nvidia.com/gpu]: 'h100' matches no node that serves '1g.5gb' (pools a100-1g-5gb "
            "and a100-mixed), where the label is 'a100'. Write 'a100', or remove it; if you did not write it, the "
            "namespace (PodNodeSelector) or a webhook did."
        )

    def test_one_that_the_pod_contradicts_refuses_it_in_its_own_words(self, cluster, space) -> None:
        pod = asking("1g.5gb", nodeSelector={"team": "b"})
        assert "conflicts with its namespace node label selector" in answer(cluster, pod, space(**{SELECTOR: "team=a"}))

    def test_a_list_without_the_label_of_the_pools_refuses_it(self, cluster, space) -> None:
        namespace = space(name="listed")
        refused = "pod node label selector labels conflict with its namespace whitelist"
        assert refused in answer(cluster, asking("1g.5gb"), namespace)
        assert resources(answer(cluster, asking("1g.10gb"), namespace)) == {"nvidia.com/mig-1g.10gb": "1"}  # no label


class TestCriticalPods:
    """Some clusters allow a critical priority only where a quota names it."""

    def test_ours_come_up_where_it_is_limited(self, cluster, space) -> None:
        refused = answer(cluster, plain(priorityClassName=CRITICAL), space())
        assert "insufficient quota to match these scopes" in refused

        for folder in ("webhook", "keeper"):
            rendered = cluster.kubectl("kustomize", str(MANIFESTS / folder)).stdout.split("\n---\n")
            kept = [each for each in rendered if "kind: MutatingWebhookConfiguration" not in each]  # it is there
            done = cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(kept))
            assert done.returncode == 0, done.stderr

        def ready() -> bool:
            found = [cluster.get("Deployment", name, "gpu-slice", "apps/v1") for name in ("webhook", "keeper")]
            return [each["status"].get("readyReplicas") for each in found] == [3, 1]

        wait_for("all of them are ready", ready)


class TestPolicyThatMutates:
    """A MutatingAdmissionPolicy is evaluated before any webhook is called."""

    def test_it_may_add_the_annotation(self, cluster, space) -> None:
        namespace = space()
        of = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "annotate"}}
        expression = 'Object{metadata: Object.metadata{annotations: {"gpu-slice": "1g.5gb"}}}'
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        spec = {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [rule],
            },
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        }
        cluster.create(of | {"kind": "MutatingAdmissionPolicy", "spec": spec})
        cluster.create(of | {"kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": "annotate"}})
        try:
            stored = wait_for(
                "it annotates",
                lambda: (made := answer(cluster, plain(), namespace))["metadata"].get("annotations") and made,
            )
        finally:
            for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"):
                cluster.delete(kind, "annotate", api_version="admissionregistration.k8s.io/v1")
        assert resources(stored) == {SLICE: "1"}
