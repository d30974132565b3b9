"""Which nodes a pod allows, where not all of their labels are known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.pods import CORNERS, Pod, container, expression, fleet_of, plan, pod_of, required
from webhook.admission import node_affinity
from webhook.admission.node_affinity import AFFINITY, ANYWHERE, NodeRules, empty
from webhook.admission.pod import EMPTY_SPEC, Expression, Term, convert
from webhook.admission.resolve import prepare
from webhook.budget import Budget
from webhook.errors import Denial
from webhook.fleet.labels import Labels


def expression_could_hold(part: dict[str, Any], labels: Labels) -> bool:
    return node_affinity.expression_could_hold(msgspec.convert(part, Expression), labels)


def rules_of(pod: Pod) -> NodeRules:
    return node_affinity.node_rules(convert(pod).spec or EMPTY_SPEC, Budget())


LABELS: Labels = {"set": "a", "number": "8", "empty": "", "unset": None}

# For each operator: on a label that is there, on one that is known to be absent, and on one that nobody can know.
TABLE = [
    pytest.param("In", ["a", "b"], True, False, id="In, with it"),
    pytest.param("In", ["b"], False, False, id="In, without it"),
    pytest.param("In", [], False, False, id="In, of nothing"),
    pytest.param("NotIn", ["a"], False, True, id="NotIn, with it"),
    pytest.param("NotIn", ["b"], True, True, id="NotIn, without it"),
    pytest.param("Exists", [], True, False, id="Exists"),
    pytest.param("DoesNotExist", [], False, True, id="DoesNotExist"),
    pytest.param("Gt", ["1"], False, False, id="Gt, of what is no number"),
    pytest.param("Lt", ["1"], False, False, id="Lt, of what is no number"),
    pytest.param("Near", ["a"], True, True, id="an operator of the future"),
    pytest.param(None, [], True, True, id="no operator"),
]


@pytest.mark.parametrize(("operator", "values", "there", "absent"), TABLE)
def test_an_operator_on_labels_that_are_there_absent_and_unknown(
    operator: str, values: list[str], there: bool, absent: bool
) -> None:
    def could(key: str) -> bool:
        return expression_could_hold({"key": key, "operator": operator, "values": values}, LABELS)

    assert could("set") == there
    assert could("unset") == absent
    assert could("topology.kubernetes.io/zone")


@pytest.mark.parametrize(
    ("operator", "value", "holds"),
    [
        ("Gt", "7", True),
        ("Gt", "8", False),
        ("Gt", "9", False),
        ("Lt", "7", False),
        ("Lt", "8", False),
        ("Lt", "9", True),
        ("Gt", "-1", True),
        ("Gt", "x", False),
        ("Lt", "", False),
    ],
)
def test_numbers_are_compared_as_numbers(operator: str, value: str, holds: bool) -> None:
    assert expression_could_hold(expression("number", operator, value), LABELS) == holds


def test_a_comparison_without_a_number_holds_nowhere() -> None:
    assert not expression_could_hold(expression("number", "Gt"), LABELS)
    assert not expression_could_hold(expression("unset", "Gt", "1"), LABELS)


def test_an_empty_label_is_a_label() -> None:
    assert expression_could_hold(expression("empty", "Exists"), LABELS)
    assert expression_could_hold(expression("empty", "In", ""), LABELS)
    assert not expression_could_hold(expression("empty", "NotIn", ""), LABELS)


HOLDS, FAILS = expression("set", "In", "a"), expression("set", "In", "b")
FIELDS = [expression("metadata.name", "In", "node-1")]


@pytest.mark.parametrize(
    ("term", "holds"),
    [
        pytest.param({}, False, id="an empty term matches nothing"),
        pytest.param({"matchExpressions": [], "matchFields": None}, False, id="nor does one of empty lists"),
        pytest.param({"matchExpressions": [HOLDS]}, True, id="one that holds"),
        pytest.param({"matchExpressions": [HOLDS, FAILS]}, False, id="all must hold"),
        pytest.param({"matchFields": FIELDS}, True, id="nobody knows a node's name"),
        pytest.param({"matchFields": FIELDS, "matchExpressions": [FAILS]}, False, id="fields and expressions"),
    ],
)
def test_a_term(term: dict[str, Any], holds: bool) -> None:
    view = msgspec.convert(term, Term)
    assert node_affinity.could_hold(view, LABELS) == holds
    assert empty(view) == (not term.get("matchFields") and not term.get("matchExpressions"))


class TestPools:
    """Held against pools, by what a pod writes."""

    @staticmethod
    def pools(asked: str, **spec: Any) -> list[str]:
        try:
            found = plan(pod_of(asked, container(), **spec), fleet_of(CORNERS)).resolution
        except Denial as denial:
            return [denial.reason]
        assert found is not None
        return [each.name for each in found.pools]

    @pytest.mark.parametrize(
        ("selector", "expected"),
        [
            pytest.param({}, ["standing", "spot"], id="none"),
            pytest.param({"topology.kubernetes.io/zone": "x"}, ["standing", "spot"], id="nobody knows the zone"),
            pytest.param({"kubernetes.io/hostname": "x"}, ["standing", "spot"], id="nor the host"),
            pytest.param({"team": "research"}, ["standing"], id="a label of one pool is on no other's nodes"),
            pytest.param({"nvidia.com/gpu": "h100"}, ["spot"], id="a pool without the fleet's label lacks it"),
            pytest.param({"team": "x"}, ["node-selector"], id="a value that no pool has"),
            pytest.param({"gpu-slice/pool": "standing"}, ["standing"], id="a pool by name, standing nodes too"),
            pytest.param(
                {"karpenter.sh/nodepool": "spot"}, ["standing", "spot"], id="nobody knows who made standing nodes"
            ),
            pytest.param({"karpenter.sh/capacity-type": "on-demand"}, ["standing"], id="how it was bought"),
            pytest.param({"node.kubernetes.io/instance-type": "p5.48xlarge"}, ["standing"], id="instance type"),
            pytest.param({"beta.kubernetes.io/instance-type": "p5.48xlarge"}, ["standing"], id="its old label"),
            pytest.param({"kubernetes.io/arch": "amd64"}, ["standing", "spot"], id="architecture"),
            pytest.param({"beta.kubernetes.io/arch": "arm64"}, ["node-selector"], id="another, by its old label"),
            pytest.param({"kubernetes.io/os": "windows"}, ["node-selector"], id="an OS that no GPU node has"),
            pytest.param({"karpenter.k8s.aws/instance-gpu-name": "h100"}, ["standing", "spot"], id="GPU name"),
            pytest.param({"karpenter.k8s.aws/instance-gpu-count": "8"}, ["standing"], id="GPU count, known for one"),
            pytest.param({"karpenter.k8s.aws/instance-family": "p5"}, ["standing", "spot"], id="family"),
            pytest.param({"karpenter.k8s.aws/instance-family": "p4d"}, ["node-selector"], id="another family"),
            pytest.param({"karpenter.k8s.aws/instance-category": "g"}, ["node-selector"], id="category"),
            pytest.param({"karpenter.k8s.aws/instance-generation": "5"}, ["standing", "spot"], id="generation"),
            pytest.param({"karpenter.k8s.aws/instance-size": "48xlarge"}, ["standing"], id="size"),
            pytest.param({"karpenter.k8s.aws/ec2nodeclass": "spot"}, ["standing", "spot"], id="a NodeClass"),
            pytest.param({"karpenter.k8s.aws/ec2nodeclass": "x"}, ["standing"], id="the NodeClass of others"),
            pytest.param({"karpenter.k8s.aws/instance-cpu": "8"}, ["standing", "spot"], id="what no catalogue says"),
            pytest.param({"node.kubernetes.io/windows-build": "10.0.20348"}, ["node-selector"], id="Windows"),
            pytest.param(
                {"karpenter.k8s.aws/instance-accelerator-name": "inferentia"}, ["node-selector"], id="no GPU at all"
            ),
            pytest.param({"karpenter.k8s.aws/capacity-reservation-id": "cr-1"}, ["standing"], id="no reservation"),
            pytest.param({"nvidia.com/gpu.product": "x"}, ["standing", "spot"], id="what a node may get later"),
        ],
    )
    def test_the_selector_filters_them(self, selector: dict[str, str], expected: list[str]) -> None:
        assert self.pools("1g.10gb", nodeSelector=selector) == expected

    @pytest.mark.parametrize(
        ("terms", "expected"),
        [
            pytest.param([[expression("team", "Exists")]], ["standing"], id="Exists"),
            pytest.param([[expression("team", "DoesNotExist")]], ["spot"], id="DoesNotExist"),
            pytest.param([[expression("team", "NotIn", "research")]], ["spot"], id="NotIn, also without the label"),
            pytest.param([[expression("gpu-slice/pool", "In", "spot", "arm")]], ["spot"], id="In"),
            pytest.param(
                [[expression("karpenter.k8s.aws/instance-gpu-memory", "Gt", "100000")]], ["node-selector"], id="Gt"
            ),
            pytest.param([[expression("karpenter.k8s.aws/instance-gpu-count", "Gt", "1")]], ["standing"], id="Gt 1"),
            pytest.param(
                [[expression("karpenter.k8s.aws/instance-generation", "Lt", "5")]], ["node-selector"], id="Lt"
            ),
            pytest.param(
                [[expression("karpenter.k8s.aws/instance-category", "NotIn", "p", "g")]],
                ["standing"],
                id="NotIn: a node that Karpenter did not launch has no category",
            ),
            pytest.param([[expression("karpenter.sh/nodepool", "DoesNotExist")]], ["standing"], id="not Karpenter's"),
            pytest.param([[expression("karpenter.k8s.aws/instance-family", "Exists")]], ["standing", "spot"], id="any"),
            pytest.param(
                [[expression("node.kubernetes.io/windows-build", "DoesNotExist")]],
                ["standing", "spot"],
                id="no Windows",
            ),
            pytest.param(
                [[expression("gpu-slice/pool", "In", "spot")], [expression("gpu-slice/pool", "In", "standing")]],
                ["standing", "spot"],
                id="one of the terms is enough",
            ),
            pytest.param(
                [[expression("gpu-slice/pool", "In", "spot"), expression("team", "Exists")]],
                ["node-selector"],
                id="all of a term must hold",
            ),
            pytest.param([[]], ["node-selector"], id="an empty term matches no node"),
            pytest.param([[], [expression("team", "Exists")]], ["standing"], id="an empty term beside another"),
        ],
    )
    def test_required_affinity_filters_them(self, terms: list[list[Any]], expected: list[str]) -> None:
        affinity = required(*({"matchExpressions": each} for each in terms))
        assert self.pools("1g.10gb", affinity=affinity) == expected

    def test_preferred_affinity_does_not(self) -> None:
        term = {"weight": 1, "preference": {"matchExpressions": [expression("team", "In", "x")]}}
        affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
        assert self.pools("1g.10gb", affinity=affinity) == ["standing", "spot"]

    def test_selector_and_affinity_are_both_demanded(self) -> None:
        affinity = required({"matchExpressions": [expression("team", "Exists")]})
        assert self.pools("1g.10gb", affinity=affinity, nodeSelector={"gpu-slice/pool": "spot"}) == ["node-selector"]

    def test_a_denial_names_both_values(self) -> None:
        with pytest.raises(Denial) as denied:
            plan(pod_of("1g.10gb", nodeSelector={"team": "vision"}), fleet_of(CORNERS))
        assert denied.value.field == "spec.nodeSelector[team]"
        assert "'vision'" in denied.value.problem
        assert "'research'" in str(denied.value)


ZONES = """
pools:
- {name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], zones: [us-east-1a]}
- {name: bc, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge],
   capacityTypes: [spot, on-demand], zones: [us-east-1b, us-east-1c]}
