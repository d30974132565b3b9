"""Namespaces: what they may ask for, how they opt out, and the quota that enforces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.cluster.neighbour import beside_ours, changing, neighbour
from tests.waiting import wait_for

SLICE = "nvidia.com/mig-1g.5gb"
QUOTA = f"requests.{SLICE}"
POOLS = "gpu-slice/pools"
OURS = 'admission webhook "pods.gpu-slice.io" denied the request: metadata.annotations[gpu-slice]: '


@pytest.fixture(scope="module", autouse=True, name="teams")
def _teams(cluster: Cluster, ours: Ours) -> Iterator[None]:
    """The webhook serves ``tests/fleets/teams.yaml``, and its namespaces are there."""
    for name in ("notebooks", "research", "team-a", "nobody"):
        if not cluster.get("Namespace", name):  # other tests make it too
            cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        label(cluster, name, "gpu-slice/default", "true" if name in ("notebooks", "research") else None)
    ours.serve("teams")
    yield
    ours.serve()


def label(cluster: Cluster, namespace: str, key: str, value: str | None) -> None:
    cluster.patch("Namespace", namespace, {"metadata": {"labels": {key: value}}})


def pod_of(asked: str | None, name: str = "main", **limits: str) -> Document:
    """A pod that asks for a slice, or for *limits* by hand."""
    metadata = {"name": name, "annotations": {"gpu-slice": asked}} if asked is not None else {"name": name}
    container = {"name": "main", "image": "example/main:1", "resources": {"limits": limits} if limits else {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def exported(cluster: Cluster, asked: str) -> Document:
    """A pod of a namespace that may use everything, as ``kubectl get -o yaml`` shows it."""
    pod = cluster.create(pod_of(asked), "default", dry_run=True)
    kept = {key: pod["metadata"][key] for key in ("name", "annotations")}
    return pod | {"metadata": kept}


def answer(cluster: Cluster, pod: Document, namespace: str, *, dry_run: bool = True) -> Document | str:
    """The pod as it is stored, or the refusal."""
    try:
        return cluster.create(pod, namespace, dry_run=dry_run)
    except DynamicApiError as error:
        return said(error)


@pytest.mark.parametrize(
    ("namespace", "asked", "resource", "pools"),
    [
        pytest.param("notebooks", "shared", "nvidia.com/gpu.shared", "a10g-shared", id="its one pool"),
        pytest.param("research", "3g.20gb", "nvidia.com/mig-3g.20gb", "several", id="every slice of its pool"),
        pytest.param("research", "1g.5gb", SLICE, "several", id="of two pools, its own alone"),
        pytest.param("team-a", "1g.5gb", SLICE, "small, several", id="its slice, of any pool"),
        pytest.param("team-a", "3g.20gb|2g.10gb", "nvidia.com/mig-2g.10gb", "several", id="the alternative it may use"),
        pytest.param("default", "shared", "nvidia.com/gpu.shared", "a10g-shared", id="the rest has what * has"),
    ],
)
def test_a_namespace_gets_what_it_may_use(namespace, asked, resource, pools, cluster) -> None:
    pod = cluster.create(pod_of(asked), namespace, dry_run=True)

    assert pod["spec"]["containers"][0]["resources"]["limits"] == {resource: "1"}
    assert pod["metadata"]["annotations"][POOLS] == pools


@pytest.mark.parametrize(
    ("namespace", "asked", "sentence"),
    [
        pytest.param(
            "notebooks",
            "1g.5gb",
            "namespace 'notebooks' may not use '1g.5gb'. "
            "It may use nothing as large, only 'shared' (pool a10g-shared).",
            id="a slice of a pool that is not its own",
        ),
        pytest.param(
            "research",
            "shared",
            "namespace 'research' may not use 'shared'. Write '1g.5gb', the nearest that this namespace may use "
            "(pool several, a100-40gb).",
            id="another pool",
        ),
        pytest.param(
            "team-a",
            "3g.20gb",
            "namespace 'team-a' may not use '3g.20gb'. "
            "It may use nothing as large, only '1g.5gb' (pools small and several) and "
            "'2g.10gb' (pool several).",
            id="a slice that is not its own",
        ),
        pytest.param(
            "team-a",
            "3g.20gb|shared",
            "namespace 'team-a' may not use '3g.20gb|shared'. Write '1g.5gb', the nearest that this namespace may use "
            "(pool small, a100-40gb).",
            id="no alternative",
        ),
        pytest.param(
            "nobody",
            "1g.5gb",
            "namespace 'nobody' may not use '1g.5gb'. Ask the platform team: it may not use any slices.",
            id="nothing at all",
        ),
        pytest.param(
            "default",
            "2g.10gb",
            "namespace 'default' may not use '2g.10gb'. "
            "It may use nothing as large, only '1g.5gb' (pools small and several) and "
            "'shared' (pool a10g-shared).",
            id="the rest has no more than * has",
        ),
    ],
)
def test_what_a_namespace_may_not_use_is_denied_with_what_it_may(namespace, asked, sentence, cluster) -> None:
    assert answer(cluster, pod_of(asked), namespace) == OURS + sentence


OPT_OUT = "gpu-slice/opt-out"


@pytest.mark.parametrize("value", ["", "true", "false"])
def test_pods_of_a_namespace_that_opted_out_are_stored_as_they_were_written(value, cluster, namespace) -> None:
    """Whatever the label says: it is there."""
    opt_out(cluster, namespace, value)

    pod = cluster.create(pod_of("1g5gb"), namespace)  # which is denied elsewhere

    assert pod["metadata"]["annotations"] == {"gpu-slice": "1g5gb"}
    assert pod["spec"]["containers"][0]["resources"] == {}
    assert "nodeSelector" not in pod["spec"]
    assert "nvidia.com" not in str(pod["spec"]["tolerations"])
    assert cluster.scheduled("main", namespace) == "cpu-1"


def test_without_the_label_the_annotation_counts_again(cluster, namespace) -> None:
    opt_out(cluster, namespace, "")
    assert POOLS not in cluster.create(pod_of("1g.5gb"), namespace)["metadata"]["annotations"]

    cluster.patch("Namespace", namespace, {"metadata": {"labels": {OPT_OUT: None}}})

    def sliced() -> bool:
        found = answer(cluster, pod_of("1g.5gb", name="other"), namespace)
        return isinstance(found, dict) and POOLS in found["metadata"]["annotations"]

    wait_for("the namespace is back", sliced)
    assert "'1g5gb' is not a MIG profile" in str(answer(cluster, pod_of("1g5gb", name="other"), namespace))


def opt_out(cluster: Cluster, namespace: str, value: str) -> None:
    """Label *namespace*, and wait until the API server goes by it."""
    cluster.patch("Namespace", namespace, {"metadata": {"labels": {OPT_OUT: value}}})
    wait_for("the namespace is left alone", lambda: not isinstance(answer(cluster, pod_of("1g5gb"), namespace), str))


def test_a_quota_counts_the_slices_that_the_annotation_brought(cluster, namespace) -> None:
    limit(cluster, namespace, 3)

    cluster.create(pod_of("1g.5gb"), namespace)
    cluster.create(pod_of("2x1g.5gb", name="two"), namespace)

    wait_for("the quota counts", lambda: used(cluster, namespace) == "3")
    assert answer(cluster, pod_of("1g.5gb", name="third"), namespace, dry_run=False) == (
        f'pods "third" is forbidden: exceeded quota: slices, requested: {QUOTA}=1, used: {QUOTA}=3, limited: {QUOTA}=3'
    )
    assert cluster.get("Pod", "third", namespace) is None
    cluster.delete("Pod", "main", namespace)
    wait_for("the quota counts what is left", lambda: used(cluster, namespace) == "2")
    cluster.create(pod_of("1g.5gb", name="third"), namespace)


def test_a_quota_of_zero_refuses_the_annotation_and_the_resource_by_hand(cluster, namespace) -> None:
    """The webhook never sees the second: only the quota does."""
    limit(cluster, namespace, 0)

    for pod in (pod_of("1g.5gb"), pod_of(None, **{SLICE: "1"})):
        assert answer(cluster, pod, namespace) == (
            f'pods "main" is forbidden: exceeded quota: slices, requested: {QUOTA}=1, '
            f"used: {QUOTA}=0, limited: {QUOTA}=0"
        )
    assert isinstance(answer(cluster, pod_of("shared"), namespace), dict)  # of another slice it says nothing


def test_a_quota_counts_the_slice_of_a_rescued_pod_and_not_the_gpu_that_it_wrote(cluster, namespace) -> None:
    limit(cluster, namespace, 1, **{"requests.nvidia.com/gpu": "0"})

    cluster.create(pod_of("1g.5gb", **{"nvidia.com/gpu": "1"}), namespace)

    wait_for("the quota counts", lambda: used(cluster, namespace) == "1")


def limit(cluster: Cluster, namespace: str, count: int, **more: str) -> None:
    """Give *namespace* a quota, and wait until it is in force."""
    spec = {"hard": {QUOTA: str(count), **more}}
    cluster.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "slices"}, "spec": spec}, namespace
    )
    wait_for("the quota is in force", lambda: used(cluster, namespace) == "0")


def used(cluster: Cluster, namespace: str) -> str | None:
    return cluster.get("ResourceQuota", "slices", namespace).get("status", {}).get("used", {}).get(QUOTA)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            {},
            "namespace 'notebooks' may not use '1g.5gb'. "
            "It may use nothing as large, only 'shared' (pool a10g-shared).",
            id="as it is",
        ),
        pytest.param(
            {"gpu-slice": "2g.10gb"},
            "namespace 'notebooks' may not use '2g.10gb'. "
            "It may use nothing as large, only 'shared' (pool a10g-shared).",
            id="with another request",
        ),
    ],
)
def test_an_export_that_another_namespace_may_not_use_is_refused_for_that(change, sentence, cluster) -> None:
    pod = exported(cluster, "1g.5gb")
    pod["metadata"]["annotations"] |= change
    assert answer(cluster, pod, "notebooks") == f"{OURS}{sentence}"


def test_an_export_with_another_node_selection_is_refused_for_that(cluster) -> None:
    pod = exported(cluster, "1g.5gb")
    pod["spec"]["nodeSelector"] = {"nvidia.com/gpu": "a10g"}
    refused = answer(cluster, pod, "default")
    assert refused.startswith(
        'admission webhook "pods.gpu-slice.io" denied the request: spec.nodeSelector[nvidia.com/gpu]: '
    )


def test_an_export_that_asks_for_something_else_is_told_at_once_what_to_remove(cluster) -> None:
    pod = exported(cluster, "1g.5gb")
    pod["metadata"]["annotations"]["gpu-slice"] = "shared"
    refused = answer(cluster, pod, "default")
    assert "the slices that it names and the nodeSelector that came with them" in refused

    del pod["metadata"]["annotations"]["gpu-slice/assigned"]
    del pod["spec"]["containers"][0]["resources"]
    del pod["spec"]["nodeSelector"]
    assert answer(cluster, pod, "default")["spec"]["nodeSelector"] == {"nvidia.com/gpu": "a10g"}


WHOLE = "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("namespace", "limits", "given", "calls"),
    [
        pytest.param("notebooks", {WHOLE: "1"}, {"nvidia.com/gpu.shared": "1"}, 1, id="a whole GPU"),
        pytest.param("notebooks", {WHOLE: "2"}, {WHOLE: "2"}, 1, id="two, which are no share"),
        pytest.param("notebooks", {"cpu": "1"}, {"cpu": "1"}, 0, id="no GPU"),
        pytest.param("research", {WHOLE: "1"}, {WHOLE: "1"}, 1, id="a label without a default"),
        pytest.param("team-a", {WHOLE: "1"}, {WHOLE: "1"}, 0, id="a default without the label"),
        pytest.param("default", {WHOLE: "1"}, {WHOLE: "1"}, 0, id="neither"),
    ],
)
def test_a_pod_that_says_nothing_gets_the_default_of_its_namespace_and_nobody_else_pays_a_call(
    cluster, ours, namespace, limits, given, calls
) -> None:
    before = ours.calls()

    pod = cluster.create(pod_of(None, **limits), namespace, dry_run=True)

    assert ours.calls() - before == calls
    assert pod["spec"]["containers"][0]["resources"]["limits"] == given
    annotations = pod["metadata"].get("annotations", {})
    got_it = "nvidia.com/gpu.shared" in given
    assert (annotations.get("gpu-slice"), annotations.get("gpu-slice/default")) == (
        ("shared", "notebooks") if got_it else (None, None)
    )


def test_what_another_webhook_takes_from_a_pod_with_a_default_comes_back(cluster, ours, tls) -> None:
    """P7: a pod that had no annotation when it came is visited again, too."""

    def take(pod: Document) -> None:
        pod["spec"]["tolerations"] = []

    with neighbour(tls) as other, beside_ours(cluster, other, "z-neighbour", "Never", "notebooks"):
        other.behaviour = changing(take)
        pod = cluster.create(pod_of(None, **{WHOLE: "1"}), "notebooks", dry_run=True)
    assert {"key": "nvidia.com/gpu-shared", "operator": "Exists"} in pod["spec"]["tolerations"]
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu.shared": "1"}
