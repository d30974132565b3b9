"""A pod that claims that the standby has decided, in a cluster without one: it gets the default of its namespace."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.test_namespaces import _teams, answer, pod_of  # noqa: F401  # a fixture
from webhook.admission.assigned import DECIDED


@pytest.mark.parametrize("forged", [{DECIDED: ""}, {DECIDED: "policy"}, {DECIDED: "x", "gpu-slice/default": "y"}])
def test_a_forged_mark_hides_no_pod_from_the_default_of_its_namespace(cluster: Cluster, forged) -> None:
    pod = pod_of(None, **{"nvidia.com/gpu": "1"})
    pod["metadata"]["annotations"] = forged
    stored = answer(cluster, pod, "notebooks")
    assert isinstance(stored, dict), stored
    assert stored["metadata"]["annotations"]["gpu-slice"] == "shared"
    assert "nvidia.com/gpu" not in stored["spec"]["containers"][0]["resources"]["limits"]
