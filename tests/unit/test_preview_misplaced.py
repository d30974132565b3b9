"""A wrong value where nobody reads it: it is told, and no pod is denied."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from webhook.cli.main import main

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, %s}
spec:
  %s
  containers: [{name: main, image: x}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, annotations: {gpu-slice: 9g.5gb}}
spec: {template: {spec: {containers: [{name: main, image: x}]}}}
"""
WRONG = [
    pytest.param(POD % ("labels: {}", "annotations: {gpu-slice: 9g.5gb}"), id="the pod's spec"),
    pytest.param(POD % ("labels: {gpu-slice: 9g.5gb}", ""), id="a label"),
    pytest.param(POD % ("annotations: {gpu-slices: 9g.5gb}", ""), id="a key that is misspelt"),
    pytest.param(DEPLOYMENT, id="the workload itself"),
]


@pytest.mark.parametrize("text", WRONG)
def test_a_preview_calls_it_a_wrong_value_and_no_denial(text: str) -> None:
    result = CliRunner().invoke(main, ["preview", "-"], input=text)
    assert result.exit_code == 1
    assert ": wrong value: " in result.stderr
    assert "denied" not in result.stderr


@pytest.mark.parametrize("text", WRONG)
def test_fit_counts_no_denied_pod(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    result = CliRunner().invoke(main, ["fit", str(path)])
    assert "denied" not in result.output


def test_what_may_reach_a_pod_is_still_denied() -> None:
    text = "{apiVersion: example.com/v1, kind: Thing, metadata: {name: t}, spec: {podAnnotations: {gpu-slice: 9g.5gb}}}"
    assert ": denied: " in CliRunner().invoke(main, ["preview", "-"], input=text).stderr
