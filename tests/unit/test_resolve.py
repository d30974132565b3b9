"""How one answer is found, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pods import CORNERS, LIMITED, MIXED, SINGLE, container, expression, fleet_of, plan, pod_of, required
from webhook.admission.resolve import Resolution
from webhook.errors import Denial

NODES = {1: "p5.4xlarge", 8: "p5.48xlarge"}


def pool(name: str, layout: str, *, gpu: str = "h100-80gb", types: str = "p5.4xlarge", more: str = "") -> str:
    """A pool whose nodes have one H100, where nothing else is said."""
    return f"- {{name: {name}, gpu: {gpu}, partition: {{mig: {{{layout}}}}}, instanceTypes: [{types}]{more}}}"


def fleet(*pools: str, more: str = "") -> str:
    return "pools:\n" + "\n".join(pools) + "\n" + more


def resolved(text: str, asked: str, *containers: dict[str, Any], namespace: str = "default", **spec: Any) -> Resolution:
    names = [part.partition("=")[0].strip() for part in asked.split(",")] if "=" in asked else ["main"]
    pod = pod_of(asked, *(containers or map(container, names)), **spec)
    found = plan(pod, fleet_of(text), namespace).resolution
    assert found is not None
    return found


def given(found: Resolution) -> list[str]:
    return [f"{each.count} {each.resource.removeprefix('nvidia.com/')}" for each in found.assignments]


def names(found: Resolution) -> list[str]:
    return [each.name for each in found.pools]


def refused(text: str, asked: str, *containers: dict[str, Any], namespace: str = "default", **spec: Any) -> Denial:
    with pytest.raises(Denial) as denied:
        resolved(text, asked, *containers, namespace=namespace, **spec)
    return denied.value


class TestWhereAChoiceLeavesSeveralSlices:
    @pytest.mark.parametrize(
        ("layouts", "asked", "expected"),
        [
            pytest.param(["2g.20gb: 2, 1g.20gb: 1"], "1/7", "1 mig-1g.20gb", id="fewest compute slices"),
            pytest.param(["1g.20gb: 2, 1g.10gb: 3"], "1/7", "1 mig-1g.10gb", id="then least memory"),
            pytest.param(["1g.10gb+me: 1, 1g.10gb: 6"], "1/7", "1 mig-1g.10gb", id="then without media engines"),
            pytest.param(
                ["1g.10gb+me: 1, 2g.20gb: 2"], "1/7", "1 mig-1g.10gb.me", id="media engines before a larger one"
            ),
            pytest.param(["2g.20gb: 3", "1g.10gb: 7"], "1/7", "1 mig-1g.10gb", id="size before fleet order"),
            pytest.param(["3g.40gb: 2", "4g.40gb: 1"], "40gb", "1 mig-3g.40gb", id="compute slices for memory too"),
            pytest.param(["1g.20gb: 2, 2g.20gb: 1"], "20gb", "1 mig-1g.20gb", id="memory: compute slices first"),
            pytest.param(["1g.10gb: 4, 3g.40gb: 1"], "3/7", "1 mig-3g.40gb", id="a fraction: no smaller one"),
            pytest.param(["4g.40gb: 1, 3g.40gb: 1"], "1/2", "1 mig-4g.40gb", id="half of seven is four"),
        ],
    )
    def test_the_smallest_is_taken(self, layouts: list[str], asked: str, expected: str) -> None:
        text = fleet(*(pool(f"p{place}", layout) for place, layout in enumerate(layouts)))
        assert given(resolved(text, asked)) == [expected]

    def test_fleet_order_decides_between_equals(self) -> None:
        mixed, single = pool("mixed", "1g.10gb: 7"), pool("single", "1g.10gb: 7", more=", strategy: single")
        assert given(resolved(fleet(mixed, single), "1g.10gb")) == ["1 mig-1g.10gb"]
        assert given(resolved(fleet(single, mixed), "1g.10gb")) == ["1 gpu"]

    def test_the_size_for_the_second_container_goes_before_fleet_order(self) -> None:
        # Both pools have the same resource for a; only what they have for b differs.
        text = fleet(pool("large", "1g.10gb: 1, 2g.20gb: 3"), pool("small", "1g.10gb: 7"))
        found = resolved(text, "a=1/7,b=1/7")
        assert given(found) == ["1 mig-1g.10gb", "1 mig-1g.10gb"]
        assert names(found) == ["small"]

    def test_memory_in_gb_is_the_profiles_number_and_in_gi_what_it_really_has(self) -> None:
        assert given(resolved(MIXED, "10gb")) == ["1 mig-1g.10gb"]
        assert given(resolved(MIXED, "9Gi")) == ["1 mig-1g.10gb"]  # 9856 MiB
        assert given(resolved(MIXED, "10Gi")) == ["1 mig-3g.20gb"]

    def test_a_profile_whose_real_memory_nobody_saw_satisfies_no_gi(self) -> None:
        text = fleet(pool("p", "1g.34gb: 7", gpu="b300", types="p6-b300.48xlarge"))
        assert given(resolved(text, "1gb")) == ["1 mig-1g.34gb"]
        assert refused(text, "1Gi").problem == "no slice in this cluster is known to have 1Gi"


class TestTheFirstCombination:
    @pytest.mark.parametrize(
        ("layouts", "asked", "expected"),
        [
            pytest.param(["2g.20gb: 3", "1g.10gb: 7"], "1g.10gb|2g.20gb", ["1 mig-1g.10gb"], id="the first choice"),
            pytest.param(["2g.20gb: 3"], "1g.10gb|2g.20gb", ["1 mig-2g.20gb"], id="the second where it must be"),
            pytest.param(
                ["2g.20gb: 3", "1g.10gb: 7"],
                "2g.20gb|1g.10gb",
                ["1 mig-2g.20gb"],
                id="a larger one if it was named first",
            ),
            pytest.param(
                ["1g.10gb: 1, 2g.20gb: 3"],
                "a=1g.10gb|2g.20gb,b=1g.10gb|2g.20gb",
                ["1 mig-1g.10gb", "1 mig-2g.20gb"],
                id="left to right: the first container keeps its first choice",
            ),
            pytest.param(
                ["1g.10gb: 1, 2g.20gb: 3"],
                "a=1g.10gb|2g.20gb,b=1g.10gb",
                ["1 mig-2g.20gb", "1 mig-1g.10gb"],
                id="the first container makes room where the second has no choice",
            ),
            pytest.param(
                ["1g.10gb: 1, 2g.20gb: 3"],
                "a=1/7,b=1g.10gb|2g.20gb",
                ["1 mig-2g.20gb", "1 mig-1g.10gb"],
                id="a fraction takes more, so that a later container has its first choice",
            ),
            pytest.param(
                ["1g.10gb: 7", "1g.10gb: 4, 3g.40gb: 1"],
                "a=1g.10gb,b=3g.40gb|1g.10gb",
                ["1 mig-1g.10gb", "1 mig-3g.40gb"],
                id="a later pool, if it has the earlier combination",
            ),
            pytest.param(
                ["3g.40gb: 2", "1g.10gb: 7"],
                "a=3g.40gb|1g.10gb,b=1g.10gb",
                ["1 mig-1g.10gb", "1 mig-1g.10gb"],
                id="all from one pool: one node has to have them",
            ),
        ],
    )
    def test_that_one_pool_can_serve_is_taken(self, layouts: list[str], asked: str, expected: list[str]) -> None:
        text = fleet(*(pool(f"p{place}", layout) for place, layout in enumerate(layouts)))
        assert given(resolved(text, asked)) == expected

    def test_a_pod_of_many_containers_is_decided(self) -> None:
        asked = ",".join(f"c{index}=3g.20gb|4x1g.5gb|2g.10gb" for index in range(16))
        found = resolved(MIXED, asked)
        assert given(found) == ["1 mig-3g.20gb"] * 8 + ["4 mig-1g.5gb"] * 4 + ["1 mig-2g.10gb"] * 4

    def test_many_containers_make_room_for_many(self) -> None:
        """A search that tries every way to make room would need 3 to the power of 8 steps here."""
        asked = [f"c{index}=2x1/7" for index in range(8)] + [f"d{index}=1g.5gb" for index in range(8)]
        found = resolved(MIXED, ",".join(asked), nodeSelector={"gpu-slice/pool": "several"})
        assert given(found) == ["2 mig-1g.5gb"] * 4 + ["2 mig-2g.10gb"] * 4 + ["1 mig-1g.5gb"] * 8

    def test_many_alternatives_without_room_do_not_hide_the_one_with_room(self) -> None:
        assert given(resolved(MIXED, "|".join(["9999x1g.5gb"] * 31) + "|1g.5gb")) == ["1 mig-1g.5gb"]

    def test_more_containers_still_make_room(self) -> None:
        asked = [f"c{index}=2x1/7" for index in range(6)] + [f"d{index}=1g.5gb" for index in range(10)]
        found = resolved(MIXED, ",".join(asked), nodeSelector={"gpu-slice/pool": "several"})
        assert given(found)[6:] == ["1 mig-1g.5gb"] * 10

    def test_no_pool_has_both(self) -> None:
        denial = refused(fleet(pool("p", "3g.40gb: 2"), pool("q", "1g.10gb: 7")), "a=3g.40gb,b=1g.10gb")
        assert denial.reason == "several-pools"


class TestRoom:
    """A pod has to fit on one node."""

    TEXT = fleet(pool("one", "1g.10gb: 7"), pool("eight", "1g.10gb: 7", types="p5.48xlarge"))

    @pytest.mark.parametrize(
        ("asked", "pools"),
        [("7x1g.10gb", ["one", "eight"]), ("8x1g.10gb", ["eight"]), ("56x1g.10gb", ["eight"])],
    )
    def test_only_pools_whose_nodes_have_as_many_serve(self, asked: str, pools: list[str]) -> None:
        assert names(resolved(self.TEXT, asked)) == pools

    def test_more_than_the_largest_node_has_is_denied_with_that_number(self) -> None:
        denial = refused(self.TEXT, "57x1g.10gb")
        assert denial.reason == "capacity"
        assert "56" in denial.problem
        assert "57" in denial.problem

    @pytest.mark.parametrize(
        ("initial", "fits"),
        [
            pytest.param([("i", 7, None)], True, id="an init container runs alone"),
            pytest.param([("i", 7, None), ("j", 7, None)], True, id="init containers run one by one"),
            pytest.param([("s", 4, "Always")], True, id="a sidecar runs beside: 3 + 4"),
            pytest.param([("s", 5, "Always")], False, id="a sidecar runs beside: 3 + 5"),
            pytest.param([("s", 2, "Always"), ("i", 5, None)], True, id="an init container behind a sidecar: 2 + 5"),
            pytest.param([("s", 2, "Always"), ("i", 6, None)], False, id="an init container behind a sidecar: 2 + 6"),
            pytest.param([("i", 6, None), ("s", 2, "Always")], True, id="the sidecar starts only behind it"),
            pytest.param([("s", 2, "Always"), ("t", 3, "Always")], False, id="sidecars add up"),
        ],
    )
    def test_what_runs_together_adds_up(self, initial: list[tuple[str, int, str | None]], fits: bool) -> None:
        text = fleet(pool("one", "1g.10gb: 7"))
        before = [container(name, **({"restartPolicy": restart} if restart else {})) for name, _, restart in initial]
        asked = ",".join(["main=3x1g.10gb", *(f"{name}={count}x1g.10gb" for name, count, _ in initial)])
        if fits:
            assert names(resolved(text, asked, container(), initContainers=before)) == ["one"]
        else:
            assert refused(text, asked, container(), initContainers=before).reason == "capacity"

    def test_the_order_of_the_pod_counts_and_not_that_of_the_annotation(self) -> None:
        text = fleet(pool("one", "1g.10gb: 7"))
        init, sidecar = container("i"), container("s", restartPolicy="Always")
        for asked in ("i=6x1g.10gb,s=2x1g.10gb", "s=2x1g.10gb,i=6x1g.10gb"):
            assert names(resolved(text, asked, container(), initContainers=[init, sidecar])) == ["one"]
            assert refused(text, asked, container(), initContainers=[sidecar, init]).reason == "capacity"

    def test_slices_that_other_containers_ask_for_by_hand_count(self) -> None:
        text = fleet(pool("one", "1g.10gb: 7"))
        by_hand = container("other", {"nvidia.com/mig-1g.10gb": 3})
        assert names(resolved(text, "main=4x1g.10gb", container(), by_hand))
        assert refused(text, "main=5x1g.10gb", container(), by_hand).reason == "capacity"

    def test_a_slice_by_hand_chooses_the_pool(self) -> None:
        by_hand = container("other", {"nvidia.com/mig-2g.10gb": 1})
        assert names(resolved(MIXED, "main=1g.5gb", container(), by_hand)) == ["several"]
        by_hand = container("other", {"nvidia.com/mig-2g.20gb": 1})
        assert refused(MIXED, "main=1g.5gb", container(), by_hand).reason == "conflict"

    def test_the_nodes_that_the_pod_allows_are_those_that_count(self) -> None:
        text = fleet(pool("both", "1g.10gb: 7", types="p5.4xlarge, p5.48xlarge"))
        small = {"node.kubernetes.io/instance-type": "p5.4xlarge"}
        assert names(resolved(text, "8x1g.10gb")) == ["both"]
        assert "7" in refused(text, "8x1g.10gb", nodeSelector=small).problem


class TestGpu:
    @pytest.mark.parametrize(
        ("asked", "pools"),
        [
            pytest.param("1g.10gb", ["media", "double"], id="none named: any"),
            pytest.param("1g.10gb@a100", ["media", "double"], id="a family"),
            pytest.param("1g.10gb@a100-40gb", ["double"], id="one GPU"),
            pytest.param("1g.10gb@a100-80gb", ["media"], id="the other"),
            pytest.param("1/7@a100-80gb", ["media"], id="a fraction of one GPU"),
            pytest.param("shared@a10g", ["shares"], id="shared"),
            pytest.param("1g.10gb@h100|1g.10gb@a100-40gb", ["double"], id="the first is nowhere"),
        ],
    )
    def test_a_named_gpu_is_the_only_one(self, asked: str, pools: list[str]) -> None:
        assert names(resolved(MIXED, asked)) == pools


class TestArchitecture:
    @pytest.mark.parametrize(
        ("asked", "spec"),
        [
            pytest.param("1g.23gb@gb200", {}, id="by the GPU"),
            pytest.param("1g.23gb", {"nodeSelector": {"kubernetes.io/arch": "arm64"}}, id="by the selector"),
            pytest.param("1g.23gb", {"nodeSelector": {"beta.kubernetes.io/arch": "arm64"}}, id="by the old label"),
            pytest.param(
                "1g.23gb",
                {
                    "affinity": required(
                        {"matchExpressions": [expression("kubernetes.io/arch", "In", "amd64", "arm64")]}
                    )
                },
                id="by affinity, among others",
            ),
        ],
    )
    def test_arm64_serves_a_pod_that_names_it(self, asked: str, spec: dict[str, Any]) -> None:
        assert names(resolved(CORNERS, asked, **spec)) == ["arm"]

    @pytest.mark.parametrize(
        "spec",
        [
            pytest.param({}, id="not named"),
            pytest.param(
                {"affinity": required({"matchExpressions": [expression("kubernetes.io/arch", "Exists")]})},
                id="any will do is no name",
            ),
            pytest.param(
                {
                    "affinity": required(
                        {"matchExpressions": [expression("kubernetes.io/arch", "NotIn", "arm64")]},
                        {"matchExpressions": [expression("zone", "Exists")]},
                    )
                },
                id="to be ruled out in one of two terms is no name",
            ),
        ],
    )
    def test_arm64_serves_nobody_else(self, spec: dict[str, Any]) -> None:
        denial = refused(CORNERS, "1g.23gb", **spec)
        assert denial.reason == "architecture"
        assert "arm64" in denial.hint

    def test_a_fraction_does_not_stray_to_arm64(self) -> None:
        assert "arm" not in names(resolved(CORNERS, "1/7"))

    def test_a_pod_for_arm64_gets_no_amd64(self) -> None:
        assert names(resolved(CORNERS, "1/7", nodeSelector={"kubernetes.io/arch": "arm64"})) == ["arm"]


class TestNamespaces:
    def test_a_limited_namespace_gets_only_its_slices(self) -> None:
        assert names(resolved(LIMITED, "1g.5gb", namespace="default")) == ["small", "several"]
        assert refused(LIMITED, "3g.20gb", namespace="default").reason == "namespace"

    def test_and_only_its_pools(self) -> None:
        assert names(resolved(LIMITED, "1g.5gb", namespace="one")) == ["several"]
        assert refused(LIMITED, "1g.10gb", namespace="one").reason == "namespace"

    def test_one_that_is_not_named_may_use_everything(self) -> None:
        assert names(resolved(LIMITED, "3g.20gb", namespace="free")) == ["several"]

    def test_an_alternative_that_it_may_use_is_taken(self) -> None:
        assert given(resolved(LIMITED, "3g.20gb|1g.5gb", namespace="default")) == ["1 mig-1g.5gb"]

    def test_the_number_in_a_denial_is_of_a_slice_that_it_may_use(self) -> None:
        text = fleet(pool("p", "1g.10gb: 3, 2g.20gb: 1"), more="namespaces: {default: {slices: [2g.20gb]}}")
        denial = refused(text, "9x1/7")
        assert "mig-2g.20gb" in denial.problem
        assert "at most 1" in denial.hint


class TestWhatTellsThePoolsFromOthers:
    @pytest.mark.parametrize(
        ("labels", "shared"),
        [
            pytest.param(["{a: x}", "{a: x}"], {"a": "x"}, id="one in common"),
            pytest.param(["{a: x, b: v}", "{a: x, b: w}"], {"a": "x"}, id="another value is not in common"),
            pytest.param(["{a: x}", "{b: x}"], {}, id="none in common"),
            pytest.param(["{}", "{b: x}"], {}, id="no labels at all"),
        ],
    )
    def test_the_labels_that_all_share_are_selected(self, labels: list[str], shared: dict[str, str]) -> None:
        text = fleet(*(pool(f"p{place}", "1g.10gb: 7", more=f", labels: {each}") for place, each in enumerate(labels)))
        found = resolved(text, "1g.10gb")
        assert found.labels == shared
        assert found.one_of == ()

    @pytest.mark.parametrize(
        ("other", "asked", "needed"),
        [
            pytest.param(pool("other", "2g.20gb: 3"), "1g.10gb", False, id="the resource tells them apart"),
            pytest.param(
                pool("other", "1g.10gb: 4", gpu="a100-40gb", types="p4d.24xlarge"),
                "1g.10gb@h100",
                False,
                id="the labels tell them apart",
            ),
            pytest.param(
                pool(
                    "other",
                    "1g.10gb: 4",
                    gpu="a100-40gb",
                    types="p4d.24xlarge",
                    more=", labels: {nvidia.com/gpu: h100}",
                ),
                "1g.10gb@h100",
                True,
                id="neither",
            ),
            pytest.param(
                pool(
                    "other",
                    "1g.10gb: 4",
                    gpu="a100-40gb",
                    types="p4d.24xlarge",
                    more=", labels: {nvidia.com/gpu: h100, x: z}",
                ),
                "1g.10gb@h100",
                True,
                id="a label more does not help",
            ),
            pytest.param(
                pool("other", "1g.10gb: 7", more=", strategy: single"), "1g.10gb", False, id="single beside mixed"
            ),
        ],
    )
    def test_the_pools_are_named_only_where_nothing_else_tells(self, other: str, asked: str, needed: bool) -> None:
        found = resolved(fleet(pool("ours", "1g.10gb: 7"), other), asked)
        assert names(found) == ["ours"]
        assert found.one_of == (("ours",) if needed else ())

    def test_a_pool_that_has_no_room_needs_no_telling_apart(self) -> None:
        other = pool(
            "other", "1g.10gb: 4", gpu="a100-40gb", types="p4d.24xlarge", more=", labels: {nvidia.com/gpu: h100}"
        )
        ours = pool("ours", "1g.10gb: 7", types="p5.48xlarge")
        assert resolved(fleet(ours, other), "33x1g.10gb@h100").one_of == ()
        assert resolved(fleet(ours, other), "32x1g.10gb@h100").one_of == ("ours",)

    def test_a_pool_that_the_pod_rules_out_needs_no_telling_apart(self) -> None:
        assert resolved(SINGLE, "1g.5gb").one_of == ("one",)
        assert resolved(SINGLE, "1g.5gb", nodeSelector={"karpenter.sh/nodepool": "one"}).one_of == ()

    def test_a_pool_that_the_namespace_may_not_use_is_told_apart(self) -> None:
        assert resolved(LIMITED, "1g.5gb", namespace="one").one_of == ("several",)

    def test_single_pools_of_one_gpu_are_told_apart(self) -> None:
        found = resolved(SINGLE, "2x1g.5gb")
        assert given(found) == ["2 gpu"]
        assert (names(found), found.one_of) == (["one"], ("one",))

    def test_a_whole_gpu_of_a_node_outside_the_fleet_is_told_apart(self) -> None:
        text = fleet(pool("p", "1g.10gb: 7", more=", strategy: single, labels: {}"))
        assert resolved(text, "1g.10gb").one_of == ("p",)

    def test_an_arm64_pool_with_the_same_resource_is_told_apart(self) -> None:
        # The catalogue has no GPU of both architectures; a fleet may add one.
        text = fleet(
            pool("amd", "1g.10gb: 7", more=", labels: {gpu: x}"),
            pool("arm", "1g.10gb: 7", types="arm.large", more=", labels: {gpu: x}"),
            more="catalogue: {instanceTypes: {arm.large: {gpu: h100-80gb, gpus: 1, architecture: arm64}}}",
        )
        found = resolved(text, "1g.10gb")
        assert (names(found), found.one_of) == (["amd"], ("amd",))


@pytest.mark.parametrize(
    ("asked", "served"), [("1g.5gb", ["one"]), ("5gb", ["one"]), ("2g.10gb", ["two"]), ("10gb", ["two"])]
)
def test_pools_that_give_the_same_resource_serve_only_the_size_that_was_chosen(asked: str, served: list[str]) -> None:
    """With strategy `single` every size is `nvidia.com/gpu`, and a larger one would be given away for a smaller."""
    text = SINGLE[: SINGLE.index("- {name: mixed")]
    found = resolved(text, asked)
    assert names(found) == served
    assert given(found) == ["1 gpu"]
