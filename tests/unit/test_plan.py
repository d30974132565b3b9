"""The whole decision: which container, what becomes of GPUs that it asks for itself, and who is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pods import CORNERS, LIMITED, MIXED, SINGLE, Pod, container, fleet_of, plan, pod_of
from webhook.admission.plan import Plan
from webhook.admission.pod import whole_number
from webhook.admission.resolve import prepare
from webhook.errors import Denial

MIG = "nvidia.com/mig-1g.5gb"
GPU = {"nvidia.com/gpu": "1"}
DEFAULT = "kubectl.kubernetes.io/default-container"


def planned(pod: Pod, fleet: str = MIXED, namespace: str | None = "default") -> Plan:
    return plan(pod, fleet_of(fleet), namespace)


def chosen(pod: Pod, fleet: str = MIXED) -> list[str]:
    found = planned(pod, fleet).resolution
    assert found is not None
    return [each.container.name for each in found.assignments]


def refusal(pod: Pod, fleet: str = MIXED) -> Denial:
    with pytest.raises(Denial) as denied:
        planned(pod, fleet)
    return denied.value


class TestUntouched:
    @pytest.mark.parametrize(
        "pod",
        [
            pytest.param({}, id="nothing at all"),
            pytest.param({"metadata": None, "spec": None}, id="null everywhere"),
            pytest.param({"metadata": {}}, id="no annotations"),
            pytest.param({"metadata": {"annotations": None}}, id="annotations null"),
            pytest.param({"metadata": {"annotations": {}}, "spec": "broken"}, id="a broken pod of others"),
            pytest.param({"metadata": {"annotations": {"gpu-slice/assigned": "x"}}}, id="a key that begins like ours"),
            pytest.param({"metadata": {"labels": {"gpu-slice": "1g.5gb"}}}, id="a label"),
        ],
    )
    def test_a_pod_without_the_annotation(self, pod: Pod) -> None:
        """P44."""
        made = planned(pod)
        assert (made.patch, made.warnings, made.resolution) == ((), (), None)
        assert "annotation" in made.why

    @pytest.mark.parametrize("namespace", ["kube-system", "gpu-slice"])
    def test_namespaces_that_must_start_without_us(self, namespace: str) -> None:
        made = planned(pod_of("not even a slice"), namespace=namespace)
        assert (made.patch, made.resolution) == ((), None)
        assert namespace in made.why

    @pytest.mark.parametrize("namespace", ["kube-public", "default", "gpu-slice-2", "", None])
    def test_other_namespaces_are_served(self, namespace: str | None) -> None:
        assert planned(pod_of(), namespace=namespace).patch

    def test_the_mirror_of_a_static_pod(self) -> None:
        """P2."""
        made = planned(pod_of(annotations={"kubernetes.io/config.mirror": "abc"}))
        assert (made.patch, made.resolution) == ((), None)
        assert "static" in made.why


class TestAnnotation:
    @pytest.mark.parametrize("asked", [None, 1, 1.5, True, [], ["1g.5gb"], {"a": "b"}], ids=repr)
    def test_what_is_no_text_is_denied(self, asked: Any) -> None:
        denial = refusal(pod_of(asked))
        assert (denial.field, denial.reason) == ("metadata.annotations[gpu-slice]", "grammar")
        assert "Write" in denial.hint or "write" in denial.hint

    @pytest.mark.parametrize(
        ("asked", "hint"),
        [(0.14, "Write '1/7'"), (True, "For a whole GPU remove"), (False, "For no slice remove"), (None, "Write a st")],
    )
    def test_what_is_no_text_is_told_what_it_is_in_quotes_where_that_is_no_slice_either(
        self, asked: object, hint: str
    ) -> None:
        assert refusal(pod_of(asked)).hint.startswith(hint)

    @pytest.mark.parametrize("asked", ["", " ", "1g", "1g.5gb,", "main=", "=1g.5gb", "2x", "1g.5gb@"])
    def test_what_cannot_be_read_is_denied_with_the_place(self, asked: str) -> None:
        denial = refusal(pod_of(asked))
        assert denial.reason == "grammar"
        assert denial.position is not None
        assert 0 <= denial.position <= len(asked)

    def test_an_annotation_is_read_even_where_the_pod_is_broken(self) -> None:
        assert refusal({"metadata": {"annotations": {"gpu-slice": "1g"}}}).reason == "grammar"


class TestContainer:
    @pytest.mark.parametrize(
        ("containers", "annotations", "expected", "told"),
        [
            pytest.param([container("a")], {}, "a", False, id="the only one"),
            pytest.param([container("a")], {DEFAULT: "b"}, "a", False, id="the only one, whatever the default"),
            pytest.param([container("a"), container("b", GPU)], {}, "b", False, id="the only one that asks for a GPU"),
            pytest.param(
                [container("a"), container("b", GPU)], {DEFAULT: "a"}, "b", False, id="that before the default one"
            ),
            pytest.param([container("a"), container("b")], {DEFAULT: "b"}, "b", False, id="the default one"),
            pytest.param([container("a"), container("b")], {DEFAULT: "c"}, "a", True, id="a default that is not there"),
            pytest.param([container("a"), container("b")], {DEFAULT: 5}, "a", True, id="a default that is no text"),
            pytest.param([container("a"), container("b")], {}, "a", True, id="the first"),
            pytest.param(
                [container("a"), container("b", {"nvidia.com/gpu": "0"})], {}, "a", True, id="none is not asking"
            ),
        ],
    )
    def test_one_of_several_is_chosen(
        self, containers: list[dict[str, Any]], annotations: dict[str, Any], expected: str, told: bool
    ) -> None:
        pod = pod_of("1g.5gb", *containers, annotations=annotations)
        assert chosen(pod) == [expected]
        assert any(each.code == "first-container" for each in planned(pod).warnings) == told

    def test_an_init_container_is_never_chosen(self) -> None:
        assert chosen(pod_of("1g.5gb", container("a"), initContainers=[container("i")])) == ["a"]

    def test_an_init_container_may_be_named(self) -> None:
        assert chosen(pod_of("i=1g.5gb", container("a"), initContainers=[container("i")])) == ["i"]

    def test_several_may_be_named_in_any_order(self) -> None:
        assert chosen(pod_of("b=1g.5gb, a=1g.5gb", container("a"), container("b"))) == ["b", "a"]

    def test_one_that_is_not_there_is_denied_with_the_nearest(self) -> None:
        denial = refusal(pod_of("main=1g.5gb,trainer=1g.5gb", container("main"), container("train")))
        assert denial.reason == "no-such-container"
        assert "'trainer'" in denial.problem
        assert denial.hint == "Write 'main=1g.5gb,train=1g.5gb'"
        assert denial.position == len("main=1g.5gb,")

    def test_or_with_those_that_are(self) -> None:
        assert "'main'" in refusal(pod_of("x=1g.5gb")).hint

    def test_more_containers_than_any_node_has_slices_are_denied(self) -> None:
        names = [f"c{index}" for index in range(300)]
        pod = pod_of(",".join(f"{name}=1g.5gb" for name in names), *map(container, names))
        assert refusal(pod).reason == "capacity"


class TestGpusByHand:
    @pytest.mark.parametrize(
        ("asked", "limits", "reason"),
        [
            pytest.param("1g.5gb", {"nvidia.com/gpu": "2"}, "whole-gpu", id="more than one whole GPU"),
            pytest.param("1g.5gb", {MIG: "2"}, "conflict", id="another count"),
            pytest.param("2x1g.5gb", {MIG: "1"}, "conflict", id="a smaller count"),
            pytest.param("1g.5gb", {"nvidia.com/mig-2g.10gb": "1"}, "conflict", id="another profile"),
            pytest.param("1g.5gb", {"nvidia.com/mig-9g.9gb": "1"}, "conflict", id="a profile of no GPU"),
            pytest.param("1g.5gb", {"nvidia.com/gpu.shared": "1"}, "conflict", id="a share of a GPU"),
            pytest.param("1g.5gb", {"nvidia.com/mig-1g.5gb.shared": "1"}, "conflict", id="a share of the slice"),
            pytest.param("1g.5gb", {**GPU, "nvidia.com/mig-2g.10gb": "1"}, "conflict", id="a whole GPU and a slice"),
            pytest.param("shared", {MIG: "1"}, "conflict", id="a slice beside a share"),
        ],
    )
    def test_what_does_not_go_with_the_slice_is_denied(self, asked: str, limits: dict[str, str], reason: str) -> None:
        denial = refusal(pod_of(asked, container("main", limits)))
        assert denial.reason == reason
        assert denial.field.startswith("spec.containers[0].resources.limits[nvidia.com/")

    def test_a_whole_gpu_is_replaced_with_a_warning(self) -> None:
        made = planned(pod_of("1g.5gb", container("main", GPU)))
        assert [each["op"] for each in made.patch if "nvidia.com~1gpu" in each["path"]][:1] == ["remove"]
        assert any(each.code == "whole-gpu-replaced" for each in made.warnings)

    def test_the_same_slice_is_kept_without_a_word(self) -> None:
        main = {"name": "main", "resources": {"limits": {MIG: "1"}, "requests": {MIG: "1"}}}
        made = planned(pod_of("1g.5gb", main))
        assert not any("containers" in each["path"] for each in made.patch)
        assert made.warnings == ()

    @pytest.mark.parametrize("section", ["containers", "initContainers"])
    def test_a_whole_gpu_elsewhere_is_denied(self, section: str) -> None:
        spec = {"containers": [container("main")]}
        spec[section] = [*spec.get(section, []), container("other", GPU)]
        pod = pod_of("main=1g.5gb")
        pod["spec"] = spec
        denial = refusal(pod)
        assert denial.reason == "whole-gpu"
        assert "'other'" in denial.problem

    def test_a_whole_gpu_elsewhere_is_denied_on_single_pools_too(self) -> None:
        assert refusal(pod_of("main=1g.5gb", container(), container("o", GPU)), SINGLE).reason == "whole-gpu"

    def test_two_that_ask_for_a_whole_gpu_cannot_both_have_the_slice(self) -> None:
        assert refusal(pod_of("1g.5gb", container("a", GPU), container("b", GPU))).reason == "whole-gpu"

    def test_both_are_rescued_where_both_are_named(self) -> None:
        pod = pod_of("a=1g.5gb,b=1g.5gb", container("a", GPU), container("b", GPU))
        assert len([each for each in planned(pod).patch if each["op"] == "remove"]) == 2

    def test_two_whole_gpus_are_no_two_slices_on_a_first_visit(self) -> None:
        pod = pod_of("2x1g.5gb", container("main", {"nvidia.com/gpu": 2}))
        assert refusal(pod, SINGLE).reason == "whole-gpu"

    @pytest.mark.parametrize(("quantity", "count"), [("1Ki", 1024), ("1k", 1000), ("2Mi", 2**21), ("1e3", 1000)])
    def test_a_suffix_is_a_factor(self, quantity: str, count: int) -> None:
        denial = refusal(pod_of("1g.5gb", container("main", {"nvidia.com/gpu": quantity})))
        assert f"asks for {count} whole GPUs" in denial.problem

    @pytest.mark.parametrize("plain", [False, True], ids=["by the general way", "with what was computed before"])
    @pytest.mark.parametrize(
        ("pod", "namespace", "reason"),
        [
            pytest.param(
                pod_of(annotations={"gpu-slice/assigned": f"1g.5gb -> main={MIG}:1"}),
                "default",
                "stale-assigned",
                id="a record that the pod does not carry",
            ),
            pytest.param(pod_of("3g.20gb"), "default", "namespace", id="what the namespace may not use"),
            pytest.param(
                pod_of(nodeSelector={"nvidia.com/gpu": "h100"}),
                "other",
                "node-selector",
                id="another node",
            ),
            pytest.param(pod_of("1g.5gb", container("main", {"nvidia.com/gpu": 2})), "x", "whole-gpu", id="two GPUs"),
        ],
    )
    def test_a_plain_request_does_not_hide_what_is_wrong(
        self, pod: Pod, namespace: str, reason: str, plain: bool
    ) -> None:
        fleet = fleet_of(LIMITED)
        with pytest.raises(Denial) as denied:
            plan(pod, fleet, namespace, plain=prepare(fleet) if plain else None)
        assert denied.value.reason == reason

    def test_limit_and_request_have_to_agree(self) -> None:
        main = {"name": "main", "resources": {"limits": {MIG: "1"}, "requests": {MIG: "2"}}}
        assert refusal(pod_of("1g.5gb", main)).reason == "conflict"

    @pytest.mark.parametrize(
        "quantity", ["1.5", "500m", "-1", "x", "", " 1", "1 ", "1\n", "٣", None, [], True, 1.5, -1]
    )
    def test_a_quantity_that_is_no_whole_number_is_denied(self, quantity: Any) -> None:
        assert refusal(pod_of("1g.5gb", container("main", {"nvidia.com/gpu": quantity}))).reason == "malformed"

    @pytest.mark.parametrize("quantity", [1, "1", "1.0", "1000m", "1e0", "+1"])
    def test_one_may_be_spelt_in_many_ways(self, quantity: Any) -> None:
        assert planned(pod_of("1g.5gb", container("main", {"nvidia.com/gpu": quantity}))).patch

    @pytest.mark.parametrize("resource", ["nvidia.com/hostdev", "nvidia.com/gpumem", "example.com/gpu", "cpu"])
    def test_other_resources_are_nobodys_business(self, resource: str) -> None:
        assert planned(pod_of("1g.5gb", container("main", {resource: "3.5"}))).patch


class TestShared:
    @pytest.mark.parametrize("asked", ["2xshared", "1g.5gb|2xshared", "2xshared|1g.5gb"])
    def test_more_than_one_share_is_denied(self, asked: str) -> None:
        assert "not 2" in refusal(pod_of(asked)).problem

    def test_two_containers_may_have_one_each(self) -> None:
        assert chosen(pod_of("a=shared,b=shared", container("a"), container("b"))) == ["a", "b"]


class TestMalformed:
    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            pytest.param(None, "spec.containers", id="no spec"),
            pytest.param({}, "spec.containers", id="no containers"),
            pytest.param({"containers": []}, "spec.containers", id="an empty list of containers"),
            pytest.param({"containers": None}, "spec.containers", id="containers null"),
            pytest.param({"initContainers": [container()]}, "spec.containers", id="init containers alone"),
            pytest.param([], "spec", id="spec is a list"),
            pytest.param({"containers": {}}, "spec.containers", id="containers are a map"),
            pytest.param({"containers": [1]}, "spec.containers[0]", id="a container is a number"),
            pytest.param({"containers": [{}]}, "spec.containers[0].name", id="a container without a name"),
            pytest.param({"containers": [{"name": ""}]}, "spec.containers[0].name", id="an empty name"),
            pytest.param({"containers": [{"name": 1}]}, "spec.containers[0].name", id="a number for a name"),
            pytest.param(
                {"containers": [{"name": "a", "resources": [1]}]}, "spec.containers[0].resources", id="resources"
            ),
            pytest.param({"containers": [container("a", [1])]}, "spec.containers[0].resources.limits", id="limits"),
            pytest.param({"containers": [container("a", env=1)]}, "spec.containers[0].env", id="env"),
            pytest.param({"containers": [container("a", env=[1])]}, "spec.containers[0].env[0]", id="a variable"),
            pytest.param({"containers": [container()], "tolerations": {}}, "spec.tolerations", id="tolerations"),
            pytest.param({"containers": [container()], "tolerations": [1]}, "spec.tolerations[0]", id="a toleration"),
            pytest.param({"containers": [container()], "nodeSelector": []}, "spec.nodeSelector", id="nodeSelector"),
            pytest.param({"containers": [container()], "affinity": [1]}, "spec.affinity", id="affinity"),
            pytest.param(
                {"containers": [container()], "initContainers": 1}, "spec.initContainers", id="initContainers"
            ),
        ],
    )
    def test_a_field_of_the_wrong_kind_is_denied_with_its_path(self, spec: Any, field: str) -> None:
        pod = pod_of()
        pod["spec"] = spec
        denial = refusal(pod)
        assert (denial.field, denial.reason) == (field, "malformed")

    @pytest.mark.parametrize(
        ("metadata", "field"),
        [([], "metadata"), ("x", "metadata"), ({"annotations": []}, "metadata.annotations")],
    )
    def test_so_is_metadata(self, metadata: Any, field: str) -> None:
        assert refusal({"metadata": metadata}).field == field

    @pytest.mark.parametrize("place", ["metadata", "spec"])
    def test_nesting_without_end_is_denied_like_anything_else(self, place: str) -> None:
        deep: Any = []
        for _ in range(1000):  # the decoder ends at 1,024
            deep = [deep]
        assert refusal({**pod_of(), place: deep}).field == place

    def test_a_namespace_and_a_fleet_do_not_mix(self) -> None:
        """One fleet's answers are remembered, and never given for another."""
        for _ in range(2):
            for fleet, pools in ((MIXED, "small, several"), (SINGLE, "one"), (CORNERS, "bare, taints")):
                made = planned(pod_of(), fleet)
                assert pools in [each.get("value") for each in made.patch]