- {name: any, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], labels: {team: x}}
- {name: there, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], nodes: existing,
   labels: {topology.kubernetes.io/zone: us-east-1d}}
"""


def without_blame(denied: Denial) -> str:
    """The message without its last part, about who else may have written the rule."""
    text, blame, _ = str(denied).partition("; if you did not write it")
    assert blame
    return f"{text}."


class TestZones:
    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            ("topology.kubernetes.io/zone", "us-east-1a", ["a", "any"]),
            ("topology.kubernetes.io/zone", "us-east-1c", ["bc", "any"]),
            ("topology.kubernetes.io/zone", "us-east-1d", ["any", "there"]),
            ("failure-domain.beta.kubernetes.io/zone", "us-east-1b", ["bc", "any", "there"]),
            ("topology.ebs.csi.aws.com/zone", "us-east-1b", ["bc", "any", "there"]),
            ("topology.kubernetes.io/region", "us-east-1", ["a", "bc", "any", "there"]),
            ("topology.kubernetes.io/region", "eu-west-1", ["any", "there"]),
            ("topology.k8s.aws/zone-id", "use1-az1", ["a", "bc", "any", "there"]),
        ],
    )
    def test_a_selector_for_a_zone_filters_pools(self, key: str, value: str, expected: list[str]) -> None:
        found = plan(pod_of(nodeSelector={key: value}), fleet_of(ZONES)).resolution
        assert found is not None
        assert [each.name for each in found.pools] == expected

    @pytest.mark.parametrize(
        ("parts", "expected"),
        [
            pytest.param(
                [("In", "us-east-1b", "us-east-1c"), ("NotIn", "us-east-1b")], ["bc", "any"], id="one is left"
            ),
            pytest.param([("NotIn", "us-east-1b", "us-east-1c", "us-east-1d")], ["a", "any"], id="NotIn"),
            pytest.param([("Exists",)], ["a", "bc", "any", "there"], id="Exists"),
        ],
    )
    def test_rules_about_one_zone_are_held_against_one_zone(self, parts: list[Any], expected: list[str]) -> None:
        term = {"matchExpressions": [expression("topology.kubernetes.io/zone", *part) for part in parts]}
        found = plan(pod_of(affinity=required(term)), fleet_of(ZONES)).resolution
        assert found is not None
        assert [each.name for each in found.pools] == expected

    def test_a_denial_names_the_zones_of_the_pools(self) -> None:
        selector = {"topology.kubernetes.io/zone": "us-east-1d", "nvidia.com/gpu": "a100"}
        with pytest.raises(Denial) as denied:
            plan(pod_of(nodeSelector=selector), fleet_of(ZONES))
        assert without_blame(denied.value) == (
            "spec.nodeSelector[topology.kubernetes.io/zone]: 'us-east-1d' matches no node that serves '1g.5gb' "
            "(pools a, bc, any and there) and agrees with the pod's other rules, where the label is 'us-east-1a', "
            "'us-east-1b' or 'us-east-1c'. Write 'us-east-1a', 'us-east-1b' or 'us-east-1c', or remove it."
        )

    def test_the_zone_of_one_pool_is_not_what_another_lacks(self) -> None:
        """A pool that is selected by a label which any node has does not make it unknown for the others."""
        found = plan(pod_of(nodeSelector={"topology.kubernetes.io/zone": "us-east-1z"}), fleet_of(ZONES)).resolution
        assert found is not None
        assert [each.name for each in found.pools] == ["any"]

    def test_a_zone_in_which_another_pool_may_have_nodes_does_not_single_a_pool_out(self) -> None:
        fleet = """
