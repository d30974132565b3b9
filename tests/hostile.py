"""Pods that are made to be expensive: each is one kind of work that a decision does, as large as a review can carry it.

Source of most: they were tried on a running webhook, and held its loop for 40 ms to 5 s.
"""

from __future__ import annotations

from typing import Any

from tests.pods import ASSIGNED, Pod, container, expression, pod_of, required

MIG = "nvidia.com/mig-1g.5gb"


def many_containers(count: int, request: str) -> Pod:
    names = [f"c{index}" for index in range(count)]
    return pod_of(",".join(f"{name}={request}" for name in names), *map(container, names))


def affinity(*parts: dict[str, Any], terms: int = 1) -> Pod:
    return pod_of(affinity=required(*[{"matchExpressions": list(parts)}] * terms))


def selected(count: int) -> Pod:
    return pod_of(nodeSelector={f"a/k{index}": "v" for index in range(count)})


def by_hand(count: int) -> Pod:
    return pod_of("main=1g.5gb", container("main", {f"nvidia.com/mig-{index}": 1 for index in range(count)}))


def annotated(count: int) -> Pod:
    return pod_of(annotations={f"gpu-slice{index}": "x" for index in range(count)})


def recorded(count: int) -> Pod:
    given = ", ".join(f"c{index}={MIG}:1" for index in range(count))
    pod = many_containers(count, "1g.5gb")
    pod["metadata"]["annotations"][ASSIGNED] = f"{pod['metadata']['annotations']['gpu-slice']} -> {given}"
    return pod


CROWD = "3x3g.20gb|3x2g.10gb|7x1g.5gb|2x3g.20gb"
NAMES = [f"gpu-{'x' * 50}{index}" for index in range(29)]

