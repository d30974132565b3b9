"""The memory of the first visit: what is written, what is read back, and what is refused."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import (
    ASSIGNED,
    CORNERS,
    LIMITED,
    MIXED,
    POOLS,
    SINGLE,
    Pod,
    container,
    expression,
    fleet_of,
    plan,
    pod_of,
    required,
)
from webhook.admission.preview import preview
from webhook.errors import Denial

MIG = "nvidia.com/mig-1g.5gb"


def visited(asked: str, *containers: dict[str, Any], fleet: str = MIXED, **spec: Any) -> Pod:
    """A pod after its first visit."""
    pod = pod_of(asked, *containers, **spec)
    made: Pod = jsonpatch.apply_patch(pod, plan(pod, fleet_of(fleet)).patch)
    return made


def refusal(pod: Pod, fleet: str = MIXED) -> Denial:
    with pytest.raises(Denial) as denied:
        plan(pod, fleet_of(fleet))
    return denied.value


@pytest.mark.parametrize(
    ("asked", "names", "fleet", "right"),
    [
        pytest.param("1g.5gb", ["main"], MIXED, f"main={MIG}:1", id="one"),
        pytest.param("a=1g.5gb, b=2x1g.5gb", ["a", "b"], MIXED, f"a={MIG}:1, b={MIG}:2", id="several"),
        pytest.param("b=1g.5gb,a=1g.5gb", ["a", "b"], MIXED, f"b={MIG}:1, a={MIG}:1", id="in the annotation's order"),
        pytest.param("1/7|shared", ["main"], MIXED, f"main={MIG}:1", id="what was given, not what was asked"),
        pytest.param("shared", ["main"], MIXED, "main=nvidia.com/gpu.shared:1", id="shared"),
        pytest.param("2x1g.5gb", ["main"], SINGLE, "main=nvidia.com/gpu:2", id="single"),
        pytest.param("1g.10gb+me", ["main"], MIXED, "main=nvidia.com/mig-1g.10gb.me:1", id="as resources are spelt"),
    ],
)
def test_a_visit_is_remembered_and_recalled(asked: str, names: list[str], fleet: str, right: str) -> None:
    pod = visited(asked, *map(container, names), fleet=fleet)
    assert pod["metadata"]["annotations"][ASSIGNED] == f"{asked} -> {right}"
    again = plan(pod, fleet_of(fleet))
    assert again.patch == ()
    assert again.why == "it already has its slice"
    assert again.warnings == ()


class TestFinal:
    """Whatever others did meanwhile."""

    def test_a_container_inserted_before_it_is_not_the_first_container(self) -> None:
        pod = visited("1g.5gb", container("a"), container("b"))
        pod["spec"]["containers"].insert(0, container("proxy"))
        assert plan(pod, fleet_of(MIXED)).patch == ()

    def test_another_default_container_changes_nothing(self) -> None:
        pod = visited("1g.5gb", container("a"), container("b"))
        pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "b"
        assert plan(pod, fleet_of(MIXED)).patch == ()

    def test_a_smaller_offer_is_not_taken_instead(self) -> None:
        # 1/7 would now be served by 1g.5gb; the first visit gave 2g.10gb, for a selector that is gone.
        pod = pod_of("1/7", container("main", {"nvidia.com/mig-2g.10gb": "1"}))
        pod["metadata"]["annotations"][ASSIGNED] = "1/7 -> main=nvidia.com/mig-2g.10gb:1"
        again = plan(pod, fleet_of(MIXED))
        assert again.resolution is not None
        assert [each.resource for each in again.resolution.assignments] == ["nvidia.com/mig-2g.10gb"]

    def test_two_on_single_is_no_two_whole_gpus(self) -> None:
        assert plan(visited("2x1g.5gb", fleet=SINGLE), fleet_of(SINGLE)).patch == ()

    @pytest.mark.parametrize(
        ("section", "missing"),
        [("tolerations", {"tolerations"}), ("nodeSelector", set()), ("affinity", {"affinity"})],
    )
    def test_only_what_was_taken_away_comes_back(self, section: str, missing: set[str]) -> None:
        pod = visited("1g.5gb", fleet=SINGLE)  # the names of the pools do for its labels
        del pod["spec"][section]
        assert {each["path"].split("/")[2] for each in plan(pod, fleet_of(SINGLE)).patch} == missing

    def test_the_names_of_the_pools_come_back_too(self) -> None:
        pod = visited("1g.5gb")
        del pod["metadata"]["annotations"][POOLS]
        assert [each["path"] for each in plan(pod, fleet_of(MIXED)).patch] == ["/metadata/annotations/gpu-slice~1pools"]

    @pytest.mark.parametrize("pools", ["", "other", None, 5], ids=repr)
    def test_and_are_corrected(self, pools: Any) -> None:
        pod = visited("1g.5gb")
        pod["metadata"]["annotations"][POOLS] = pools
        assert plan(pod, fleet_of(MIXED)).patch == (
            {"op": "replace", "path": "/metadata/annotations/gpu-slice~1pools", "value": "small, several"},
        )

    def test_a_whole_gpu_that_somebody_adds_elsewhere_is_denied_as_ever(self) -> None:
        pod = visited("1g.5gb")
        pod["spec"]["containers"].append(container("other", {"nvidia.com/gpu": 1}))
        assert refusal(pod).reason == "whole-gpu"


def changed(pod: Pod, what: str) -> Pod:
    """*pod* after something happened to it."""
    annotations, main = pod["metadata"]["annotations"], pod["spec"]["containers"][0]
    match what:
        case "annotation":
            annotations["gpu-slice"] = "2g.10gb"
        case "same meaning":
            annotations["gpu-slice"] = "1g.5gb|1g.5gb"
        case "limit gone":
            del main["resources"]["limits"][MIG]
        case "resources gone":
            del main["resources"]
        case "other count":
            main["resources"] = {"limits": {MIG: "2"}, "requests": {MIG: "2"}}
        case "request alone":
            del main["resources"]["limits"]
        case "renamed":
            main["name"] = "other"
        case _:
            annotations[ASSIGNED] = what
    return pod


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("annotation", id="the annotation says something else"),
        pytest.param("same meaning", id="even if it means the same"),
        pytest.param("limit gone", id="the limit was taken away"),
        pytest.param("resources gone", id="all resources were"),
        pytest.param("request alone", id="only the request is left"),
        pytest.param("other count", id="the count was changed"),
        pytest.param("renamed", id="the container has another name"),
        pytest.param("", id="empty"),
        pytest.param("1g.5gb", id="no arrow"),
        pytest.param("1g.5gb -> ", id="nothing behind the arrow"),
        pytest.param(f"1g.5gb->main={MIG}:1", id="an arrow without spaces"),
        pytest.param(f" 1g.5gb -> main={MIG}:1", id="another left part"),
        pytest.param(f"1g.5gb -> main={MIG}", id="no count"),
        pytest.param(f"1g.5gb -> main={MIG}:0", id="count of nothing"),
        pytest.param(f"1g.5gb -> main={MIG}:01", id="count with a zero before it"),
        pytest.param(f"1g.5gb -> main={MIG}:1,", id="a comma at the end"),
        pytest.param(f"1g.5gb -> main={MIG}:1\n", id="a line break at the end"),
        pytest.param(f"1g.5gb -> main={MIG}:1,main={MIG}:1", id="a comma without a space"),
        pytest.param(f"1g.5gb -> main={MIG}:1, main={MIG}:1", id="the same container twice"),
        pytest.param(f"1g.5gb -> other={MIG}:1", id="no such container"),
        pytest.param("1g.5gb -> main=nvidia.com/gpu:1", id="a resource that it does not carry"),
        pytest.param("1g.5gb -> main=cpu:1", id="a resource of another kind"),
    ],
)
def test_what_does_not_fit_the_memory_is_denied_with_what_to_remove(what: str) -> None:
    pod = visited("1g.5gb", container("main", {"cpu": "1"}))
    denial = refusal(changed(pod, what))
    assert denial.reason == "stale-assigned"
    assert denial.field == "metadata.annotations[gpu-slice/assigned]"
    assert "Remove gpu-slice/assigned" in denial.hint


@pytest.mark.parametrize("memory", [None, 1, True, [], {"a": 1}], ids=repr)
def test_a_memory_that_is_no_text_is_denied(memory: object) -> None:
    assert refusal(pod_of("1g.5gb", annotations={ASSIGNED: memory})).reason == "stale-assigned"


@pytest.mark.parametrize(
    "right",
    [
        pytest.param(f"a={MIG}:1", id="one is left out"),
        pytest.param(f"a={MIG}:1, b={MIG}:1, c={MIG}:1", id="one that nobody asked for"),
        pytest.param(f"a={MIG}:1, a={MIG}:1", id="one twice"),
    ],
)
def test_a_memory_of_other_containers_than_those_named_is_denied(right: str) -> None:
    asked = "a=1g.5gb,b=1g.5gb"
    pod = pod_of(asked, *(container(name, {MIG: "1"}) for name in "abc"))
    pod["metadata"]["annotations"][ASSIGNED] = f"{asked} -> {right}"
    assert refusal(pod).reason == "stale-assigned"


def test_a_memory_that_this_fleet_would_not_make_is_denied() -> None:
    denial = refusal(visited("1/7", fleet=SHRUNK.replace("2g.10gb: 3", "1g.5gb: 7")), SHRUNK)
    assert denial.reason == "stale-assigned"
    assert denial.problem == f"no pool of this cluster has '{MIG}'"
    assert "the fleet has just changed, so create the pod again, or another webhook changed the pod" in denial.hint


SHRUNK = """
pools:
- {name: one, gpu: a100-40gb, partition: {mig: {2g.10gb: 3}}, instanceTypes: [p4d.24xlarge]}
"""


class TestTheTrueReason:
    """A pod that would be refused without its memory too is told why, and not about its memory."""

    def test_the_namespace_may_not_use_it_any_more(self) -> None:
        assert refusal(visited("3g.20gb"), LIMITED).reason == "namespace"

    def test_the_fleet_does_not_offer_it_any_more(self) -> None:
        assert refusal(visited("3g.20gb"), SHRUNK).reason == "not-offered"

    def test_its_pools_are_gone(self) -> None:
        denial = refusal(visited("1g.5gb", fleet=SINGLE), MIXED)
        assert denial.reason == "node-selector"
        assert denial.problem.startswith("gpu-slice/pool In ['one'] matches no node")

    def test_somebody_selects_other_nodes(self) -> None:
        pod = visited("1g.5gb")
        pod["spec"]["nodeSelector"]["nvidia.com/gpu"] = "h100"
        denial = refusal(pod)
        assert denial.field == "spec.nodeSelector[nvidia.com/gpu]"
        assert "the namespace (PodNodeSelector) or a webhook" in denial.hint

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [("9g.5gb", "unknown-profile"), ("7g.40gb", "not-offered"), ("other=1g.5gb", "no-such-container")],
    )
    def test_an_export_asks_for_something_else_that_nobody_can_have(self, asked: str, reason: str) -> None:
        pod = visited("1g.5gb")
        pod["metadata"]["annotations"]["gpu-slice"] = asked
        assert refusal(pod).reason == reason

    def test_an_export_asks_for_another_gpu_and_is_told_of_all_that_it_carries(self) -> None:
        pod = visited("2g.10gb", fleet="built-in")
        pod["metadata"]["annotations"]["gpu-slice"] = "1g.10gb@h100"
        denial = refusal(pod, "built-in")
        assert denial.reason == "stale-assigned"
        assert (
            "Remove gpu-slice/assigned, the slices that it names and the nodeSelector that came with them"
            in denial.hint
        )

    def test_an_image_for_another_architecture_is_still_one(self) -> None:
        pod = visited("1g.23gb", fleet=CORNERS, nodeSelector={"kubernetes.io/arch": "arm64"})
        pod["metadata"]["annotations"]["gpu-slice"] = "2x1g.23gb"
        assert refusal(pod, CORNERS).reason == "stale-assigned"


NAMES = ["Main", "a_b", "main.app", "a=b", "a, b", "a -> b", " ", "\u202e", "a\nb", "Ü", "-", "=nvidia.com/gpu:1"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("asked", ["1g.5gb", "1/7|shared"])
def test_a_name_that_the_api_server_will_refuse_is_read_back(asked: str, name: str) -> None:
    assert plan(visited(asked, container(name)), fleet_of(MIXED)).patch == ()
    beside = visited("main=1g.5gb", container(name), container("main"))
    assert plan(beside, fleet_of(MIXED)).patch == ()


@given(st.text(min_size=1, max_size=63))
def test_any_name_is_read_back(name: str) -> None:
    assert plan(visited("1g.5gb", container(name), container("other")), fleet_of(MIXED)).patch == ()


@pytest.mark.parametrize("asked", ["1g.5gb", "main=1g.5gb"])
@pytest.mark.parametrize("slices", [(None, None), ({MIG: 1}, None), (None, {MIG: 1}), ({MIG: 1}, {MIG: 1})], ids=str)
@pytest.mark.parametrize("init", [False, True])
def test_two_of_one_name_are_left_to_the_api_server(asked: str, slices: tuple[Any, Any], init: bool) -> None:
    first, second = (container("main", limits) for limits in slices)
    pod = pod_of(asked, second, initContainers=[first]) if init else pod_of(asked, first, second)
    once = jsonpatch.apply_patch(pod, plan(pod, fleet_of(MIXED)).patch)
    assert plan(once, fleet_of(MIXED)).resolution is not None


def test_a_preview_says_which_names_the_api_server_will_refuse() -> None:
    pod = pod_of(
        "main=1g.5gb", container("main"), container("a_b"), container("main"), initContainers=[container("ok")]
    )
    (previewed,) = preview(pod, fleet_of(MIXED))
    assert previewed.outcome == "sliced"
    assert previewed.subject.advice == (
        "spec.containers[1].name: the API server will refuse 'a_b': it is not a DNS label, such as 'my-app'",
        "spec.containers[2].name: the API server will refuse 'main': another container has it",
    )
    (previewed,) = preview(pod_of("1g.5gb", container("main"), initContainers=None), fleet_of(MIXED))
    assert previewed.subject.advice == ()


@pytest.mark.parametrize(
    ("fleet", "limits", "reason"),
    [
        pytest.param(MIXED, {MIG: 1, "nvidia.com/gpu": 8}, "whole-gpu", id="whole GPUs"),
        pytest.param(MIXED, {MIG: 1, "nvidia.com/mig-2g.10gb": 1}, "conflict", id="another profile"),
        pytest.param(MIXED, {MIG: 1, "nvidia.com/gpu.shared": 1}, "conflict", id="a share"),
        pytest.param(SINGLE, {"nvidia.com/gpu": 1, MIG: 1}, "conflict", id="single, and a slice by its own name"),
    ],
)
def test_another_gpu_resource_beside_the_slice_is_refused_on_every_visit(
    fleet: str, limits: dict[str, Any], reason: str
) -> None:
    pod = visited("1g.5gb", fleet=fleet)
    pod["spec"]["containers"][0]["resources"] = {"limits": limits, "requests": limits}
    assert refusal(pod, fleet).reason == reason


def test_one_whole_gpu_beside_the_slice_is_replaced_and_told_of_on_every_visit() -> None:
    pod = visited("1g.5gb")
    pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = 1
    again = plan(pod, fleet_of(MIXED))
    assert [each["op"] for each in again.patch] == ["remove"]
    (warning,) = again.warnings
    assert warning.text == f"gpu-slice: 'main': nvidia.com/gpu: 1 was replaced by {MIG}: 1"


class TestTwoFleets:
    """Two replicas, of which one has read the new fleet file already."""

    BEFORE = """
