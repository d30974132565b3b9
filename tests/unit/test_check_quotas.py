"""The checks of ResourceQuotas and of the namespaces' defaults."""

from __future__ import annotations

import pytest

from tests.unit.check_facts import Document, done, facts, told
from webhook.cluster.check import (
    Status,
)
from webhook.cluster.objects import (
    NAMESPACES,
    QUOTAS,
)


def quota(namespace: str, **hard: str) -> Document:
    named = {f"requests.nvidia.com/{key}": value for key, value in hard.items()}
    return {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": named}}


def names(*namespaces: str, **labels: str) -> list[Document]:
    return [{"metadata": {"name": name, "labels": labels}} for name in namespaces]


@pytest.mark.parametrize(
    ("quotas", "status"),
    [
        pytest.param([quota("default", **{"mig-1g.5gb": "0"})], Status.FAILED, id="none of what the fleet allows"),
        pytest.param([quota("default", **{"mig-1g.5gb": "8"})], Status.GOOD, id="some"),
        pytest.param([quota("default", **{"mig-7g.40gb": "0"})], Status.GOOD, id="none of what nobody offers"),
        pytest.param([quota("limited", **{"mig-1g.5gb": "0"})], Status.GOOD, id="none of what the fleet denies"),
    ],
)
def test_quotas_and_the_fleet(quotas: list[Document], status: Status) -> None:
    assert done("quotas", facts({QUOTAS: quotas, NAMESPACES: names("default")})).status is status


def test_a_namespace_that_may_not_use_a_slice_and_has_no_quota_is_a_warning() -> None:
    line = done("quotas", facts({NAMESPACES: names("limited")}))
    assert (line.status, told(line)) == (
        Status.WARNING,
        "nothing keeps limited from nvidia.com/mig-1g.5gb, which the fleet denies it",
    )


def test_a_default_needs_its_label() -> None:
    assert done("namespace-defaults", facts({NAMESPACES: names("given")})).status is Status.FAILED
    labelled = [{"metadata": {"name": "given", "labels": {"gpu-slice/default": ""}}}]
    assert done("namespace-defaults", facts({NAMESPACES: labelled})).status is Status.GOOD
