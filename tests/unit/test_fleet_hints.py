"""What is to be written instead: a hint that is followed leads to no second error."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.fleet_text import pool_text, problems, text
from webhook.cli.main import main


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("terminationGracePeriod", "90", "Write a duration such as '90s'"),
        ("emptyFor", "90", "Write a duration such as '90s'"),
        ("expireAfter", "90", "Write a duration such as '90s'"),
        ("disk", "90", "Write a size such as '90Gi'"),
        ("ami", "ami-0123", "Write '[{id: ami-0123}]'"),
        ("ami", "/aws/x", "Write '[{ssmParameter: /aws/x}]'"),
        ("ami", "[ami-0123]", "such as {id: ami-0123}"),
        ("subnets", "[subnet-1, subnet-2]", "such as {id: subnet-1}"),
        ("subnets", "subnet-1", "such as [{id: subnet-1}]"),
        ("securityGroups", "[sg-1]", "such as {id: sg-1}"),
        ("capacityReservations", "[cr-123]", "such as {id: cr-123}"),
        ("taints", "['a=b:NoSchedule']", "such as {key: nvidia.com/gpu-shared, effect: NoSchedule}"),
        ("startupTaints", "[a]", "such as {key: node.cilium.io/agent-not-ready, effect: NoExecute}"),
        ("budgets", "[10%]", "such as {nodes: '10%'}"),
    ],
)
def test_of_a_pool(field: str, value: str, hint: str) -> None:
    found = problems(text(pool_text(**{field: value})))
    assert found[0].hint.endswith(hint)


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("quota: {nvidia.com/mig-1g.5gb: 3}", "Write '1g.5gb'"),
        ("quota: {requests.nvidia.com/mig-1g.5gb: 3}", "Write '1g.5gb'"),
        ("quota: {1g.5gb@a100: 3}", "Write '1g.5gb': '@' is for annotations, and here 'pools' names the GPUs"),
        ("quota: {1g.5gb: 0}", "to forbid a slice, name the others in the namespace's 'slices' or 'pools'"),
        ("slices: [nvidia.com/mig-1g.5gb]", "Write '1g.5gb'"),
        ("slices: [mig-1g.5gb]", "Write '1g.5gb'"),
        ("slices: [nvidia.com/gpu.shared]", "Write 'shared'"),
        ("slices: [3g.20gb@a100]", "Write '3g.20gb': '@' is for annotations, and here 'pools' names the GPUs"),
        ("slices: [whatever]", "The slices are 1g.5gb"),
    ],
)
def test_of_a_namespace(entry: str, hint: str) -> None:
    (found,) = problems(text(extra=f"namespaces: {{a: {{{entry}}}}}\n"))
    assert found.hint.endswith(hint)


@pytest.mark.parametrize(
    ("field", "value", "where", "hint"),
    [
        ("nodeClass", "{foo: bar}", "nodeClass.foo", "The fields are amiFamily"),
        ("nodeClass", "{metadataOption: {}}", "nodeClass.metadataOption", "Write 'metadataOptions'"),
        ("nodePool", "{foo: bar}", "nodePool.foo", "The fields are disruption"),
        ("nodePool", "{template: {spec: {foo: 1}}}", "nodePool.template.spec.foo", "The fields are expireAfter"),
        (
            "nodePool",
            "{template: {metadata: {annotation: {}}}}",
            "nodePool.template.metadata.annotation",
            "annotations",
        ),
    ],
)
def test_a_field_that_karpenter_does_not_have_is_warned_of(
    field: str, value: str, where: str, hint: str, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text(pool_text(**{field: value})))
    result = CliRunner().invoke(main, ["fleet", "check", str(path)])
    assert result.exit_code == 0
    assert f"warning: pools[0].{where}: is no field that Karpenter" in result.stderr
    assert hint in result.stderr


def test_fields_that_karpenter_has_are_not(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    pool = pool_text(
        nodeClass="{kubelet: {maxPods: 200}, enclaveOptions: {enabled: true}}",
        nodePool="{replicas: 2, template: {metadata: {annotations: {a: b}}}}",
    )
    path.write_text(text(pool))
    assert "no field" not in CliRunner().invoke(main, ["fleet", "check", str(path)]).stderr
