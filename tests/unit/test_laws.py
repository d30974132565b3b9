"""What holds for every pod, on every fleet."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.oracle import sliced
from tests.pods import (
    ASSIGNED,
    CORNERS,
    MIXED,
    ODD,
    POOLS,
    REQUIRED,
    Pod,
    broken,
    cases,
    container,
    fleet_of,
    fleet_text_of,
    plan,
    pod_of,
)
from webhook.admission.plan import Plan
from webhook.admission.plan import plan as plan_of_view
from webhook.admission.resolve import prepare
from webhook.admission.review import answer
from webhook.errors import BadReview, Denial
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer, Offer, Pool
from webhook.slices import request

Case = tuple[Pod, str]
"""A pod, and its fleet as `fleet_of` knows it."""

OURS = re.compile(
    r"/metadata/annotations/gpu-slice~1(assigned|pools)\Z"
    r"|/spec/(containers|initContainers)/\d+/resources(/(limits|requests)(/nvidia\.com~1[^/]+)?)?\Z"
    r"|/spec/tolerations(/-|/0)?\Z"
    r"|/spec/nodeSelector(/[^/]+)?\Z"
    r"|/spec/affinity(/nodeAffinity(/requiredDuringSchedulingIgnoredDuringExecution"
    r"(/nodeSelectorTerms/\d+/matchExpressions(/-)?)?)?)?\Z"
)


def admitted(case: Case) -> tuple[Plan, Pod]:
    """The plan of a case, and the pod that it makes; cases that are denied do not count."""
    pod, fleet = case
    try:
        made = plan(pod, fleet_of(fleet))
    except Denial:
        assume(False)
        raise
    return made, jsonpatch.apply_patch(pod, made.patch)


def text(value: object) -> str:
    """Canonical JSON.  For comparing: 1 == True in Python, but not in JSON."""
    return json.dumps(value, sort_keys=True)


def outcome_of(pod: Pod, fleet: Fleet, **more: Any) -> object:
    """All that a decision says, as a value."""
    try:
        made = plan(pod, fleet, **more)
    except Denial as denial:
        return str(denial), denial.reason, denial.position
    return text(list(made.patch)), made.warnings, made.why


class TestPatch:
    @given(cases())
    def test_another_library_makes_of_the_patch_what_was_meant(self, case: Case) -> None:
        made, patched = admitted(case)
        assert made.resolution is not None
        asked = case[0]["metadata"]["annotations"]["gpu-slice"]
        assert text(patched) == text(sliced(case[0], asked, made.resolution, fleet_text_of(case[1])))

    @given(cases())
    def test_only_what_is_ours_is_touched(self, case: Case) -> None:
        """P6, P8."""
        made, patched = admitted(case)
        assert made.patch
        for operation in made.patch:
            assert operation["op"] in ("add", "replace", "remove")
            assert OURS.match(operation["path"]), operation
            assert ("value" in operation) == (operation["op"] != "remove")
        assert text(without_ours(patched)) == text(without_ours(case[0]))

    @given(cases())
    def test_a_pod_is_not_changed_by_being_looked_at(self, case: Case) -> None:
        pod = deepcopy(case[0])
        admitted(case)
        assert text(case[0]) == text(pod)

    @given(cases())
    def test_the_same_pod_gets_the_same_patch_to_the_byte(self, case: Case) -> None:
        made, _ = admitted(case)
        again = plan(deepcopy(case[0]), fleet_of(case[1]))
        assert msgspec.json.encode(again.patch) == msgspec.json.encode(made.patch)
        assert again.warnings == made.warnings

    @given(cases(), st.data())
    def test_what_was_computed_for_the_fleet_beforehand_is_what_would_be_computed_now(
        self, case: Case, data: st.DataObject
    ) -> None:
        pod, fleet = case
        if data.draw(st.booleans()):
            pod = data.draw(broken(pod))
        assert outcome_of(pod, fleet_of(fleet), plain=prepare(fleet_of(fleet))) == outcome_of(pod, fleet_of(fleet))

    @given(cases())
    def test_each_slice_stands_in_limits_and_requests_alike_as_a_text(self, case: Case) -> None:
        made, patched = admitted(case)
        assert made.resolution is not None
        for each in made.resolution.assignments:
            resources = patched["spec"][each.container.section][each.container.index]["resources"]
            for section in ("limits", "requests"):
                # A pod that asked for it itself keeps its own spelling; an API server spells it as a text.
                assert str(resources[section][each.resource]) == str(each.count)
                asked = {key for key, count in resources[section].items() if str(count) != "0"}
                assert {key for key in asked if key.startswith("nvidia.com/")} == {each.resource}

    @given(cases())
    def test_what_the_pod_selected_tolerated_and_required_is_still_there(self, case: Case) -> None:
        """P11."""
        _, patched = admitted(case)
        before, after = case[0]["spec"], patched["spec"]
        assert (before.get("nodeSelector") or {}).items() <= (after.get("nodeSelector") or {}).items()
        there = before.get("tolerations") or []
        now = after.get("tolerations") or []
        assert there in [now[start : start + len(there)] for start in range(len(now) + 1)]
        for old, new in zip(terms_of(case[0]), terms_of(patched), strict=False):
            expressions = old.get("matchExpressions") or []
            assert (new.get("matchExpressions") or [])[: len(expressions)] == expressions
            assert {**old, "matchExpressions": 0} == {**new, "matchExpressions": 0}

    @given(cases())
    def test_a_pod_that_must_be_spread_selects_no_node_but_those_of_its_pools(self, case: Case) -> None:
        case[0]["spec"]["topologySpreadConstraints"] = [{"whenUnsatisfiable": "DoNotSchedule"}]
        made, patched = admitted(case)
        assert selects_pools(patched, made.resolution)

    @given(cases())
    def test_a_term_that_matches_nothing_does_not_begin_to_match(self, case: Case) -> None:
        _, patched = admitted(case)
        if terms_of(case[0]):
            for old, new in zip(terms_of(case[0]), terms_of(patched), strict=True):
                assert matches_nothing(new) == matches_nothing(old)


def terms_of(pod: Pod) -> list[dict[str, Any]]:
    node = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms: list[dict[str, Any]] = (node.get(REQUIRED) or {}).get("nodeSelectorTerms") or []
    return terms


def matches_nothing(term: Mapping[str, Any]) -> bool:
    return not term.get("matchExpressions") and not term.get("matchFields")


def without_ours(pod: Pod) -> Pod:
    """The pod without anything that a patch may change."""
    pod = deepcopy(pod)
    for key in (ASSIGNED, POOLS):
        pod["metadata"]["annotations"].pop(key, None)
    spec = pod["spec"]
    for section in ("containers", "initContainers"):
        for each in spec.get(section) or []:
            resources = each.get("resources") or {}
            each["resources"] = {key: value for key, value in resources.items() if key not in ("limits", "requests")}
            for name in ("limits", "requests"):
                rest = resources.get(name) or {}
                each["resources"][name] = {k: v for k, v in rest.items() if not k.startswith("nvidia.com/")}
    for key in ("tolerations", "nodeSelector"):
        spec.pop(key, None)
    affinity = spec["affinity"] = spec.get("affinity") or {}
    node = affinity["nodeAffinity"] = affinity.get("nodeAffinity") or {}
    node[REQUIRED] = {k: v for k, v in (node.get(REQUIRED) or {}).items() if k != "nodeSelectorTerms"}
    return pod


class TestSecondVisit:
    @given(cases())
    def test_doing_it_twice_is_doing_it_once(self, case: Case) -> None:
        """P7."""
        made, patched = admitted(case)
        again = plan(patched, fleet_of(case[1]))
        assert again.patch == ()
        assert again.warnings == ()
        assert again.resolution is not None
        assert made.resolution is not None
        assert [pool.name for pool in again.resolution.pools] == [pool.name for pool in made.resolution.pools]

    @given(cases(), st.sampled_from(["containers", "initContainers"]))
    def test_what_other_webhooks_add_changes_nothing(self, case: Case, section: str) -> None:
        """P7."""
        _, patched = admitted(case)
        spec = patched["spec"]
        spec[section] = [{"name": "sidecar", "restartPolicy": "Always"}, *(spec.get(section) or [])]
        spec["tolerations"] = [
            *(spec.get("tolerations") or []),
            {"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoSchedule"},
        ]
        patched["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "sidecar"
        patched["metadata"]["annotations"]["a/b"] = "c"

        assert plan(patched, fleet_of(case[1])).patch == ()

    @given(cases(), st.data())
    def test_what_was_taken_away_comes_back_and_nothing_else(self, case: Case, data: st.DataObject) -> None:
        made, patched = admitted(case)
        written = [each for each in made.patch if "annotations" not in each["path"] and "resources" not in each["path"]]
        assume(written)
        taken = data.draw(st.sampled_from(written))
        stripped = plan_without(case[0], made, taken)

        again = plan(stripped, fleet_of(case[1]))

        sections = {each["path"].split("/")[2] for each in again.patch}
        restored = jsonpatch.apply_patch(stripped, again.patch)
        if taken["path"].startswith("/spec/nodeSelector"):  # as the names of the pools
            assert sections <= {"affinity"}
            assert plan(restored, fleet_of(case[1])).patch == ()
            assert selects_pools(restored, made.resolution)
        else:
            assert sections == {taken["path"].split("/")[2]}
            assert sorted_lists(restored) == sorted_lists(patched)


def selects_pools(pod: Pod, resolution: Any) -> bool:
    """Whether every term that matches any node names the pools of *resolution*, or the nodeSelector names one."""
    names = [pool.name for pool in resolution.pools]
    wanted = {"key": "gpu-slice/pool", "operator": "In", "values": names}
    terms = [term for term in terms_of(pod) if not matches_nothing(term)]
    return (pod["spec"].get("nodeSelector") or {}).get("gpu-slice/pool") in names or (
        bool(terms) and all(wanted in term["matchExpressions"] for term in terms)
    )


def plan_without(pod: Pod, made: Plan, taken: Mapping[str, Any]) -> Pod:
    """What *made* makes of *pod*, as if one operation had not been."""
    patched: Pod = jsonpatch.apply_patch(pod, [each for each in made.patch if each is not taken])
    return patched


def sorted_lists(pod: Pod) -> str:
    """Tolerations have no order."""
    pod = deepcopy(pod)
    if pod["spec"].get("tolerations"):
        pod["spec"]["tolerations"].sort(key=text)
    return text(pod)


class TestMessages:
    @given(cases())
    def test_a_warning_is_short_and_printable(self, case: Case) -> None:
        """P13."""
        made, _ = admitted(case)
        for warning in made.warnings:
            assert len(warning.text) <= 120
            assert warning.text.isprintable()
            assert warning.text.startswith("gpu-slice: ")

    @given(cases(), st.data())
    def test_a_denial_is_one_line_that_says_where_what_and_what_instead(self, case: Case, data: st.DataObject) -> None:
        """P10."""
        pod, fleet = case
        if data.draw(st.booleans()):
            pod = data.draw(broken(pod))
        try:
            plan(pod, fleet_of(fleet))
        except Denial as denial:
            one_line(denial)

    @pytest.mark.parametrize(
        "pod",
        [
            pytest.param(pod_of("1g.5gb", container("a\nb", {"nvidia.com/gpu": 2})), id="name of a container"),
            pytest.param(pod_of("1g.5gb", container("main", {"nvidia.com/mig-a\r\nb": 1})), id="name of a resource"),
            pytest.param(pod_of("1g.5gb", nodeSelector={"a\u2028b": 1}), id="key of a selector"),
            pytest.param(pod_of("1g.5gb\n"), id="the annotation"),
            pytest.param(
                pod_of("1g.5gb", annotations={ASSIGNED: "1g.5gb -> a\nb=c"}),
                id="the memory of a visit",
            ),
            pytest.param(
                pod_of("main=1g.5gb", container(), container("a\x1b[31m", {"nvidia.com/gpu": 1})),
                id="a terminal's escape",
            ),
        ],
    )
    def test_no_line_break_gets_into_a_denial(self, pod: Pod) -> None:
        with pytest.raises(Denial) as denied:
            plan(pod, fleet_of(MIXED))
        one_line(denied.value)


def one_line(denial: Denial) -> None:
    assert denial.field
    assert denial.problem
    assert denial.hint
    assert re.fullmatch(r"[a-z-]+", denial.reason)
    assert str(denial).isprintable(), str(denial)
    assert str(denial).endswith(".")
    assert len(str(denial)) < 4096


class TestOddShapes:
    """A pod from a file, or from an attacker, has any shape."""

    @settings(max_examples=150)
    @given(ODD | st.builds(lambda metadata, spec: {"metadata": metadata, "spec": spec}, ODD, ODD))
    def test_any_json_is_decided_or_denied(self, pod: Any) -> None:
        """P4."""
        if isinstance(pod, dict):
            decided_or_denied(pod, fleet_of(CORNERS))

    @settings(max_examples=150)
    @given(cases(), st.data())
    def test_a_pod_with_something_odd_in_it_is_decided_or_denied(self, case: Case, data: st.DataObject) -> None:
        decided_or_denied(data.draw(broken(case[0])), fleet_of(case[1]))

    @given(cases(), st.data())
    def test_so_is_a_pod_on_its_second_visit(self, case: Case, data: st.DataObject) -> None:
        _, patched = admitted(case)
        decided_or_denied(data.draw(broken(patched)), fleet_of(case[1]))

    @given(cases(), st.data())
    def test_a_review_with_something_odd_in_it_is_answered_or_refused(self, case: Case, data: st.DataObject) -> None:
        pod, fleet = case
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "operation": "CREATE",
                "namespace": "default",
                "object": pod,
            },
        }
        review = data.draw(broken(review))
        try:
            answered = answer(json.dumps(review).encode(), lambda pod, ns: plan_of_view(pod, fleet_of(fleet), ns))
        except BadReview:
            pass
        else:
            assert json.loads(answered.body)["response"]["uid"] == review["request"]["uid"]

    @pytest.mark.parametrize("count", [2**31, 2**63 - 1, 10**11, "1000000000", "1e9", "999999999999G"])
    def test_a_huge_count_is_a_number_like_another(self, count: int | str) -> None:
        pod = pod_of("main=1g.5gb", container(), container("other", {"nvidia.com/mig-1g.5gb": count}))
        with pytest.raises(Denial) as denied:
            plan(pod, fleet_of(MIXED))
        one_line(denied.value)


def decided_or_denied(pod: Pod, fleet: Fleet) -> None:
    try:
        made = plan(pod, fleet)
    except Denial as denial:
        one_line(denial)
    else:
        jsonpatch.apply_patch(pod, made.patch)


class TestReviewAnswer:
    @given(cases(), st.text(st.characters(codec="utf-8"), min_size=1))
    def test_the_answer_carries_the_plan(self, case: Case, uid: str) -> None:
        made, patched = admitted(case)
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": uid, "object": case[0]},
        }
        body = json.dumps(review).encode()
        answered = answer(body, lambda pod, namespace: plan_of_view(pod, fleet_of(case[1]), namespace)).body
        response = json.loads(answered)["response"]
        assert response["uid"] == uid
        operations = json.loads(base64.b64decode(response["patch"]))
        assert text(jsonpatch.apply_patch(case[0], operations)) == text(patched)
        assert response.get("warnings", []) == list(map(str, made.warnings))


# What follows finds the answer once more, by trying everything, from the words of the design alone.

H100 = {
    "seven": "{1g.10gb: 7}",
    "one": "{1g.10gb: 1, 2g.20gb: 3}",
    "three": "{3g.40gb: 1, 2g.20gb: 1, 1g.10gb: 2}",
    "media": "{1g.10gb+me: 1, 2g.20gb: 1, 1g.10gb: 4}",
    "double": "{1g.20gb: 4}",
    "large": "{4g.40gb: 1, 3g.40gb: 1}",
}
LABELS = ["{}", "{gpu: h100}", "{gpu: h100, team: a}", "{team: a}", "{team: b}"]
NODES = ["[p5.4xlarge]", "[p5.4xlarge]", "[p5.48xlarge]", "[p5.4xlarge, p5.48xlarge]"]


@st.composite
def small_fleets(draw: st.DrawFn) -> str:
    """Up to four pools of H100, most of whose nodes have one GPU, so that there is soon no room."""
    pools = [
        f"- {{name: p{index}, gpu: h100-80gb, partition: {{mig: {draw(st.sampled_from(list(H100.values())))}}}, "
        f"instanceTypes: {draw(st.sampled_from(NODES))}, labels: {draw(st.sampled_from(LABELS))}}}"
        for index in range(draw(st.integers(1, 4)))
    ]
    policy = draw(st.sampled_from(["", "", "namespaces: {default: {pools: [p0]}}"]))
    return "pools:\n" + "\n".join(pools) + "\n" + policy


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    """Two or three containers, each with up to three choices."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    slices = st.sampled_from(
        ["1/7", "1/7", "1g.10gb", "1g.10gb+me", "2g.20gb", "3g.40gb", "1g.20gb", "1/7", "2/7", "10gb", "20gb"]
    )
    choice = st.builds(lambda n, what: f"{n}{what}", st.sampled_from(["", "", "", "2x", "3x", "9x"]), slices)
    asked = ",".join(f"{name}={'|'.join(draw(st.lists(choice, min_size=1, max_size=3)))}" for name in names)
    initial = [name for name in names[1:] if draw(st.integers(0, 4)) == 0]
    made: list[dict[str, Any]] = [container(name) for name in names if name not in initial]
    if draw(st.integers(0, 3)) == 0:
        made.append(
            container("by-hand", {draw(st.sampled_from(["nvidia.com/mig-1g.10gb", "nvidia.com/mig-2g.20gb"])): 1})
        )
    spec: dict[str, Any] = {}
    if initial:
        restart = st.sampled_from([{}, {"restartPolicy": "Always"}])
        spec["initContainers"] = [container(name, **draw(restart)) for name in initial]
    selector = draw(st.sampled_from([{}, {}, {"team": "a"}, {"node.kubernetes.io/instance-type": "p5.4xlarge"}]))
    return pod_of(asked, *made, nodeSelector=selector, **spec), draw(small_fleets())


