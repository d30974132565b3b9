"""Which nodes a pod allows, where not all of their labels are known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.pods import CORNERS, Pod, container, expression, fleet_of, plan, pod_of, required
from webhook.admission import node_affinity
from webhook.admission.node_affinity import ANYWHERE, NodeRules, empty
from webhook.admission.pod import EMPTY_SPEC, Expression, Term, convert
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
            pytest.param({"karpenter.k8s.aws/instance-family": "p4d"}, ["standing"], id="family, known for one"),
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
                [[expression("karpenter.k8s.aws/instance-gpu-memory", "Gt", "100000")]], ["standing"], id="Gt"
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
