"""Pods for the policy in the API server: valid ones, with everything in them that a decision may depend on."""

from __future__ import annotations

from random import Random
from typing import Any

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL

Pod = dict[str, Any]
SIZES = ["1/7", "2/7", "3/7", "1/2", "3/4", "1/1", "1/100", "1gb", "5gb", "11gb", "80gb", "4Gi", "5Gi", "9Gi", "100Gi"]
COUNTS = [*[""] * 12, "2x", "8x", "16x", "17x", "56x", "57x", "9999x"]
RESOURCES = ["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "nvidia.com/gpu.shared", "nvidia.com/gpumem", "cpu"]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TOLERATIONS: list[Pod] = [
    {"operator": "Exists"},
    {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
    {"key": "nvidia.com/gpu-shared", "operator": "Exists"},
    {"key": "nvidia.com/gpu-shared", "value": "true", "effect": "NoSchedule"},
    {"key": "nvidia.com/gpu-shared", "operator": "Equal", "value": "no"},
    {"key": "nvidia.com/mig-1g.5gb", "operator": "Exists"},
    {"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
]


def any_pod(random: Random, fleet: Fleet, number: int) -> Pod:
    """A pod that asks *fleet* for something."""
    odds = lambda chance: random.random() < chance  # noqa: E731
    names = random.sample(["main", "side", "c-1", "0"], random.choice([1, 1, 1, 2, 3]))
    inits = ["warm-up"] if odds(0.2) else []
    gpus = [name for pool in fleet.pools for name in (pool.gpu.name, pool.gpu.family)] + ["a30", "l40s"]

    def choice() -> str:
        slices = [*[str(offer) for _, offer in fleet.offers] * 4, *SIZES, "7g.40gb", "1g.10gb.me", "1c.3g.20gb"]
        at = random.choice(["@", " @ "]) + random.choice(gpus) if odds(0.3) else ""
        return random.choice(COUNTS) + random.choice(slices) + at

    asked = random.choice(["|", " | "]).join(choice() for _ in range(random.choice([1, 1, 1, 2, 3])))
    if odds(0.25):
        asked = f"{random.choice([*names, *inits, 'nobody'])}{random.choice(['=', ' = '])}{asked}"
    annotations = {"gpu-slice": asked}
    if odds(0.1):
        annotations["kubectl.kubernetes.io/default-container"] = random.choice(names)

    def resources() -> Pod:
        found: Pod = {}
        for _ in range(random.choice([0, 0, 0, 0, 1, 2])):
            found[random.choice(RESOURCES)] = random.choice(["1", "1", "1", "0", "2"])
        if not found:
            return random.choice([{}, {"resources": {}}, {"resources": {"requests": {"cpu": "1"}}}])
        return {"resources": {random.choice(["limits", "limits", "limits", "requests"]): found}}

    def container(name: str) -> Pod:
        return {"name": name, "image": "a/b:1", **resources()}

    known = [(key, value) for pool in fleet.pools for shape in pool.shapes for key, value in shape.labels.items()]
    labels = [(key, value) for key, value in known if value is not None]
    own = [(key, value) for pool in fleet.pools for key, value in pool.labels.items()] or labels
    spec: Pod = {"containers": [container(name) for name in names]}
    if inits:
        sidecar: Pod = {"restartPolicy": "Always"} if odds(0.3) else {}
        spec["initContainers"] = [container(name) | sidecar for name in inits]
    if odds(0.35):
        unknown = ("example.com/unknown", "x")
        picked = [random.choice([unknown, random.choice(labels), random.choice(own), random.choice(own)])]
        spec["nodeSelector"] = dict(picked)
    if odds(0.3):
        pools = [pool.name for pool in fleet.pools]
        expressions = [
            {"key": "example.com/unknown", "operator": random.choice(["Exists", "DoesNotExist"])},
            {"key": POOL_LABEL, "operator": "In", "values": random.sample(pools, 1)},
            {"key": POOL_LABEL, "operator": "NotIn", "values": random.sample(pools, 1)},
            {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
        ]
        terms = [{"matchExpressions": random.sample(expressions, random.choice([1, 1, 2]))} for _ in range(2)]
        node: Pod = {REQUIRED: {"nodeSelectorTerms": terms[: random.choice([1, 2])]}} if odds(0.8) else {}
        spec["affinity"] = random.choice([{}, {"nodeAffinity": node}, {"nodeAffinity": node}])
    if odds(0.4):
        spec["tolerations"] = random.sample(TOLERATIONS, random.choice([1, 2, 3]))
    if odds(0.15):
        spread = {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "labelSelector": {"matchLabels": {"a": "b"}},
        }
        when = random.choice(["DoNotSchedule", "ScheduleAnyway"])
        spec["topologySpreadConstraints"] = [spread | {"whenUnsatisfiable": when}]
    if odds(0.05):
        spec["os"] = {"name": random.choice(["linux", "windows"])}
    namespace = random.choice(["default", *(name for name in fleet.policies if name != "*")])
    if namespace != "default" and odds(0.3):
        del annotations["gpu-slice"]
    metadata = {"name": f"any-{number}", "namespace": namespace, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
