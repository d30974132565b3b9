"""What the API server counts while it fails open, as it does in shadow.  The alert GpuSliceCallsFail stands on it."""

from __future__ import annotations

from collections import Counter

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.install import WEBHOOK
from tests.cluster.test_failures import ASKING, Place, fail_open, http, nobody

CALLED = "apiserver_admission_webhook_"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        pytest.param(nobody, "503", id="nobody listens"),
        pytest.param(http(413, "too large"), "413", id="413, which a pod can bring about"),
        pytest.param(http(500, "a fault"), "500", id="500, which another alert is about"),
    ],
)
def test_a_call_that_fails_open_is_counted_and_rejects_nothing(
    cluster, ours, namespace, tmp_path, place: Place, code: str
) -> None:
    def counted() -> Counter[tuple[str, str]]:
        return Counter(
            {
                (name, sample.labels.get("code", "")): int(sample.value)
                for family in text_string_to_metric_families(cluster.plane.metrics())
                for sample in family.samples
                if sample.labels.get("name") == WEBHOOK
                and sample.labels.get("rejected") != "true"
                and (name := sample.name.removeprefix(CALLED).removesuffix("_total"))
                in ("fail_open_count", "request", "rejection_count", "admission_duration_seconds_count")
            }
        )

    with place(ours, tmp_path):
        fail_open(cluster, ours)
        before = counted()
        with pytest.raises(DynamicApiError, match="ValidatingAdmissionPolicy"):
            cluster.create(ASKING, namespace)
        after = counted()
    assert after - before == {
        ("fail_open_count", ""): 1,
        ("request", code): 1,
        ("admission_duration_seconds_count", ""): 1,  # as if it had been answered, so the alert does not ask for it
    }
