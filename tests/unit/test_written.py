"""What is written into a pod, for each shape that it may have."""

from __future__ import annotations

from typing import Any

import jsonpatch
import msgspec
import pytest

from tests.pods import CORNERS, MIXED, REQUIRED, SINGLE, Pod, container, expression, fleet_of, plan, pod_of, required
from webhook.admission import tolerations
from webhook.admission.pod import Toleration
from webhook.admission.tolerations import toleration_of
from webhook.fleet.pool import Taint


def covers(toleration: dict[str, Any], taint: Taint) -> bool:
    return tolerations.covers(msgspec.convert(toleration, Toleration), taint)


MIG = "nvidia.com/mig-1g.5gb"
OURS = {"key": "nvidia.com/gpu-shared", "operator": "Exists"}
RESOURCE = {"key": MIG, "operator": "Exists", "effect": "NoSchedule"}
CUT = {"key": "cut", "operator": "Exists", "effect": "NoExecute"}
EXPRESSION = expression("gpu-slice/pool", "In", "one")
ABSENT = object()


def patched(pod: Pod, fleet: str = MIXED) -> Pod:
    made: Pod = jsonpatch.apply_patch(pod, plan(pod, fleet_of(fleet)).patch)
    return made


def operations(pod: Pod, under: str, fleet: str = MIXED) -> list[tuple[str, str]]:
    return [
        (each["op"], each["path"].removeprefix(under))
        for each in plan(pod, fleet_of(fleet)).patch
        if each["path"].startswith(under)
    ]


class TestResources:
    @pytest.mark.parametrize(
        ("resources", "expected"),
        [
            pytest.param(ABSENT, [("add", "")], id="none"),
            pytest.param(None, [("replace", "")], id="null"),
            pytest.param({}, [("add", "/limits"), ("add", "/requests")], id="empty"),
            pytest.param({"limits": None}, [("replace", "/limits"), ("add", "/requests")], id="limits null"),
            pytest.param({"limits": {}}, [("replace", "/limits"), ("add", "/requests")], id="limits empty"),
            pytest.param({"requests": {}}, [("add", "/limits"), ("replace", "/requests")], id="requests empty"),
            pytest.param({"claims": []}, [("add", "/limits"), ("add", "/requests")], id="neither"),
            pytest.param(
                {"limits": {"cpu": "1"}},
                [("add", "/limits/nvidia.com~1mig-1g.5gb"), ("add", "/requests")],
                id="others in limits",
            ),
            pytest.param(
                {"requests": {"cpu": "1"}},
                [("add", "/limits"), ("add", "/requests/nvidia.com~1mig-1g.5gb")],
                id="others in requests",
            ),
            pytest.param(
                {"limits": {"nvidia.com/gpu": 1}, "requests": {"nvidia.com/gpu": 1}},
                [
                    ("remove", "/limits/nvidia.com~1gpu"),
                    ("add", "/limits/nvidia.com~1mig-1g.5gb"),
                    ("remove", "/requests/nvidia.com~1gpu"),
                    ("add", "/requests/nvidia.com~1mig-1g.5gb"),
                ],
                id="a whole GPU goes from both",
            ),
            pytest.param(
                {"requests": {"nvidia.com/gpu": "1"}},
                [
                    ("add", "/limits"),
                    ("remove", "/requests/nvidia.com~1gpu"),
                    ("add", "/requests/nvidia.com~1mig-1g.5gb"),
                ],
                id="a whole GPU in requests alone",
            ),
            pytest.param(
                {"limits": {"nvidia.com/gpu": 0}},
                [
                    ("add", "/limits/nvidia.com~1mig-1g.5gb"),
                    ("add", "/requests"),
                ],
                id="no whole GPU, said in so many words",
            ),
            pytest.param({"limits": {MIG: "1"}, "requests": {MIG: "1"}}, [], id="the same slice"),
            pytest.param({"limits": {MIG: "1"}}, [("add", "/requests")], id="the same slice, in limits alone"),
            pytest.param({"limits": {MIG: 1}, "requests": {MIG: "1000m"}}, [], id="the same slice, spelt otherwise"),
            pytest.param(
                {"limits": {MIG: "0"}, "requests": {MIG: "0"}},
                [
                    ("replace", "/limits/nvidia.com~1mig-1g.5gb"),
                    ("replace", "/requests/nvidia.com~1mig-1g.5gb"),
                ],
                id="none of that slice",
            ),
        ],
    )
    def test_the_slice_goes_into_limits_and_requests(self, resources: Any, expected: list[tuple[str, str]]) -> None:
        main = {"name": "main", **({} if resources is ABSENT else {"resources": resources})}
        assert operations(pod_of("1g.5gb", main), "/spec/containers/0/resources") == expected
        found = patched(pod_of("1g.5gb", main))["spec"]["containers"][0]["resources"]
        for section in ("limits", "requests"):
            assert found[section].pop(MIG) in ("1", 1, "1000m")
            assert not any(count for key, count in found[section].items() if key.startswith("nvidia.com/"))

    def test_the_place_of_the_container_is_found(self) -> None:
        pod = pod_of("init=1g.5gb,b=1g.5gb", container("a"), container("b"), initContainers=[container("init")])
        assert operations(pod, "/spec/containers") == [("add", "/1/resources")]
        assert operations(pod, "/spec/initContainers") == [("add", "/0/resources")]

    def test_a_count_is_a_text(self) -> None:
        resources = patched(pod_of("3x1g.5gb"))["spec"]["containers"][0]["resources"]
        assert resources == {"limits": {MIG: "3"}, "requests": {MIG: "3"}}

    def test_single_keeps_its_whole_gpu(self) -> None:
        main = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}}}
        assert operations(pod_of("1g.5gb", main), "/spec/containers", SINGLE) == []

    def test_single_counts_slices_as_gpus(self) -> None:
        main = patched(pod_of("2x1g.5gb", container("main", {"nvidia.com/gpu": 1})), SINGLE)["spec"]["containers"][0]
        assert main["resources"] == {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}

    def test_a_mixed_slice_drives_the_whole_gpu_out_also_beside_single_pools(self) -> None:
        main = container("main", {"nvidia.com/gpu": 1})
        resources = patched(pod_of("1g.5gb", main, nodeSelector={"gpu-slice/pool": "mixed"}), SINGLE)
        assert resources["spec"]["containers"][0]["resources"]["limits"] == {MIG: "1"}


