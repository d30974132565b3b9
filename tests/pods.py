"""Pods and fleets for tests: builders for one, and strategies that draw any."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, TypeAlias

from hypothesis import strategies as st

from webhook.admission.plan import UNANNOTATED, Plan
from webhook.admission.plan import plan as plan_of_view
from webhook.admission.pod import convert
from webhook.admission.review import annotated
from webhook.cli.files import default_fleet_text, load_fleet
from webhook.fleet.fleet import Fleet

Pod: TypeAlias = dict[str, Any]
"""A pod as it is read from a file."""

ASSIGNED = "gpu-slice/assigned"
POOLS = "gpu-slice/pools"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@lru_cache
def fleet_of(text: str) -> Fleet:
    """A fleet by its name in `FLEETS`, or by what its file says below the version."""
    return load_fleet(fleet_text_of(text))


def fleet_text_of(text: str) -> bytes:
    """The file of that fleet."""
    if text == "built-in":
        return default_fleet_text()
    return f"apiVersion: gpu-slice/v1\n{FLEETS.get(text, text)}".encode()


def plan(pod: Pod, fleet: Fleet, namespace: str | None = None, **more: Any) -> Plan:
    """The decision about a pod that was read from a file."""
    return plan_of_view(convert(pod), fleet, namespace, **more) if annotated(pod) else UNANNOTATED


def pod_of(asked: Any = "1g.5gb", *containers: dict[str, Any], annotations: Any = None, **spec: Any) -> Pod:
    """A pod that asks for a slice, with one container where none is given."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "notebook", "annotations": {"gpu-slice": asked, **(annotations or {})}},
        "spec": {"containers": list(containers) or [{"name": "main", "image": "example/main:1"}], **spec},
    }


def container(name: str = "main", limits: Any = None, **more: Any) -> dict[str, Any]:
    """A container that asks for *limits*."""
    return {"name": name, **({} if limits is None else {"resources": {"limits": limits}}), **more}


def unshared(tree: Any) -> Any:
    """A copy in which no part stands in two places, as strategies have it and nothing that was read ever has."""
    return json.loads(json.dumps(tree))


def required(*terms: Any) -> dict[str, Any]:
    """Required node affinity."""
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: Any) -> dict[str, Any]:
    """A match expression."""
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


MIXED = """
pools:
- {name: small, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
- {name: several, gpu: a100-40gb, partition: {mig: {3g.20gb: 1, 2g.10gb: 1, 1g.5gb: 2}}, instanceTypes: [p4d.24xlarge]}
- {name: media, gpu: a100-80gb, partition: {mig: {3g.40gb: 1, 1g.10gb+me: 1, 1g.10gb: 2}},
   instanceTypes: [p4de.24xlarge], labels: {nvidia.com/gpu: a100, team/kind: media}}
- {name: double, gpu: a100-40gb, partition: {mig: {1g.10gb: 4}}, instanceTypes: [p4d.24xlarge]}
- {name: shares, gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]}
"""
SINGLE = """
pools:
- {name: one, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, strategy: single, instanceTypes: [p4d.24xlarge]}
- {name: two, gpu: a100-40gb, partition: {mig: {2g.10gb: 3}}, strategy: single, instanceTypes: [p4d.24xlarge]}
- {name: mixed, gpu: a100-40gb, partition: {mig: {2g.10gb: 3, 1g.5gb: 1}}, instanceTypes: [p4d.24xlarge]}
"""
CORNERS = """
pools:
- {name: bare, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], labels: {},
   taints: [], untainted: true}
- {name: taints, gpu: a100-40gb, partition: {mig: {1g.5gb: 5, 2g.10gb: 1}}, instanceTypes: [p4d.24xlarge],
   taints: [{key: dedicated, value: gpu, effect: NoSchedule}, {key: cut, effect: NoExecute}]}
- {name: standing, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.4xlarge, p5.48xlarge],
   nodes: existing, labels: {team: research}}
- {name: arm, gpu: gb200, partition: {mig: {1g.23gb: 7}}, instanceTypes: [p6e-gb200.36xlarge]}
- {name: arm-shares, gpu: t4g, partition: {mps: {replicas: 2}}, instanceTypes: [g5g.xlarge]}
- {name: spot, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.4xlarge], capacityTypes: [spot]}
"""
LIMITED = f"""{MIXED}
namespaces:
  default: {{slices: [1g.5gb, 2g.10gb, 1g.10gb]}}
  one: {{pools: [several, shares]}}
"""


FLEETS = {"mixed": MIXED, "single": SINGLE, "corners": CORNERS, "limited": LIMITED}
"""The fleets that laws are tried on, beside the built-in one."""