HOSTILE: dict[str, Pod] = {
    "a word of 32 kB": pod_of("a" + "1" * 32_760 + "!"),
    "a word of 32 kB of digits": pod_of("1" * 32_767),
    "spaces": pod_of("1g.5gb" + " " * 32_000 + "|" + "1g.5gb"),
    "a misspelt slice, and spaces where its GPU is to stand": pod_of("1g5gb@" + " " * 32_000),
    "a misspelt slice, spaces, and a second '@'": pod_of("1g5gb" + " " * 16_000 + "@" + " " * 16_000 + "@"),
    "a misspelt slice, and spaces after its GPU": pod_of("1g5gb@a" + " " * 32_000),
    "a misspelt slice, and words with spaces for its GPU": pod_of("1g5gb@" + "a " * 16_000 + "="),
    "a misspelt slice, and '@' for its GPU": pod_of("1g5gb" + " @" * 16_000),
    "a slice with spaces in it": pod_of("1g. " + " " * 32_000 + "5gb"),
    "a misspelt slice of 'nvidia' and spaces": pod_of("1g5gb@nvidia" + " " * 32_000),
    "an alternative of 'tesla' and spaces": pod_of("1g.5gb@tesla" + " " * 32_000 + "|1g.5gb"),
    "32 alternatives of 'nvidia' and spaces": pod_of("|".join(["1g.5gb@nvidia" + " " * 1_000 + "!"] * 32)),
    "256 containers by name": many_containers(256, "9g.9gb|8g.8gb|3g.20gb|1g.5gb"),
    "40 containers by name": many_containers(40, "1/7|2/7|3/7|4/7"),
    "16 containers that do not fit": many_containers(16, CROWD),
    "16 containers, four alternatives each": many_containers(16, "4x1g.5gb|3x1g.5gb|2x2g.10gb|3x3g.20gb"),
    "16 containers, 32 fractions each": many_containers(16, "|".join(f"{n}/33" for n in range(1, 33))),
    "16 containers, 32 memory sizes each": many_containers(16, "|".join(f"{n}gb" for n in range(1, 33))),
    "16 containers, 29 unknown GPUs each": many_containers(16, "|".join(f"1g.5gb@{name}" for name in NAMES)),
    "29 unknown GPUs before one that is": pod_of("|".join([*(f"1g.5gb@{name}" for name in NAMES), "1g.5gb"])),
    "32 alternatives that nothing has": pod_of("|".join(f"1g.{900 + index}gb" for index in range(32))),
    "32 alternatives that are too many": pod_of("|".join(f"{9000 + index}x1g.{5 + index}gb" for index in range(32))),
    "1,000 containers, one misspelt": pod_of(
        "x" * 63 + "=1g.5gb", *(container("x" * 58 + str(n)) for n in range(1000))
    ),
    "numbers of 4,300 digits": affinity(*[expression("nvidia.com/gpu", "Lt", "9" * 4_300)] * 700),
    "numbers of 100 digits": affinity(*[expression("a", "Lt", "9" * 100)] * 30_000),
    "20,000 terms": affinity(expression("zone", "In", "a"), terms=20_000),
    "66,000 expressions": affinity(*[expression("zone", "In", "a")] * 66_000),
    "999 expressions": affinity(*[expression("nvidia.com/gpu", "In", "a100", "b", "c")] * 999),
    "66,000 values": affinity(expression("nvidia.com/gpu", "In", *(f"v{index}" for index in range(66_000)))),
    "12,000 values": affinity(expression("nvidia.com/gpu", "In", *(f"v{index}" for index in range(12_000)), "a100")),
    "4,000 values that all must be missing": affinity(
        expression("nvidia.com/gpu", "NotIn", *(f"v{index}" for index in range(4_000)))
    ),
    "900 expressions of four values": affinity(*[expression("nvidia.com/gpu", "In", "a100", "b", "c", "d")] * 900),
    "999 terms": affinity(expression("nvidia.com/gpu", "In", "x"), terms=999),
    "150,000 entries of a nodeSelector": selected(150_000),
    "900 entries of a nodeSelector": selected(900),
    "150,000 limits": by_hand(150_000),
    "1,000 limits": by_hand(1_000),
    "60,000 annotations like ours": annotated(60_000),
    "19,000 annotations like ours": annotated(19_000),
    "65,000 tolerations": pod_of(tolerations=[{"key": "x"}] * 65_000),
    "6,000 tolerations": pod_of(tolerations=[{"key": "x"}] * 6_000),
    "3,000 tolerations of other taints": pod_of(
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Equal", "value": f"v{index}"} for index in range(3_000)]
    ),
    "100,000 variables": pod_of("1g.5gb", container(env=[{"name": "A"}] * 100_000)),
    "19,000 variables": pod_of("1g.5gb", container(env=[{"name": "A"}] * 19_000)),
    "1,000 containers": pod_of("c0=1g.5gb", *(container(f"c{index}") for index in range(1_000))),
    "1,000 privileged containers": pod_of(
        "c0=1g.5gb", *(container(f"c{index}", securityContext={"privileged": True}) for index in range(1_000))
    ),
    "a record of 16 containers": recorded(16),
    "a record of 500 containers": recorded(500),
    "a record of one word of 200 kB": pod_of(annotations={ASSIGNED: "1g.5gb -> " + "=" * 200_000}),
    "a record of 200 kB of spaces": pod_of(annotations={ASSIGNED: "1g.5gb -> " + " " * 200_000 + "="}),
    "a record of 200 kB of commas": pod_of(annotations={ASSIGNED: "1g.5gb -> " + ", " * 100_000}),
    "a record of 200 kB of arrows": pod_of(annotations={ASSIGNED: " -> " * 50_000}),
    "a record of 200 kB": pod_of(annotations={ASSIGNED: "1g.5gb -> " + ", ".join([f"main={MIG}:1"] * 6_000)}),
    "a quantity of 100 kB of zeros and a dot": pod_of(
        "1g.5gb", container("main", {"nvidia.com/gpu": "0" * 100_000 + "."})
    ),
    "a quantity of 100 kB": pod_of("1g.5gb", container("main", {"nvidia.com/gpu": "1" * 100_000})),
    "1,000 sliced containers by hand": pod_of(
        "c0=1g.5gb", *(container(f"c{index}", {MIG: 1}) for index in range(1_000))
    ),
    "800 containers with eight limits": pod_of(
        "c0=1g.5gb",
        *(container(f"c{index}", {f"nvidia.com/mig-{n}": "0.001e3" for n in range(8)}) for index in range(800)),
    ),
    "16 init containers": pod_of(
        ",".join(f"c{index}=2x1/7|1/7" for index in range(16)),
        container("main"),
        initContainers=[container(f"c{index}", restartPolicy="Always") for index in range(16)],
    ),
}
