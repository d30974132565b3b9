"""What a preview says where it cannot know, or where the key of the annotation is made up."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from webhook.cli.main import main

CONTAINER = {"name": "main", "image": "x"}


def preview(document: object) -> Result:
    return CliRunner().invoke(main, ["preview", "--strict", "-"], input=json.dumps(document))


KEYS = [
    "gpu-slice.io",
    "gpu-slice.com",
    "gpu-slices.example.com",
    "gpu-slice.io/profile",
    "gpu-slice/profile",
    "gpu_slice/slice",
    "gpuslice/size",
    "gpu-slice/gpu-slice",
]


@pytest.mark.parametrize("key", ["gpu-slice/pool", "gpu_slice/pool", "gpu-slices/pools"])
def test_a_key_of_the_pool_is_told_of_the_nodes_label(key: str) -> None:
    template = {"metadata": {"annotations": {key: "a100-1g-5gb"}}, "spec": {"containers": [CONTAINER]}}
    result = preview({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template}})
    assert result.exit_code == 1
    said = f"'{key}' at spec.template.metadata.annotations is not read: the nodes have the label 'gpu-slice/pool'"
    assert said in result.stderr
    assert "wrong value" not in result.stderr


def test_a_value_beside_is_no_slice_that_is_wrong() -> None:
    metadata = {"name": "a", "annotations": {"gpu-slice/count": "2"}}
    result = preview({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [CONTAINER]}})
    assert result.exit_code == 1
    assert "wrong value" not in result.stderr


@pytest.mark.parametrize("key", KEYS)
def test_a_key_like_ours_with_a_domain_is_misspelt(key: str) -> None:
    metadata = {"name": "a", "annotations": {key: "1g.5gb"}}
    result = preview({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [CONTAINER]}})
    assert result.exit_code == 1
    assert f"'{key}' at metadata.annotations is not read: write 'gpu-slice'" in result.stderr


@pytest.mark.parametrize(
    "key",
    ["gpu-slice/assigned", "gpu-slice/decided-by", "gpu-slice/pools", "example.com/my-gpu-slicer", "gpu.slice.io"],
)
def test_other_keys_are_not(key: str) -> None:
    metadata = {"name": "a", "annotations": {key: "x"}}
    result = preview({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [CONTAINER]}})
    assert result.exit_code == 0
    assert "note" not in result.stderr


@pytest.mark.parametrize("values", [{"podAnnotations": {"gpu-slice": "1g.5gb"}}, {"a": {"b": {"gpu-slice": "1g.5gb"}}}])
def test_the_values_of_a_helm_chart_are_previewed_as_what_it_prints(values: object) -> None:
    assert "preview what 'helm template' prints" in preview(values).stderr


def test_other_objects_without_a_kind_are_no_values() -> None:
    assert "helm" not in preview({"a": 1}).stderr


@pytest.mark.parametrize("containers", [[], [{"name": "sidecar", "image": "x"}]])
def test_an_operator_may_add_the_container_that_a_template_lacks(containers: list[object]) -> None:
    template = {"metadata": {"annotations": {"gpu-slice": "flink-main-container=1g.5gb"}}}
    spec = {"podTemplate": {**template, "spec": {"containers": containers}}}
    result = preview({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "spec": spec})
    assert result.exit_code == 0
    assert "a preview does not know the containers that it gets" in result.stderr


def test_a_deployment_gets_no_other_container() -> None:
    template = {"metadata": {"annotations": {"gpu-slice": "other=1g.5gb"}}, "spec": {"containers": [CONTAINER]}}
    assert (
        ": denied: " in preview({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": template}}).stderr
    )
