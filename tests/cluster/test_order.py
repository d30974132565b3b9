"""Beside another mutating webhook, called before or after ours: a pod gets what it asks for, once, or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.cluster import Cluster, Document, said
from tests.cluster.install import NAME
from tests.cluster.neighbour import Change, Neighbour, beside_ours, changing, neighbour

HOME = "beside-a-neighbour"
SHARED = "nvidia.com/gpu-shared"
SLICE = "nvidia.com/mig-1g.5gb"
DEFAULT = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True)
class Outcome:
    """All that matters of a pod that was stored."""

    slices: dict[str, dict[str, str]]
    """By container, in order: what it has of ``nvidia.com/*``, in limits as in requests."""
    annotations: dict[str, str]
    """Ours, but for the pools, and the default container."""
    tolerations: set[str]
    """Their keys, but for those that the API server adds to every pod."""
    selector: dict[str, str] = field(default_factory=lambda: {"nvidia.com/gpu": "a100"})
    pools: tuple[str, ...] = ()
    """Those that it requires by name."""


def seen(pod: Document) -> Outcome:
    def nvidia(container: Document, section: str) -> dict[str, str]:
        there = container["resources"].get(section, {})
        return {resource: count for resource, count in there.items() if resource.startswith("nvidia.com/")}

    for each in pod["spec"]["containers"]:
        assert nvidia(each, "limits") == nvidia(each, "requests")
    keys = ("gpu-slice", "gpu-slice/assigned", DEFAULT)
    annotations = pod["metadata"].get("annotations", {})
    tolerations = {each["key"] for each in pod["spec"]["tolerations"]}
    return Outcome(
        {each["name"]: nvidia(each, "limits") for each in pod["spec"]["containers"]},
        {key: annotations[key] for key in keys if key in annotations},
        {key for key in tolerations if not key.startswith("node.kubernetes.io/")},
        pod["spec"].get("nodeSelector", {}),
        required_pools(pod),
    )


def required_pools(pod: Document) -> tuple[str, ...]:
    node = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = node.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    return tuple(name for term in terms for each in term["matchExpressions"] for name in each["values"])


def without(outcome: Outcome, key: str) -> Outcome:
    return replace(outcome, annotations={name: each for name, each in outcome.annotations.items() if name != key})


def sliced(to: str, *containers: str, asked: str = "1g.5gb", also: str = "", **more: Any) -> Outcome:
    """The right outcome: *to* has what was *asked*, of these containers; *also* is another toleration."""
    resource = f"nvidia.com/mig-{asked.rpartition('=')[2]}"
    return Outcome(
        {name: {resource: "1"} if name == to else {} for name in containers or (to,)},
        {"gpu-slice": asked, "gpu-slice/assigned": f"{asked} -> {to}={resource}:1"} | more.pop("annotations", {}),
        {SHARED, resource, also} - {""},
        **more,
    )


def pod(*containers: str, **annotations: str) -> Document:
    spec = {"containers": [{"name": name, "image": "a/b:1"} for name in containers or ("main",)]}
    named = {"gpu-slice": "1g.5gb"} | annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": named}, "spec": spec}


FPGA = "example.com/fpga"
UNASKED = {**pod(), "metadata": {"name": "a"}}


def inject(pod: Document, name: str = "sidecar", **container: Any) -> None:
    if all(each["name"] != name for each in pod["spec"]["containers"]):
        pod["spec"]["containers"].insert(0, {"name": name, "image": "a/b:1"} | container)


def inject_greedy(pod: Document) -> None:
    inject(pod, resources={"limits": {"nvidia.com/gpu": "1"}})


def reverse(pod: Document) -> None:
    pod["spec"]["containers"].sort(key=lambda each: each["name"], reverse=True)


def rename(pod: Document) -> None:
    pod["spec"]["containers"][0]["name"] = "renamed"


def strip(*sections: str) -> Change:
    """Take the slices away from these sections of the containers' resources."""

    def change(pod: Document) -> None:
        for each in pod["spec"]["containers"]:
            for section in sections:
                there = each.get("resources", {}).get(section, {})
                for resource in [name for name in there if name.startswith("nvidia.com/")]:
                    del there[resource]

    return change


def inject_or_strip(pod: Document) -> None:
    if any(each["name"] == "sidecar" for each in pod["spec"]["containers"]):
        strip("limits", "requests")(pod)
    # A resource of another kind: for it the API server adds a toleration, so that a neighbour after us is asked again.
    inject(pod, resources={"limits": {FPGA: "1"}})


def annotate(key: str, value: str | None) -> Change:
    def change(pod: Document) -> None:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations.pop(key, None)
        annotations |= {} if value is None else {key: value}

    return change


def limit(resource: str, count: str) -> Change:
    """Give it to the container ``main``."""

    def change(pod: Document) -> None:
        for container in pod["spec"]["containers"]:
            if container["name"] == "main":
                for section in ("limits", "requests"):
                    container.setdefault("resources", {}).setdefault(section, {})[resource] = count

    return change


def tolerate(pod: Document) -> None:
    there = pod["spec"].setdefault("tolerations", [])
    there += [] if any(each["key"] == "team" for each in there) else [{"key": "team", "operator": "Exists"}]


def tolerate_only(pod: Document) -> None:
    pod["spec"]["tolerations"] = [{"key": "team", "operator": "Exists"}]


def select(key: str, value: str) -> Change:
    return lambda pod: pod["spec"].setdefault("nodeSelector", {}).update({key: value})


def select_nothing(pod: Document) -> None:
    pod["spec"].pop("nodeSelector", None)


@pytest.fixture(scope="module", name="home", autouse=True)
def _home(cluster: Cluster, ours: object) -> Iterator[None]:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}})
    yield
    cluster.delete("Namespace", HOME)


@pytest.fixture(
    scope="module",
    name="beside",
    params=[(name, policy) for name in ("a-neighbour", "z-neighbour") for policy in ("Never", "IfNeeded")],
    ids=lambda param: f"{'before' if param[0] < 'gpu-slice' else 'after'} us, reinvoked {param[1]}",
)
def _beside(cluster: Cluster, tls: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, str, Neighbour]]:
    """The neighbour, and where it is called: configurations are called in the order of their names."""
    name, policy = request.param
    with neighbour(tls) as found, beside_ours(cluster, found, name, policy, HOME):
        yield ("before" if name < NAME else "after"), policy, found


def admit(cluster: Cluster, document: Document) -> Outcome | str:
    """What becomes of it, or the refusal that a user reads."""
    try:
        return seen(cluster.create(document, HOME, dry_run=True))
    except DynamicApiError as error:
        return said(error)


OURS = 'admission webhook "pods.gpu-slice.io" denied the request: '
GUARD = (
    "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'gpu-slice' with binding 'gpu-slice' denied request: metadata."
)
UNSEEN = f"{GUARD}annotations[gpu-slice]: the gpu-slice webhook has not seen that this pod asks for '1g.5gb'. "
STALE = f"{OURS}metadata.annotations[gpu-slice/assigned]: "
UNLIMITED = f"{STALE}it gives container 'main' 1 of '{SLICE}', but the container has no such limit. "
PLAIN = Outcome({"main": {}}, {}, set(), {})
RIGHT = sliced("main")
BY_POOL = replace(RIGHT, selector={}, pools=("a100-1g-5gb", "a100-mixed"))
MAIN = pod(**{"gpu-slice": "main=1g.5gb"})
MAIN_BESIDE_FPGA = sliced("main", "sidecar", "main", asked="main=1g.5gb", also=FPGA)
MAIN_RIGHT = sliced("main", "sidecar", "main", asked="main=1g.5gb")


def row(about: str, change: Change, document: Document, both: Outcome | str | None = None, **expected: Any) -> Any:
    """Expected are ``before`` and ``after``, or ``both``; ``…_again`` where it differs for one that is asked again."""
    return pytest.param(change, document, expected or {"before": both, "after": both}, id=about)


@pytest.mark.parametrize(
    ("change", "document", "expected"),
    [
        row(
            "a sidecar comes first: before us it is the first container, after us it changes nothing",
            inject,
            pod(),
            before=sliced("sidecar", "sidecar", "main"),
            after=sliced("main", "sidecar", "main"),
        ),
        row("a sidecar comes first, and the annotation names the container", inject, MAIN, MAIN_RIGHT),
        row(
            "a sidecar comes first, and there is a default container",
            inject,
            pod(**{DEFAULT: "main"}),
            sliced("main", "sidecar", "main", annotations={DEFAULT: "main"}),
        ),
        row(
            "a sidecar wants a whole GPU",
            inject_greedy,
            pod(),
            before=sliced("sidecar", "sidecar", "main"),
            after=f"{OURS}spec.containers[0].resources.limits[nvidia.com/gpu]: 'sidecar' asks for a whole GPU, ",
        ),
        row(
            "the containers change places",
            reverse,
            pod("main", "other"),
            before=sliced("other", "other", "main"),
            after=sliced("main", "other", "main"),
        ),
        row(
            "the container gets another name",
            rename,
            pod(),
            before=sliced("renamed"),
            after=f"{STALE}it names container 'main', which the pod does not have. ",
        ),
        row(
            "another default container: what was chosen is final",
            annotate(DEFAULT, "side"),
            pod("main", "side"),
            before=sliced("side", "main", "side", annotations={DEFAULT: "side"}),
            after=sliced("main", "main", "side", annotations={DEFAULT: "side"}),
        ),
        *(
            row(about, change, pod(), before=RIGHT, before_again=UNLIMITED, after=UNLIMITED)
            for about, change in (
                ("the slice is taken away", strip("limits", "requests")),
                ("the limit alone is taken away", strip("limits")),
            )
        ),
        row("the request alone is taken away: the API server makes it of the limit", strip("requests"), pod(), RIGHT),
        row(
            "the slice is taken away when we are not asked any more",
            inject_or_strip,
            MAIN,
            before=MAIN_BESIDE_FPGA,
            before_again=UNLIMITED,
            after=MAIN_BESIDE_FPGA,
            after_again=f"{GUARD}annotations[gpu-slice/assigned]: the limits of this pod do not carry main={SLICE}:1",
        ),
        row(
            "the annotation is added: who was not asked at first is not asked again",
            annotate("gpu-slice", "1g.5gb"),
            UNASKED,
            before=RIGHT,
            after=UNSEEN,
        ),
        row(
            "the annotation is changed",
            annotate("gpu-slice", "2g.10gb"),
            pod(),
            before=sliced("main", asked="2g.10gb"),
            after=f"{STALE}it was written for '1g.5gb', and the pod asks for '2g.10gb'. ",
        ),
        row(
            "the annotation is removed: what was given stays",
            annotate("gpu-slice", None),
            pod(),
            before=PLAIN,
            after=without(RIGHT, "gpu-slice"),
        ),
        row(
            "our memory is removed: the second visit is a first one",
            annotate("gpu-slice/assigned", None),
            pod(),
            before=RIGHT,
            after=RIGHT,
            after_again=UNSEEN,
        ),
        row(
            "whole GPUs are added beside the slice",
            limit("nvidia.com/gpu", "8"),
            pod(),
            f"{OURS}spec.containers[0].resources.limits[nvidia.com/gpu]: 'main' asks for 8 whole GPUs and for a slice",
        ),
        row(
            "another slice is added beside the slice",
            limit("nvidia.com/mig-2g.10gb", "1"),
            pod(),
            f"{OURS}spec.containers[0].resources.limits[nvidia.com/mig-2g.10gb]: 'main' asks for 1 of ",
        ),
        *(
            row(
                f"the API server refuses a container's name: {name}",
                tolerate,
                pod(name),
                f'Pod "a" is invalid: spec.containers[0].name: Invalid value: "{name}": ',
            )
            for name in ("Main", "a_b", "main.app", "a=b", "a, b")
        ),
        row(
            "the API server refuses two containers of one name",
            tolerate,
            pod("main", "main"),
            'Pod "a" is invalid: spec.containers[1].name: Duplicate value: "main"',
        ),
        row("a toleration is added", tolerate, pod(), sliced("main", also="team")),
        row(
            "other tolerations are removed: who comes last has the last word",
            tolerate_only,
            pod(),
            before=sliced("main", also="team"),
            after=sliced("main", also="team"),
            # Refused by nobody: such a pod waits, and does not start without its slice.
            after_again=replace(RIGHT, tolerations={"team"}),
        ),
        row(
            "a nodeSelector is added",
            select("team", "a"),
            pod(),
            sliced("main", selector={"nvidia.com/gpu": "a100", "team": "a"}),
        ),
        row(
            "a nodeSelector that no pool satisfies",
            select("nvidia.com/gpu", "h100"),
            pod(),
            f"{OURS}spec.nodeSelector[nvidia.com/gpu]: 'h100' matches no node that serves '1g.5gb' ",
        ),
        row(
            "the nodeSelector is removed: its pools stand in its place",
            select_nothing,
            pod(),
            before=RIGHT,
            before_again=BY_POOL,
            after=BY_POOL,
        ),
    ],
)
def test_beside_a_neighbour_a_pod_gets_its_slice_once_or_is_refused(
    cluster, beside, change: Change, document: Document, expected: dict[str, Outcome | str]
) -> None:
    """P7."""
    place, policy, found = beside
    found.behaviour = changing(change)
    found.calls.clear()

    made = admit(cluster, document)

    wanted = expected[place]
    if policy == "IfNeeded":
        wanted = expected.get(f"{place}_again", wanted)
    if isinstance(wanted, str):
        assert isinstance(made, str)
        assert made.startswith(wanted)
    else:
        assert made == wanted
    assert len(found.calls) in ((1,) if policy == "Never" else (1, 2))


def test_a_neighbour_that_is_asked_twice_has_its_sidecar_once(cluster, beside) -> None:
    place, policy, found = beside
    found.behaviour = changing(inject)
    found.calls.clear()
    assert list(admit(cluster, MAIN).slices) == ["sidecar", "main"]
    # Before us it is asked again because of what we write; after us it is not, as the API server has nothing to add.
    assert len(found.calls) == (2 if (place, policy) == ("before", "IfNeeded") else 1)
    assert ["gpu-slice/assigned" in each["object"]["metadata"]["annotations"] for each in found.calls] == (
        [place == "after", True][: len(found.calls)]
    )


def test_whoever_makes_a_pod_reads_that_a_sidecar_got_the_slice(cluster, beside) -> None:
    place, _, found = beside
    found.behaviour = changing(inject)
    made = cluster.kubectl("create", "--dry-run=server", "-n", HOME, "-f", "-", stdin=json.dumps(pod()))
    assert made.returncode == 0, made.stderr
    warning = "gpu-slice: 'sidecar', the first container, gets the slice; name another: gpu-slice: 'NAME=…'"
    assert (warning in made.stderr) is (place == "before")