def test_more_containers_with_slices_than_any_node_has_are_denied_at_once() -> None:
    pod = {
        "metadata": {"annotations": {"gpu-slice": "c0=1/7"}},
        "spec": {
            "containers": [
                {"name": f"c{index}", "resources": {"limits": {"nvidia.com/mig-1g.5gb": 1}} if index else {}}
                for index in range(300)
            ]
        },
    }
    with pytest.raises(Denial, match=r"300 containers ask for slices\. Ask for slices in at most 16 containers"):
        plan(pod, fleet_of(MIXED))


def test_sixteen_containers_fit_where_there_is_room_for_them() -> None:
    names = [f"c{index}" for index in range(16)]
    pod = pod_of(",".join(f"{name}=1/7" for name in names))
    pod["spec"]["containers"] = [container(name) for name in names]
    resolution = plan(pod, fleet_of(MIXED)).resolution
    assert resolution is not None
    assert [pool.name for pool in resolution.pools] == ["small", "several"]


def test_a_pod_with_more_containers_than_any_node_runs_is_denied_at_once() -> None:
    pod = pod_of()
    pod["spec"]["containers"] = [container(f"c{index}") for index in range(1001)]
    with pytest.raises(Denial, match=r"spec\.containers: the list has 1001 entries\. A pod .* at most 1000\."):
        plan(pod, fleet_of(MIXED))


