"""What a policy in the API server knows of a fleet: labels and defaults of which no shipped fleet has an example."""

from __future__ import annotations

import json

import pytest

from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.render.admission_policy import defaults_of, variables_of
from webhook.render.admission_table import DIFFERS, Table

ARM64 = ("t4g", "g5g.xlarge"), ("t4g", "g5g.2xlarge")
AMD64 = ("a10g", "g5.xlarge"), ("l4", "g6.xlarge")
ALIKE = ("kubernetes.io/os", "linux"), ("beta.kubernetes.io/os", "linux")


def fleet_of(*kinds: tuple[str, str], more: str = "") -> Fleet:
    pools = "".join(
        f"- {{name: p{number}, gpu: {gpu}, partition: {{timeSlicing: {{replicas: 2}}}}, instanceTypes: [{kind}]}}\n"
        for number, (gpu, kind) in enumerate(kinds)
    )
    return files.load_fleet(f"apiVersion: gpu-slice/v1\n{more}pools:\n{pools}".encode())


@pytest.mark.parametrize("key", ["kubernetes.io/arch", "beta.kubernetes.io/arch"])
@pytest.mark.parametrize(
    ("kinds", "value"),
    [
        pytest.param(AMD64, "amd64", id="the usual one"),
        pytest.param(ARM64, DIFFERS, id="to name arm64 changes the answer, though all nodes have it"),
        pytest.param((*AMD64, *ARM64), DIFFERS, id="both"),
    ],
)
def test_of_the_architectures_only_the_usual_one_is_the_same_on_all_nodes(
    kinds: tuple[tuple[str, str], ...], value: str, key: str
) -> None:
    labels = Table(fleet_of(*kinds)).labels()
    assert labels[key] == value
    assert ALIKE[0] in labels.items()


def test_the_default_of_all_other_namespaces_is_in_the_policy() -> None:
    more = 'namespaces: {"*": {default: shared}, own: {default: shared@a10g}, none: {}}\n'
    fleet = fleet_of(*AMD64, more=more)
    assert defaults_of(fleet) == {"*": "shared", "own": "shared@a10g"}

    variables = variables_of(fleet)
    assert json.loads(variables["defaults"]) == defaults_of(fleet)
    assert json.loads(variables["namespaces"]).keys() == {"own", "none"}  # of these alone "*" is not the default
    assert "V.defaults[?(request.namespace in V.namespaces ? request.namespace : '*')]".replace(
        "V.", "variables."
    ) in " ".join(variables["default"].split())
