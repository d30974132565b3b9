"""Types in ``nodeClass.kubelet``, which the API server takes as they come: Karpenter then launches no node.

Source: karpenter-provider-aws v1.15.0 ``pkg/apis/v1/kubeletconfiguration.go``, ``ParsedKubeletConfig``.  Of other
fields it knows no type either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook.errors import FleetProblem, kind_of, quote
from webhook.fleet.file import path

STEPS = ("nodeClass", "kubelet")
MAPPINGS = ("evictionHard", "evictionSoft", "evictionSoftGracePeriod", "kubeReserved", "systemReserved")
NUMBERS = (
    "evictionMaxPodGracePeriod", "imageGCHighThresholdPercent", "imageGCLowThresholdPercent", "maxPods", "podsPerCore",
)  # fmt: skip
LARGEST = 2**31 - 1


def check_kubelet(where: str, kubelet: Any) -> Iterator[FleetProblem]:
    """What is wrong with *kubelet* of the pool at *where*."""
    if not isinstance(kubelet, Mapping):
        yield FleetProblem(f"{where}.{path(STEPS)}", kind_of(kubelet), "Write a mapping, such as {maxPods: 110}")
        return
    for name, value in kubelet.items():
        field = f"{where}.{path((*STEPS, name))}"
        if value is None:  # which removes it
            continue
        if name in MAPPINGS:
            yield from _check_mapping(where, name, value)
        elif name in NUMBERS and not (name == "maxPods" and isinstance(value, str)):  # which may be an expression
            if type(value) is not int:
                yield FleetProblem(field, kind_of(value), "Write a whole number, without quotes")
            elif not 0 <= value <= LARGEST:
                yield FleetProblem(field, f"{quote(value)} is out of range", f"Write 0 to {LARGEST:,}")
        elif name == "cpuCFSQuota" and not isinstance(value, bool):
            yield FleetProblem(field, kind_of(value), "Write true or false")
        elif name == "clusterDNS" and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            yield FleetProblem(field, f"{quote(value)} is no list of strings", "Write one, such as ['10.100.0.10']")


def _check_mapping(where: str, field: str, value: Any) -> Iterator[FleetProblem]:
    if not isinstance(value, Mapping):
        yield FleetProblem(f"{where}.{path((*STEPS, field))}", kind_of(value), "Write a mapping, such as {memory: 1Gi}")
        return
    for name, amount in value.items():
        if not isinstance(amount, str) and amount is not None:
            location = f"{where}.{path((*STEPS, field, name))}"
            yield FleetProblem(location, kind_of(amount), "Write a string: put it in quotes")