class TestTolerations:
    @pytest.mark.parametrize(
        ("there", "expected"),
        [
            pytest.param(ABSENT, [("add", "")], id="none"),
            pytest.param(None, [("replace", "")], id="null"),
            pytest.param([], [("replace", "")], id="empty"),
            pytest.param([{"key": "x"}], [("add", "/-"), ("add", "/-")], id="another"),
            pytest.param([OURS], [("add", "/-")], id="there"),
            pytest.param([{"key": "x"}, {"operator": "Exists"}], [("add", "/-")], id="everything is tolerated"),
            pytest.param([RESOURCE], [("add", "/-")], id="that of the resource is there"),
            pytest.param([OURS, RESOURCE], [], id="both are there"),
        ],
    )
    def test_tolerations_are_added_where_they_are_missing(self, there: Any, expected: list[tuple[str, str]]) -> None:
        """That of the resource is added unless it is there to the letter, as the API server's plugin adds it."""
        pod = pod_of(**({} if there is ABSENT else {"tolerations": there}))
        assert operations(pod, "/spec/tolerations") == expected
        existing = there if isinstance(there, list) else []
        ours = [] if OURS in existing or {"operator": "Exists"} in existing else [OURS]
        resource = [] if RESOURCE in existing else [RESOURCE]
        assert patched(pod)["spec"]["tolerations"] == [*existing, *ours, *resource]

    @pytest.mark.parametrize(
        "almost",
        [
            pytest.param({"key": MIG, "operator": "Exists"}, id="any effect"),
            pytest.param({"key": MIG, "operator": "Exists", "effect": "NoExecute"}, id="another effect"),
            pytest.param({"key": MIG, "effect": "NoSchedule"}, id="the empty value"),
            pytest.param({**RESOURCE, "tolerationSeconds": 9}, id="for a while"),
            pytest.param({**RESOURCE, "value": "x"}, id="with a value"),
        ],
    )
    def test_what_is_almost_the_toleration_of_the_resource_is_another(self, almost: dict[str, Any]) -> None:
        assert patched(pod_of(tolerations=[almost, OURS]))["spec"]["tolerations"] == [almost, OURS, RESOURCE]

    def test_each_resource_is_tolerated_once(self) -> None:
        pod = pod_of("a=1g.5gb,b=2g.10gb,c=1g.5gb", container("a"), container("b"), container("c"))
        keys = [each["key"] for each in patched(pod)["spec"]["tolerations"]]
        assert keys == ["nvidia.com/gpu-shared", MIG, "nvidia.com/mig-2g.10gb"]

    def test_a_taint_of_others_is_tolerated_exactly(self) -> None:
        pod = pod_of("2g.10gb")
        assert patched(pod, CORNERS)["spec"]["tolerations"] == [
            {"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            {"key": "cut", "operator": "Exists", "effect": "NoExecute"},
            {"key": "nvidia.com/mig-2g.10gb", "operator": "Exists", "effect": "NoSchedule"},
        ]

    def test_only_the_missing_one_of_two_is_added(self) -> None:
        pod = pod_of("2g.10gb", tolerations=[{"key": "dedicated", "operator": "Exists"}])
        assert operations(pod, "/spec/tolerations", CORNERS) == [("add", "/-"), ("add", "/-")]
        assert [each["key"] for each in patched(pod, CORNERS)["spec"]["tolerations"]] == [
            "dedicated", "cut", "nvidia.com/mig-2g.10gb"
        ]  # fmt: skip

    def test_the_taints_of_every_serving_pool_are_tolerated_once(self) -> None:
        tolerations = patched(pod_of("1g.10gb"), CORNERS)["spec"]["tolerations"]
        assert tolerations == [OURS, {**RESOURCE, "key": "nvidia.com/mig-1g.10gb"}]
        assert len(patched(pod_of("1g.5gb"), CORNERS)["spec"]["tolerations"]) == 3

    @pytest.mark.parametrize(
        ("there", "expected"),
        [
            pytest.param([{"key": "cut", "operator": "Exists"}], [], id="for good"),
            pytest.param([{**CUT, "tolerationSeconds": None}], [], id="for good, in so many words"),
            pytest.param([{**CUT, "tolerationSeconds": 9}], [("add", "/0")], id="for a while"),
            pytest.param([{**CUT, "tolerationSeconds": 0}], [("add", "/0")], id="for no time"),
            pytest.param(
                [{"operator": "Exists", "tolerationSeconds": 9}], [("add", "/0")], id="everything, for a while"
            ),
            pytest.param([{**CUT, "tolerationSeconds": 9}, CUT], [("add", "/0")], id="the first decides, for a while"),
            pytest.param([CUT, {**CUT, "tolerationSeconds": 9}], [], id="the first decides, for good"),
            pytest.param(
                [{"key": "other", "operator": "Exists", "tolerationSeconds": 9}], [("add", "/-")], id="another taint"
            ),
        ],
    )
    def test_a_toleration_that_ends_stands_behind_ours(self, there: list[Any], expected: list[tuple[str, str]]) -> None:
        """The eviction controller goes by the first toleration that matches, and the pool's taint stays."""
        rest = [{"key": "dedicated", "operator": "Exists"}, {**RESOURCE, "key": "nvidia.com/mig-2g.10gb"}]
        pod = pod_of("2g.10gb", tolerations=[*there, *rest])
        assert operations(pod, "/spec/tolerations", CORNERS) == expected
        again = patched(pod, CORNERS)
        assert operations(again, "/spec/tolerations", CORNERS) == []
        if expected == [("add", "/0")]:
            assert again["spec"]["tolerations"] == [CUT, *there, *rest]

    def test_seconds_mean_nothing_to_a_taint_that_evicts_nobody(self) -> None:
        there = [{"key": "dedicated", "operator": "Exists", "tolerationSeconds": 9}, CUT]
        assert operations(pod_of("2g.10gb", tolerations=there), "/spec/tolerations", CORNERS) == [("add", "/-")]

    def test_an_untainted_pool_needs_none_but_that_of_the_resource(self) -> None:
        pod = pod_of(nodeSelector={"gpu-slice/pool": "bare"})
        assert patched(pod, CORNERS)["spec"]["tolerations"] == [RESOURCE]


NO_SCHEDULE = Taint(key="k", value="v", effect="NoSchedule")
NO_EXECUTE = Taint(key="k", value="v", effect="NoExecute")
OUR_TAINT = Taint(key="nvidia.com/gpu-shared", value="true", effect="NoSchedule")
NO_VALUE = Taint(key="k", value="", effect="NoSchedule")


@pytest.mark.parametrize(
    ("given", "taint", "covered"),
    [
        pytest.param({"operator": "Exists"}, NO_SCHEDULE, True, id="everything"),
        pytest.param({"key": "", "operator": "Exists"}, NO_SCHEDULE, True, id="everything, with an empty key"),
        pytest.param({"operator": "Exists", "effect": "NoSchedule"}, NO_SCHEDULE, True, id="everything of the effect"),
        pytest.param({"operator": "Exists", "effect": "NoExecute"}, NO_SCHEDULE, False, id="of another effect"),
        pytest.param({"key": "k", "operator": "Exists"}, NO_SCHEDULE, True, id="the key"),
        pytest.param({"key": "other", "operator": "Exists"}, NO_SCHEDULE, False, id="another key"),
        pytest.param({"key": "k", "operator": "Equal", "value": "v"}, NO_SCHEDULE, True, id="the value"),
        pytest.param({"key": "k", "value": "v"}, NO_SCHEDULE, True, id="no operator is Equal"),
        pytest.param({"key": "k", "operator": "", "value": "v"}, NO_SCHEDULE, True, id="an empty operator too"),
        pytest.param({"key": "k", "value": "w"}, NO_SCHEDULE, False, id="another value"),
        pytest.param({"key": "k"}, NO_SCHEDULE, False, id="no value is the empty one"),
        pytest.param({"key": "k"}, NO_VALUE, True, id="a taint without a value"),
        pytest.param({"key": "k", "value": "v"}, NO_VALUE, False, id="a value where the taint has none"),
        pytest.param({"key": "k", "value": "v", "effect": "NoExecute"}, NO_SCHEDULE, False, id="value, other effect"),
        pytest.param({"key": "k", "value": "v", "effect": None}, NO_SCHEDULE, True, id="effect null is any"),
        pytest.param({"key": "k", "operator": "Exists", "tolerationSeconds": 9}, NO_EXECUTE, True, id="for a while"),
        pytest.param({"key": "k", "operator": "Gt", "value": "v"}, NO_SCHEDULE, False, id="an operator of the future"),
    ],
)
def test_a_toleration_covers_a_taint_as_in_kubernetes(given: dict[str, Any], taint: Taint, covered: bool) -> None:
    assert covers(given, taint) == covered


@pytest.mark.parametrize("taint", [NO_SCHEDULE, NO_EXECUTE, NO_VALUE, OUR_TAINT])
def test_what_we_write_covers_the_taint_and_no_other_key(taint: Taint) -> None:
    """P11."""
    assert covers(toleration_of(taint), taint)
    assert not covers(toleration_of(taint), Taint(key="other", value=taint.value, effect=taint.effect))


class TestSelector:
    @pytest.mark.parametrize(
        ("there", "expected"),
        [
            pytest.param(ABSENT, [("add", "")], id="none"),
            pytest.param(None, [("replace", "")], id="null"),
            pytest.param({}, [("replace", "")], id="empty"),
            pytest.param({"zone": "a"}, [("add", "/nvidia.com~1gpu")], id="another"),
            pytest.param({"nvidia.com/gpu": "a100"}, [], id="there"),
        ],
    )
    def test_the_labels_are_added_where_they_are_missing(self, there: Any, expected: list[tuple[str, str]]) -> None:
        pod = pod_of(**({} if there is ABSENT else {"nodeSelector": there}))
        assert operations(pod, "/spec/nodeSelector") == expected
        assert patched(pod)["spec"]["nodeSelector"] == {
            **(there if isinstance(there, dict) else {}),
            "nvidia.com/gpu": "a100",
        }

    def test_pools_without_a_common_label_write_none(self) -> None:
        assert "nodeSelector" not in patched(pod_of("1g.5gb"), CORNERS)["spec"]


ZONE = expression("zone", "In", "a")
FIELDS = [expression("metadata.name", "In", "node-1")]


class TestExpression:
    """Where neither resource nor labels tell the pools apart."""

    @pytest.mark.parametrize(
        ("affinity", "operation"),
        [
            pytest.param(ABSENT, ("add", ""), id="no affinity"),
            pytest.param(None, ("replace", ""), id="null"),
            pytest.param({}, ("add", "/nodeAffinity"), id="empty"),
            pytest.param({"podAffinity": {}}, ("add", "/nodeAffinity"), id="another kind"),
            pytest.param({"nodeAffinity": None}, ("replace", "/nodeAffinity"), id="nodeAffinity null"),
            pytest.param({"nodeAffinity": {}}, ("add", f"/nodeAffinity/{REQUIRED}"), id="nodeAffinity empty"),
            pytest.param({"nodeAffinity": {"x": 1}}, ("add", f"/nodeAffinity/{REQUIRED}"), id="nothing required"),
            pytest.param(
                {"nodeAffinity": {REQUIRED: None}}, ("replace", f"/nodeAffinity/{REQUIRED}"), id="required null"
            ),
        ],
    )
    def test_without_a_term_it_gets_one(self, affinity: Any, operation: tuple[str, str]) -> None:
        pod = pod_of(**({} if affinity is ABSENT else {"affinity": affinity}))
        assert operations(pod, "/spec/affinity", SINGLE) == [operation]
        node = patched(pod, SINGLE)["spec"]["affinity"]["nodeAffinity"]
        assert node[REQUIRED] == {"nodeSelectorTerms": [{"matchExpressions": [EXPRESSION]}]}

    @pytest.mark.parametrize(
        ("terms", "expected"),
        [
            pytest.param(
                [{"matchExpressions": [ZONE]}],
                [{"matchExpressions": [ZONE, EXPRESSION]}],
                id="one term: and",
            ),
            pytest.param(
                [{"matchExpressions": [ZONE]}, {"matchExpressions": [ZONE, ZONE], "x": 1}],
                [
                    {"matchExpressions": [ZONE, EXPRESSION]},
                    {"matchExpressions": [ZONE, ZONE, EXPRESSION], "x": 1},
                ],
                id="two terms: into each, because Karpenter reads the first",
            ),
            pytest.param(
                [{}, {"matchExpressions": [ZONE]}, {"matchExpressions": []}],
                [{}, {"matchExpressions": [ZONE, EXPRESSION]}, {"matchExpressions": []}],
                id="an empty term goes on matching nothing",
            ),
            pytest.param(
                [{"matchFields": FIELDS}],
                [{"matchFields": FIELDS, "matchExpressions": [EXPRESSION]}],
                id="fields alone",
            ),
            pytest.param(
                [{"matchFields": FIELDS, "matchExpressions": None}],
                [{"matchFields": FIELDS, "matchExpressions": [EXPRESSION]}],
                id="fields, and null",
            ),
            pytest.param(
                [{"matchExpressions": [EXPRESSION, ZONE]}],
                [{"matchExpressions": [EXPRESSION, ZONE]}],
                id="there",
            ),
        ],
    )
    def test_it_goes_into_each_term_that_can_match(self, terms: list[Any], expected: list[Any]) -> None:
        found = patched(pod_of(affinity=required(*terms)), SINGLE)["spec"]["affinity"]
        assert found == required(*expected)

    def test_a_selector_of_the_pool_says_it_already(self) -> None:
        assert "affinity" not in patched(pod_of(nodeSelector={"gpu-slice/pool": "one"}), SINGLE)["spec"]

    def test_it_stands_in_one_of_two_terms_already(self) -> None:
        mine = {"matchExpressions": [ZONE]}
        found = patched(pod_of(affinity=required({"matchExpressions": [EXPRESSION]}, mine)), SINGLE)
        assert found["spec"]["affinity"] == required(
            {"matchExpressions": [EXPRESSION]}, {"matchExpressions": [ZONE, EXPRESSION]}
        )


class TestMemory:
    def test_annotations_tell_what_was_asked_and_given(self) -> None:
        pod = pod_of("b=1/7, init=2x1g.5gb", container("a"), container("b"), initContainers=[container("init")])
        assert patched(pod)["metadata"]["annotations"] == {
            "gpu-slice": "b=1/7, init=2x1g.5gb",
            "gpu-slice/assigned": f"b=1/7, init=2x1g.5gb -> b={MIG}:1, init={MIG}:2",
            "gpu-slice/pools": "small, several",
        }

    def test_operations_come_in_the_order_of_the_document(self) -> None:
        paths = [each["path"].split("/")[1:3] for each in plan(pod_of(), fleet_of(SINGLE)).patch]
        assert paths == [
            ["metadata", "annotations"],
            ["metadata", "annotations"],
            ["spec", "containers"],
            ["spec", "tolerations"],
            ["spec", "nodeSelector"],
            ["spec", "affinity"],
        ]
