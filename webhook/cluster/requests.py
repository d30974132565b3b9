"""What a pod asks the scheduler for, and how Kubernetes writes quantities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import TypeAlias, TypeVar

from webhook.cluster.objects import Pod, Resources

Amounts: TypeAlias = dict[str, Decimal]
"""By resource: cores, bytes, slices."""

ZERO = Decimal(0)

MOST = Decimal(2**63 - 1)
NANO = Decimal("1e-9")

_QUANTITY = re.compile(r"\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?)([0-9]+)|([numkMGTPE]|[KMGTPE]i))?")
_POWERS = dict(zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True))


@lru_cache(maxsize=4096)
def quantity(text: str) -> Decimal:
    """The number that *text* stands for, as in ``500m`` and ``16Gi``: 0 for what no API server takes for an amount.

    As in Kubernetes it is at most `MOST`, and is rounded up to `NANO`, however it is written: ``1e9999`` is stored.
    Source: k8s.io/apimachinery ``pkg/api/resource/quantity.go``.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return ZERO
    digits, sign, exponent, suffix = found.groups(default="")
    power = _POWERS[suffix] if suffix in _POWERS else int(f"{sign}{exponent.lstrip('0')[:9] or 0}")
    number = min(Decimal(f"{digits}e{power}"), MOST)
    if suffix.endswith("i"):
        number = min(number * 1024 ** ("KMGTPE".index(suffix[0]) + 1), MOST)
    if not number:
        return ZERO
    return number.quantize(NANO, ROUND_UP) if int(number.as_tuple().exponent) < -9 else number


def amounts(written: Mapping[str, str | int | float]) -> Amounts:
    """The numbers of *written* quantities."""
    return {name: quantity(str(text)) for name, text in written.items()}


def add(amounts: Amounts, more: Mapping[str, Decimal]) -> None:
    """Add *more* to *amounts*."""
    for name, amount in more.items():
        amounts[name] = amounts.get(name, ZERO) + amount


Number = TypeVar("Number", int, Decimal)


def left(there: Number, taken: Number) -> Number:
    """What is free of something: nothing where more is taken than there is, as on a node that has lost slices."""
    return max(there - taken, type(there)(0))


def requests_of(pod: Pod) -> Amounts:
    """What the scheduler must find on a node for *pod*.

    Containers and sidecars run together.  The other init containers run before, one after the other, each beside the
    sidecars that stand above it.  Source: k8s.io/component-helpers ``resource/helpers.go``, ``PodRequests``.
    """
    together: Amounts = {}
    sidecars: Amounts = {}
    most: Amounts = {}
    for container in pod.spec.init_containers:
        own = _of(container.resources)
        if container.restart_policy == "Always":
            add(sidecars, own)
            own = {}
        add(own, sidecars)
        most = _larger(most, own)
    for container in pod.spec.containers:
        add(together, _of(container.resources))
    add(together, sidecars)
    # What the pod as a whole asks for replaces the sum of CPU and memory.
    total = _larger(together, most) | _of(pod.spec.resources)
    add(total, amounts(pod.spec.overhead))
    return total


def _larger(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, ZERO), other.get(name, ZERO)) for name in one | other}


def _of(resources: Resources) -> Amounts:
    # Where a request is not given, the API server copies the limit.
    return amounts({**resources.limits, **resources.requests})


def asks_for(pod: Pod, prefix: str) -> bool:
    """Whether *pod* asks for a resource whose name begins with *prefix*."""
    return any(
        name.startswith(prefix)
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for named in (container.resources.requests, container.resources.limits)
        for name in named
    )