pools:
- {name: one, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], labels: {gpu: a100}}
"""
    AFTER = BEFORE.replace("gpu: a100}", "accelerator: a100, team: ml}")

    @pytest.mark.parametrize(("first", "second"), [(BEFORE, AFTER), (AFTER, BEFORE)], ids=["there", "and back"])
    def test_a_label_that_has_another_key_is_not_selected_beside_the_first(self, first: str, second: str) -> None:
        pod = visited("1g.5gb", fleet=first)
        selector = dict(pod["spec"]["nodeSelector"])
        again = jsonpatch.apply_patch(pod, plan(pod, fleet_of(second)).patch)
        assert again["spec"]["nodeSelector"] == selector
        assert again["spec"]["affinity"] == required({"matchExpressions": [expression("gpu-slice/pool", "In", "one")]})
        for fleet in (first, second):  # whoever is asked a third time
            assert plan(again, fleet_of(fleet)).patch == ()

    def test_a_label_that_has_another_value_is_refused_and_asked_for_again(self) -> None:
        pod = visited("1g.5gb", fleet=self.BEFORE)
        assert refusal(pod, self.BEFORE.replace("gpu: a100}", "gpu: a100-40}")).reason == "node-selector"

    def test_a_pool_that_has_another_name_changes_the_annotation_alone(self) -> None:
        pod = visited("1g.5gb", fleet=self.BEFORE)
        patch = plan(pod, fleet_of(self.BEFORE.replace("name: one", "name: uno"))).patch
        assert [each["path"] for each in patch] == ["/metadata/annotations/gpu-slice~1pools"]

    def test_a_pool_that_is_new_is_not_added_to_those_of_the_first(self) -> None:
        more = self.BEFORE + self.BEFORE.replace("pools:", "").replace("name: one", "name: two")
        pod = visited("1g.5gb", fleet=self.BEFORE)
        assert {each["path"] for each in plan(pod, fleet_of(more)).patch} == {"/metadata/annotations/gpu-slice~1pools"}


def test_a_memory_that_gives_more_than_was_asked_is_denied() -> None:
    """Else a made-up memory would be a way past the fleet."""
    for made_up in ("nvidia.com/mig-3g.20gb:1", f"{MIG}:2", "nvidia.com/gpu:1"):
        resource, _, count = made_up.rpartition(":")
        pod = pod_of("1g.5gb", container("main", {resource: count}))
        pod["metadata"]["annotations"][ASSIGNED] = f"1g.5gb -> main={made_up}"
        assert refusal(pod).reason == "stale-assigned"