pools:
- {name: there, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], nodes: existing,
   labels: {topology.kubernetes.io/zone: us-east-1a}}
- {name: anywhere, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
namespaces: {default: {pools: [there]}}
"""
        found = plan(pod_of(), fleet_of(fleet)).resolution
        assert found is not None
        assert found.one_of == ("there",)
        elsewhere = fleet.replace("p4d.24xlarge]}", "p4d.24xlarge], zones: [us-east-1b]}")
        found = plan(pod_of(), fleet_of(elsewhere)).resolution
        assert found is not None
        assert found.one_of == ()


NOWHERE = "matches no node that serves '1g.10gb' (pools standing and spot)"


class TestDenials:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            pytest.param(
                {"nodeSelector": {"karpenter.k8s.aws/instance-category": "g"}},
                f"spec.nodeSelector[karpenter.k8s.aws/instance-category]: 'g' {NOWHERE}, "
                "where the label is 'p'. Write 'p', or remove it.",
                id="a label that follows from the type's name",
            ),
            pytest.param(
                {"nodeSelector": {"node.kubernetes.io/windows-build": "10.0.20348"}},
                f"spec.nodeSelector[node.kubernetes.io/windows-build]: '10.0.20348' {NOWHERE}, "
                "whose nodes do not have this label. Remove it.",
                id="a label that no node has",
            ),
            pytest.param(
                {"nodeSelector": {"team": "research", "gpu-slice/pool": "spot"}},
                f"spec.nodeSelector[team]: 'research' {NOWHERE} and agrees with the pod's other rules, "
                "whose nodes do not have this label. Remove it.",
                id="possible by itself, and not with the others",
            ),
            pytest.param(
                {
                    "affinity": required(
                        {"matchExpressions": [expression("karpenter.k8s.aws/instance-gpu-count", "Gt", "8")]}
                    )
                },
                f"{AFFINITY}: karpenter.k8s.aws/instance-gpu-count Gt ['8'] {NOWHERE}, "
                "where the label is '1' or '8'. Correct it, or remove it.",
                id="Gt",
            ),
            pytest.param(
                {"affinity": required({"matchExpressions": [expression("gpu-slice/pool", "DoesNotExist")]})},
                f"{AFFINITY}: gpu-slice/pool DoesNotExist {NOWHERE}, "
                "where the label is 'standing' or 'spot'. Correct it, or remove it.",
                id="DoesNotExist",
            ),
            pytest.param(
                {
                    "affinity": required(
                        {
                            "matchExpressions": [
                                expression("team", "Exists"),
                                expression("gpu-slice/pool", "In", "spot"),
                            ]
                        }
                    )
                },
                f"{AFFINITY}: gpu-slice/pool In ['spot'] {NOWHERE} "
                "and agrees with the pod's other rules, where the label is 'standing'. Correct it, or remove it.",
                id="two expressions of one term",
            ),
        ],
    )
    def test_it_names_both_values(self, spec: dict[str, Any], message: str) -> None:
        with pytest.raises(Denial) as denied:
            plan(pod_of("1g.10gb", **spec), fleet_of(CORNERS))
        assert without_blame(denied.value) == message

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            pytest.param({}, "the pod names no architecture", id="none"),
            pytest.param({"nodeSelector": {"kubernetes.io/arch": "amd64"}}, "the pod names 'amd64'", id="by selector"),
            pytest.param(
                {"nodeSelector": {"beta.kubernetes.io/arch": "s390x"}}, "the pod names 's390x'", id="by the old label"
            ),
            pytest.param(
                {"affinity": required({"matchExpressions": [expression("kubernetes.io/arch", "In", "x86", "amd64")]})},
                "the pod names 'amd64' and 'x86'",
                id="by affinity",
            ),
        ],
    )
    def test_the_architecture_is_the_one_that_the_pod_names(self, spec: dict[str, Any], said: str) -> None:
        with pytest.raises(Denial) as denied:
            plan(pod_of("1g.23gb", **spec), fleet_of(CORNERS))
        assert denied.value.problem == f"pool arm, which has '1g.23gb', is arm64, and {said}"

    @pytest.mark.parametrize(
        ("values", "served"), [(["amd64"], True), (["arm64"], False), (["s390x"], False), (["amd64", "arm64"], False)]
    )
    def test_whoever_excludes_amd64_means_arm64(self, values: list[str], served: bool) -> None:
        affinity = required({"matchExpressions": [expression("kubernetes.io/arch", "NotIn", *values)]})
        pod = pod_of("1g.23gb", affinity=affinity)
        if served:
            assert plan(pod, fleet_of(CORNERS)).resolution is not None
        else:
            with pytest.raises(Denial):
                plan(pod, fleet_of(CORNERS))


class TestSystem:
    @pytest.mark.parametrize("system", [None, {}, {"name": None}, {"name": "linux"}], ids=repr)
    def test_a_pod_for_linux_is_served(self, system: Any) -> None:
        assert plan(pod_of("1g.10gb", os=system), fleet_of(CORNERS)).resolution is not None

    @pytest.mark.parametrize("value", ["1g.10gb", "2x1g.10gb"], ids=["plain", "not plain"])
    def test_a_pod_for_windows_is_denied(self, value: str) -> None:
        with pytest.raises(Denial) as denied:
            plan(pod_of(value, os={"name": "windows"}), fleet_of(CORNERS), plain=prepare(fleet_of(CORNERS)))
        assert str(denied.value) == (
            "spec.os.name: the pod is for 'windows', and every node with slices runs 'linux'. "
            "Write 'linux', or remove the annotation 'gpu-slice'."
        )


class TestMalformed:
    @pytest.mark.parametrize(
        "term",
        [
            pytest.param({"matchExpressions": "x"}, id="expressions are no list"),
            pytest.param({"matchExpressions": [1]}, id="an expression is no map"),
            pytest.param({"matchExpressions": [{"key": 1, "operator": "In"}]}, id="a key is no text"),
            pytest.param({"matchExpressions": [{"key": "x", "operator": "In", "values": 5}]}, id="values are no list"),
        ],
    )
    def test_what_cannot_be_read_is_denied(self, term: Any) -> None:
        with pytest.raises(Denial) as denied:
            plan(pod_of("1g.10gb", affinity=required(term)), fleet_of(CORNERS))
        assert denied.value.reason == "malformed"

    @pytest.mark.parametrize("values", [5, "arm64", {"a": 1}, True], ids=repr)
    def test_also_behind_a_term_that_holds_already(self, values: Any) -> None:
        good = {"matchExpressions": [expression("zone", "Exists")]}
        bad = {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": values}]}
        with pytest.raises(Denial) as denied:
            plan(pod_of("1g.10gb", affinity=required(good, bad)), fleet_of(CORNERS))
        assert denied.value.reason == "malformed"

    @pytest.mark.parametrize("value", [1, True, None, ["a"]], ids=repr)
    def test_a_selector_that_is_no_text_is_denied(self, value: Any) -> None:
        with pytest.raises(Denial) as denied:
            rules_of(pod_of(nodeSelector={"a": value}))
        assert denied.value.field == "spec.nodeSelector[a]"

    @pytest.mark.parametrize("empty", [None, {}, {"nodeAffinity": None}, {"nodeAffinity": {}}], ids=repr)
    def test_absent_null_and_empty_demand_nothing(self, empty: Any) -> None:
        assert rules_of(pod_of(affinity=empty, nodeSelector=None)) == ANYWHERE