class TestSlicesByHandBesideOurs:
    """What a namespace may use holds for the whole pod, whoever wrote the limit."""

    POD = pod_of("main=1g.5gb", container("main"), container("side", {"nvidia.com/mig-2g.10gb": 1}))

    def test_a_slice_that_the_namespace_may_not_use_is_refused(self) -> None:
        fleet = """
pools:
- {name: many, gpu: a100-40gb, partition: {mig: {1g.5gb: 3, 2g.10gb: 2}}, instanceTypes: [p4d.24xlarge]}
namespaces:
  default: {slices: [1g.5gb]}
"""
        denied = refusal(self.POD, fleet)
        assert str(denied) == (
            "spec.containers[1].resources.limits[nvidia.com/mig-2g.10gb]: 'side' asks for 1 of "
            "'nvidia.com/mig-2g.10gb', which namespace 'default' may not use. Remove it, or ask the platform team; "
            "if you did not write it, a LimitRange or a webhook did."
        )
        assert planned(self.POD, fleet, "another").resolution is not None

    def test_a_slice_that_it_may_use_is_given(self) -> None:
        assert planned(self.POD, LIMITED).resolution is not None


@pytest.mark.parametrize("length", [63, 64])
def test_a_name_that_no_container_can_have_is_refused(length: int) -> None:
    pod = pod_of("1g.5gb", container("a" * length))
    if length == 63:
        assert chosen(pod) == ["a" * 63]
    else:
        assert str(refusal(pod)) == ("spec.containers[0].name: the name has 64 characters. Write a name of at most 63.")


@pytest.mark.parametrize(
    ("quantity", "count"),
    [
        ("1e0", 1),
        ("10e-1", None),
        ("0.001k", 1),
        ("1T", 10**12),
        ("1Ei", 2**60),
        ("1E", 10**18),
        ("2E0", 2),
        ("1ki", None),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(quantity: str, count: int | None) -> None:
    if count is None:
        with pytest.raises(Denial):
            whole_number(quantity, "limits")
    else:
        assert whole_number(quantity, "limits") == count