def node_needs(pod: Pod, given: Mapping[str, Counter[str]]) -> Counter[str]:
    """The most that runs at one time.  KEP-753: init containers run one by one, sidecars stay."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for each in pod["spec"].get("initContainers") or []:
        now = running + given[each["name"]]
        most |= now
        if each.get("restartPolicy") == "Always":
            running = now
    for each in pod["spec"]["containers"]:
        running = running + given[each["name"]]
    return most | running


def allowed_nodes(pod: Pod, pool: Pool) -> list[Counter[str]]:
    """What the nodes of *pool* hold on which the pod may run."""
    selector = pod["spec"].get("nodeSelector") or {}
    return [
        Counter(shape.capacity)
        for shape in pool.shapes
        if all(shape.labels.get(key, value) == value for key, value in selector.items())
    ]


def by_trying_everything(pod: Pod, fleet: Fleet) -> tuple[list[tuple[int, str]], list[str], bool] | None:
    """(choice, resource) for each container, the pools, and whether only their names tell them from others."""
    requests = request.parse(pod["metadata"]["annotations"]["gpu-slice"])
    policy = fleet.policy("default")
    by_hand = {
        each["name"]: Counter({name: int(n) for name, n in each["resources"]["limits"].items()})
        for each in pod["spec"]["containers"]
        if "resources" in each
    }

    def fits(pool: Pool, combination: tuple[int, ...], resources: tuple[str, ...]) -> bool:
        given = {
            each.container: Counter({resource: each.choices[index].count})
            for each, index, resource in zip(requests, combination, resources, strict=True)
        }
        needs = node_needs(pod, given | by_hand)
        return any(needs <= node for node in allowed_nodes(pod, pool))

    def offered(pool: Pool, combination: tuple[int, ...]) -> Iterator[tuple[Offer, ...]]:
        return itertools.product(
            *(
                [offer for offer in pool.offers if offer.satisfies(each.choices[index]) and policy.permits(pool, offer)]
                for each, index in zip(requests, combination, strict=True)
            )
        )

    def size(offer: Offer) -> tuple[int, int, bool]:
        assert isinstance(offer, MigOffer)
        return offer.name.compute_slices, offer.name.memory_gb, offer.name.attribute == "+me"

    for combination in itertools.product(*(range(len(each.choices)) for each in requests)):
        found = [
            (tuple(map(size, offers)), place, tuple(offer.resource for offer in offers))
            for place, pool in enumerate(fleet.pools)
            for offers in offered(pool, combination)
            if fits(pool, combination, tuple(offer.resource for offer in offers))
        ]
        if found:
            _, _, resources = min(found)
            break
    else:
        return None
    serving, others = [], []
    for pool in fleet.pools:
        if not fits(pool, combination, resources):
            continue
        serves = any(tuple(each.resource for each in offers) == resources for offers in offered(pool, combination))
        (serving if serves else others).append(pool)
    shared = set.intersection(*(set(pool.labels.items()) for pool in serving))
    return (
        list(zip(combination, resources, strict=True)),
        [pool.name for pool in serving],
        any(shared <= set(pool.labels.items()) for pool in others),
    )


class TestResolution:
    @settings(max_examples=300)
    @given(small_cases())
    def test_the_answer_is_the_first_that_trying_everything_finds(self, case: Case) -> None:
        pod, fleet = case[0], fleet_of(case[1])
        expected = by_trying_everything(pod, fleet)
        try:
            found = plan(pod, fleet).resolution
        except Denial:
            assert expected is None
            return
        assert found is not None
        requests = request.parse(pod["metadata"]["annotations"]["gpu-slice"])
        chosen = [
            (next(index for index, choice in enumerate(asked.choices) if choice == each.choice), each.resource)
            for asked, each in zip(requests, found.assignments, strict=True)
        ]
        assert (chosen, [pool.name for pool in found.pools], bool(found.one_of)) == expected

    @given(cases())
    def test_every_serving_pool_has_what_the_pod_gets(self, case: Case) -> None:
        made, patched = admitted(case)
        assert made.resolution is not None
        needs = asks_of(patched)
        for pool in made.resolution.pools:
            assert any(needs <= Counter(shape.capacity) for shape in pool.shapes)
            for each in made.resolution.assignments:
                assert any(offer.resource == each.resource and offer.satisfies(each.choice) for offer in pool.offers)
            assert made.resolution.labels.items() <= pool.labels.items()
        assert {pool.name for pool in made.resolution.pools} >= set(made.resolution.one_of)

    @given(cases())
    def test_no_other_pool_would_take_the_pod(self, case: Case) -> None:
        made, patched = admitted(case)
        resolution = made.resolution
        assert resolution is not None
        serving = {pool.name for pool in resolution.pools}
        for pool in fleet_of(case[1]).pools:
            if pool.name not in serving:
                assert not would_take(pool, patched)


def asks_of(pod: Pod) -> Counter[str]:
    given: dict[str, Counter[str]] = {}
    for section in ("containers", "initContainers"):
        for each in pod["spec"].get(section) or []:
            limits = (each.get("resources") or {}).get("limits") or {}
            given[each["name"]] = Counter({k: int(v) for k, v in limits.items() if k.startswith("nvidia.com/")})
    return node_needs(pod, given)


def would_take(pool: Pool, pod: Pod) -> bool:
    """Whether a node of *pool* would match the pod as a scheduler sees it, whatever its unknown labels are."""
    needs, selector = asks_of(pod), pod["spec"].get("nodeSelector") or {}
    for shape in pool.shapes:
        if not needs <= Counter(shape.capacity):
            continue
        if any(shape.labels.get(k, v) != v for k, v in selector.items()):
            continue
        terms = terms_of(pod)
        if not terms or any(could_match(term, shape.labels) for term in terms):
            return True
    return False


def could_match(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """For the operators and keys that the strategies draw."""
    if matches_nothing(term):
        return False
    for each in term.get("matchExpressions") or []:
        if each["key"] not in labels:
            continue  # zones and the like: any node may have it
        there = labels[each["key"]] in each.get("values", [])
        if there != (each["operator"] == "In"):
            return False
    return True