_OFFERED = {
    "mixed": ["1g.5gb", "2g.10gb", "3g.20gb", "1g.10gb", "1g.10gb+me", "1g.10gb.me", "3g.40gb", "shared"],
    "single": ["1g.5gb", "2g.10gb", "1/7", "2/7"],
    "corners": ["1g.5gb", "2g.10gb", "1g.10gb", "1g.23gb@gb200", "shared@t4g", "1g.10gb@h100"],
    "limited": ["1g.5gb", "2g.10gb", "1g.10gb"],
    "built-in": ["1g.5gb", "2g.10gb", "3g.20gb", "2g.20gb", "1g.10gb", "4g.71gb", "shared"],
}
_SIZES = ["1/7", "2/7", "1/2", "1/100", "5gb", "10gb", "4Gi", "9Gi"]
_GPUS = ["a100", "a100-40gb", "h100", "a100-80gb"]

NAMES = ["main", "side", "c-1", "0", "a" * 63]


@st.composite
def annotations_for(draw: st.DrawFn, fleet: str, names: list[str]) -> str:
    """An annotation by the grammar, most of it served by *fleet*; for one container of *names* or for several."""

    def request() -> str:
        choices = []
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
            wanted = draw(st.sampled_from([*_OFFERED[fleet] * 2, *_SIZES]))
            count = draw(st.sampled_from(["", "", "", "", "2x", "8x", "57x"])) if "shared" not in wanted else ""
            gpu = draw(st.sampled_from(["", "", "", "", "@", " @ "])) if "@" not in wanted else ""
            choices.append(f"{count}{wanted}{gpu}{draw(st.sampled_from(_GPUS)) if gpu else ''}")
        return draw(st.sampled_from(["|", " | "])).join(choices)

    if draw(st.booleans()):
        return request()
    several = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return draw(st.sampled_from([",", ", "])).join(f"{name}={request()}" for name in several)


TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
KEYS = st.one_of(TEXT, st.sampled_from(["a/b", "a~b", "~1", "~0/", "…/é", "x.y/z~w", "constructor", "-", "0"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)
EXTRA = st.dictionaries(KEYS.map(lambda key: f"x-{key}"), JSON, max_size=2)
"""Fields of the future: no key that means anything today."""

_CPU = st.dictionaries(
    st.sampled_from(["cpu", "memory", "example.com/a~b", "example.com/fpga"]),
    st.sampled_from(["1", "500m", 2, "1Gi", "0"]),
    max_size=2,
)
_GPU_LIMITS: list[dict[str, Any]] = (
    [{}] * 5 + [{"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": 1}] + [{"nvidia.com/gpu": zero} for zero in (0, "0")]
)


def absent_or(value: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[dict[str, Any]]:
    """A map with *value* under *key*, with null or something empty there, or without the key."""
    return st.one_of(st.just({}), st.just({key: None}), value.map(lambda found: {key: found}))


@st.composite
def resources(draw: st.DrawFn, *, whole: bool) -> dict[str, Any]:
    """``resources`` in every shape; *whole*: now and then with a whole GPU."""
    gpu = draw(st.sampled_from(_GPU_LIMITS)) if whole else {}
    limits = {**draw(_CPU), **gpu}
    requests = {**draw(_CPU), **draw(st.sampled_from([gpu, {}]))}
    if whole and draw(st.integers(0, 5)) == 0:  # only where it is asked for
        return {"requests": {**requests, **gpu}, **draw(EXTRA)}
    return {
        **draw(absent_or(st.just(limits), "limits")),
        **draw(absent_or(st.just(requests), "requests")),
        **draw(st.sampled_from([{}, {"claims": [{"name": "gpu"}]}])),
        **draw(EXTRA),
    }


@st.composite
def containers(draw: st.DrawFn, name: str, *, initial: bool = False, whole: bool = False) -> dict[str, Any]:
    """One container."""
    return {
        "name": name,
        **draw(absent_or(resources(whole=whole), "resources")),
        **(draw(st.sampled_from([{}, {"restartPolicy": "Always"}])) if initial else {}),
        **draw(st.sampled_from([{}, {"env": None}, {"env": []}, {"env": [{"name": "A", "value": "b/~"}]}])),
        **draw(EXTRA),
    }


_TOLERATIONS = st.lists(
    st.sampled_from(
        [
            {"operator": "Exists"},
            {"key": "nvidia.com/gpu-shared", "operator": "Exists"},
            {"key": "nvidia.com/gpu-shared", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
            {"key": "nvidia.com/gpu-shared", "value": "no"},
            {"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
            {"key": "cut", "operator": "Exists", "tolerationSeconds": 5},
            {"key": "x", "future": {"a": [1]}},
        ]
    ),
    max_size=3,
)
_SELECTORS = st.sampled_from(
    [{}] * 3
    + [
        {"zone/~x": "é"},
        {"topology.kubernetes.io/zone": "eu-west-1a"},
        {"nvidia.com/gpu": "a100"},
        {"kubernetes.io/arch": "amd64"},
        {"kubernetes.io/arch": "arm64"},
        {"node.kubernetes.io/instance-type": "p4d.24xlarge"},
        {"gpu-slice/pool": "small"},
        {"karpenter.k8s.aws/instance-category": "p"},
        {"karpenter.k8s.aws/instance-generation": "4"},
    ]
)
_SPREADS = st.sampled_from(
    [{}] * 6
    + [{"topologySpreadConstraints": None}, {"topologySpreadConstraints": []}]
    + [{"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway", "future": 1}]}]
    + [{"topologySpreadConstraints": [{"maxSkew": 1}, {"whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}]}] * 2
)
_TERMS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"matchExpressions": [expression("topology.kubernetes.io/zone", "In", "a", "b")]},
        {"matchExpressions": [expression("kubernetes.io/arch", "In", "amd64", "arm64")], "future": 1},
        {"matchExpressions": [expression("gpu-slice/pool", "NotIn", "small")]},
        {"matchExpressions": [expression("unknown/key", "DoesNotExist")]},
        {"matchExpressions": None, "matchFields": [expression("metadata.name", "In", "node-1")]},
        {"matchFields": [expression("metadata.name", "In", "node-1")]},
        {"matchExpressions": [], "matchFields": []},
        {},
    ]
)


@st.composite
def affinities(draw: st.DrawFn) -> dict[str, Any]:
    """``affinity`` in every shape, required terms among them."""
    terms: list[dict[str, Any]] = draw(st.lists(_TERMS, min_size=1, max_size=3))
    if all(not term.get("matchExpressions") and not term.get("matchFields") for term in terms):
        terms.append({"matchExpressions": [expression("kubernetes.io/os", "In", "linux")]})
    node = {
        **draw(absent_or(st.just({"nodeSelectorTerms": terms, **draw(EXTRA)}), REQUIRED)),
        **draw(st.sampled_from([{}, {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}])),
        **draw(EXTRA),
    }
    return {**draw(absent_or(st.just(node), "nodeAffinity")), **draw(st.sampled_from([{}, {"podAffinity": {}}]))}


@st.composite
def pods(draw: st.DrawFn, fleet: str) -> Pod:
    """A pod as an API server could send it, with an annotation that *fleet* will mostly serve."""
    names = draw(st.permutations(NAMES))
    count, before = draw(st.integers(1, 3)), draw(st.sampled_from([0, 0, 1, 2]))
    inside = names[: count + before]
    asked = draw(annotations_for(fleet, inside))
    given = {part.partition("=")[0].strip() for part in asked.split(",")} if "=" in asked else set()
    only = count == 1 and not given

    def whole(name: str, initial: bool) -> bool:  # elsewhere a whole GPU is denied
        return name in given or (only and not initial)

    spec: dict[str, Any] = {
        **draw(EXTRA),
        "containers": [draw(containers(name, whole=whole(name, False))) for name in inside[:count]],
        **draw(absent_or(_TOLERATIONS, "tolerations")),
        **draw(absent_or(_SELECTORS, "nodeSelector")),
        **draw(st.one_of(st.just({}), absent_or(affinities(), "affinity"))),
        **draw(_SPREADS),
    }
    if before:
        spec["initContainers"] = [
            draw(containers(name, initial=True, whole=whole(name, True))) for name in inside[count:]
        ]
    elif draw(st.booleans()):
        spec["initContainers"] = draw(st.sampled_from([None, []]))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "notebook",
            "annotations": {
                **draw(st.dictionaries(KEYS.filter(lambda key: not key.startswith("gpu-slice")), TEXT, max_size=2)),
                "gpu-slice": asked,
            },
            **draw(EXTRA),
        },
        "spec": spec,
        **draw(EXTRA),
    }


@st.composite
def cases(draw: st.DrawFn) -> tuple[Pod, str]:
    """A pod, and the name of a fleet that may serve it."""
    name = draw(st.sampled_from(list(_OFFERED)))
    return json.loads(json.dumps(draw(pods(name)))), name  # nothing in it is shared, as in any text that was read


WORDS = [
    "metadata", "spec", "annotations", "gpu-slice", ASSIGNED, POOLS, "containers", "initContainers", "resources",
    "limits", "requests", "tolerations", "nodeSelector", "affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms",
    "matchExpressions", "key", "operator", "values", "name", "env", "nvidia.com/gpu", "nvidia.com/mig-1g.5gb",
    "kubernetes.io/arch", "ownerReferences", "effect", "In", "Gt", "1g.5gb", "main", "restartPolicy",
    "topologySpreadConstraints", "whenUnsatisfiable",
]  # fmt: skip
ODD = st.recursive(
    SCALARS | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | TEXT, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON, with words that mean something."""


@st.composite
def broken(draw: st.DrawFn, tree: Any) -> Any:
    """*tree* with something odd in up to three places."""
    tree = unshared(tree)
    for _ in range(draw(st.integers(1, 3))):
        places: list[tuple[Any, Any]] = []
        todo = [tree]
        while todo:
            here = todo.pop()
            for key, inner in here.items() if isinstance(here, dict) else enumerate(here):
                places.append((here, key))
                if isinstance(inner, dict | list):
                    todo.append(inner)
        if not places:
            break
        here, key = draw(st.sampled_from(places))
        here[key] = unshared(draw(ODD))
    return tree
